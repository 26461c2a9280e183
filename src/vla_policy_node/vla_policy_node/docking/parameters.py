"""The parameters of docking and undocking, in the order of an attempt."""

from __future__ import annotations

from dataclasses import dataclass

from vla_core.docking import DOCKED
from vla_policy_node.parameter_field import ReadAt, parameter

_CONFIGURE = ReadAt.CONFIGURE
_GOAL = ReadAt.GOAL


@dataclass(frozen=True)
class DockingParameters:
    """What a goal is judged by, and how the robot drives without the policy."""

    dock_database: str = parameter(
        "",
        "YAML file of stations by name, as Nav2's docking server has it, with an instruction each",
        at=_CONFIGURE,
    )
    nav2_actions: bool = parameter(
        True, "Serve dock_robot and undock_robot, too, where nav2_msgs is installed", at=_CONFIGURE
    )
    manager_heartbeat_topic: str = parameter(
        "lifecycle_manager/heartbeat",
        "std_msgs/Empty of whoever manages this node; once heard, it has to go on",
        at=_CONFIGURE,
    )
    default_instruction: str = parameter("", "Instruction of a goal that has none", at=_GOAL)
    dock_timeout_s: float = parameter(
        30.0,
        "Longest docking, unless the goal says otherwise",
        at=_GOAL,
        unit="s",
        low=1.0,
        high=3600.0,
    )
    initial_perception_timeout_s: float = parameter(
        5.0,
        "Longest wait for all streams and for the first chunk",
        at=_GOAL,
        unit="s",
        low=0.1,
        high=600.0,
    )
    stale_grace_s: float = parameter(
        1.0,
        "How long streams or chunks may stay away before the goal fails; the robot brakes",
        at=_GOAL,
        unit="s",
        low=0.0,
        high=60.0,
    )
    charge_timeout_s: float = parameter(
        5.0,
        "Longest standstill at the station without a verified dock",
        at=_GOAL,
        unit="s",
        low=0.1,
        high=600.0,
    )
    staging_distance_m: float = parameter(
        1.5,
        "From the docked pose back to where the navigator brings the robot first",
        at=_GOAL,
        unit="m",
        low=0.0,
        high=10.0,
    )
    manager_timeout_s: float = parameter(
        2.0,
        "A longer silence of the lifecycle manager ends the goal",
        at=_GOAL,
        unit="s",
        low=0.1,
        high=600.0,
    )
    max_retries: int = parameter(
        0, "Times that the robot backs off and comes in again", at=_GOAL, low=0, high=100
    )
    retry_backoff_m: float = parameter(
        0.4,
        "Way back along the approach line before a retry",
        at=_GOAL,
        unit="m",
        low=0.05,
        high=5.0,
    )
    retry_speed_mps: float = parameter(
        0.1, "Speed of backing off", at=_GOAL, unit="m/s", low=0.01, high=1.0
    )
    return_to_staging: bool = parameter(
        False,
        "Back out along the approach line after the last attempt (codes 905 out of tolerance, 906 "
        "and 907)",
        at=_GOAL,
    )
    undock_distance_m: float = parameter(
        0.6,
        "Way out of the dock, unless the goal says otherwise",
        at=_GOAL,
        unit="m",
        low=0.05,
        high=5.0,
    )
    undock_unseen: bool = parameter(
        True,
        "Leave the dock also further than the robot was seen to drive in, where the scan does not "
        "cover the way behind",
        at=_GOAL,
    )
    rear_half_width_m: float = parameter(
        0.25,
        "Half the width of the lane behind that is free; the contract's footprint counts first",
        at=_GOAL,
        unit="m",
        low=0.05,
        high=5.0,
    )
    rear_extent_m: float = parameter(
        0.45,
        "From the scanner back to the robot's rear end, nearer returns are the robot itself; the "
        "contract's footprint counts first",
        at=_GOAL,
        unit="m",
        low=0.0,
        high=5.0,
    )
    rear_margin_m: float = parameter(
        0.1, "Free way behind at which backing ends", at=_GOAL, unit="m", low=0.0, high=5.0
    )
    stuck_timeout_s: float = parameter(
        3.0,
        "Longest time that backing makes no way (blocked, or the wheels do not turn)",
        at=_GOAL,
        unit="s",
        low=0.1,
        high=600.0,
    )
    contact_lookback_s: float = parameter(
        0.3,
        "The speed at contact is looked for up to this long before the battery charges",
        at=_GOAL,
        unit="s",
        low=0.0,
        high=1.5,
    )
    docked_settle_s: float = parameter(
        DOCKED.settle_s,
        "Docked is what holds for this long",
        at=_GOAL,
        unit="s",
        low=0.1,
        high=60.0,
    )
    docked_speed_mps: float = parameter(
        DOCKED.speed_mps, "Slower is standing still", at=_GOAL, unit="m/s", low=0.001, high=1.0
    )
    tolerance_longitudinal_m: float = parameter(
        DOCKED.longitudinal_m,
        "Docked: error along the approach",
        at=_GOAL,
        unit="m",
        low=0.0005,
        high=1.0,
    )
    tolerance_lateral_m: float = parameter(
        DOCKED.lateral_m,
        "Docked: error across the approach",
        at=_GOAL,
        unit="m",
        low=0.0005,
        high=1.0,
    )
    tolerance_yaw_rad: float = parameter(
        DOCKED.yaw_rad, "Docked: error of the heading", at=_GOAL, unit="rad", low=0.0005, high=3.15
    )
    pose_max_age_s: float = parameter(
        0.5, "An older dock pose is not used", at=_GOAL, unit="s", low=0.01, high=60.0
    )
    battery_max_age_s: float = parameter(
        2.5, "An older battery state is not used", at=_GOAL, unit="s", low=0.01, high=600.0
    )
    charging_current_a: float = parameter(
        0.1,
        "Current above which a battery of unknown status counts as charging",
        at=_GOAL,
        unit="A",
        low=0.0,
        high=1000.0,
    )
    zero_hold_s: float = parameter(
        0.5,
        "How long zero commands follow a goal that has moved the robot",
        at=_GOAL,
        unit="s",
        low=0.05,
        high=60.0,
    )
