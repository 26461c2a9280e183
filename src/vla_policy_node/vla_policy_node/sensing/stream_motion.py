"""Whether the robot moves, by its odometry and by what it was told. No ROS."""

from __future__ import annotations

from typing import Any

_STILL_MPS = 0.02
_STILL_RADPS = 0.05
_COMMANDED_MPS = 0.05
_COMMANDED_RADPS = 0.2
_BASE_DELAY_NS = 500_000_000  # a base may take this long until its odometry shows a command
_COMMAND_AGE_NS = 200_000_000


class _Lasting:
    """Since when a condition has held without a break."""

    def __init__(self) -> None:
        self._since_ns: int | None = None

    def update(self, holds: bool, now_ns: int) -> None:
        if not holds:
            self._since_ns = None
        elif self._since_ns is None or now_ns < self._since_ns:  # the clock may be set back
            self._since_ns = now_ns

    def for_ns(self, now_ns: int) -> int:
        since_ns = self._since_ns
        return 0 if since_ns is None else max(0, now_ns - since_ns)


class MotionWatch:
    """Remembers for how long the robot has been moving, and whether its odometry noticed."""

    def __init__(self) -> None:
        self._measured = _Lasting()
        self._commanded = _Lasting()
        self._commanded_ns = 0
        self._says_still = True
        self._first_pose: tuple[float, ...] | None = None
        self._pose_moves = False

    def add_odometry(self, message: Any, now_ns: int) -> None:
        """Take a nav_msgs/Odometry in."""
        twist, position = message.twist.twist, message.pose.pose.position
        still = abs(twist.linear.x) < _STILL_MPS and abs(twist.angular.z) < _STILL_RADPS
        self._says_still = still
        self._measured.update(not still, now_ns)
        pose = (position.x, position.y)
        if self._first_pose is None:
            self._first_pose = pose
        self._pose_moves |= pose != self._first_pose

    def add_command(self, v_mps: float, w_radps: float, now_ns: int) -> None:
        """Take a command in."""
        moves = abs(v_mps) >= _COMMANDED_MPS or abs(w_radps) >= _COMMANDED_RADPS
        self._commanded.update(moves, now_ns)
        self._commanded_ns = now_ns

    def moving_for_ns(self, now_ns: int) -> int:
        """For how long it has been moving, by odometry or by what it was told [ns]."""
        return max(self._measured.for_ns(now_ns), self._told_for_ns(now_ns))

    def unnoticed_for_ns(self, now_ns: int) -> int:
        """For how long odometry should have been changing [ns].

        Odometry that says "moving" has to change its pose, if it ever does (some tell a twist
        only). One that says "standing" while the robot was told to move is frozen, or the wheels
        are blocked: neither is a state to go on in.
        """
        if not self._says_still:
            return self._measured.for_ns(now_ns) if self._pose_moves else 0
        return self._told_for_ns(now_ns)

    def _told_for_ns(self, now_ns: int) -> int:
        # A command that seems to come from the future is one from before the clock was set back.
        if abs(now_ns - self._commanded_ns) > _COMMAND_AGE_NS:
            return 0
        return max(0, self._commanded.for_ns(now_ns) - _BASE_DELAY_NS)
