"""Emergency stop, a graph that differs, and what is shown, with the real processes."""

import itertools
import time

import pytest
import rclpy
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from policy_rig import wait_until
from rclpy.callback_groups import ReentrantCallbackGroup
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Bool
from vla_msgs.action import Dock
from vla_msgs.msg import ActionChunk


@pytest.fixture
def emergency_stop(robot):
    publisher = robot.node.create_publisher(Bool, "emergency_stop", 10)
    yield lambda pressed: publisher.publish(Bool(data=pressed))
    robot.node.destroy_publisher(publisher)


@pytest.fixture
def heard(robot):
    """Subscribes the robot's side to a topic; gives the list of messages."""
    subscriptions = []

    def listen(kind, topic):
        messages = []
        group = ReentrantCallbackGroup()
        subscriptions.append(
            robot.node.create_subscription(kind, topic, messages.append, 50, callback_group=group)
        )
        return messages

    yield listen
    for subscription in subscriptions:
        robot.node.destroy_subscription(subscription)


def test_an_emergency_stop_ends_the_goal_and_only_a_new_goal_moves_the_robot(
    start, robot, client, emergency_stop, heard
):
    start()
    client.activate()
    robot.reset(gap_m=3.0)
    chunks = heard(ActionChunk, "vla_policy/action_chunk")
    diagnostics = heard(DiagnosticArray, "/diagnostics")
    handle = client.send()
    wait_until(lambda: any(command.v_mps > 0.2 for command in robot.commands))
    pressed_s = time.monotonic()
    emergency_stop(True)
    status, result = client.result(handle)
    stopped_s = next(
        command.time_s
        for command in robot.commands
        if command.time_s > pressed_s and command.v_mps == 0.0
    )
    # The robot's own steps of 0.05 s tell how starved the machine is.
    steps_s = [step_s for step_s in robot.step_times_s if step_s > pressed_s - 0.1]
    longest_s = max(b - a for a, b in itertools.pairwise(steps_s))
    assert stopped_s - pressed_s < 0.5 + 4.0 * longest_s, "within one period where it is not"
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == Dock.Result.EMERGENCY_STOP
    assert "emergency stop (emergency_stop) is pressed" in result.error_msg
    after = [command.v_mps for command in robot.commands if command.time_s > stopped_s]
    assert not any(after)
    wait_until(
        lambda: any(
            "emergency stop" in each.message for array in diagnostics for each in array.status
        )
    )

    status, result = client.dock()
    assert result.error_code == Dock.Result.EMERGENCY_STOP, "still pressed"
    emergency_stop(False)
    time.sleep(1.0)
    before = len(robot.commands)
    assert not any(command.v_mps for command in robot.commands[before:])
    robot.reset(gap_m=0.1)
    status, _ = client.dock()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert chunks
    assert chunks[0].fields == ["linear.x", "angular.z"]
    names = {each.name for array in diagnostics for each in array.status}
    assert {"vla_policy: safety", "vla_policy: inference latency"} <= names


def test_a_goal_on_a_graph_that_differs_is_refused_by_name(start, robot, client):
    start()
    client.activate()
    robot.base_frame = "imu_link"
    wait_until(lambda: robot.step_times_s[-1] > time.monotonic() - 0.2)
    time.sleep(0.3)
    status, result = client.dock()
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == Dock.Result.GRAPH_MISMATCH
    assert result.error_msg == "odometry (odom): measured in frame 'imu_link', 'base_link' expected"
    assert not robot.commands


@pytest.fixture
def compressed_camera(domain):
    """Another camera driver on the topic of the first; DDS wants it to be another participant."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("camera_driver", context=context)
    node.create_publisher(CompressedImage, "camera/image_raw", 5)
    yield
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.usefixtures("compressed_camera")
def test_a_stream_of_another_type_is_refused_on_configure(start, client):
    node = start()
    client.state()
    assert not client.transition(Transition.TRANSITION_CONFIGURE)
    (line,) = node.lines("cannot configure")
    assert line.endswith(
        "cannot configure: image (camera/image_raw): camera_driver publishes "
        "sensor_msgs/msg/CompressedImage, sensor_msgs/msg/Image expected"
    )
    assert client.state() == State.PRIMARY_STATE_UNCONFIGURED
