"""The graph description, its arguments, and the command lines made of it."""

from argparse import ArgumentParser
from pathlib import Path

import pytest
import yaml
from ament_index_python.packages import get_packages_with_prefixes

from vla_bringup.evaluation_arguments import evaluation_command
from vla_bringup.graph import GRAPHS, OnExit, dock_graph, record_graph
from vla_bringup.graph_arguments import DOCK_ARGUMENTS, GraphError, GraphOptions
from vla_bringup.graph_exit import GraphFailure
from vla_bringup.graph_restarts import run_with_restarts
from vla_bringup.node_process import node_command
from vla_bringup.preflight import PreflightError, check_graph
from vla_bringup.process_manager import GraphManager
from vla_bringup.resources import default_contract
from vla_bringup.verbs import evaluate
from vla_core.contract import Contract


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
    assert ("cmd_vel", "policy/cmd_vel") in policy.remappings
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
        build("dock", sim="moon", seed="-1", speed="3", namespace="1st", record="maybe", policy="")
    message = str(caught.value)
    for part in ("sim:=moon: expected one of", "seed:=-1", "'speed'", "1st", "record:=maybe"):
        assert part in message
    assert "policy:=: expected a path" in message
    assert "\n" not in message


def test_a_namespace_takes_the_shared_topics_with_it():
    graph = build("dock", namespace="robot_1", record="true", rviz="true", teleop="true")
    moved = {"/tf": "tf", "/tf_static": "tf_static", "/diagnostics": "diagnostics"}
    for name in ("simulator", "vla_policy", "vla_recorder", "rviz"):
        assert moved.items() <= dict(graph.node(name).remappings).items(), name
    assert not any("clock" in source for spec in graph.nodes for source, _ in spec.remappings)
    assert not any(spec.remappings for spec in build("dock", record="true").nodes)


OTHER_VALUES = {
    "sim": "gazebo",
    "instruction": "dock",
    "policy": "out/policy",
    "contract": str(default_contract().with_name("turtlebot4.yaml")),
    "params_file": __file__,
    "namespace": "robot_1",
    "use_sim_time": "true",
    "suite": "wide_start",
    "seed": "7",
    "robots": "robot_1,robot_2",
    "record": "true",
    "record_directory": "bags",
    "teleop": "true",
    "shutdown_when_done": "true",
    "rviz": "true",
    "driver": "none",
    "log_level": "debug",
}
# The process manager and launch look at this one.
NOT_IN_THE_NODES = {"on_failure"}


@pytest.mark.parametrize("kind", GRAPHS)
def test_every_argument_changes_what_is_started(kind):
    others = {"instruction": "x"} if kind == "dock" else {"driver": "none"}
    others |= {"record": "true"} if kind == "dock" else {}
    arguments = {argument.name for argument in GRAPHS[kind].arguments}
    assert arguments - NOT_IN_THE_NODES <= set(OTHER_VALUES)
    given = {name: value for name, value in others.items() if name in arguments}
    for name in arguments - NOT_IN_THE_NODES:
        base = {key: value for key, value in given.items() if key != name}
        assert build(kind, **base) != build(kind, **base, **{name: OTHER_VALUES[name]}), name


def test_one_simulator_for_several_robots():
    parameters = build("sim", robots="robot_1, /fleet/robot_2/").node("simulator").parameters
    assert parameters["robots"] == "robot_1,fleet/robot_2"
    assert build("dock").node("simulator").parameters["robots"] == ""
    for robots in ("robot_1,robot_1", "robot_1,", "1st"):
        with pytest.raises(GraphError, match="robots:="):
            build("sim", robots=robots)


