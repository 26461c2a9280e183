"""The same bytes give the same arrays as rclpy messages and as rosbags messages."""

import core_builders as cb
import numpy as np
import pytest

from vla_core.contract import Contract
from vla_core.decoding import (
    action_from_message,
    decode,
    dock_pose_from_message,
    reading_from_message,
    stamp_ns_of,
)

pytest.importorskip("rclpy", reason="needs ROS 2")
rosbags = pytest.importorskip("rosbags.typesys", reason="needs rosbags")

from geometry_msgs.msg import PoseStamped, TwistStamped  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from sensor_msgs.msg import Image, LaserScan  # noqa: E402

CONTRACT = Contract.from_dict(cb.contract_dict())
STAMP_NS = 1_234_567_890_123


@pytest.fixture(scope="module")
def typestore():
    return rosbags.get_typestore(rosbags.Stores.ROS2_JAZZY)


def stamped(message):
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(STAMP_NS, 1_000_000_000)
    return message


def image():
    message = stamped(Image(height=12, width=16, encoding="bgr8", step=50))
    message.data = np.random.default_rng(0).integers(0, 256, 600, np.uint8).tobytes()
    return message


def scan():
    message = stamped(LaserScan(angle_min=-2.0, angle_increment=0.1, range_min=0.05, range_max=9.0))
    ranges = np.random.default_rng(1).uniform(0, 10, 41).astype(np.float32)
    ranges[3], ranges[9] = np.nan, np.inf
    message.ranges = ranges.tolist()
    return message


def odometry():
    message = stamped(Odometry())
    message.twist.twist.linear.x, message.twist.twist.angular.z = 0.1, -0.7
    return message


@pytest.mark.parametrize("make", [image, scan, odometry], ids=lambda make: make.__name__)
def test_live_and_recorded_messages_give_the_same_bits(make, typestore):
    stream = CONTRACT.stream(make.__name__)
    live = make()
    recorded = typestore.deserialize_cdr(serialize_message(live), stream.type)
    assert type(recorded) is not type(live)
    arrays = [decode(stream, reading_from_message(stream, message)) for message in (live, recorded)]
    assert arrays[0].tobytes() == arrays[1].tobytes()
    assert len(np.unique(arrays[0])) > 1
    assert stamp_ns_of(live) == stamp_ns_of(recorded) == STAMP_NS


def test_labels_are_the_same_live_and_recorded(typestore):
    live = stamped(TwistStamped())
    live.twist.linear.x, live.twist.angular.z = 0.3, -0.1
    recorded = typestore.deserialize_cdr(serialize_message(live), "geometry_msgs/msg/TwistStamped")
    actions = [action_from_message(CONTRACT.action, message) for message in (live, recorded)]
    assert actions[0].tobytes() == actions[1].tobytes()

    pose = stamped(PoseStamped())
    pose.pose.position.x, pose.pose.orientation.z, pose.pose.orientation.w = 1.5, 0.6, 0.8
    recorded = typestore.deserialize_cdr(serialize_message(pose), "geometry_msgs/msg/PoseStamped")
    assert dock_pose_from_message(pose) == dock_pose_from_message(recorded)
