"""Overlap of rectangles in the plane."""

import math
from dataclasses import dataclass

from vla_core.geometry import Pose2D


@dataclass(frozen=True)
class Footprint:
    """A rectangle: pose of its centre and half sizes along its own axes, in metres."""

    pose: Pose2D
    half_length_m: float
    half_width_m: float

    def overlaps(self, other: "Footprint") -> bool:
        """Whether the two rectangles share a point (separating axis theorem)."""
        dx, dy = other.pose.x - self.pose.x, other.pose.y - self.pose.y
        for yaw in (
            self.pose.yaw,
            self.pose.yaw + math.pi / 2,
            other.pose.yaw,
            other.pose.yaw + math.pi / 2,
        ):
            distance = abs(dx * math.cos(yaw) + dy * math.sin(yaw))
            if distance > self._reach(yaw) + other._reach(yaw):
                return False
        return True

    def _reach(self, direction_rad: float) -> float:
        """Half extent of the rectangle along a direction."""
        angle = direction_rad - self.pose.yaw
        return self.half_length_m * abs(math.cos(angle)) + self.half_width_m * abs(math.sin(angle))


def corridor(start: Pose2D, end: Pose2D, half_width_m: float) -> Footprint:
    """The straight strip from one point to another."""
    dx, dy = end.x - start.x, end.y - start.y
    centre = Pose2D((start.x + end.x) / 2, (start.y + end.y) / 2, math.atan2(dy, dx))
    return Footprint(centre, math.hypot(dx, dy) / 2, half_width_m)
