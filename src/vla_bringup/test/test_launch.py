"""The launch files with the real launch and launch_ros, where they are installed."""

# ruff: noqa: E402 - what launch brings can only be imported where it is installed

import json
import shutil
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

launch_pytest = pytest.importorskip(
    "launch_pytest", reason="launch comes with a system installation of ROS 2 only"
)

import rclpy
from launch.actions import RegisterEventHandler, SetLaunchConfiguration
from launch.event_handlers import OnProcessExit
from launch.launch_context import LaunchContext
from rclpy.node import Node

from vla_bringup.evaluation_arguments import EVALUATION_ARGUMENTS
from vla_bringup.graph import GRAPHS
from vla_bringup.launch_description import (
    evaluation_description,
    launch_description,
    node_action,
)
from vla_bringup.node_process import node_command
from vla_bringup.resources import share_directory
from vla_bringup.waiting import wait_until_active

ROS2 = shutil.which("ros2")
needs_ros2 = pytest.mark.skipif(ROS2 is None, reason="the ros2 command is not installed")


# ---------------------------------------------------------------------- what is described


@pytest.mark.parametrize("kind", GRAPHS)
def test_launch_starts_what_the_graph_says(kind):
    """The command lines of launch and of the process manager, read as ROS reads them, agree."""
    values = {"namespace": "robot", "log_level": "warn"}
    if kind == "dock":
        values |= {"instruction": 'say: "ä", [1]', "record": "true"}
    graph, _ = GRAPHS[kind].from_values(values)
    context = LaunchContext()
    for spec in graph.nodes:
        action = node_action(spec)
        action._perform_substitutions(context)
        assert action.node_name == spec.full_name
        namespace, _, name = action.node_name.rpartition("/")
        rules = {"name": f"__node:={name}", "ns": f"__ns:={namespace}"}
        context.extend_locals({"ros_specific_arguments": rules})  # as Node.execute() does
        action.prepare(context)
        launched = read_command(action.process_details["cmd"], spec)
        assert launched == read_command(node_command(spec), spec)


def read_command(command, spec):
    """Executable, log level, remapping rules and parameters of a node's command line."""
    executable = next(part for part in command if f"/lib/{spec.package}/" in part)
    level = command[command.index("--log-level") + 1]
    rules, parameters = {}, {}
    for flag, value in pairwise(command):
        name, _, text = value.partition(":=")
        if flag == "-r":
            rules[name] = text
        elif flag == "-p":
            parameters[name] = yaml.safe_load(text)
        elif flag == "--params-file":
            document = yaml.full_load(Path(value).read_text())  # launch_ros writes tuples
            parameters |= document[spec.full_name]["ros__parameters"]
    lists = {name: list(value) for name, value in parameters.items() if isinstance(value, tuple)}
    return executable, level, rules, parameters | lists


@pytest.mark.parametrize("kind", GRAPHS)
def test_arguments_are_those_of_the_graph(kind):
    declared = {entity.name: entity for entity in launch_description(kind).get_launch_arguments()}
    assert list(declared) == [argument.name for argument in GRAPHS[kind].arguments]
    for argument in GRAPHS[kind].arguments:
        assert argument.description in declared[argument.name].description


@pytest.mark.parametrize("kind", GRAPHS)
def test_every_graph_has_its_launch_file(kind):
    assert (share_directory() / "launch" / f"{kind}.launch.py").is_file()


def test_evaluation_declares_its_arguments():
    declared = {entity.name: entity for entity in evaluation_description().get_launch_arguments()}
    assert list(declared) == [argument.name for argument in EVALUATION_ARGUMENTS]
    assert (share_directory() / "launch" / "evaluate.launch.py").is_file()


# ---------------------------------------------------------------------- bring-up and shutdown


@launch_pytest.fixture
def record_launch(domain, tmp_path):
    exit_codes = {}

    def note(event, _context):
        exit_codes[event.process_name.rpartition("-")[0]] = event.returncode

    description = launch_description("record")
    folder = str(tmp_path / "bags")
    description.entities.insert(0, SetLaunchConfiguration("record_directory", folder))
    description.add_action(RegisterEventHandler(OnProcessExit(on_exit=note)))
    return description, exit_codes


