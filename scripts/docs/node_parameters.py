"""Every parameter of every node as a page, asked from the nodes themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import rclpy
from markdown_text import code, table
from rcl_interfaces.msg import ParameterDescriptor, ParameterType
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_bringup import dock_client
from vla_bringup.lifecycle_manager import LifecycleManager
from vla_bringup.resources import default_contract
from vla_policy_node.policy_node import PolicyNode
from vla_recorder.recorder_node import RecorderNode
from vla_recorder.teleop.command_mux import CommandMux
from vla_simulation.ros.expert_node import ExpertNode
from vla_simulation.ros.simulator_node import SimulatorNode

_INTRODUCTION = """# Parameters of every node

Made from the declarations: what `ros2 param describe` prints of each node. What the nodes do is in
[Interfaces](../interfaces.md). A *fixed* parameter is read-only: set it when the node is
started. Every node takes `use_sim_time`, too.
"""

# ROS itself declares these on every node.
_OF_ROS = ("use_sim_time", "start_type_description_service")

_TYPES = {
    ParameterType.PARAMETER_BOOL: "bool",
    ParameterType.PARAMETER_INTEGER: "int",
    ParameterType.PARAMETER_DOUBLE: "double",
    ParameterType.PARAMETER_STRING: "string",
    ParameterType.PARAMETER_STRING_ARRAY: "string list",
}


def _dock_client() -> Node:
    node = Node("dock_client")
    dock_client.declare_parameters(node)
    return node


# By "package executable".
NODES: dict[str, Callable[[], Node]] = {
    "vla_simulation simulator_node": SimulatorNode,
    "vla_simulation expert_node": ExpertNode,
    "vla_policy_node policy_node": PolicyNode,
    "vla_recorder recorder_node": RecorderNode,
    "vla_recorder command_mux": CommandMux,
    "vla_bringup lifecycle_manager": lambda: LifecycleManager(lambda: True),
    "vla_bringup dock_client": _dock_client,
}
# Parameters without which a node does not start; these values are no defaults.
_REQUIRED = {
    ("lifecycle_manager", "node_names"): "[simulator]",
    ("command_mux", "contract"): str(default_contract()),
}


@contextmanager
def nodes() -> Iterator[dict[str, Node]]:
    """All nodes, as they are before anybody configures them, by "package executable"."""
    given: list[str] = []
    for (node_name, name), value in _REQUIRED.items():
        given += ["-p", f"{node_name}:{name}:={value}"]
    rclpy.init(args=["--ros-args", *given, "--log-level", "error"])
    made: dict[str, Node] = {}
    try:
        for executable, make in NODES.items():
            made[executable] = make()
        yield made
    finally:
        for node in made.values():
            node.destroy_node()
        rclpy.shutdown()


def declared(node: Node) -> dict[str, tuple[Parameter, ParameterDescriptor]]:
    """Value and descriptor of each parameter that the node itself declares, in that order."""
    names = [
        name
        for name in node._parameters
        if not name.startswith(("qos_overrides.", *_OF_ROS)) and not name.startswith("diagnostic_")
    ]
    return {name: (node.get_parameter(name), node.describe_parameter(name)) for name in names}


def page() -> str:
    """The page, Markdown."""
    parts = [_INTRODUCTION]
    with nodes() as made:
        for executable, node in made.items():
            parts.append(f"## {node.get_name()}\n")
            parts.append(f"Executable: {code(executable)}\n")
            rows = [_row(node.get_name(), name, *of) for name, of in declared(node).items()]
            parts.append(table(("parameter", "type", "default", "meaning"), rows))
    return "\n".join(parts)


def _row(
    node: str, name: str, parameter: Parameter, descriptor: ParameterDescriptor
) -> tuple[str, ...]:
    required = (node, name) in _REQUIRED
    default = "none, required" if required else code(value_text(parameter.value))
    notes = [descriptor.description, _range(descriptor), descriptor.additional_constraints]
    meaning = "; ".join(filter(None, [*notes, "*fixed*" if descriptor.read_only else ""]))
    return code(name), _TYPES[descriptor.type], default, meaning


def value_text(value: Any) -> str:
    """A value as the `ros2` command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, float):
        text = f"{value:.6g}"
        return text if set(text) & set(".en") else f"{text}.0"
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    return str(value)


def _range(descriptor: ParameterDescriptor) -> str:
    for limits in (*descriptor.integer_range, *descriptor.floating_point_range):
        return f"{_number(limits.from_value)} to {_number(limits.to_value)}"
    return ""


def _number(value: float) -> str:
    """A limit; a large power of two or ten as such."""
    if isinstance(value, int) and value >= 1_000_000:
        for base in (2, 10):
            exponent = round(math.log(value, base))
            if value == base**exponent:
                return f"{base}^{exponent}"
    return str(value) if isinstance(value, int) else f"{value:g}"
