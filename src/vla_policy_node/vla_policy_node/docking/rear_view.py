"""What lies behind the robot: what the scan sees of it, and what the robot has driven over."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from vla_core.geometry import Pose2D
from vla_core.readings import ScanReading

_STEP_M = 0.02
_TRAIL_LENGTH = 500  # 10 m
_ASIDE_M = 0.10
_MAX_SPACING_RAD = math.radians(3.0)


@dataclass(frozen=True)
class RearView:
    """The lane behind the robot in one scan.

    Attributes:
        covered: whether the beams see all of the lane, right behind the robot.
        free_m: from the robot's rear end to the nearest return in the lane; infinite without one.
            Says nothing about what the beams do not see.
    """

    covered: bool
    free_m: float


UNSEEN = RearView(covered=False, free_m=math.inf)


def rear_view(
    scan: ScanReading, half_width_m: float, extent_m: float, scanner_yaw_rad: float = 0.0
) -> RearView:
    """Look for returns in the lane behind.

    Args:
        scan: of a scanner in the robot's middle plane.
        half_width_m: half the width of the lane.
        extent_m: from the scanner back to the robot's rear end. A nearer return is the robot
            itself, and hides what is behind.
        scanner_yaw_rad: where the scanner's zero points, seen from the base.
    """
    ranges = np.asarray(scan.ranges, np.float64)
    forward = scan.angle_min + scan.angle_increment * np.arange(ranges.size) + scanner_yaw_rad
    backward = np.remainder(forward, math.tau) - math.pi  # 0: straight behind
    usable = (ranges >= scan.range_min) & ~np.isnan(ranges)
    hit = usable & (ranges <= scan.range_max)
    reach = np.where(hit, ranges, np.inf)
    with np.errstate(invalid="ignore"):
        behind, aside = reach * np.cos(backward), reach * np.sin(backward)
    in_lane = hit & (np.abs(aside) <= half_width_m)
    beyond = in_lane & (behind > extent_m)
    free_m = float(behind[beyond].min()) - extent_m if beyond.any() else math.inf
    own = hit & (np.abs(aside) <= half_width_m) & (np.abs(behind) <= extent_m)
    return RearView(_covers(backward[usable & ~own], half_width_m, extent_m), free_m)


def _covers(angles: np.ndarray, half_width_m: float, extent_m: float) -> bool:
    """Whether beams (N,) [rad from straight behind] see the whole rear edge of the robot."""
    edge = math.atan2(half_width_m, extent_m)
    seen = np.sort(angles[np.abs(angles) <= edge + _MAX_SPACING_RAD])
    if not seen.size:
        return False
    ends = np.concatenate(([-edge], seen, [edge]))
    return bool(np.diff(ends).max() <= _MAX_SPACING_RAD)


class Trail:
    """Where the robot has driven lately, by odometry: ground that was free a moment ago."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=_TRAIL_LENGTH)

    def clear(self) -> None:
        """Forget the way: from here on it is not known where the robot is."""
        self._points.clear()

    def add(self, odom_from_base: Pose2D) -> None:
        """Take the present pose."""
        point = (odom_from_base.x, odom_from_base.y)
        if not self._points or math.dist(self._points[-1], point) >= _STEP_M:
            self._points.append(point)

    def behind_m(self, odom_from_base: Pose2D) -> float:
        """How far straight behind the robot its own way reaches [m], before it bends off."""
        points = np.array(tuple(self._points)).reshape(-1, 2)[::-1]  # (N, 2), newest first
        cos, sin = math.cos(odom_from_base.yaw), math.sin(odom_from_base.yaw)
        x, y = points[:, 0] - odom_from_base.x, points[:, 1] - odom_from_base.y
        back, aside = -(cos * x + sin * y), np.abs(cos * y - sin * x)
        bends = np.flatnonzero(aside > _ASIDE_M)
        straight = back[: bends[0]] if bends.size else back
        return float(straight.max(initial=0.0))
