"""Faults of processes: nothing drives on, nothing is left behind."""

import signal
import time

import domain_coordinator
import psutil
import pytest
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import Transition
from policy_rig import Client, NodeProcess, is_gone, robot_in, wait, wait_until
from vla_msgs.action import Dock


@pytest.fixture
def driving(start, robot, client):
    """An active node and the handle of a goal that moves the robot."""
    node = start()
    client.activate()
    robot.reset(gap_m=3.0)
    handle = client.send()
    wait_until(lambda: any(command.v_mps > 0.1 for command in robot.commands))
    return node, handle


def test_the_limits_hold_whatever_the_policy_wants(start, robot, client):
    start(policy="fast")
    client.activate()
    robot.reset(gap_m=8.0)
    status, result = client.dock(timeout_s=2.5)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == Dock.Result.TIMEOUT
    assert max(command.v_mps for command in robot.commands) == pytest.approx(0.5)
    assert max(command.w_radps for command in robot.commands) == pytest.approx(0.4)
    assert any("velocity" in message.interventions for message in robot.statuses)


def test_a_killed_worker_stops_the_robot_and_is_replaced(driving, robot, client):
    node, handle = driving
    worker = node.worker()
    worker.kill()
    status, result = client.result(handle)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == Dock.Result.FAILED_TO_CONTROL
    assert f"inference process {worker.pid} was killed by SIGKILL" in result.error_msg
    wait_until(lambda: robot.commands[-1].v_mps == 0.0)
    assert len(node.lines("starting another")) == 1

    robot.reset(gap_m=0.1)
    status, _ = client.dock()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert node.worker().pid != worker.pid


def test_a_worker_that_is_stopped_stops_the_robot(start, robot, client):
    node = start()
    client.activate()
    robot.reset(gap_m=3.0)
    handle = client.send()
    wait_until(lambda: any(command.v_mps > 0.1 for command in robot.commands))
    worker = node.worker()
    worker.suspend()
    status, result = client.result(handle)
    assert status == GoalStatus.STATUS_ABORTED
    assert f"inference process {worker.pid} was stopped" in result.error_msg
    wait_until(lambda: robot.commands[-1].v_mps == 0.0)
    wait_until(lambda: is_gone(worker))


def test_termination_during_a_goal_ends_with_zero_and_without_orphans(driving, robot):
    node, handle = driving
    worker = node.worker()
    result = handle.get_result_async()
    node.signal(signal.SIGTERM)
    assert node.wait() == 0
    assert wait(result).result.error_code == Dock.Result.UNKNOWN
    wait_until(lambda: is_gone(worker))
    time.sleep(0.1)
    wait_until(lambda: robot.commands[-1].v_mps == 0.0)
    assert "Traceback" not in node.log
    assert "never retrieved" not in node.log


def test_the_worker_dies_with_a_killed_node(files, tmp_path):
    # A domain of its own: for a while the others would still see the services of the dead.
    with domain_coordinator.domain_id() as domain, robot_in(domain) as robot:
        paths = {"contract": files["contract"], "policy": files["approach"]}
        node = NodeProcess(tmp_path / "node.log", domain, **paths)
        client = Client(robot)
        client.activate()
        client.send()
        wait_until(lambda: any(command.v_mps > 0.1 for command in robot.commands))
        worker = node.worker()
        node.signal(signal.SIGKILL)
        assert node.wait() == -signal.SIGKILL
        wait_until(lambda: is_gone(worker))


def test_ending_the_node_while_it_configures_leaves_nothing(start, client):
    node = start()
    client.state()
    request = client.transition_async(Transition.TRANSITION_CONFIGURE)
    wait_until(lambda: node.worker() is not None)
    worker = node.worker()
    node.signal(signal.SIGTERM)
    assert node.wait() == 0
    wait_until(lambda: is_gone(worker))
    assert not psutil.pid_exists(worker.pid)
    assert "Traceback" not in node.log
    request.cancel()
