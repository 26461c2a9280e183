"""The node's parameters, each declared once: default, meaning, unit, range and when it is read."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)

from vla_core.docking import DOCKED
from vla_policy_node.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rclpy.node import Node
    from rclpy.parameter import Parameter


class ReadAt(Enum):
    """When a new value takes effect."""

    CONFIGURE = "read when the node is configured; refused while it is configured"
    GOAL = "read at the start of each goal"


def _parameter(
    default: Any,
    description: str,
    *,
    at: ReadAt,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    metadata = {
        "description": f"{description} [{unit}]" if unit else description,
        "at": at,
        "low": low,
        "high": high,
        "choices": tuple(choices),
    }
    return field(default=default, metadata=metadata)


_CONFIGURE = ReadAt.CONFIGURE
_GOAL = ReadAt.GOAL


@dataclass(frozen=True)
class PolicyParameters:
    """Values of all parameters at one moment."""

    policy: str = _parameter("", "Directory of the policy bundle", at=_CONFIGURE)
    variant: str = _parameter(
        "",
        "Variant of the bundle's graph, such as int8-static; empty: the exact one",
        at=_CONFIGURE,
    )
    contract: str = _parameter("", "YAML file of the robot's contract", at=_CONFIGURE)
    runtime: str = _parameter("onnx", "What computes the policy", at=_CONFIGURE, choices=("onnx",))
    inference_threads: int = _parameter(
        1, "Threads of one inference", at=_CONFIGURE, low=1, high=64
    )
    execution_mode: str = _parameter(
        "receding_horizon",
        "How action chunks are executed",
        at=_CONFIGURE,
        choices=("open_loop", "receding_horizon", "temporal_ensemble"),
    )
    inference_rate_hz: float = _parameter(
        10.0,
        "Chunks per second (open_loop infers when its chunk is drained instead)",
        at=_CONFIGURE,
        unit="1/s",
        low=2.0,
        high=50.0,
    )
    inference_timeout_s: float = _parameter(
        1.0, "A longer inference counts as hung", at=_CONFIGURE, unit="s", low=0.05, high=30.0
    )
    worker_start_timeout_s: float = _parameter(
        60.0,
        "Time that the inference process has to load and warm up",
        at=_CONFIGURE,
        unit="s",
        low=1.0,
        high=600.0,
    )
    max_worker_restarts: int = _parameter(
        3,
        "Times that a dead inference process is replaced before the node must be configured anew",
        at=_CONFIGURE,
        low=0,
        high=1000,
    )
    battery_topic: str = _parameter(
        "battery_state", "sensor_msgs/BatteryState that shows charging", at=_CONFIGURE
    )
    dock_pose_topic: str = _parameter(
        "",
        "geometry_msgs/PoseStamped of the docked pose seen from the base, to verify docking by; "
        "empty: the contract's",
        at=_CONFIGURE,
    )
    default_instruction: str = _parameter("", "Instruction of a goal that has none", at=_GOAL)
    dock_timeout_s: float = _parameter(
        30.0,
        "Longest docking, unless the goal says otherwise",
        at=_GOAL,
        unit="s",
        low=1.0,
        high=3600.0,
    )
    initial_perception_timeout_s: float = _parameter(
        5.0,
        "Longest wait for all streams and for the first chunk",
        at=_GOAL,
        unit="s",
        low=0.1,
        high=600.0,
    )
    stale_grace_s: float = _parameter(
        1.0,
        "How long streams or chunks may stay away before the goal fails; the robot brakes",
        at=_GOAL,
        unit="s",
        low=0.0,
        high=60.0,
    )
    charge_timeout_s: float = _parameter(
        5.0,
        "Longest standstill at the station without a verified dock",
        at=_GOAL,
        unit="s",
        low=0.1,
        high=600.0,
    )
    max_retries: int = _parameter(
        0, "Times that the robot backs off and comes in again", at=_GOAL, low=0, high=100
    )
    retry_backoff_m: float = _parameter(
        0.4, "Way straight back before a retry", at=_GOAL, unit="m", low=0.05, high=5.0
    )
    retry_speed_mps: float = _parameter(
        0.1, "Speed of backing off", at=_GOAL, unit="m/s", low=0.01, high=1.0
    )
    docked_settle_s: float = _parameter(
        DOCKED.settle_s,
        "Docked is what holds for this long",
        at=_GOAL,
        unit="s",
        low=0.1,
        high=60.0,
    )
    docked_speed_mps: float = _parameter(
        DOCKED.speed_mps, "Slower is standing still", at=_GOAL, unit="m/s", low=0.001, high=1.0
    )
    tolerance_longitudinal_m: float = _parameter(
        DOCKED.longitudinal_m,
        "Docked: error along the approach",
        at=_GOAL,
        unit="m",
        low=0.0005,
        high=1.0,
    )
    tolerance_lateral_m: float = _parameter(
        DOCKED.lateral_m,
        "Docked: error across the approach",
        at=_GOAL,
        unit="m",
        low=0.0005,
        high=1.0,
    )
    tolerance_yaw_rad: float = _parameter(
        DOCKED.yaw_rad, "Docked: error of the heading", at=_GOAL, unit="rad", low=0.0005, high=3.15
    )
    pose_max_age_s: float = _parameter(
        0.5, "An older dock pose is not used", at=_GOAL, unit="s", low=0.01, high=60.0
    )
    battery_max_age_s: float = _parameter(
        2.5, "An older battery state is not used", at=_GOAL, unit="s", low=0.01, high=600.0
    )
    charging_current_a: float = _parameter(
        0.1,
        "Current above which a battery of unknown status counts as charging",
        at=_GOAL,
        unit="A",
        low=0.0,
        high=1000.0,
    )
    zero_hold_s: float = _parameter(
        0.5,
        "How long zero commands follow a goal that has moved the robot",
        at=_GOAL,
        unit="s",
        low=0.05,
        high=60.0,
    )


def declare_parameters(node: Node) -> None:
    """Declare every field of `PolicyParameters` on the node.

    Raises:
        rclpy.exceptions.InvalidParameterTypeException: an override has another type.
        rclpy.exceptions.InvalidParameterValueException: an override is out of range.
    """
    for spec in fields(PolicyParameters):
        node.declare_parameter(spec.name, spec.default, _descriptor(spec.metadata, spec.default))


def read_parameters(node: Node) -> PolicyParameters:
    """Read every parameter of the node.

    Raises:
        ParameterError: a value is not among the allowed ones.
    """
    values = {spec.name: node.get_parameter(spec.name).value for spec in fields(PolicyParameters)}
    for spec in fields(PolicyParameters):
        problem = _problem(spec.name, values[spec.name])
        if problem:
            raise ParameterError(problem)
    return PolicyParameters(**values)


def parameter_guard(
    is_configured: Callable[[], bool],
) -> Callable[[list[Parameter]], SetParametersResult]:
    """Make the callback that refuses values which could not take effect.

    Args:
        is_configured: tells whether the node holds a configured policy right now.
    """

    def check(parameters: list[Parameter]) -> SetParametersResult:
        specs = {spec.name: spec for spec in fields(PolicyParameters)}
        for parameter in parameters:
            spec = specs.get(parameter.name)
            if spec is None:
                continue
            problem = _problem(parameter.name, parameter.value)
            if problem:
                return SetParametersResult(successful=False, reason=problem)
            if spec.metadata["at"] is ReadAt.CONFIGURE and is_configured():
                return SetParametersResult(
                    successful=False,
                    reason=f"{parameter.name} is {ReadAt.CONFIGURE.value}: clean up the node first",
                )
        return SetParametersResult(successful=True)

    return check


def _problem(name: str, value: Any) -> str:
    choices = {spec.name: spec.metadata["choices"] for spec in fields(PolicyParameters)}[name]
    if choices and value not in choices:
        return f"parameter {name} is '{value}', expected one of {', '.join(choices)}"
    return ""


def _descriptor(metadata: Any, default: Any) -> ParameterDescriptor:
    constraints = [metadata["at"].value]
    if metadata["choices"]:
        constraints.insert(0, f"one of {', '.join(metadata['choices'])}")
    descriptor = ParameterDescriptor(
        description=metadata["description"], additional_constraints="; ".join(constraints)
    )
    if metadata["low"] is None:
        return descriptor
    if isinstance(default, int):
        limits = IntegerRange(from_value=metadata["low"], to_value=metadata["high"])
        descriptor.integer_range = [limits]
    else:
        bounds = FloatingPointRange(from_value=metadata["low"], to_value=metadata["high"])
        descriptor.floating_point_range = [bounds]
    return descriptor
