"""The parameters of what guards the robot, whatever the policy wants."""

from __future__ import annotations

from dataclasses import dataclass

from vla_policy_node.parameter_field import ReadAt, parameter

_CONFIGURE = ReadAt.CONFIGURE

CHECK_CHOICES = ("refuse", "warn")


@dataclass(frozen=True)
class SafetyParameters:
    """Emergency stop, braking for faults, and the check of the live graph."""

    emergency_stop_topic: str = parameter(
        "emergency_stop",
        "std_msgs/Bool that is true while the emergency stop is pressed; empty: none",
        at=_CONFIGURE,
    )
    emergency_stop_timeout_s: float = parameter(
        0.0,
        "A longer silence on that topic counts as pressed; 0: it may be silent",
        at=_CONFIGURE,
        unit="s",
        low=0.0,
        high=60.0,
    )
    fault_stop_s: float = parameter(
        0.04,  # less than a control period, so that one tick suffices that comes a little early
        "Time in which a stale stream brings the command to zero, however fast the robot is; 0: "
        "as the contract's acceleration allows",
        at=_CONFIGURE,
        unit="s",
        low=0.0,
        high=5.0,
    )
    graph_check: str = parameter(
        "refuse",
        "What happens to goals when the live streams are not what the contract says",
        at=_CONFIGURE,
        choices=CHECK_CHOICES,
    )
