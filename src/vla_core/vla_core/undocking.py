"""The way out of a dock: straight back, then back along the approach line. A function of the pose.

The simulator leaves its docks by it, and the policy node backs off and undocks by it.
"""

from __future__ import annotations

from dataclasses import dataclass

from vla_core.geometry import Pose2D, wrap_angle


@dataclass(frozen=True)
class UndockParameters:
    """Gains and speeds of leaving the dock."""

    staging_m: float = 0.6
    """It backs off this far from the docked pose."""
    tolerance_m: float = 0.01
    max_linear_mps: float = 0.2
    leaving_mps: float = 0.06
    """Speed while the contacts part; it grows with the way."""
    speed_gain_1ps: float = 1.0
    """Speed per metre of the way behind and of the way to go."""
    arriving_mps: float = 0.03
    straight_m: float = 0.12
    """It does not steer before it has come out this far."""
    heading_gain_1ps: float = 1.5
    lateral_gain_radpm: float = 1.2
    """Heading per metre aside that it steers for."""
    max_heading_rad: float = 0.2
    max_angular_radps: float = 0.4


DEFAULT_UNDOCK_PARAMETERS = UndockParameters()


def undock_action(
    dock_from_base: Pose2D, parameters: UndockParameters = DEFAULT_UNDOCK_PARAMETERS
) -> tuple[float, float]:
    """The command that leaves the dock: straight back along the approach line.

    Once out of the dock it steers back onto the approach line; from the staging point on it stands.

    Args:
        dock_from_base: pose of the base in the dock frame.
        parameters: gains and speeds.

    Returns:
        Forward speed [m/s], never positive, and turning rate [rad/s].
    """
    p = parameters
    out, to_go = -dock_from_base.x, p.staging_m + dock_from_base.x
    if to_go <= p.tolerance_m:
        return 0.0, 0.0
    speed = min(
        p.max_linear_mps,
        p.leaving_mps + p.speed_gain_1ps * max(0.0, out),
        p.arriving_mps + p.speed_gain_1ps * to_go,
    )
    steering = min(1.0, max(0.0, (out - p.straight_m) / p.straight_m))
    # Aside of the line it backs towards it; at the end it has to stand straight again.
    wanted = _clip(
        p.lateral_gain_radpm * dock_from_base.y * min(1.0, to_go / (2 * p.straight_m)),
        p.max_heading_rad,
    )
    turn = -p.heading_gain_1ps * steering * (wrap_angle(dock_from_base.yaw) - wanted)
    return -speed, _clip(turn, p.max_angular_radps)


def _clip(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)
