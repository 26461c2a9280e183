"""Poses in the plane (REP-103: x forward, y left, yaw counter-clockwise; metres and radians)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


def wrap_angle(angle_rad: float) -> float:
    """The same direction as an angle in (-pi, pi]; NaN for an angle that is not finite."""
    if not math.isfinite(angle_rad):
        return math.nan
    wrapped = math.remainder(angle_rad, math.tau)
    return math.pi if wrapped == -math.pi else wrapped


@dataclass(frozen=True)
class Pose2D:
    """A frame seen from another one: `target_from_source` maps coordinates of source into target.

    Attributes:
        x: forward [m].
        y: left [m].
        yaw: counter-clockwise [rad].
    """

    x: float = 0.0
    y: float = 0.0
    yaw: float = 0.0

    def compose(self, other: Pose2D) -> Pose2D:
        """`a_from_b.compose(b_from_c)` is `a_from_c`; also written `a_from_b @ b_from_c`."""
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return Pose2D(
            x=self.x + cos * other.x - sin * other.y,
            y=self.y + sin * other.x + cos * other.y,
            yaw=wrap_angle(self.yaw + other.yaw),
        )

    def __matmul__(self, other: Pose2D) -> Pose2D:
        return self.compose(other)

    def inverse(self) -> Pose2D:
        """`a_from_b.inverse()` is `b_from_a`."""
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return Pose2D(
            x=-cos * self.x - sin * self.y,
            y=sin * self.x - cos * self.y,
            yaw=wrap_angle(-self.yaw),
        )

    def relative_to(self, frame: Pose2D) -> Pose2D:
        """This pose seen from `frame`, both given in the same third frame.

        `world_from_base.relative_to(world_from_dock)` is `dock_from_base`.
        """
        return frame.inverse().compose(self)

    @property
    def distance(self) -> float:
        """Distance between the two origins [m]."""
        return math.hypot(self.x, self.y)

    @classmethod
    def from_message(cls, pose: Any) -> Pose2D:
        """The planar part of a `geometry_msgs/Pose` (of a rclpy or a rosbags message).

        Raises:
            ValueError: if the quaternion has no length or a value is not finite.
        """
        position, q = pose.position, pose.orientation
        return cls.from_quaternion(position.x, position.y, q.x, q.y, q.z, q.w)

    @classmethod
    def from_quaternion(
        cls, x: float, y: float, qx: float, qy: float, qz: float, qw: float
    ) -> Pose2D:
        """The planar part of a position and a rotation.

        Raises:
            ValueError: if the quaternion has no length or a value is not finite.
        """
        norm_squared = qx * qx + qy * qy + qz * qz + qw * qw
        values = (x, y, norm_squared)
        if not all(math.isfinite(value) for value in values) or norm_squared < 1e-6:
            raise ValueError(
                f"pose with position ({values[0]}, {values[1]}) and squared quaternion length "
                f"{norm_squared}, expected finite values and a length of 1"
            )
        # Yaw of the x axis; the quaternion is not assumed to be normalised exactly.
        yaw = math.atan2(2.0 * (qw * qz + qx * qy), qw * qw + qx * qx - qy * qy - qz * qz)
        return cls(float(x), float(y), yaw)

    def quaternion(self) -> tuple[float, float, float, float]:
        """The rotation as (x, y, z, w)."""
        return 0.0, 0.0, math.sin(self.yaw / 2.0), math.cos(self.yaw / 2.0)


def arc(linear_mps: float, angular_radps: float, duration_s: float) -> Pose2D:
    """Pose after driving with a constant twist, seen from where it began."""
    distance, turn = linear_mps * duration_s, angular_radps * duration_s
    half = 0.5 * turn
    chord = distance * (math.sin(half) / half if abs(half) > 1e-6 else 1.0)
    return Pose2D(chord * math.cos(half), chord * math.sin(half), turn)
