"""A person takes the robot over in the middle of a goal, and gives it back."""

import time
from dataclasses import replace

import pytest
from action_msgs.msg import GoalStatus
from policy_rig import wait_until
from rclpy.callback_groups import ReentrantCallbackGroup
from test_docking_progress import DOCKED_POSE, DRIVING, STANDING, Backing, Run
from test_undocking_progress import Robot
from vla_msgs.msg import Driver

from vla_policy_node.docking.driver_watch import DriverWatch
from vla_policy_node.docking.goal import Motion, Phase
from vla_policy_node.errors import Canceled, DockTimeout, FailedToControl

BY_HAND = replace(DRIVING, person_drives=True)


def test_time_stands_still_and_the_policy_begins_anew():
    run = Run(timeout_s=5.0, perception_timeout_s=2.0).drive()
    elapsed_s = run.progress.elapsed_s
    run.step(BY_HAND, 60.0)
    assert run.progress.outcome is None
    assert run.progress.elapsed_s == pytest.approx(elapsed_s)
    assert (run.motion, run.phase) == (Motion.WAIT, Phase.INITIAL_PERCEPTION)
    run.step(DRIVING)  # not before the robot stands: what it was told last may not go on
    assert run.motion is Motion.WAIT
    run.step(STANDING)
    assert run.motion is Motion.FOLLOW
    run.step(DRIVING, 60.0)
    assert isinstance(run.progress.outcome.error, DockTimeout)
    assert 5.0 <= run.progress.elapsed_s < 9.0  # with the stop at the end


def test_person_who_stands_still_makes_no_retry():
    run = Backing(max_retries=1, charge_timeout_s=1.0, retry_backoff_m=0.3).drive()
    run.step(replace(STANDING, person_drives=True), 10.0)
    assert run.progress.num_retries == 0
    assert run.phase is Phase.INITIAL_PERCEPTION
    assert run.progress.outcome is None


def test_robot_that_the_person_docks_is_docked():
    run = Run().drive()
    run.step(BY_HAND, 40.0)
    docked = replace(STANDING, dock_from_base=DOCKED_POSE, charging=True, person_drives=True)
    run.step(docked, 3.0)
    assert run.progress.outcome.success


def test_what_ends_a_goal_ends_it_by_hand_too():
    run = Run().drive()
    run.step(replace(BY_HAND, interruption=Canceled("canceled by the client"), at_rest=True), 1.0)
    assert run.progress.outcome.canceled


def test_undocking_waits_before_it_has_begun_and_ends_on_its_way():
    robot = Robot(perception_timeout_s=1.0)
    robot.step(5.0, person_drives=True, odometry=None)
    assert robot.progress.outcome is None
    robot = Robot()
    robot.step(0.5)
    assert robot.progress.phase is Phase.CONTROLLING
    outcome = robot.step(5.0, person_drives=True)
    assert isinstance(outcome.error, FailedToControl)
    assert "a person has taken over after" in outcome.reason


def test_driver_is_believed_for_as_long_as_it_is_said():
    now_s = 100.0
    watch = DriverWatch(lambda: now_s)
    assert not watch.person_drives
    watch.hear("person")
    now_s += 2.0
    assert watch.person_drives
    now_s += 2.0
    assert not watch.person_drives  # the mux is gone
    watch.hear("policy")
    assert not watch.person_drives


@pytest.fixture
def drives(robot):
    """Says again and again who drives, as the command mux does; call it to change that."""
    publisher = robot.node.create_publisher(Driver, "driver", 10)
    said = ["policy"]
    timer = robot.node.create_timer(
        0.2, lambda: publisher.publish(Driver(driver=said[-1])), ReentrantCallbackGroup()
    )
    yield said.append
    robot.node.destroy_timer(timer)
    robot.node.destroy_publisher(publisher)


def test_a_docking_waits_for_the_person_for_longer_than_its_timeout(start, robot, client, drives):
    timeout_s = 8.0
    node = start()
    client.activate()
    robot.reset(gap_m=5.0)
    handle = client.send(timeout_s=timeout_s)
    wait_until(lambda: any(command.v_mps > 0.1 for command in robot.commands))
    drives("person")
    wait_until(lambda: node.lines("a person has taken over"))
    wait_until(lambda: robot.commands[-1].v_mps == 0.0)
    time.sleep(timeout_s)
    assert not node.lines("goal failed")
    robot.gap_m = 0.2  # where the person leaves it
    drives("policy")
    wait_until(lambda: node.lines("given back"))
    status, result = client.result(handle)
    assert status == GoalStatus.STATUS_SUCCEEDED, result.error_msg
    assert result.docking_time_s < timeout_s
