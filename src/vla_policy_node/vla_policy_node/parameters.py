"""The node's parameters, each declared once: default, meaning, unit, range and when it is read."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)

from vla_core.action_chunks import DEFAULT_EXECUTION_MODE, EXECUTION_MODES
from vla_policy_node.docking.parameters import DockingParameters
from vla_policy_node.errors import ParameterError
from vla_policy_node.inference.confidence import ConfidenceParameters
from vla_policy_node.inference.runtimes import RUNTIMES
from vla_policy_node.observability.parameters import ObservabilityParameters
from vla_policy_node.parameter_field import ReadAt
from vla_policy_node.parameter_field import parameter as _parameter
from vla_policy_node.safety_parameters import SafetyParameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node
    from rclpy.parameter import Parameter


_CONFIGURE = ReadAt.CONFIGURE


@dataclass(frozen=True)
class PolicyParameters(
    ObservabilityParameters, ConfidenceParameters, SafetyParameters, DockingParameters
):
    """Values of all parameters at one moment."""

    policy: str = _parameter(
        "",
        "Directory of the policy bundle; with runtime torch, of the training",
        at=_CONFIGURE,
    )
    variant: str = _parameter(
        "",
        "Variant of the bundle's graph, such as int8-static; empty: the exact one",
        at=_CONFIGURE,
    )
    contract: str = _parameter("", "YAML file of the robot's contract", at=_CONFIGURE)
    runtime: str = _parameter("onnx", "What computes the policy", at=_CONFIGURE, choices=RUNTIMES)
    remote_uri: str = _parameter(
        "",
        "Address of the policy server of runtime remote, such as ws://10.0.0.5:8000",
        at=_CONFIGURE,
    )
    torch_device: str = _parameter(
        "cpu", "Where runtime torch computes, such as cuda:0", at=_CONFIGURE
    )
    shadow: bool = _parameter(
        False,
        "Run the policy with default_instruction, publish what it would do on ~/shadow_command and "
        "compare it with who drives; no actions, no commands",
        at=_CONFIGURE,
    )
    inference_threads: int = _parameter(
        1, "Threads of one inference", at=_CONFIGURE, low=1, high=64
    )
    inference_workers: int = _parameter(
        1,
        "Inference processes that take turns; for an inference that takes longer than half a chunk",
        at=_CONFIGURE,
        low=1,
        high=8,
    )
    execution_mode: str = _parameter(
        str(DEFAULT_EXECUTION_MODE),
        "How action chunks are executed",
        at=_CONFIGURE,
        choices=EXECUTION_MODES,
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
    control_priority: int = _parameter(
        50,
        "Real-time priority (SCHED_FIFO) of the process that commands, where the system grants it; "
        "0: none",
        at=_CONFIGURE,
        low=0,
        high=99,
    )
    control_silence_s: float = _parameter(
        0.5,
        "A node that is silent for longer counts as hung: zero at once, and the goal fails; the "
        "robot brakes from three control periods on",
        at=_CONFIGURE,
        unit="s",
        low=0.1,
        high=5.0,
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
