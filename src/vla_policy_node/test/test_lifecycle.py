"""Transitions of the real node over DDS, and what it refuses to be configured with."""

import ctypes
import signal
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
from lifecycle_msgs.msg import State, Transition
from policy_fixtures import approach_graph, bundle, contract
from policy_rig import INSTRUCTION, wait_until

from vla_policy_node.parameters import PolicyParameters

SILENCE_S = 0.7


def published(robot):
    return len(robot.commands) + len(robot.statuses)


def test_every_transition_and_silence_without_a_goal(start, robot, client):
    node = start()
    assert client.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert not client.transition(Transition.TRANSITION_ACTIVATE), "not possible from here"

    for _ in range(2):
        assert client.transition(Transition.TRANSITION_CONFIGURE)
        assert client.state() == State.PRIMARY_STATE_INACTIVE
        assert node.worker() is not None
        assert not client.send(INSTRUCTION).accepted, "inactive: goals are rejected"
        assert client.transition(Transition.TRANSITION_ACTIVATE)
        time.sleep(SILENCE_S)
        assert client.transition(Transition.TRANSITION_DEACTIVATE)
        assert client.state() == State.PRIMARY_STATE_INACTIVE
        assert client.transition(Transition.TRANSITION_CLEANUP)
        assert client.state() == State.PRIMARY_STATE_UNCONFIGURED
        assert node.worker() is None
    assert published(robot) == 0

    assert client.transition(Transition.TRANSITION_CONFIGURE)
    assert client.transition(Transition.TRANSITION_ACTIVATE)
    assert client.transition(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert client.state() == State.PRIMARY_STATE_FINALIZED
    assert node.worker() is None
    assert published(robot) == 0
    assert node.end() == 0
    assert "Traceback" not in node.log
    assert len(node.lines("no transition")) == 1


def test_an_unconfigured_node_ends_cleanly_on_an_interrupt(start, client):
    node = start()
    assert client.state() == State.PRIMARY_STATE_UNCONFIGURED
    node.signal(signal.SIGINT)
    assert node.wait() == 0
    assert "Traceback" not in node.log


@pytest.mark.skipif(sys.platform != "linux", reason="needs tgkill of Linux")
def test_a_signal_that_reaches_another_thread_ends_the_node_too(start, client):
    node = start()
    client.state()
    listening = [
        int(task.name)
        for task in Path(f"/proc/{node.pid}/task").iterdir()
        if "SigBlk:\t0000000000000000" in (task / "status").read_text()
    ]
    other = max(listening)  # the main thread has the smallest number
    assert other != node.pid
    assert ctypes.CDLL(None).tgkill(node.pid, other, signal.SIGTERM) == 0
    assert node.wait() == 0


def test_configure_fails_with_one_clear_line_and_can_be_repeated(start, client, files, tmp_path):
    other = tmp_path / "other.yaml"
    values = contract().to_dict()
    values["name"] = "other_robot"
    values["streams"][0]["decoder"].update(height_px=48, width_px=64)
    other.write_text(contract(**values).to_yaml())
    damaged = bundle(tmp_path, approach_graph())
    (damaged / "policy.onnx").write_bytes(b"not a graph")

    node = start()
    for settings, expected in (
        ({"policy": str(tmp_path / "nowhere")}, ["nowhere", "does not exist", "vla export"]),
        ({"policy": ""}, ["parameter policy is empty", "-p policy:=PATH"]),
        ({"policy": str(damaged)}, ["policy.onnx is damaged"]),
        (
            {"policy": str(files["approach"]), "contract": str(other)},
            ["(24, 32, 3) in the bundle", "(48, 64, 3) live", "'test_robot'", "'other_robot'"],
        ),
        ({"contract": str(tmp_path / "none.yaml")}, ["none.yaml", "cannot be read"]),
        (
            {"contract": str(files["contract"]), "inference_rate_hz": 2.0},
            ["a chunk every 10 actions, but a chunk has 10"],
        ),
    ):
        before = len(node.log.splitlines())
        assert client.set(**settings) == []
        assert not client.transition(Transition.TRANSITION_CONFIGURE)
        assert client.state() == State.PRIMARY_STATE_UNCONFIGURED
        assert node.worker() is None
        wait_until(lambda before=before: len(node.log.splitlines()) > before)
        (line,) = node.log.splitlines()[before:]
        assert "[ERROR]" in line
        assert "cannot configure: " in line
        for text in expected:
            assert text in line

    assert client.set(inference_rate_hz=10.0) == []
    assert client.transition(Transition.TRANSITION_CONFIGURE)
    (reason,) = client.set(policy="elsewhere")
    assert "policy is read when the node is configured" in reason
    assert client.set(dock_timeout_s=12.0) == []
    assert client.set(dock_timeout_s=-1.0) != []
    assert client.set(runtime="abacus") == [
        "parameter runtime is 'abacus', expected one of onnx, torch, remote"
    ]


def test_a_graph_that_cannot_run_is_refused_at_configure(start, client, tmp_path):
    folder = tmp_path / "unusable"
    graph = approach_graph()
    graph.graph.output[0].name = "velocities"
    graph.graph.node[-1].output[0] = "velocities"
    node = start(policy="approach")
    assert client.set(policy=str(bundle(folder, graph))) == []
    assert not client.transition(Transition.TRANSITION_CONFIGURE)
    assert client.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert "the graph gives velocities, expected actions" in node.log


def test_a_policy_that_gives_nan_is_refused_at_configure(start, client):
    node = start(policy="broken")
    assert not client.transition(Transition.TRANSITION_CONFIGURE)
    assert "NaN or infinity" in node.log
    assert "Traceback" not in node.log


@pytest.mark.parametrize(
    ("parameter", "value", "text"),
    [("dock_timeout_s", "soon", "dock_timeout_s"), ("inference_threads", 0, "inference_threads")],
)
def test_a_parameter_that_makes_no_sense_is_one_line_and_an_exit_code(
    start, parameter, value, text
):
    node = start(**{parameter: value})
    assert node.wait() == 1
    (line,) = node.log.splitlines()
    assert line.startswith("vla_policy: error: ")
    assert text in line


def test_the_readme_lists_every_parameter_with_its_default():
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    for parameter in fields(PolicyParameters):
        default = "empty" if parameter.default == "" else f"`{parameter.default}`"
        assert f"| `{parameter.name}` | {default} | {parameter.metadata['description']}" in readme
