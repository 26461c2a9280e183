"""Driving back along the approach line: how far, how fast, and whether it gets on. No ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vla_core.geometry import Pose2D
from vla_core.undocking import UndockParameters, undock_action
from vla_policy_node.docking.goal import Situation

_NS_PER_S = 1_000_000_000
_PROGRESS_M = 0.02
_REAR_GAIN_1PS = 1.0
_SLOWEST_MPS = 0.01

STANDSTILL = (0.0, 0.0)


@dataclass(frozen=True)
class RetreatRules:
    """Limits of backing.

    Attributes:
        speed_mps: highest speed, positive.
        rear_margin_m: free way behind at which it waits.
        stuck_timeout_s: longest time without progress.
    """

    speed_mps: float = 0.1
    rear_margin_m: float = 0.1
    stuck_timeout_s: float = 3.0


@dataclass(frozen=True)
class Room:
    """How far the robot may back.

    Attributes:
        way_m: at most as far as was wanted.
        note: why not further or on what trust; empty if the scan sees the way free.
    """

    way_m: float
    note: str = ""


def room_behind(situation: Situation, wanted_m: float, rules: RetreatRules) -> Room:
    """How far the robot may back from here: as far as it sees, else as it has come.

    Args:
        situation: at a standstill.
        wanted_m: the way that it is to go.
        rules: of the way.
    """
    if situation.rear.covered:
        free_m = max(0.0, situation.rear.free_m - rules.rear_margin_m)
        if free_m >= wanted_m:
            return Room(wanted_m)
        return Room(free_m, f"something is {situation.rear.free_m:.2f} m behind")
    if situation.trail_m >= wanted_m:
        return Room(
            wanted_m, "the scan does not cover the way behind; it is the way that the robot came"
        )
    return Room(
        situation.trail_m,
        "the scan does not cover the way behind, and the robot has come only "
        f"{situation.trail_m:.2f} m of it",
    )


class Retreat:
    """One way back, from a standstill to a standstill.

    Steered by the dock's measured pose where there is one, carried on by odometry; without one,
    the approach line is the one that the robot stands on.

    Args:
        situation: at the start; its odometry is known.
        way_m: how far.
        rules: limits.
    """

    def __init__(self, situation: Situation, way_m: float, rules: RetreatRules) -> None:
        self._rules = rules
        self._way_m = way_m
        self._start = situation.odometry or Pose2D()
        self._now = self._start
        self._anchor = (self._start, situation.dock_from_base or Pose2D())
        staging_m = way_m - self._anchor[1].x
        self._law = UndockParameters(staging_m=staging_m, max_linear_mps=rules.speed_mps)
        self._farthest_m = 0.0
        self._progress_ns = situation.now_ns
        self._blocked_m: float | None = None
        self.done = False
        self.problem = ""

    @property
    def backed_m(self) -> float:
        """Way made, by odometry [m]."""
        return math.hypot(self._now.x - self._start.x, self._now.y - self._start.y)

    @property
    def to_go_m(self) -> float:
        """Way left [m]."""
        return max(0.0, self._way_m - self.backed_m)

    def update(self, situation: Situation) -> tuple[float, float]:
        """Forward speed [m/s], never positive, and turning rate [rad/s]; sets `done`, `problem`."""
        if situation.odometry is None:
            return STANDSTILL  # stale: the control loop brakes, and the goal waits or fails
        self._now = situation.odometry
        if situation.dock_from_base is not None:
            self._anchor = (self._now, situation.dock_from_base)
        since, dock_from_base = self._anchor
        linear, angular = undock_action(dock_from_base @ self._now.relative_to(since), self._law)
        if linear == 0.0 or self.backed_m >= self._way_m:
            self.done = True
            return STANDSTILL
        linear, angular = self._heeding(situation, linear, angular)
        self._watch(situation.now_ns)
        return linear, angular

    def _heeding(self, situation: Situation, linear: float, angular: float) -> tuple[float, float]:
        free_m = situation.rear.free_m - self._rules.rear_margin_m
        limit_mps = _REAR_GAIN_1PS * max(0.0, free_m)
        self._blocked_m = situation.rear.free_m if limit_mps < _SLOWEST_MPS else None
        if self._blocked_m is not None:
            return STANDSTILL
        share = min(1.0, limit_mps / -linear)
        return share * linear, share * angular

    def _watch(self, now_ns: int) -> None:
        if self.backed_m >= self._farthest_m + _PROGRESS_M:
            self._farthest_m = self.backed_m
            self._progress_ns = now_ns
        stuck_s = (now_ns - self._progress_ns) / _NS_PER_S
        if stuck_s < self._rules.stuck_timeout_s:
            return
        why = "the robot does not move"
        if self._blocked_m is not None:
            why = f"something is {self._blocked_m:.2f} m behind"
        self.problem = f"{why}, {self.backed_m:.2f} m of {self._way_m:.2f} m made"
