"""What the watchdog makes of the commands that it sees. No ROS, no sockets, no clocks of its own.

The control process announces every command before it publishes it. What arrives without
announcement is somebody else's; and when nothing is announced any more, the control process hangs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from vla_policy_node.control.messages import Announcement

_MEMORY_NS = 1_000_000_000
_RATE_WINDOW_NS = 500_000_000
_FLOOD_FACTOR = 3.0
_FOREIGN_ZEROS = 3
_SILENT_PERIODS = 2
_HUNG_PERIODS = 3
_LINGER_NS = 1_000_000_000


class CommandGuard:
    """Judges commands and announcements while a goal runs.

    Args:
        period_ns: of the control loop.
        checks_rate: whether commands may come at three times the control rate at most; not where
            simulated time may run faster.
    """

    def __init__(self, period_ns: int, *, checks_rate: bool) -> None:
        self._silence_ns = _SILENT_PERIODS * period_ns
        self._hung_ns = _HUNG_PERIODS * period_ns
        self._silent = False
        self._most = _FLOOD_FACTOR * _RATE_WINDOW_NS / period_ns if checks_rate else float("inf")
        self._state = Announcement(0, running=False, commanding=False)
        self._heard_ns = 0
        self._lost_ns: int | None = None
        self._expected: deque[tuple[int, int, tuple[float, ...]]] = deque()
        self._arrivals: deque[int] = deque()
        self._foreign: deque[int] = deque()
        self.fault = ""
        self.control_is_at_fault = False

    @property
    def running(self) -> bool:
        """Whether a goal runs."""
        return self._state.running

    @property
    def done(self) -> bool:
        """Whether the control process has ended and the robot has been told to stand still."""
        return self._lost_ns is not None and not self.sends_zeros

    @property
    def sends_zeros(self) -> bool:
        """Whether zero has to be commanded now."""
        return self._silent or bool(self.fault)

    def announce(self, announcement: Announcement, now_ns: int) -> None:
        """Take an announcement of the control process.

        Args:
            announcement: what it is about to do.
            now_ns: the monotonic clock.
        """
        if announcement.goal != self._state.goal or not announcement.running:
            # The goal of the fault is over: what happens now is somebody else's business, or a new
            # goal's.
            self.fault, self.control_is_at_fault = "", False
            self._foreign.clear()
        self._state = announcement
        self._heard_ns = now_ns
        self._silent = False
        if announcement.values is not None:
            self.expect(announcement.stamp_ns, announcement.values, now_ns)

    def expect(self, stamp_ns: int, values: Sequence[float], now_ns: int) -> None:
        """Know a command before it arrives, (A,) [m/s, rad/s], with its stamp."""
        while self._expected and now_ns - self._expected[0][0] > _MEMORY_NS:
            self._expected.popleft()
        self._expected.append((now_ns, stamp_ns, tuple(values)))

    def see(self, stamp_ns: int | None, values: Sequence[float], now_ns: int) -> bool:
        """Judge a command that has arrived.

        Args:
            stamp_ns: of its header; None if its type has none.
            values: (A,) [m/s, rad/s].
            now_ns: the monotonic clock.

        Returns:
            Whether zero has to be commanded at once, because somebody else moves the robot.
        """
        known = self._is_expected(stamp_ns, tuple(values))
        if not self._state.running:
            return False
        self._arrivals.append(now_ns)
        while now_ns - self._arrivals[0] > _RATE_WINDOW_NS:
            self._arrivals.popleft()
        if len(self._arrivals) > self._most:
            rate_hz = 1e9 * len(self._arrivals) / _RATE_WINDOW_NS
            self._fail(f"commands come at {rate_hz:.0f} Hz")
        moves = any(values)
        if not known:
            self._foreign.append(now_ns)
            while now_ns - self._foreign[0] > _MEMORY_NS:
                self._foreign.popleft()
            if moves or len(self._foreign) >= _FOREIGN_ZEROS:
                self._fail("somebody else publishes commands, too")
        return self.sends_zeros and moves

    def check(self, now_ns: int, *, control_is_stopped: bool) -> None:
        """Look for a control process that hangs.

        From two periods of silence on zero is commanded. A third one is a fault; without it the
        goal goes on.

        Args:
            now_ns: the monotonic clock.
            control_is_stopped: whether the system says that its process is stopped.
        """
        if self._lost_ns is not None:
            if now_ns - self._lost_ns > _LINGER_NS:
                self.fault, self._silent = "", False
            return
        if not self._state.commanding or self.control_is_at_fault:
            return
        silent_ns = now_ns - self._heard_ns
        self._silent = silent_ns > self._silence_ns
        if control_is_stopped:
            self._blame_control("the control process was stopped")
        elif silent_ns > self._hung_ns:
            self._blame_control(f"the control process was silent for {1e-9 * silent_ns:.2f} s")

    def lose_control(self, now_ns: int) -> None:
        """Note that the control process has ended: zeros for a while if it was commanding."""
        if self._lost_ns is not None:
            return
        self._lost_ns = now_ns
        if self._state.commanding:
            self._blame_control("the control process has ended")

    def _blame_control(self, reason: str) -> None:
        self.control_is_at_fault = True
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        self.fault = self.fault or reason

    def _is_expected(self, stamp_ns: int | None, values: tuple[float, ...]) -> bool:
        for index, (_, stamp, expected) in enumerate(self._expected):
            if expected == values and stamp_ns in (None, stamp):
                del self._expected[index]
                return True
        return False
