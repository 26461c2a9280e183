"""Motion of the base between two instants, from the twists that wheel odometry publishes."""

import bisect
import math
from collections import deque

from vla_core.geometry import Pose2D, arc

_NS_PER_S = 1e9


class DeadReckoning:
    """Integrates odometry's twists and remembers the way for a while.

    Measurements of the past are carried to the present with it, so that a picture that took
    80 ms to arrive is worth as much as a fresh one.

    Args:
        memory_s: how far back positions are known.
        extrapolation_s: a twist counts as held for at most this long after its stamp.
    """

    def __init__(self, memory_s: float = 2.0, extrapolation_s: float = 0.2) -> None:
        self._memory_ns = round(memory_s * _NS_PER_S)
        self._extrapolation_ns = round(extrapolation_s * _NS_PER_S)
        self.reset()

    def reset(self) -> None:
        """Begin at the origin, with nothing known."""
        self._stamps: deque[int] = deque()
        self._poses: deque[Pose2D] = deque()
        self._twist = (0.0, 0.0)

    def add(self, stamp_ns: int, linear_mps: float, angular_radps: float) -> None:
        """Take the mean twist of the time since the previous sample.

        Samples that are not newer than the previous one are left out.
        """
        if self._stamps and stamp_ns <= self._stamps[-1]:
            return
        self._twist = (linear_mps, angular_radps)
        if self._stamps:
            elapsed_s = (stamp_ns - self._stamps[-1]) / _NS_PER_S
            pose = self._poses[-1] @ arc(linear_mps, angular_radps, elapsed_s)
        else:
            pose = Pose2D()
        self._stamps.append(stamp_ns)
        self._poses.append(pose)
        while self._stamps[0] < stamp_ns - self._memory_ns:
            self._stamps.popleft()
            self._poses.popleft()

    def motion(self, from_ns: int, to_ns: int) -> Pose2D:
        """The base at `to_ns` seen from the base at `from_ns`."""
        return self._at(to_ns).relative_to(self._at(from_ns))

    def _at(self, stamp_ns: int) -> Pose2D:
        """Pose in the odometry frame; before the memory begins, its first one."""
        if not self._stamps:
            return Pose2D()
        after = bisect.bisect_left(self._stamps, stamp_ns)
        if after == len(self._stamps):
            held_ns = min(stamp_ns - self._stamps[-1], self._extrapolation_ns)
            return self._poses[-1] @ arc(*self._twist, held_ns / _NS_PER_S)
        if after == 0 or self._stamps[after] == stamp_ns:
            return self._poses[after]
        before = after - 1
        span = self._stamps[after] - self._stamps[before]
        share = (stamp_ns - self._stamps[before]) / span
        step = self._poses[after].relative_to(self._poses[before])
        # On an arc the chord to a part of it is turned by half of that part's angle.
        half_left = 0.5 * (1.0 - share) * step.yaw
        cos, sin = math.cos(half_left), math.sin(half_left)
        return self._poses[before] @ Pose2D(
            share * (cos * step.x + sin * step.y),
            share * (cos * step.y - sin * step.x),
            share * step.yaw,
        )
