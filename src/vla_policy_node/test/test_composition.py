"""Policy nodes in one process with each other and with another node: none disturbs the rest."""

from pathlib import Path

import psutil
import pytest
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import State, Transition
from policy_rig import Client, NodeProcess, is_gone, wait_until
from std_msgs.msg import UInt64

from vla_policy_node.composition import GarbagePause

CONFIGURE = Transition.TRANSITION_CONFIGURE
ACTIVATE = Transition.TRANSITION_ACTIVATE
DEACTIVATE = Transition.TRANSITION_DEACTIVATE
CLEANUP = Transition.TRANSITION_CLEANUP
ROUNDS = 2


@pytest.fixture
def counts(robot):
    received = []
    subscription = robot.node.create_subscription(
        UInt64, "count", lambda message: received.append(message.data), 10
    )
    yield received
    robot.node.destroy_subscription(subscription)


def test_two_policies_and_another_node_share_a_process(
    robot, client, counts, domain, files, tmp_path
):
    node = NodeProcess(
        tmp_path / "composed.log",
        domain,
        program=[str(Path(__file__).with_name("composed_nodes.py"))],
        contract=files["contract"],
        policy=files["approach"],
    )
    other = Client(robot, "other")
    try:
        client.activate()
        other.activate()
        children = psutil.Process(node.pid).children()
        assert len(children) == 6, "inference, control and watchdog of each"

        # The other one goes through its transitions while this one drives.
        handle = client.send()
        assert handle.accepted
        wait_until(lambda: any(command.v_mps > 0.03 for command in robot.commands))
        begun = counts[-1]
        assert other.transition(DEACTIVATE)
        assert other.transition(CLEANUP)
        status, result = client.result(handle)
        assert status == GoalStatus.STATUS_SUCCEEDED
        assert result.success

        for _ in range(ROUNDS):
            for transition in (CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP):
                assert other.transition(transition)
        assert other.state() == State.PRIMARY_STATE_UNCONFIGURED
        assert client.state() == State.PRIMARY_STATE_ACTIVE
        assert len(psutil.Process(node.pid).children()) == 3

        # The third node has not missed a beat that mattered.
        wait_until(lambda: counts[-1] > begun + 10)
        robot.reset()
        assert client.dock()[0] == GoalStatus.STATUS_SUCCEEDED
    finally:
        exit_code = node.end()
        print(node.log)
    assert exit_code == 0
    assert "Traceback" not in node.log
    assert all(is_gone(child) for child in children)


def test_garbage_is_left_alone_until_the_last_node_is_inactive(monkeypatch):
    calls = []
    for name in ("collect", "freeze", "unfreeze"):
        monkeypatch.setattr(f"gc.{name}", lambda name=name: calls.append(name))
    pause = GarbagePause()
    pause.begin()
    pause.begin()
    pause.end()
    assert calls == ["collect", "freeze"] * 2
    pause.end()
    assert calls[-1] == "unfreeze"
