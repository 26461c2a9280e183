"""How far the robot can drive along an arc before it touches what the scanner sees."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vla_core.contract_safety import ObstacleSpec
from vla_core.geometry import Pose2D, arc
from vla_core.readings import ScanReading

_STRAIGHT_RADPM = 1e-4  # a smaller curvature leaves a straight line by 0.2 mm within 2 m
_TOUCH_M = 1e-3
_BEYOND_DOCK_M = 0.1
_NS_PER_S = 1e9
_LONGEST_PREDICTION_S = 0.5

Points = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What is known about the space around the robot.

    Attributes:
        points: (N, 2) where the scan was reflected, in the base frame [m].
        stamp_ns: when they were seen.
        dock_from_base: the base seen from the docked pose; None where nobody measures it.
    """

    points: Points
    stamp_ns: int
    dock_from_base: Pose2D | None = None

    def predicted(self, now_ns: int, v_mps: float, w_radps: float) -> Surroundings:
        """The same points seen from where the base is now, having driven on with (v, w).

        At most half a second is bridged: what is older is not acted on anyway.
        """
        age_s = min(max(0, now_ns - self.stamp_ns) / _NS_PER_S, _LONGEST_PREDICTION_S)
        driven = arc(v_mps, w_radps, age_s)
        cos, sin = math.cos(driven.yaw), math.sin(driven.yaw)
        points = (self.points - (driven.x, driven.y)) @ np.array([[cos, -sin], [sin, cos]])
        return replace(self, points=points, stamp_ns=now_ns)


def reach_m(spec: ObstacleSpec, max_speed_mps: float, max_acceleration: float) -> float:
    """Distance from the base beyond which nothing can matter to the braking distance [m]."""
    footprint = spec.footprint
    length_m = max(footprint.front_m, footprint.rear_m) + spec.stop_distance_m
    corner_m = math.hypot(length_m, footprint.half_width_m + spec.side_margin_m)
    way_m = max_speed_mps * (spec.reaction_s + _LONGEST_PREDICTION_S)
    return corner_m + way_m + max_speed_mps**2 / (2.0 * max_acceleration)


def scan_points(
    reading: ScanReading, spec: ObstacleSpec, range_min_m: float = 0.0, reach_m: float = math.inf
) -> npt.NDArray[np.float32]:
    """Where a scan was reflected.

    As in decoding, ranges that are NaN, beyond the scanner's maximum or below a minimum are no
    obstacle.

    Args:
        reading: a checked scan.
        spec: says where the scanner sits.
        range_min_m: nearer returns are ignored, as are those below the scanner's own minimum.
        reach_m: points that are farther from the base than this are left out.

    Returns:
        (N, 2) float32, in the base frame [m].
    """
    ranges = reading.ranges
    with np.errstate(invalid="ignore"):
        good = (ranges >= max(reading.range_min, range_min_m)) & (ranges <= reading.range_max)
    beams = np.flatnonzero(good & np.isfinite(ranges))
    pose = spec.base_from_scanner
    angles = pose.yaw + reading.angle_min + beams * reading.angle_increment
    distances = ranges[beams].astype(np.float64)
    points = np.stack(
        [pose.x + distances * np.cos(angles), pose.y + distances * np.sin(angles)], axis=1
    )
    near = np.hypot(points[:, 0], points[:, 1]) <= reach_m
    return points[near].astype(np.float32)


def station_points(surroundings: Surroundings, spec: ObstacleSpec) -> npt.NDArray[np.bool_]:
    """Which points belong to the station that the robot is about to dock at.

    None, unless the base is in the corridor in front of it: whoever comes from the side meets an
    obstacle like any other. What stands between robot and station is no part of it either.

    Returns:
        (N,) bool.
    """
    points = surroundings.points
    front_m = spec.footprint.front_m - spec.stop_distance_m
    dock_from_base = surroundings.dock_from_base
    if dock_from_base is None:
        ahead = spec.corridor.station == "ahead"
        return ahead & (points[:, 0] >= front_m) & _aside(points[:, 1], spec)
    inside = _in_corridor(dock_from_base, spec)
    cos, sin = math.cos(dock_from_base.yaw), math.sin(dock_from_base.yaw)
    x = dock_from_base.x + cos * points[:, 0] - sin * points[:, 1]
    y = dock_from_base.y + sin * points[:, 0] + cos * points[:, 1]
    return inside & (x >= front_m) & _aside(y, spec)


