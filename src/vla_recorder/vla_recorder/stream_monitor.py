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
        largest_gap_s: between two messages, as received, since the reset.
        disordered: messages stamped no later than the one before, since the reset.
        unstamped: messages whose stamp is zero, since the reset.
        skew_s: of the newest message, from its stamp to its reception.
    """

    rate_hz: float
    age_s: float
    messages: int
    valid: bool
    largest_gap_s: float = 0.0
    disordered: int = 0
    unstamped: int = 0
    skew_s: float = 0.0


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
        self._skew_ns = 0
        self.reset()

    @property
    def messages(self) -> int:
        """Messages since the last reset."""
        return self._messages

    def reset(self) -> None:
        """Start counting from zero."""
        self._messages = 0
        self._largest_gap_ns = 0
        self._disordered = 0
        self._unstamped = 0

    def update(self, received_ns: int, stamp_ns: int) -> None:
        """Take note of a message.

        Args:
            received_ns: when it was received.
            stamp_ns: its header stamp, or when it was received if it has none.
        """
        times = self._received_ns
        if times and received_ns < times[-1]:  # the clock jumped back: a simulation was reset
            times.clear()
        if self._messages:
            newest_ns = self._newest_stamp_ns or 0
            self._largest_gap_ns = max(
                self._largest_gap_ns, received_ns - times[-1] if times else 0
            )
            self._disordered += 0 < stamp_ns <= newest_ns
        self._unstamped += stamp_ns == 0
        self._skew_ns = received_ns - stamp_ns
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
        return StreamReport(
            rate_hz,
            age_s,
            self._messages,
            abs(age_s) <= self._max_age_s,
            self._largest_gap_ns / _NS_PER_S,
            self._disordered,
            self._unstamped,
            self._skew_ns / _NS_PER_S,
        )
