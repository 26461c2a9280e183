"""Overlap of rectangles in the plane."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla_core.geometry import Pose2D


@dataclass(frozen=True)
class Footprint:
    """A rectangle: pose of its centre and half sizes along its own axes, in metres."""

    pose: Pose2D
    half_length_m: float
    half_width_m: float

    def overlaps(self, other: "Footprint") -> bool:
        """Whether the two rectangles share a point."""
        return Obstacles([other]).touch(self)


class Obstacles:
    """Many rectangles against one that moves: the separating axis theorem for all at once."""

    def __init__(self, footprints: Sequence[Footprint]) -> None:
        """Remember what is in the way."""
        rows = [
            (f.pose.x, f.pose.y, f.pose.yaw, f.half_length_m, f.half_width_m) for f in footprints
        ]
        self._x, self._y, yaw, self._length, self._width = np.array(rows).reshape(-1, 5).T
        self._cos, self._sin = np.cos(yaw), np.sin(yaw)

    def touch(self, moving: Footprint) -> bool:
        """Whether a rectangle shares a point with any of the obstacles."""
        pose = moving.pose
        poses = np.array([[pose.x, pose.y, pose.yaw]])
        return bool(self.touched(poses, moving.half_length_m, moving.half_width_m)[0])

    def touched(self, poses: np.ndarray, half_length_m: float, half_width_m: float) -> np.ndarray:
        """Where along a path a rectangle shares a point with any of the obstacles.

        Args:
            poses: (N, 3) x [m], y [m], yaw [rad] of its centre.
            half_length_m: half of its size along its own x axis.
            half_width_m: half of its size along its own y axis.

        Returns:
            (N,) bool.
        """
        cos, sin = np.cos(poses[:, 2:]), np.sin(poses[:, 2:])  # (N, 1) against (M,) obstacles
        dx, dy = self._x - poses[:, :1], self._y - poses[:, 1:2]
        # Cosine and sine of the angle between the two; half extents of one along axes of the other.
        along = np.abs(cos * self._cos + sin * self._sin)
        across = np.abs(cos * self._sin - sin * self._cos)
        apart = np.abs(dx * cos + dy * sin) > (
            half_length_m + self._length * along + self._width * across
        )
        apart |= np.abs(dy * cos - dx * sin) > (
            half_width_m + self._length * across + self._width * along
        )
        apart |= np.abs(dx * self._cos + dy * self._sin) > (
            self._length + half_length_m * along + half_width_m * across
        )
        apart |= np.abs(dy * self._cos - dx * self._sin) > (
            self._width + half_length_m * across + half_width_m * along
        )
        return ~apart.all(axis=1)


def corridor(start: Pose2D, end: Pose2D, half_width_m: float) -> Footprint:
    """The straight strip from one point to another."""
    dx, dy = end.x - start.x, end.y - start.y
    centre = Pose2D((start.x + end.x) / 2, (start.y + end.y) / 2, math.atan2(dy, dx))
    return Footprint(centre, math.hypot(dx, dy) / 2, half_width_m)
