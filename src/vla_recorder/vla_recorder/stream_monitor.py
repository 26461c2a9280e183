"""How a stream arrives: its rate, the age of its newest message and how many there were."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

_NS_PER_S: Final = 1_000_000_000
_RATE_WINDOW_NS: Final = 2 * _NS_PER_S


@dataclass(frozen=True)
class StreamReport:
    """A stream at one moment.

    Attributes:
        rate_hz: messages per second over the last two seconds.
        age_s: since the stamp of the newest message; infinity before the first.
        messages: since the monitor was reset.
        valid: whether the newest message is within the contract's maximum age.
    """

    rate_hz: float
    age_s: float
    messages: int
    valid: bool


class StreamMonitor:
    """Follows one stream, on whatever clock the caller stamps its messages with."""

    def __init__(self, max_age_s: float) -> None:
        """Create a monitor without a message.

        Args:
            max_age_s: a message older than this is not valid any more.
        """
        self._max_age_s = max_age_s
        self._received_ns: deque[int] = deque()
        self._newest_stamp_ns: int | None = None
        self._messages = 0

    @property
    def messages(self) -> int:
        """Messages since the last reset."""
        return self._messages

    def reset(self) -> None:
        """Start counting from zero."""
        self._messages = 0

    def update(self, received_ns: int, stamp_ns: int) -> None:
        """Take note of a message.

        Args:
            received_ns: when it was received.
            stamp_ns: its header stamp, or when it was received if it has none.
        """
        times = self._received_ns
        if times and received_ns < times[-1]:  # the clock jumped back: a simulation was reset
            times.clear()
        times.append(received_ns)
        while received_ns - times[0] > _RATE_WINDOW_NS:
            times.popleft()
        self._newest_stamp_ns = stamp_ns
        self._messages += 1

    def report(self, now_ns: int) -> StreamReport:
        """Describe the stream as of `now_ns`."""
        if self._newest_stamp_ns is None:
            return StreamReport(0.0, float("inf"), self._messages, False)
        age_s = (now_ns - self._newest_stamp_ns) / _NS_PER_S
        recent = [t for t in self._received_ns if abs(now_ns - t) <= _RATE_WINDOW_NS]
        span_ns = recent[-1] - recent[0] if recent else 0
        rate_hz = (len(recent) - 1) * _NS_PER_S / span_ns if span_ns > 0 else 0.0
        return StreamReport(rate_hz, age_s, self._messages, abs(age_s) <= self._max_age_s)
