"""Scripted docking expert: drives from the true pose, as a function of the state alone.

The steering law is the pose-following law of Park and Kuipers, "A smooth control law for graceful
motion of differential wheeled mobile robots in 2D environment", ICRA 2011, eq. 14 and 15. Its
target lies a little inside the station: polar coordinates about the docked pose itself would be
singular exactly where precision is needed.
"""

import math
from dataclasses import dataclass

from vla_core.geometry import Pose2D, wrap_angle


@dataclass(frozen=True)
class ExpertParameters:
    """Gains and speeds of the expert."""

    heading_gain: float = 2.0
    """k1 of the paper: the bearing of the target decays with distance to this power."""
    steering_gain: float = 5.0
    """k2 of the paper: how much faster the heading settles than the bearing."""
    target_beyond_m: float = 0.08
    """Target of the steering law, beyond the docked pose."""
    max_linear_mps: float = 0.38
    max_angular_radps: float = 0.8
    approach_gain_1ps: float = 0.95
    """Approach speed per metre of distance to the docked pose."""
    contact_mps: float = 0.022
    """Speed of the last two centimetres, in which the contacts meet."""
    stopping_gain_1ps: float = 6.0
    """Speed per metre of the last millimetres."""
    curvature_slowdown: float = 0.35
    """Speed is divided by 1 + this * |curvature|^1.5 (eq. 16 of the paper)."""
    retreat_mps: float = 0.14
    retreat_heading_gain_1ps: float = 1.2
    retreat_allowances_m: tuple[tuple[float, float], ...] = (
        (0.0, 0.010),
        (0.02, 0.016),
        (0.045, 0.0145),
        (0.09, 0.0064),
        (0.25, 0.0035),
    )
    """(distance, predicted lateral error on arrival from which on it backs off there), straight in
    between. From afar precision is at stake, and backing off is cheap. Over the last 9 cm these are
    10 to 12 mm aside, where it would not be docked: what is seen so close says least about where
    one is, and who backs off from what he only believes to see comes back to see it again.
    """
    retreat_blend: float = 0.1
    """Width of the transition to backing off, relative to the threshold."""
    straighten_m: float = 0.05
    """From here on the heading blends into that of the dock."""
    turning_speed_mps: float = 0.05
    """Forward speed that turning assumes at least, so that the robot also turns when it stands."""
    deadzone_m: float = 0.0008
    """No speed closer to the docked pose than this."""
    deadzone_radps: float = 0.006
    """Turning rates below this are left out in the dock."""
    rest_mps: float = 0.004
    rest_radps: float = 0.008
    """When both are smaller, the robot rests; no drive follows such commands anyway."""


DEFAULT_PARAMETERS = ExpertParameters()


def expert_action(
    dock_from_base: Pose2D, parameters: ExpertParameters = DEFAULT_PARAMETERS
) -> tuple[float, float]:
    """The command of the expert for a pose of the base in the dock frame.

    Returns:
        Forward speed [m/s] and turning rate [rad/s]; both zero in the dock.
    """
    p = parameters
    x, y, yaw = dock_from_base.x, dock_from_base.y, wrap_angle(dock_from_base.yaw)
    bearing, heading, distance = _polar(x, y, yaw, p)
    forward, turn = _pose_following(-x, bearing, heading, distance, p)
    back = _retreat_share(-x, bearing, heading, distance, p)
    if back > 0.0:
        retreat_turn = _clip(-p.retreat_heading_gain_1ps * yaw, p.max_angular_radps)
        forward += back * (-p.retreat_mps - forward)
        turn += back * (retreat_turn - turn)
    if abs(forward) < p.rest_mps and abs(turn) < p.rest_radps:
        return 0.0, 0.0
    return forward, turn


def _polar(x: float, y: float, yaw: float, p: ExpertParameters) -> tuple[float, float, float]:
    """Target bearing (theta), heading (delta), both against the line of sight, and distance (r)."""
    to_x, to_y = p.target_beyond_m - x, -y
    line_of_sight = math.atan2(to_y, to_x)
    return (
        wrap_angle(-line_of_sight),
        wrap_angle(yaw - line_of_sight),
        max(math.hypot(to_x, to_y), 0.02),
    )


