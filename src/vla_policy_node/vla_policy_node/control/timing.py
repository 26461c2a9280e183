"""How evenly commands are sent and received."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_CAPACITY = 100_000
_EARLY = 0.1


@dataclass(frozen=True)
class PeriodErrors:
    """Distribution of |interval - period| between consecutive commands.

    Attributes:
        count: intervals measured.
        p50_ms: median.
        p99_ms: 99th percentile.
        max_ms: largest.
    """

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    def __str__(self) -> str:
        return (
            f"period error of {self.count} commands: p50 {self.p50_ms:.2f} ms, "
            f"p99 {self.p99_ms:.2f} ms, max {self.max_ms:.2f} ms"
        )


@dataclass(frozen=True)
class ScheduleErrors:
    """Distribution of how far commands are from an absolute schedule, early or late.

    Attributes:
        count: commands.
        missed: times of the schedule without a command.
        p50_ms: median.
        p99_ms: 99th percentile.
        p99_9_ms: 99.9th percentile.
        max_ms: largest.
    """

    count: int
    missed: int
    p50_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float


def schedule_errors(times_ns: Sequence[int], period_ns: int) -> ScheduleErrors:
    """How far commands are from the schedule that they keep to on the whole.

    The schedule has the given period, and the phase that most commands have. A command belongs to
    the last time of the schedule before it, with a tolerance of a tenth of a period for those that
    are early, or to the one before that of the command after it, whichever is earlier.

    Args:
        times_ns: when commands were received, ascending, at least one.
        period_ns: what every interval should be.
    """
    times = np.asarray(times_ns, np.int64) - times_ns[0]
    angles = 2.0 * np.pi * (times % period_ns) / period_ns
    centre = np.angle(np.exp(1j * angles).mean()) * period_ns / (2.0 * np.pi)
    residuals = (times - centre + period_ns / 2) % period_ns - period_ns / 2
    phase = centre + np.median(residuals)
    slots = np.floor((times - phase) / period_ns + _EARLY).astype(np.int64)
    for index in range(slots.size - 1, 0, -1):
        slots[index - 1] = min(slots[index - 1], slots[index] - 1)
    errors_ms = 1e-6 * np.abs(times - phase - slots * period_ns)
    p50_ms, p99_ms, p99_9_ms, max_ms = np.percentile(errors_ms, (50.0, 99.0, 99.9, 100.0))
    missed = int(slots[-1] - slots[0]) + 1 - slots.size
    return ScheduleErrors(
        slots.size, missed, float(p50_ms), float(p99_ms), float(p99_9_ms), float(max_ms)
    )


class PeriodMonitor:
    """Collects the times of published commands; the last 100,000 intervals count.

    Args:
        period_ns: what every interval should be.
    """

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._previous_ns: int | None = None
        self._errors_ns: deque[int] = deque(maxlen=_CAPACITY)

    def add(self, time_ns: int) -> None:
        """Note a command, by the monotonic clock."""
        if self._previous_ns is not None:
            self._errors_ns.append(abs(time_ns - self._previous_ns - self._period_ns))
        self._previous_ns = time_ns

    def pause(self) -> None:
        """Commands stop on purpose: the interval to the next one does not count."""
        self._previous_ns = None

    def summary(self) -> PeriodErrors | None:
        """The distribution, None without a single interval."""
        errors_ms = 1e-6 * np.array(self._errors_ns, np.float64)
        if errors_ms.size == 0:
            return None
        p50_ms, p99_ms, max_ms = np.percentile(errors_ms, (50.0, 99.0, 100.0))
        return PeriodErrors(errors_ms.size, float(p50_ms), float(p99_ms), float(max_ms))
