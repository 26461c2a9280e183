"""What a node and a graph are: the data that launch files and process manager start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

ParameterValue = bool | int | float | str | list[str]


class OnExit(Enum):
    """What the end of a process means for its graph."""

    FAIL = "the process must outlive the graph: its end is a failure"
    FINISH = "its end ends the graph, with its exit code"
    IGNORE = "its end changes nothing"


@dataclass(frozen=True)
class NodeSpec:
    """One process with one node.

    Attributes:
        package: ROS package of the executable.
        executable: file in the package's ``lib`` folder.
        name: node name.
        namespace: ROS namespace, empty or starting with a slash.
        parameters: parameter values by name.
        parameter_files: ROS parameter files that count where `parameters` say nothing.
        remappings: pairs (from, to).
        arguments: of the executable, before those of ROS.
        environment: variables beside those of this process.
        lifecycle: whether the lifecycle manager brings it up.
        order: position in that order; smaller comes first.
        on_exit: what its end means for the graph.
        log_level: severity from which it logs.
    """

    package: str
    executable: str
    name: str
    namespace: str = ""
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    parameter_files: tuple[str, ...] = ()
    remappings: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    lifecycle: bool = False
    order: int = 0
    on_exit: OnExit = OnExit.FAIL
    log_level: str = "info"

    @property
    def full_name(self) -> str:
        """Name in the graph, with namespace."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Graph:
    """Nodes that are started together.

    Attributes:
        name: what the user calls it: dock, record or sim.
        nodes: in the order in which they are started, the lifecycle manager after the nodes that
            it manages; there is none where there is nothing to manage.
    """

    name: str
    nodes: tuple[NodeSpec, ...]

    def node(self, name: str) -> NodeSpec:
        """The node of this name.

        Raises:
            KeyError: there is none.
        """
        for spec in self.nodes:
            if spec.name == name:
                return spec
        raise KeyError(name)

    def has(self, name: str) -> bool:
        """Whether a node of this name is part of the graph."""
        return any(spec.name == name for spec in self.nodes)
