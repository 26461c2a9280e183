"""Declares a node's parameters once: value, description, range."""

from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from vla_simulation.errors import SimulationError


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter.

    Attributes:
        default: its value unless given; decides the type.
        description: what it does, with the unit.
        low: smallest value of a number.
        high: largest value of a number.
        read_only: a change would not take effect.
        choices: for strings, the values that are accepted.
    """

    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    read_only: bool = False
    choices: tuple[str, ...] = ()


def declare(node: Node, specs: dict[str, ParameterSpec]) -> None:
    """Declare all parameters on a node."""
    for name, spec in specs.items():
        descriptor = ParameterDescriptor(description=spec.description, read_only=spec.read_only)
        if spec.choices:
            descriptor.additional_constraints = f"one of: {', '.join(spec.choices)}"
        if spec.low is not None and spec.high is not None:
            if isinstance(spec.default, float):
                limits = FloatingPointRange(from_value=float(spec.low), to_value=float(spec.high))
                descriptor.floating_point_range = [limits]
            else:
                bounds = IntegerRange(from_value=int(spec.low), to_value=int(spec.high), step=1)
                descriptor.integer_range = [bounds]
        node.declare_parameter(name, spec.default, descriptor)


def values(node: Node, specs: dict[str, ParameterSpec]) -> dict[str, Any]:
    """Current values by name.

    Raises:
        SimulationError: a string is none of its choices.
    """
    current = {name: node.get_parameter(name).value for name in specs}
    for name, spec in specs.items():
        if spec.choices and current[name] not in spec.choices:
            raise SimulationError(
                f"parameter '{name}' is '{current[name]}', expected one of: "
                f"{', '.join(spec.choices)}"
            )
    return current
