"""Goals of the `dock` action, served by the real node to a robot on DDS."""

import itertools
import signal
import time

import pytest
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from policy_rig import INSTRUCTION, NodeProcess, is_gone, isnan, wait_until
from vla_msgs.action import Dock

ACCELERATION_MPS2 = 1.0
ROUNDING = 1e-6


@pytest.fixture(scope="module")
def node(domain, files, client, tmp_path_factory):
    """An active node for all tests of this module."""
    log = tmp_path_factory.mktemp("docking") / "node.log"
    node = NodeProcess(log, domain, contract=files["contract"], policy=files["approach"])
    try:
        client.activate()
    except BaseException:
        node.end()  # or it would answer in the place of the next test's node
        raise
    yield node
    assert node.end() == 0
    assert "Traceback" not in node.log


@pytest.fixture(autouse=True)
def _defaults(node, client):
    assert node.pid
    defaults = {"initial_perception_timeout_s": 5.0, "charge_timeout_s": 5.0, "max_retries": 0}
    assert client.set(default_instruction="", **defaults) == []


def driving(robot):
    return any(command.v_mps > 0.1 for command in robot.commands)


def assert_ramps_down_and_falls_silent(robot):
    """The last commands go to zero step by step, stay there, and end."""
    wait_until(lambda: time.monotonic() - robot.commands[-1].time_s > 1.0)
    speeds = [command.v_mps for command in robot.commands]
    assert speeds[-1] == 0.0
    assert speeds[-3:] == [0.0] * 3, "zero is held for a while"
    assert_acceleration_is_limited(robot.commands)


def assert_acceleration_is_limited(commands):
    for before, after in itertools.pairwise(commands):
        elapsed_s = 1e-9 * (after.stamp_ns - before.stamp_ns)
        assert elapsed_s > 0.0
        assert abs(after.v_mps - before.v_mps) <= ACCELERATION_MPS2 * elapsed_s + ROUNDING


def test_docks_and_is_verified(node, robot, client):
    robot.reset(gap_m=0.8)
    status, result = client.dock()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert result.success
    assert result.error_code == Dock.Result.NONE
    assert result.error_msg == ""
    assert abs(result.longitudinal_error_m) < 0.02
    assert result.lateral_error_m == 0.0
    assert 0.0 < result.contact_speed_mps < 0.3, "slower than on the way, also where it is late"
    assert result.docking_time_s > 2.0
    assert "docked: the battery charges" in result.termination_reason
    assert_ramps_down_and_falls_silent(robot)

    commands = robot.commands
    assert max(command.v_mps for command in commands) == pytest.approx(0.3), "the chunk's speed"
    assert {command.frame_id for command in commands} == {"base_link"}
    first_s, last_s = commands[0].time_s, commands[-1].time_s
    stamps_s = [1e-9 * command.stamp_ns for command in commands]  # when they were sent
    rate_hz = (len(commands) - 1) / (stamps_s[-1] - stamps_s[0])
    assert rate_hz < 1.05 * 20.0
    # A busy machine makes every timer skip periods: the robot's own 20 Hz are the measure.
    robot_steps = sum(first_s <= step_s <= last_s for step_s in robot.step_times_s)
    assert len(commands) > 0.6 * robot_steps

    times = [time_s for time_s, _ in client.feedback]
    assert len(times) > 0.25 * robot_steps, "5 Hz or more"
    last = client.feedback[-1][1]
    assert [stream.key for stream in last.streams] == ["image", "scan", "odometry"]
    assert all(stream.valid for stream in last.streams)
    assert 0.0 < last.inference_latency_s < 1.0
    assert last.distance_m < 0.02
    states = {feedback.state for _, feedback in client.feedback}
    assert Dock.Feedback.CONTROLLING in states

    moving = [message for message in robot.statuses if len(message.command)]
    assert moving[0].instruction == INSTRUCTION
    assert (moving[0].horizon, moving[0].action_size, len(moving[0].chunk)) == (10, 2, 20)
    assert moving[0].chunk_stamp.sec > 0
    assert any("acceleration" in message.interventions for message in moving)


def test_without_a_pose_source_the_battery_and_the_odometry_decide(robot, client):
    robot.reset(gap_m=0.2)
    robot.silent = {"dock_pose"}
    time.sleep(0.6)  # the last pose has to age first
    status, result = client.dock()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert isnan(result.longitudinal_error_m, result.lateral_error_m, result.yaw_error_rad)
    assert "pose not measured" in result.termination_reason


def test_a_dead_battery_state_is_no_dock(robot, client):
    robot.reset(gap_m=0.1)
    robot.charges = False
    assert client.set(charge_timeout_s=0.5) == []
    status, result = client.dock()
    assert status == GoalStatus.STATUS_ABORTED
    assert not result.success
    assert result.error_code == Dock.Result.FAILED_TO_CHARGE
    assert "does not charge" in result.error_msg
    assert isnan(result.contact_speed_mps)
    states = [feedback.state for _, feedback in client.feedback]
    assert Dock.Feedback.WAIT_FOR_CHARGE in states


def test_a_retry_backs_off_and_comes_in_again(robot, client):
    robot.reset(gap_m=0.1)
    robot.charges = False
    assert client.set(charge_timeout_s=0.5, max_retries=1, retry_backoff_m=0.1) == []
    status, result = client.dock()
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == Dock.Result.FAILED_TO_CHARGE
    assert result.num_retries == 1
    speeds = [command.v_mps for command in robot.commands]
    assert -0.1 - ROUNDING <= min(speeds) < -0.05, "slowly at first and at the end"
    assert any(speed > 0.05 for speed in speeds[speeds.index(min(speeds)) :])


