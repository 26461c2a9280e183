"""How many control periods are due when a timer fires late or early."""


class Pacer:
    """Counts control periods against a clock, so that late timers do not slow the simulation."""

    def __init__(self, period_s: float, max_catch_up: int = 4) -> None:
        """Set the pace.

        Args:
            period_s: wall time of one control period.
            max_catch_up: most periods that one call may ask for; what is beyond is given up, since
                a machine that is too slow would otherwise fall behind for ever.
        """
        self._period_s = period_s
        self._max_catch_up = max_catch_up
        self._start_s: float | None = None
        self._done = 0

    def restart(self) -> None:
        """Begin to count at the next call."""
        self._start_s = None

    @property
    def scheduled_s(self) -> float:
        """When the newest period that `due` told of was due, by the same clock."""
        if self._start_s is None:
            raise RuntimeError("nothing is scheduled before the first call of due()")
        return self._start_s + (self._done - 1) * self._period_s

    def due(self, now_s: float) -> int:
        """Periods to simulate now, 0 or more; they count as done.

        Args:
            now_s: of a clock that never goes back.
        """
        if self._start_s is None:
            self._start_s = now_s
            self._done = 1
            return 1
        # Rounded: a timer that fires a little early still does its period.
        missing = int((now_s - self._start_s) / self._period_s + 0.5) + 1 - self._done
        if missing > self._max_catch_up:
            self._start_s += (missing - self._max_catch_up) * self._period_s
            missing = self._max_catch_up
        missing = max(missing, 0)
        self._done += missing
        # The first call may have been later than this one: what is scheduled is never in the
        # future.
        self._start_s -= max(self.scheduled_s - now_s, 0.0) if missing else 0.0
        return missing