@pytest.mark.launch(fixture=record_launch)
def test_bring_up_and_shutdown(record_launch):
    _, exit_codes = record_launch
    rclpy.init()
    node = Node("observer")
    try:
        wait_until_active(node, 60.0)
    finally:
        node.destroy_node()
        rclpy.shutdown()
    assert exit_codes == {}
    yield
    assert exit_codes == {
        "simulator": 0,
        "vla_recorder": 0,
        "docking_expert": 0,
        "lifecycle_manager": 0,
    }


# ---------------------------------------------------------------------- the ros2 command


@pytest.fixture
def launch(start):
    return lambda name, *arguments: start(ROS2, "launch", "vla_bringup", name, *arguments)


@needs_ros2
def test_arguments_are_shown(launch):
    program = launch("dock.launch.py", "--show-args")
    assert program.wait() == 0
    for argument in GRAPHS["dock"].arguments:
        assert f"'{argument.name}':" in program.output


@needs_ros2
def test_launch_docks(launch):
    program = launch(
        "dock.launch.py",
        "instruction:=park on the white charger",
        "seed:=1000001",
        "shutdown_when_done:=true",
    )
    assert program.wait(90) == 0, program.output + program.errors
    assert "docked in " in program.output
    assert program.orphans() == []


@needs_ros2
def test_two_robots_dock_in_one_simulator(launch):
    simulator = launch("sim.launch.py", "robots:=robot_1,robot_2", "seed:=1000001")
    simulator.wait_for("all active")
    stacks = [
        launch(
            "dock.launch.py",
            "sim:=none",
            f"namespace:={name}",
            f"instruction:=park on the {colour} charger",
            "shutdown_when_done:=true",
        )
        for name, colour in (("robot_1", "white"), ("robot_2", "green"))
    ]
    for stack in stacks:
        assert stack.wait(120) == 0, stack.output + stack.errors
        assert "docked in " in stack.output


@needs_ros2
def test_a_graph_may_begin_anew(launch, tmp_path):
    program = launch(
        "record.launch.py",
        "sim:=none",
        "driver:=none",
        f"record_directory:={tmp_path}",
        "on_failure:=restart",
    )
    program.wait_for("all active")
    program.node("vla_recorder").kill()
    deadline_s = time.monotonic() + 60.0
    while (program.output + program.errors).count("all active") < 2:
        assert time.monotonic() < deadline_s, program.output + program.errors
        time.sleep(0.1)
    program.signal(signal.SIGINT)
    program.wait()
    assert program.orphans(timeout_s=15.0) == []


@needs_ros2
def test_an_evaluation_runs_and_ends(launch, tmp_path):
    report = tmp_path / "evaluation.json"
    program = launch(
        "evaluate.launch.py", "mode:=lock_step", "episodes:=1", "suite:=single", f"json:={report}"
    )
    assert program.wait(120) == 0, program.output + program.errors
    assert json.loads(report.read_text())["episodes"] == 1
    program = launch("evaluate.launch.py", "policy:=/nowhere", "mode:=lock_step")
    assert program.wait(60) == 1
    assert "evaluation failed with exit code" in program.output


@needs_ros2
@pytest.mark.parametrize(
    ("argument", "says"),
    [("policy:=/nowhere", "does not exist"), ("sim:=gazebo", "sim:=gazebo needs")],
)
def test_refused_before_anything_starts(launch, argument, says):
    program = launch("dock.launch.py", argument)
    assert program.wait() == 1
    lines = [line for line in (program.output + program.errors).splitlines() if "[ERROR]" in line]
    assert len(lines) == 1
    assert says in lines[0]
    assert "process started" not in program.output


@needs_ros2
def test_killed_simulator(launch, tmp_path):
    program = launch("record.launch.py", f"record_directory:={tmp_path}")
    program.wait_for("all active")
    program.node("simulator").kill()
    assert program.wait() == 1
    assert "simulator was killed by SIGKILL" in program.output
    assert program.orphans() == []


@needs_ros2
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_ros2_launch(launch, tmp_path, signum):
    program = launch("record.launch.py", f"record_directory:={tmp_path}")
    program.wait_for("all active")
    assert len(program.descendants()) >= 4
    program.signal(signum)
    program.wait()
    assert program.orphans(timeout_s=15.0) == []