def test_cancel_ramps_down(robot, client):
    handle = client.send()
    wait_until(lambda: driving(robot))
    cancel = handle.cancel_goal_async()
    status, result = client.result(handle)
    assert len(cancel.result().goals_canceling) == 1
    assert status == GoalStatus.STATUS_CANCELED
    assert not result.success
    assert result.error_code == Dock.Result.CANCELED
    assert "canceled" in result.termination_reason
    assert_ramps_down_and_falls_silent(robot)


@pytest.mark.parametrize("silent", ["scan", "odometry"])
def test_a_stream_that_dies_on_the_way_stops_the_robot_by_name(robot, client, silent):
    robot.reset(gap_m=3.0)
    handle = client.send()
    wait_until(lambda: driving(robot))
    robot.silent = {silent}
    status, result = client.result(handle)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == Dock.Result.FAILED_TO_CONTROL
    topic = {"scan": "scan", "odometry": "odom"}[silent]
    assert f"{silent} ({topic}) is " in result.error_msg
    assert any("stale" in message.interventions for message in robot.statuses)
    wait_until(lambda: time.monotonic() - robot.commands[-1].time_s > 1.0)
    speeds = [command.v_mps for command in robot.commands]
    assert speeds[-3:] == [0.0] * 3, "zero is held for a while"


def test_streams_that_are_missing_from_the_start_fail_without_a_command(robot, client):
    robot.silent = {"image"}
    time.sleep(1.1)  # the last image has to age first
    assert client.set(initial_perception_timeout_s=0.5) == []
    status, result = client.dock()
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == Dock.Result.FAILED_TO_DETECT_DOCK
    assert "image (camera/image_raw) is " in result.error_msg
    time.sleep(0.3)
    assert robot.commands == []


@pytest.mark.parametrize(
    ("goal", "code", "text"),
    [
        ({"instruction": "  "}, Dock.Result.DOCK_NOT_VALID, "no instruction"),
        ({"instruction": "make coffee"}, Dock.Result.DOCK_NOT_VALID, "knows no word"),
        ({"instruction": "", "dock_id": "a7"}, Dock.Result.DOCK_NOT_IN_DB, "'a7' is unknown"),
        ({"timeout_s": -1.0}, Dock.Result.DOCK_NOT_VALID, "timeout_s is -1.0"),
        ({"timeout_s": float("nan")}, Dock.Result.DOCK_NOT_VALID, "timeout_s is nan"),
    ],
)
def test_goals_that_cannot_be_served_say_why(robot, client, goal, code, text):
    status, result = client.dock(**{"instruction": INSTRUCTION, **goal})
    assert status == GoalStatus.STATUS_ABORTED
    assert not result.success
    assert result.error_code == code
    assert text in result.error_msg
    assert robot.commands == []


def test_the_default_instruction_serves_a_goal_without_one(robot, client):
    robot.reset(gap_m=0.1)
    assert client.set(default_instruction=INSTRUCTION) == []
    status, _ = client.dock("")
    assert status == GoalStatus.STATUS_SUCCEEDED


def test_diagnostics_name_the_streams_and_their_state(robot):
    received = []
    subscription = robot.node.create_subscription(
        DiagnosticArray, "/diagnostics", received.append, 10
    )

    def levels():
        return {status.name: status.level for status in received[-1].status} if received else {}

    try:
        robot.silent = {"scan"}
        expected = {
            "vla_policy: policy": DiagnosticStatus.OK,
            "vla_policy: safety": DiagnosticStatus.OK,
            "vla_policy: image": DiagnosticStatus.OK,
            "vla_policy: scan": DiagnosticStatus.ERROR,
            "vla_policy: odometry": DiagnosticStatus.OK,
            "vla_policy: inference latency": DiagnosticStatus.OK,
            "vla_policy: confidence": DiagnosticStatus.OK,
        }
        wait_until(lambda: levels() == expected)
    finally:
        robot.node.destroy_subscription(subscription)
    by_name = {status.name: status for status in received[-1].status}
    assert by_name["vla_policy: policy"].message == "waiting for a goal"
    values = {pair.key: pair.value for pair in by_name["vla_policy: image"].values}
    assert float(values["rate [1/s]"]) > 1.0
    assert float(values["age [s]"]) <= 1.0


def test_an_interrupt_from_the_keyboard_leaves_the_worker_alone(node):
    worker = node.worker()
    worker.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert not is_gone(worker)


def test_deactivating_stops_at_once_and_aborts_the_goal(node, robot, client):
    handle = client.send()
    wait_until(lambda: driving(robot))
    assert client.transition(Transition.TRANSITION_DEACTIVATE)
    status, result = client.result(handle)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == Dock.Result.UNKNOWN
    assert "no longer active" in result.error_msg
    count = len(robot.commands)
    wait_until(lambda: robot.commands[-1].v_mps == 0.0)
    assert robot.commands[-2].v_mps > 0.0, "one final zero"
    time.sleep(0.3)
    assert len(robot.commands) == count
    assert node.lines("period error of")
    assert client.transition(Transition.TRANSITION_ACTIVATE)
