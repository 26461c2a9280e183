"""How evenly commands leave the node."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

_CAPACITY = 100_000


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