def test_gazebo_takes_the_simulator_s_place():
    graph = build("dock", sim="gazebo", record="true", instruction="x")
    assert names(graph) == [
        "vla_recorder",
        "vla_policy",
        "lifecycle_manager",
        "gzserver",
        "ros_gz_bridge",
        "robot_state_publisher",
        "dock_client",
    ]
    for spec in graph.nodes:
        if spec.name not in ("lifecycle_manager", "gzserver"):
            assert spec.parameters["use_sim_time"], f"{spec.name}: Gazebo's time is on /clock"
    server, bridge = graph.node("gzserver"), graph.node("ros_gz_bridge")
    files = [server.parameters["world_sdf_file"], bridge.parameters["config_file"]]
    files += graph.node("robot_state_publisher").arguments
    for file in (*files, server.environment["GZ_SIM_RESOURCE_PATH"].split(":")[0]):
        assert Path(file).exists(), file
    # Nothing is managed there: no manager.
    assert names(build("sim", sim="gazebo")) == names(graph)[3:6]
    assert not GraphOptions().simulated_time
    for contradiction in ({"namespace": "robot_1"}, {"driver": "expert"}):
        with pytest.raises(GraphError, match=r"use sim:=mujoco|needs sim:=mujoco"):
            build("record", **{"sim": "gazebo", "driver": "none"} | contradiction)


def test_the_bridge_carries_what_the_contract_names():
    graph = build("dock", sim="gazebo")
    contract = Contract.load(default_contract())
    file = Path(graph.node("ros_gz_bridge").parameters["config_file"])
    carried = {entry["ros_topic_name"]: entry for entry in yaml.safe_load(file.read_text())}
    for stream in contract.streams:
        entry = carried[stream.topic]
        assert (entry["ros_type_name"], entry["direction"]) == (stream.type, "GZ_TO_ROS")
    command = carried[contract.action.topic]
    assert (command["ros_type_name"], command["direction"]) == (contract.action.type, "ROS_TO_GZ")
    assert carried["battery_state"]["ros_type_name"] == "sensor_msgs/msg/BatteryState"
    assert carried["/clock"]["direction"] == "GZ_TO_ROS"


def test_gazebo_that_is_not_installed_is_one_line():
    graph = build("sim", sim="gazebo")
    if "ros_gz_sim" in get_packages_with_prefixes():
        pytest.skip("Gazebo is installed")
    with pytest.raises(PreflightError, match=r"sim:=gazebo needs .*ros_gz_sim.*apt-get install"):
        check_graph(graph, GraphOptions(sim="gazebo"))


def test_a_graph_that_keeps_failing_is_given_up(capsys):
    started, naps = [], []

    def run(graph):
        started.append(names(graph))
        raise GraphFailure("simulator was killed by SIGKILL")

    graph = build("dock", instruction="x", on_failure="restart")
    with pytest.raises(GraphFailure, match=r"SIGKILL; given up after 3 restarts"):
        run_with_restarts(graph, run, naps.append, lambda: 0.0)
    assert len(started) == 4
    assert len(naps) == 3
    # What was asked for once is not done again by itself.
    assert "dock_client" in started[0]
    assert all("dock_client" not in later for later in started[1:])
    assert capsys.readouterr().err.count("the robot stands until the next goal") == 3
    # Failures that are long ago do not count.
    times = iter(range(0, 10_000, 200))
    codes = iter([None] * 8 + [0])

    def recovers(_graph):
        if (code := next(codes)) is None:
            raise GraphFailure("again")
        return code

    assert run_with_restarts(graph, recovers, naps.append, lambda: next(times)) == 0
    with pytest.raises(GraphError, match="leave one out"):
        build("dock", instruction="x", shutdown_when_done="true", on_failure="restart")


def test_evaluation_is_the_command_of_the_same_name():
    parser = ArgumentParser()
    evaluate.add_arguments(parser)
    command = evaluation_command({})
    assert command[1:4] == ["-m", "vla_bringup.cli", "evaluate"]
    parsed = parser.parse_args(command[4:])
    defaults = parser.parse_args(["--mode", "ros"])
    assert parsed.json == Path("out/evaluation.json")
    parsed.json = None
    assert vars(parsed) == vars(defaults)
    given = {"suite": "nominal wide_start", "swap": "True", "report": "page.html", "seed": "7"}
    parsed = parser.parse_args(evaluation_command(given)[4:])
    assert (parsed.suite, parsed.swap) == (["nominal", "wide_start"], True)
    assert (parsed.report, parsed.seed) == (Path("page.html"), 7)
    with pytest.raises(GraphError) as caught:
        evaluation_command({"episodes": "many", "mode": "fast", "suites": "x", "policy": ""})
    for part in ("episodes:=many", "mode:=fast", "'suites'", "policy:= is empty"):
        assert part in str(caught.value)


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
        assert rules == {"__node": spec.name, "__ns": "/robot", **dict(spec.remappings)}
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
