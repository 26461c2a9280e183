"""Small real bags: messages built and serialised as a robot would send them."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from vla_core.contract import Contract

STORE = get_typestore(Stores.ROS2_JAZZY)
PERIOD_NS = 50_000_000
START_NS = 1_700_000_000_000_000_000
IMAGE_HEIGHT, IMAGE_WIDTH = 12, 16
BEAMS = 8

CONTRACT_YAML = """
name: test_robot
version: 1
robot: test_robot
dock_pose_topic: ground_truth/dock_pose
streams:
  - key: image
    topic: camera/image_raw
    type: sensor_msgs/msg/Image
    qos: {reliability: reliable, durability: volatile, depth: 5}
    unit: RGB 0-255
    rate_hz: 20
    max_age_s: 0.25
    normalization: mean_std
    decoder:
      height_px: 12
      width_px: 16
      crop_fraction: {top: 0.0, bottom: 0.0, left: 0.0, right: 0.0}
  - key: scan
    topic: scan
    type: sensor_msgs/msg/LaserScan
    qos: {reliability: reliable, durability: volatile, depth: 5}
    unit: m
    rate_hz: 20
    max_age_s: 0.25
    normalization: mean_std
    decoder:
      {beams: 4, angle_min_rad: -1.0, angle_max_rad: 1.0, range_min_m: 0.05, range_max_m: 8.0}
  - key: odometry
    topic: odom
    type: nav_msgs/msg/Odometry
    qos: {reliability: reliable, durability: volatile, depth: 5}
    unit: m/s, rad/s
    rate_hz: 20
    max_age_s: 0.25
    normalization: mean_std
    decoder: {fields: [linear.x, angular.z]}
base_frame: base_link
action:
  topic: cmd_vel
  type: geometry_msgs/msg/TwistStamped
  label_topic: expert/cmd_vel
  rate_hz: 20
  chunk_length: 10
  normalization: mean_std
  fields:
    - {field: linear.x, unit: m/s, low: -0.3, high: 0.5, max_acceleration: 1.0, deadband: 0.0}
    - {field: angular.z, unit: rad/s, low: -1.0, high: 1.0, max_acceleration: 3.0, deadband: 0.0}
"""


def contract() -> Contract:
    return Contract.from_yaml(CONTRACT_YAML)


def header(stamp_ns: int, frame: str = "base_link"):
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    time = STORE.types["builtin_interfaces/msg/Time"](seconds, nanoseconds)
    return STORE.types["std_msgs/msg/Header"](time, frame)


def image(stamp_ns: int, encoding: str = "rgb8"):
    data = np.arange(IMAGE_HEIGHT * IMAGE_WIDTH * 3, dtype=np.uint32) + stamp_ns // PERIOD_NS
    return STORE.types["sensor_msgs/msg/Image"](
        header(stamp_ns), IMAGE_HEIGHT, IMAGE_WIDTH, encoding, 0, IMAGE_WIDTH * 3, data.astype("u1")
    )


def scan(stamp_ns: int):
    ranges = np.linspace(1.0, 2.0, BEAMS, dtype=np.float32)
    step = 2.0 / (BEAMS - 1)
    empty = np.zeros(0, np.float32)
    kind = STORE.types["sensor_msgs/msg/LaserScan"]
    return kind(header(stamp_ns), -1.0, 1.0, step, 0.0, 0.05, 0.05, 10.0, ranges, empty)


def twist(v_mps: float, w_radps: float):
    vector = STORE.types["geometry_msgs/msg/Vector3"]
    return STORE.types["geometry_msgs/msg/Twist"](
        vector(v_mps, 0.0, 0.0), vector(0.0, 0.0, w_radps)
    )


def odometry(stamp_ns: int):
    types = STORE.types
    pose = types["geometry_msgs/msg/Pose"](
        types["geometry_msgs/msg/Point"](1.0, 2.0, 0.0),
        types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0),
    )
    return types["nav_msgs/msg/Odometry"](
        header(stamp_ns, "odom"),
        "base_link",
        types["geometry_msgs/msg/PoseWithCovariance"](pose, np.zeros(36)),
        types["geometry_msgs/msg/TwistWithCovariance"](twist(0.2, 0.1), np.zeros(36)),
    )


def command(stamp_ns: int):
    return STORE.types["geometry_msgs/msg/TwistStamped"](header(stamp_ns), twist(0.2, 0.1))


@dataclass
class Recording:
    """What a bag shall contain; a test spoils what it is about."""

    ticks: int = 40
    builders: dict = field(
        default_factory=lambda: {
            "/camera/image_raw": image,
            "/scan": scan,
            "/odom": odometry,
            "/cmd_vel": command,
        }
    )
    skipped: dict = field(default_factory=dict)  # topic: ticks without a message
    skew_ns: int = 2_000_000
    custom: dict = field(
        default_factory=lambda: {
            "vla.instruction": "dock at the orange charger",
            "vla.outcome": "success",
            "vla.contract": contract().to_yaml(),
        }
    )

    def write(self, path: Path, storage: StoragePlugin = StoragePlugin.MCAP) -> Path:
        with Writer(path, version=9, storage_plugin=storage) as writer:
            connections = {}
            for tick in range(self.ticks):
                stamp_ns = START_NS + tick * PERIOD_NS
                for topic, build in self.builders.items():
                    message = build(stamp_ns)
                    kind = message.__msgtype__
                    if topic not in connections:
                        connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
                    if tick not in self.skipped.get(topic, ()):
                        data = STORE.serialize_cdr(message, kind)
                        writer.write(connections[topic], stamp_ns + self.skew_ns, data)
            for key, value in self.custom.items():
                writer.set_custom_data(key, value)
        return path


def messages(bag):
    """Serialised messages by topic, and the custom metadata."""
    found = {}
    with AnyReader([bag]) as reader:
        for connection in reader.connections:
            found[connection.topic] = []
        for connection, _, data in reader.messages():
            found[connection.topic].append(data)
        custom = reader.readers[0].storage.metadata.custom
    return found, custom


def messages_by_mcap(bag):
    """Serialised messages by topic, as the reader of the mcap library finds them."""
    found = {}
    (file,) = bag.glob("*.mcap")
    with file.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        for channel in reader.get_summary().channels.values():
            found[channel.topic] = []
        for _, channel, message in reader.iter_messages():
            found[channel.topic].append(message.data)
    return found


def wait_until_flushed(writer, timeout_s=20.0):
    """Until everything that a `BagWriter` was given is on the disk."""
    deadline_s = time.monotonic() + timeout_s
    while writer.written_messages < writer.messages:
        assert time.monotonic() < deadline_s, "not written"
        time.sleep(0.002)
    due_s = writer._next_flush_s
    while writer._next_flush_s == due_s:
        assert time.monotonic() < deadline_s, "not flushed"
        time.sleep(0.002)
