"""The one description of the node graphs.

Launch files and ``vla up`` are two ways to start what this module describes, so a node, a
parameter or an argument is added here and nowhere else. Nothing here imports ROS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from vla_bringup.gazebo_nodes import gazebo_nodes
from vla_bringup.graph_arguments import (
    DOCK_ARGUMENTS,
    RECORD_ARGUMENTS,
    SIM_ARGUMENTS,
    Argument,
    GraphError,
    GraphOptions,
)
from vla_bringup.node_spec import Graph, NodeSpec, OnExit, ParameterValue
from vla_bringup.resources import rviz_configuration
from vla_core.contract import Contract

LIFECYCLE_MANAGER: Final = "lifecycle_manager"
SIMULATOR: Final = "simulator"
POLICY: Final = "vla_policy"
RECORDER: Final = "vla_recorder"
EXPERT: Final = "docking_expert"
DOCK_CLIENT: Final = "dock_client"
RVIZ: Final = "rviz"
COMMAND_MUX: Final = "command_mux"

# Recorded beside the contract's topics, where somebody publishes them.
_SIMULATION_TOPICS: Final = ["ground_truth/state", "battery_state"]
_DRIVER_TOPIC: Final = "driver"


def dock_graph(options: GraphOptions) -> Graph:
    """Simulator or robot, policy, and where asked for the recorder and a client that docks."""
    if options.shutdown_when_done and options.on_failure == "restart":
        raise GraphError(
            "shutdown_when_done:=true ends the graph, on_failure:=restart does not; leave one out"
        )
    nodes = _simulator(options)
    unmanaged = gazebo_nodes(options)
    policy = _node(
        options,
        "vla_policy_node",
        "policy_node",
        POLICY,
        {"policy": str(options.policy), "contract": str(options.contract)},
        order=30,
    )
    if options.teleop:
        topic = Contract.load(options.contract).action.topic
        remapping = (topic, f"policy/{topic.lstrip('/')}")
        policy = replace(policy, remappings=(*policy.remappings, remapping))
        unmanaged.append(_command_mux(options))
    if options.rviz:
        unmanaged.append(_rviz(options))
    nodes.append(policy)
    if options.record:
        topics = [f"{POLICY}/status", _DRIVER_TOPIC, *_SIMULATION_TOPICS]
        nodes.append(_recorder(options, topics))
    client = None
    if options.instruction:
        client = NodeSpec(
            package="vla_bringup",
            executable="dock_client",
            name=DOCK_CLIENT,
            namespace=options.namespace,
            parameters={
                "use_sim_time": options.simulated_time,
                "instruction": options.instruction,
                "record": options.record,
            },
            on_exit=OnExit.FINISH if options.shutdown_when_done else OnExit.IGNORE,
            log_level=options.log_level,
        )
    return _graph("dock", options, nodes, *unmanaged, *([client] if client else []))


def record_graph(options: GraphOptions) -> Graph:
    """Simulator or robot, recorder, and where asked for the expert that drives."""
    if options.driver == "expert" and options.sim != "mujoco":
        raise GraphError(
            "driver:=expert needs sim:=mujoco: the expert steers by the simulator's true pose; "
            "use driver:=none where a person drives"
        )
    nodes = [*_simulator(options), _recorder(options, [_DRIVER_TOPIC, *_SIMULATION_TOPICS])]
    if options.driver == "expert":
        nodes.append(
            _node(
                options,
                "vla_simulation",
                "expert_node",
                EXPERT,
                {},
                order=30,
            )
        )
    return _graph("record", options, nodes, *gazebo_nodes(options))


def sim_graph(options: GraphOptions) -> Graph:
    """The simulator alone."""
    if options.sim == "none":
        raise GraphError("sim:=none leaves the graph 'sim' empty; use sim:=mujoco")
    return _graph("sim", options, _simulator(options), *gazebo_nodes(options))


@dataclass(frozen=True)
class GraphKind:
    """A graph that can be asked for by name."""

    name: str
    summary: str
    arguments: tuple[Argument, ...]
    build: Callable[[GraphOptions], Graph]

    def from_values(self, values: Mapping[str, str]) -> tuple[Graph, GraphOptions]:
        """Build the graph from argument strings.

        Raises:
            GraphError: names every mistake at once.
        """
        options = GraphOptions.from_arguments(self.arguments, values)
        return self.build(options), options


GRAPHS: Final = {
    kind.name: kind
    for kind in (
        GraphKind(
            "dock", "simulator or robot, and the policy that docks it", DOCK_ARGUMENTS, dock_graph
        ),
        GraphKind("record", "simulator or robot, and the recorder", RECORD_ARGUMENTS, record_graph),
        GraphKind("sim", "the simulator alone", SIM_ARGUMENTS, sim_graph),
    )
}


def _simulator(options: GraphOptions) -> list[NodeSpec]:
    if options.sim != "mujoco":
        return []
    parameters: dict[str, ParameterValue] = {
        "contract": str(options.contract),
        "suite": options.suite,
        "seed": options.seed,
        "robots": options.robots,
    }
    return [_node(options, "vla_simulation", "simulator_node", SIMULATOR, parameters, order=10)]


def _recorder(options: GraphOptions, extra_topics: Sequence[str]) -> NodeSpec:
    parameters: dict[str, ParameterValue] = {
        "contract": str(options.contract),
        "output_directory": str(options.record_directory),
        "extra_topics": list(extra_topics),
    }
    return _node(options, "vla_recorder", "recorder_node", RECORDER, parameters, order=20)


def _rviz(options: GraphOptions) -> NodeSpec:
    """RViz; whoever closes its window ends nothing else."""
    return NodeSpec(
        package="rviz2",
        executable="rviz2",
        name=RVIZ,
        namespace=options.namespace,
        parameters={"use_sim_time": options.simulated_time},
        remappings=_shared_topics(options),
        arguments=("-d", str(rviz_configuration())),
        on_exit=OnExit.IGNORE,
        log_level=options.log_level,
    )


def _node(
    options: GraphOptions,
    package: str,
    executable: str,
    name: str,
    parameters: dict[str, ParameterValue],
    order: int,
) -> NodeSpec:
    return NodeSpec(
        package=package,
        executable=executable,
        name=name,
        namespace=options.namespace,
        parameters={"use_sim_time": options.simulated_time, **parameters},
        parameter_files=(str(options.params_file),) if options.params_file else (),
        remappings=_shared_topics(options),
        lifecycle=True,
        order=order,
        log_level=options.log_level,
    )


def _shared_topics(options: GraphOptions) -> tuple[tuple[str, str], ...]:
    """With a namespace, the topics that have the same absolute name on every robot move into it.

    As in Nav2: frames keep their names, the topics of the transforms do not. /clock stays: there
    is one time.
    """
    if not options.namespace:
        return ()
    return tuple((f"/{topic}", topic) for topic in ("tf", "tf_static", "diagnostics"))


def _command_mux(options: GraphOptions) -> NodeSpec:
    return NodeSpec(
        package="vla_recorder",
        executable="command_mux",
        name=COMMAND_MUX,
        namespace=options.namespace,
        parameters={"use_sim_time": options.simulated_time, "contract": str(options.contract)},
        log_level=options.log_level,
    )


def _graph(name: str, options: GraphOptions, nodes: list[NodeSpec], *unmanaged: NodeSpec) -> Graph:
    managed = tuple(sorted(nodes, key=lambda spec: spec.order))
    if not managed:
        return Graph(name, unmanaged)
    manager = NodeSpec(
        package="vla_bringup",
        executable="lifecycle_manager",
        name=LIFECYCLE_MANAGER,
        namespace=options.namespace,
        parameters={"node_names": [spec.name for spec in managed]},
        log_level=options.log_level,
    )
    return Graph(name, (*managed, manager, *unmanaged))
