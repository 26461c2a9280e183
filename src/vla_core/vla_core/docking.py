"""When a robot is docked: pose within tolerance and at rest for a settling time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vla_core.geometry import Pose2D, wrap_angle

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class DockTolerance:
    """How far a docked base may be from the docked pose, and how still it has to be.

    Attributes:
        longitudinal_m: along the dock's x axis.
        lateral_m: along the dock's y axis.
        yaw_rad: heading.
        speed_mps: the speed has to stay below this.
        settle_s: for this long without interruption.
    """

    longitudinal_m: float = 0.020
    lateral_m: float = 0.010
    yaw_rad: float = math.radians(2.0)
    speed_mps: float = 0.010
    settle_s: float = 0.5

    def contains(self, dock_from_base: Pose2D) -> bool:
        """Whether the base is within the pose tolerance; False for a pose with NaN."""
        # A pose of numpy's numbers would make this numpy's bool, which JSON cannot say.
        return bool(
            abs(dock_from_base.x) <= self.longitudinal_m
            and abs(dock_from_base.y) <= self.lateral_m
            and abs(wrap_angle(dock_from_base.yaw)) <= self.yaw_rad
        )

    def at_rest(self, speed_mps: float) -> bool:
        """Whether the speed counts as standing still; False for NaN."""
        return abs(speed_mps) < self.speed_mps


DOCKED = DockTolerance()
"""20 mm, 10 mm, 2 degrees, below 10 mm/s for 0.5 s."""

PRECISE = DockTolerance(longitudinal_m=0.003, lateral_m=0.003, yaw_rad=math.radians(0.5))
"""The MiR250's figures with its VL marker (product specification): 3 mm, 3 mm, 0.5 degrees."""


class DockedMonitor:
    """Watches a docking approach and tells when the robot has come to rest in the dock.

    It knows pose and speed only. The other conditions of a successful docking (time limit, no
    collision, the right station) belong to whoever judges the episode.
    """

    def __init__(self, tolerance: DockTolerance = DOCKED) -> None:
        self.tolerance = tolerance
        self._settled_ns: int | None = None

    def reset(self) -> None:
        """Forget what was seen, for a new episode."""
        self._settled_ns = None

    @property
    def settled_s(self) -> float:
        """For how long the robot has been at rest within tolerance [s]."""
        return (self._settled_ns or 0) / _NS_PER_S

    def update(self, dock_from_base: Pose2D, speed_mps: float, dt_s: float) -> bool:
        """Take one sample and say whether the robot is docked now.

        Args:
            dock_from_base: pose of the base in the dock frame.
            speed_mps: speed of the base, of either sign.
            dt_s: time since the previous sample. It counts only if the robot was at rest within
                tolerance at both ends of it; a time that is negative or not finite counts as 0.

        Returns:
            True from the moment the settling time is over until the robot moves or leaves.
        """
        if not (self.tolerance.contains(dock_from_base) and self.tolerance.at_rest(speed_mps)):
            self._settled_ns = None
            return False
        # Integers, because ten times 0.05 s as floats is less than 0.5 s.
        elapsed_ns = round(dt_s * _NS_PER_S) if math.isfinite(dt_s) and dt_s > 0.0 else 0
        self._settled_ns = 0 if self._settled_ns is None else self._settled_ns + elapsed_ns
        return self._settled_ns >= round(self.tolerance.settle_s * _NS_PER_S)