def _in_corridor(dock_from_base: Pose2D, spec: ObstacleSpec) -> bool:
    corridor = spec.corridor
    return (
        -corridor.length_m <= dock_from_base.x <= _BEYOND_DOCK_M
        and abs(dock_from_base.y) <= corridor.half_width_m
        and abs(dock_from_base.yaw) <= corridor.yaw_rad
    )


def station_front(surroundings: Surroundings, spec: ObstacleSpec) -> Points:
    """Points where the robot's front is when docked, which many scanners look over.

    Returns:
        (N, 2) in the base frame [m]; none where the base is not in the corridor.
    """
    dock_from_base = surroundings.dock_from_base
    if dock_from_base is None or not _in_corridor(dock_from_base, spec):
        return np.empty((0, 2))
    base_from_dock, footprint = dock_from_base.inverse(), spec.footprint
    poses = [
        base_from_dock @ Pose2D(footprint.front_m, side * footprint.half_width_m)
        for side in (-1.0, -0.5, 0.0, 0.5, 1.0)
    ]
    return np.array([(pose.x, pose.y) for pose in poses])


def _aside(y: Points, spec: ObstacleSpec) -> npt.NDArray[np.bool_]:
    return np.abs(y) <= spec.corridor.station_half_width_m


def time_to_contact(points: Points, spec: ObstacleSpec, v_mps: float, w_radps: float) -> float:
    """How long the robot can keep (v, w) until the first point is within its safe outline.

    The safe outline is the footprint with the stopping distance in front and behind, and with the
    margin at the sides. The path is swept exactly: along an arc each point goes around the arc's
    centre, seen from the robot, and meets a side of the outline at a known angle.

    A point within the outline already counts as met if the robot moves towards it. One in the
    margin at a side, where a robot passes by walls, counts from the footprint itself on.

    Args:
        points: (N, 2), in the base frame [m].
        spec: outline of the robot.
        v_mps: forward speed.
        w_radps: turning rate.

    Returns:
        Time [s], infinite if nothing is ever met, 0 if something is now.
    """
    if len(points) == 0 or (v_mps == 0.0 and w_radps == 0.0):
        return math.inf
    body = _Box.footprint(spec)
    outline = _Box.outline(spec)
    x, y = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    within = outline.contains(x, y, _TOUCH_M)
    first_s = outline.entry_s(x[~within], y[~within], v_mps, w_radps)
    if within.any():
        x, y = x[within], y[within]
        towards = body.approaches(x, y, v_mps, w_radps)
        beside = (x > body.x_min) & (x < body.x_max) & (np.abs(y) > body.half_width)
        if (towards & ~beside).any():
            return 0.0
        sides_s = body.entry_s(x[towards & beside], y[towards & beside], v_mps, w_radps)
        first_s = min(first_s, sides_s)
    return first_s


