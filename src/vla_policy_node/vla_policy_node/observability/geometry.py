"""Where a chunk of actions leads, and where that is in a picture. No ROS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_core.geometry import Pose2D, arc

_NEAREST_M = 0.05


def predicted_path(
    actions: npt.NDArray[np.floating], fields: Sequence[str], period_s: float
) -> list[Pose2D]:
    """Poses of the base if a chunk is followed to its end.

    Args:
        actions: (H, A) [m/s, rad/s].
        fields: which components they have; one that is not there counts as zero.
        period_s: how long each action holds.

    Returns:
        H + 1 poses in the frame of the base at the chunk's stamp, the first of them the origin.
    """
    poses = [Pose2D()]
    columns = {field: actions[:, index] for index, field in enumerate(fields)}
    zero = np.zeros(len(actions))
    for v, w in zip(columns.get("linear.x", zero), columns.get("angular.z", zero), strict=True):
        poses.append(poses[-1] @ arc(float(v), float(w), period_s))
    return poses


@dataclass(frozen=True)
class PinholeCamera:
    """A camera without distortion, above the middle line of the robot and looking forward.

    Attributes:
        x_m: forward of the base's origin.
        z_m: above the floor.
        pitch_rad: how far it looks down.
        horizontal_fov_rad: from the left edge of the picture to the right one.
    """

    x_m: float
    z_m: float
    pitch_rad: float
    horizontal_fov_rad: float

    def project(
        self, points: npt.NDArray[np.floating], width: int, height: int
    ) -> npt.NDArray[np.float64]:
        """Pixels of points on the floor.

        Args:
            points: (N, 2) in the base frame [m].
            width: of the picture [px].
            height: of the picture [px].

        Returns:
            (N, 2) column and row, from the middle of the first pixel on; NaN for points that are
            not in front of the camera.
        """
        ahead = points[:, 0] - self.x_m
        cos, sin = math.cos(self.pitch_rad), math.sin(self.pitch_rad)
        depth = cos * ahead + sin * self.z_m
        down = cos * self.z_m - sin * ahead
        focal = 0.5 * width / math.tan(0.5 * self.horizontal_fov_rad)
        depth = np.where(depth > _NEAREST_M, depth, np.nan)
        columns = 0.5 * (width - 1) - focal * points[:, 1] / depth
        rows = 0.5 * (height - 1) + focal * down / depth
        return np.stack([columns, rows], axis=1)


def swath(path: Sequence[Pose2D], half_width_m: float) -> npt.NDArray[np.float64]:
    """Both edges of what a robot of this width covers along a path: (2, N, 2), left first [m]."""
    sides = [[pose @ Pose2D(0.0, side * half_width_m) for pose in path] for side in (1.0, -1.0)]
    return np.array([[(pose.x, pose.y) for pose in side] for side in sides])
