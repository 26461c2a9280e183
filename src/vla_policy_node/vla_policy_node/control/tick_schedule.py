"""When ticks are due. No ROS, no clocks of its own."""

from __future__ import annotations


class TickSchedule:
    """Absolute times, a period apart, of any clock.

    Args:
        period_ns: above 0.
    """

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self.next_ns = 0

    def start(self, now_ns: int) -> None:
        """The first tick is due now."""
        self.next_ns = now_ns

    def due(self, now_ns: int) -> int | None:
        """How late the tick is that is due [ns]; None if none is.

        Ticks that were missed altogether are left out, and the schedule stays what it was. A clock
        that was set back by more than a period starts it anew.
        """
        if self.next_ns - now_ns > self._period_ns:
            self.next_ns = now_ns
        late_ns = now_ns - self.next_ns
        if late_ns < 0:
            return None
        self.next_ns += self._period_ns * (1 + late_ns // self._period_ns)
        return late_ns
