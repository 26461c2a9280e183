"""The graph description, its arguments, and the command lines made of it."""

import pytest
import yaml

from vla_bringup.graph import GRAPHS, OnExit, dock_graph, record_graph
from vla_bringup.graph_arguments import DOCK_ARGUMENTS, GraphError, GraphOptions
from vla_bringup.node_process import node_command
from vla_bringup.process_manager import GraphManager


def names(graph):
    return [spec.name for spec in graph.nodes]


def build(kind, **values):
    return GRAPHS[kind].from_values(values)[0]


def test_default_graphs():
    assert names(build("dock")) == ["simulator", "vla_policy", "lifecycle_manager"]
    assert names(build("record")) == [
        "simulator",
        "vla_recorder",
        "docking_expert",
        "lifecycle_manager",
    ]
    assert names(build("sim")) == ["simulator", "lifecycle_manager"]


def test_robot_instead_of_simulator():
    graph = build("dock", sim="none", record="true", instruction="dock")
    assert names(graph) == ["vla_recorder", "vla_policy", "lifecycle_manager", "dock_client"]
    assert graph.node("lifecycle_manager").parameters["node_names"] == [
        "vla_recorder",
        "vla_policy",
    ]


def test_person_may_take_over_only_if_asked():
    graph = build("dock", teleop="true", namespace="robot")
    mux, policy = graph.node("command_mux"), graph.node("vla_policy")
    assert (mux.namespace, mux.lifecycle, mux.on_exit) == ("/robot", False, OnExit.FAIL)
    assert policy.remappings == (("cmd_vel", "policy/cmd_vel"),)
    assert not build("dock").has("command_mux")
    assert build("dock").node("vla_policy").remappings == ()
    recorder = build("dock", record="true").node("vla_recorder")
    assert "driver" in recorder.parameters["extra_topics"]


def test_manager_knows_the_order_of_the_lifecycle_nodes():
    graph = build("dock", record="true")
    managed = [spec for spec in graph.nodes if spec.lifecycle]
    assert [spec.order for spec in managed] == sorted(spec.order for spec in managed)
    assert graph.node("lifecycle_manager").parameters["node_names"] == [s.name for s in managed]


def test_client_ends_the_graph_only_if_asked():
    assert build("dock", instruction="x").node("dock_client").on_exit is OnExit.IGNORE
    graph = build("dock", instruction="x", shutdown_when_done="True")
    assert graph.node("dock_client").on_exit is OnExit.FINISH


def test_namespace_reaches_every_node():
    graph = build("dock", namespace="fleet/robot_1", instruction="x", record="true")
    assert {spec.namespace for spec in graph.nodes} == {"/fleet/robot_1"}
    assert graph.node("simulator").full_name == "/fleet/robot_1/simulator"


def test_every_mistake_is_reported_at_once():
    with pytest.raises(GraphError) as caught:
        build(
            "dock", sim="gazebo", seed="-1", speed="3", namespace="1st", record="maybe", policy=""
        )
    message = str(caught.value)
    for part in ("Gazebo is not supported yet", "seed:=-1", "'speed'", "1st", "record:=maybe"):
        assert part in message
    assert "policy:=: expected a path" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("kind", "values"), [("sim", {"sim": "none"}), ("record", {"sim": "none", "driver": "expert"})]
)
def test_contradicting_arguments(kind, values):
    with pytest.raises(GraphError, match=r"sim:=mujoco"):
        build(kind, **values)


def test_defaults_of_arguments_and_options_agree():
    assert GraphOptions.from_arguments(DOCK_ARGUMENTS, {}) == GraphOptions(
        record_directory=GraphOptions.record_directory.absolute()
    )


@pytest.mark.parametrize("kind", GRAPHS)
def test_command_lines_say_what_the_graph_says(kind):
    """What the process manager starts is read back from its command lines as ROS would read it."""
    values = {"namespace": "robot", "log_level": "warn"}
    if kind == "dock":
        values |= {"instruction": 'say: "ä", [1]', "record": "true"}
    graph = build(kind, **values)
    for spec in graph.nodes:
        command = node_command(spec)
        assert command[0].endswith(f"/lib/{spec.package}/{spec.executable}")
        assert command[-2:] == ["--log-level", "warn"]
        rules = dict(rule.split(":=", 1) for rule in pairs(command, "-r"))
        assert rules == {"__node": spec.name, "__ns": "/robot"}
        parameters = dict(rule.split(":=", 1) for rule in pairs(command, "-p"))
        assert {k: yaml.safe_load(v) for k, v in parameters.items()} == dict(spec.parameters)


def pairs(command, flag):
    return [command[i + 1] for i, part in enumerate(command) if part == flag]


def test_process_manager_holds_every_process():
    graph = record_graph(GraphOptions())
    manager = GraphManager(graph)
    for spec in graph.nodes:
        manager.add_process(spec.name, node_command(spec))
    assert list(manager._processes) == names(graph)


def test_missing_executable_is_one_line():
    graph = dock_graph(GraphOptions())
    spec = graph.node("simulator")
    broken = type(spec)(package="no_such_package", executable=spec.executable, name=spec.name)
    with pytest.raises(GraphError, match="no_such_package is not installed"):
        node_command(broken)