def _pose_following(
    ahead: float, bearing: float, heading: float, distance: float, p: ExpertParameters
) -> tuple[float, float]:
    """Eq. 14 of the paper, with speed limits on both axes.

    Over the last centimetres the heading that is steered for blends from the paper's into that of
    the dock: a millimetre aside is within tolerance there, a crooked robot is not.
    """
    k1, k2 = p.heading_gain, p.steering_gain
    far = _ramp(ahead, p.straighten_m)
    wanted = far * math.atan(-k1 * bearing) + (1.0 - far) * bearing
    drift = far * (1.0 + k1 / (1.0 + (k1 * bearing) ** 2)) * math.sin(heading)
    curvature = -(k2 * (heading - wanted) + drift) / distance
    forward = _approach_speed(ahead, p)
    if forward > 0.0:
        forward = min(p.max_linear_mps, forward)
        forward /= 1.0 + p.curvature_slowdown * abs(curvature) ** 1.5
        if abs(heading) > math.pi / 3:  # facing away: turn first
            forward *= max(0.0, 1.0 - (abs(heading) - math.pi / 3) / (math.pi / 6))
    turn = curvature * max(forward, p.turning_speed_mps)
    if abs(turn) > p.max_angular_radps:
        forward *= p.max_angular_radps / abs(turn)
        turn = math.copysign(p.max_angular_radps, turn)
    at_rest = p.deadzone_radps * (1.0 - far)
    return forward, math.copysign(max(0.0, abs(turn) - at_rest), turn)


def _retreat_share(
    ahead: float, bearing: float, heading: float, distance: float, p: ExpertParameters
) -> float:
    """0: drive on. 1: driving on would arrive aside, so back off. A narrow band in between.

    The linearised closed loop predicts the lateral error on arrival. Its slow mode decays with
    distance to the power k1, its fast mode (the heading's excess over the one that the law steers
    for) with k2. Two things make the border be crossed only once without any memory: the excess
    counts double, so that driving on leaves the border to the inside, and so does backing off
    with straightened heading; and the allowed error grows on the way in.
    """
    k1, k2 = p.heading_gain, p.steering_gain
    arrival = p.target_beyond_m + 0.5 * p.straighten_m
    far = _ramp(ahead, p.straighten_m)
    share = far * (heading + k1 * bearing) / (k2 - k1)
    shrink = min(1.0, arrival / distance) ** k1
    lateral = min(distance, arrival) * (abs(bearing + share) + abs(share)) * shrink
    allowed = _between(p.retreat_allowances_m, ahead)
    return min(1.0, max(0.0, (lateral / allowed - 1.0) / p.retreat_blend))


def _ramp(value: float, full: float) -> float:
    """0 up to zero, 1 from `full` on, straight in between."""
    return min(1.0, max(0.0, value / full))


def _between(points: tuple[tuple[float, float], ...], x: float) -> float:
    """Straight lines through (x, y) in rising order of x, level before and after them.

    `numpy.interp` of a single value takes longer than all the rest of the law.
    """
    (left, value), *others = points
    for right, next_value in others:
        if x < right:
            return value + _ramp(x - left, right - left) * (next_value - value)
        left, value = right, next_value
    return value


def _approach_speed(ahead: float, p: ExpertParameters) -> float:
    """Speed towards the docked pose that lies this far ahead; negative when it lies behind.

    Proportional to the distance, but not slower than the contact speed until just before the end:
    an exponential approach would rest within tolerance long before the contacts meet.
    """
    if abs(ahead) <= p.deadzone_m:
        return 0.0
    rest = abs(ahead) - p.deadzone_m
    speed = max(p.approach_gain_1ps * rest, min(p.contact_mps, p.stopping_gain_1ps * rest))
    return math.copysign(speed, ahead)


def _clip(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)