@dataclass(frozen=True)
class _Box:
    x_min: float
    x_max: float
    half_width: float

    @classmethod
    def footprint(cls, spec: ObstacleSpec) -> _Box:
        return cls(-spec.footprint.rear_m, spec.footprint.front_m, spec.footprint.half_width_m)

    @classmethod
    def outline(cls, spec: ObstacleSpec) -> _Box:
        gap_m, body = spec.stop_distance_m, cls.footprint(spec)
        return cls(body.x_min - gap_m, body.x_max + gap_m, body.half_width + spec.side_margin_m)

    def contains(self, x: Points, y: Points, tolerance: float) -> npt.NDArray[np.bool_]:
        along = (x > self.x_min - tolerance) & (x < self.x_max + tolerance)
        return along & (np.abs(y) < self.half_width + tolerance)

    def approaches(self, x: Points, y: Points, v: float, w: float) -> npt.NDArray[np.bool_]:
        """Whether the points come nearer to the box; inside of it, nearer to its middle."""
        out_x = x - np.clip(x, self.x_min, self.x_max)
        out_y = y - np.clip(y, -self.half_width, self.half_width)
        inside = (out_x == 0.0) & (out_y == 0.0)
        depth_x = np.minimum(x - self.x_min, self.x_max - x)
        by_end = depth_x < self.half_width - np.abs(y)
        middle = (self.x_min + self.x_max) / 2
        out_x = np.where(inside & by_end, x - middle, out_x)
        out_y = np.where(inside & ~by_end, y, out_y)
        # Seen from the robot a point moves with (-v + w y, -w x).
        rate = out_x * (w * y - v) - out_y * w * x
        return rate < 0.0

    def entry_s(self, x: Points, y: Points, v: float, w: float) -> float:
        """When the first of the points, all outside, enters the box."""
        if x.size == 0:
            return math.inf
        if abs(w) <= _STRAIGHT_RADPM * abs(v):
            ahead = x - self.x_max if v > 0.0 else self.x_min - x
            met = ahead[(ahead >= 0.0) & (np.abs(y) < self.half_width)]
            return float(met.min()) / abs(v) if met.size else math.inf
        radius = v / w  # the centre is at (0, radius)
        distance = np.hypot(x, y - radius)
        direction = np.arctan2(y - radius, x)
        first = math.inf
        with np.errstate(invalid="ignore", divide="ignore"):
            for edge in (self.x_min, self.x_max):
                angle = np.arccos(edge / distance)  # NaN where the circle does not reach the edge
                for candidate in (angle, -angle):
                    met = np.abs(radius + distance * np.sin(candidate)) <= self.half_width
                    first = min(first, _first_turn(direction, candidate, met, w))
            for edge in (-self.half_width, self.half_width):
                angle = np.arcsin((edge - radius) / distance)
                for candidate in (angle, math.pi - angle):
                    along = distance * np.cos(candidate)
                    met = (along >= self.x_min) & (along <= self.x_max)
                    first = min(first, _first_turn(direction, candidate, met, w))
        return first / abs(w)


def _first_turn(start: Points, end: Points, met: npt.NDArray[np.bool_], w: float) -> float:
    """Smallest turn from a start to an end that is met, against the turn of the robot [rad]."""
    turn = np.mod((start[met] - end[met]) * math.copysign(1.0, w), math.tau)
    return float(turn.min()) if turn.size else math.inf


def speed_factor(
    surroundings: Surroundings,
    spec: ObstacleSpec,
    v_mps: float,
    w_radps: float,
    max_acceleration: tuple[float, float],
) -> float:
    """The largest share of (v, w) with which the robot can still stop in front of everything.

    A discrete control barrier, v <= sqrt(2 a (d - d_stop)), with the way of the reaction time t:
    v t + v^2 / (2 a) <= d - d_stop. On an arc the same holds for the slower of the two brakes.

    In the dock corridor the station itself may be crept up to. Its front counts as an obstacle
    there whether the scanner sees it or not.

    Args:
        surroundings: points of now.
        spec: of the robot.
        v_mps: forward speed that is wanted.
        w_radps: turning rate that is wanted.
        max_acceleration: how hard the robot brakes [m/s^2, rad/s^2].

    Returns:
        0 to 1.
    """
    if v_mps == 0.0 and w_radps == 0.0:
        return 1.0
    points, front = surroundings.points, station_front(surroundings, spec)
    brake_s = max(abs(v_mps) / max_acceleration[0], abs(w_radps) / max_acceleration[1])

    def share(of: Points) -> float:
        free_s = time_to_contact(of, spec, v_mps, w_radps)
        if math.isinf(free_s):
            return 1.0
        reaction_s = spec.reaction_s
        way = math.sqrt(reaction_s * reaction_s + 2.0 * brake_s * free_s) - reaction_s
        return min(1.0, way / brake_s)

    everything = min(share(points), share(front))
    if everything == 1.0:
        return 1.0
    station = station_points(surroundings, spec)
    if not station.any() and not len(front):
        return everything
    # Turning moves the corners: it creeps if they do.
    tip_mps = max(abs(v_mps), abs(w_radps) * spec.footprint.half_width_m)
    creep = min(1.0, spec.corridor.creep_mps / tip_mps)
    return max(everything, min(share(points[~station]), creep))
