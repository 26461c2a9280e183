"""How the robot has moved of late: speeds and way, by the odometry's twists."""

from __future__ import annotations

from collections import deque

from vla_core.geometry import Pose2D, arc
from vla_policy_node.docking.rear_view import Trail

_NS_PER_S = 1_000_000_000
_MEMORY_S = 4.0


class OdometryHistory:
    """Integrates odometry's twists, and remembers speeds for a while.

    A twist counts from the previous stamp to its own. After a gap longer than `max_gap_s` nobody
    knows where the robot has been: the way is forgotten. One thread adds, others ask.

    Args:
        max_gap_s: between two samples.
    """

    def __init__(self, max_gap_s: float) -> None:
        self._max_gap_ns = round(max_gap_s * _NS_PER_S)
        self._speeds: deque[tuple[int, float]] = deque()
        self._trail = Trail()
        self._pose: Pose2D | None = None

    def add(self, stamp_ns: int, linear_mps: float, angular_radps: float) -> None:
        """Take one sample; one that is not newer than the last is left out."""
        last_ns = self._speeds[-1][0] if self._speeds else None
        if last_ns is not None and stamp_ns <= last_ns:
            if last_ns - stamp_ns > self._max_gap_ns:  # the clock was set back
                self._forget()
            return
        if last_ns is None or self._pose is None or stamp_ns - last_ns > self._max_gap_ns:
            self._trail.clear()
            self._pose = self._pose or Pose2D()
        else:
            elapsed_s = (stamp_ns - last_ns) / _NS_PER_S
            self._pose = self._pose @ arc(linear_mps, angular_radps, elapsed_s)
        self._trail.add(self._pose)
        self._speeds.append((stamp_ns, abs(linear_mps)))
        while self._speeds[0][0] < stamp_ns - _MEMORY_S * _NS_PER_S:
            self._speeds.popleft()

    def _forget(self) -> None:
        self._speeds.clear()
        self._trail.clear()

    @property
    def pose(self) -> Pose2D | None:
        """The base in a frame that stays where it was first; None before the first sample."""
        return self._pose

    @property
    def trail_m(self) -> float:
        """How far straight behind the robot its own way reaches [m]."""
        return 0.0 if self._pose is None else self._trail.behind_m(self._pose)

    def standing_s(self, now_ns: int, below_mps: float) -> float:
        """For how long every speed up to now was below `below_mps` [s]; 0 without samples."""
        since_ns, previous_ns = now_ns, now_ns
        for stamp_ns, speed_mps in reversed(tuple(self._speeds)):
            if not speed_mps < below_mps or previous_ns - stamp_ns > self._max_gap_ns:
                break
            since_ns = previous_ns = stamp_ns
        return max(0.0, (now_ns - since_ns) / _NS_PER_S)

    def fastest_mps(self, from_ns: int, to_ns: int) -> float | None:
        """Highest speed between two times, ends included; None without a sample there [m/s]."""
        speeds = (speed for stamp, speed in tuple(self._speeds) if from_ns <= stamp <= to_ns)
        return max(speeds, default=None)
