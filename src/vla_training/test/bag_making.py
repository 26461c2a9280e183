"""Small real bags for the tests: the expert's drives, written as the recorder writes them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from vla_core.contract import Contract
from vla_core.decoding import ImageReading, OdometryReading, ScanReading
from vla_core.geometry import Pose2D
from vla_simulation.controllers.expert import expert_action
from vla_simulation.environment import DockingEnv

TYPES = get_typestore(Stores.ROS2_JAZZY)
T = {name.rsplit("/", 1)[-1]: kind for name, kind in TYPES.types.items() if "/msg/" in name}
CONTRACT_TEXT = """
name: test_amr
version: 1
robot: test_amr
base_frame: base_link
dock_pose_topic: ground_truth/dock_pose
streams:
  - {key: image, topic: camera/image_raw, type: sensor_msgs/msg/Image, unit: RGB 0-255,
     qos: {reliability: best_effort, durability: volatile, depth: 5}, rate_hz: 20,
     max_age_s: 0.25, decoder: {height_px: 48, width_px: 64}}
  - {key: scan, topic: scan, type: sensor_msgs/msg/LaserScan, unit: m,
     qos: {reliability: best_effort, durability: volatile, depth: 5}, rate_hz: 20,
     max_age_s: 0.25, decoder: {beams: 36, angle_min_rad: -2.0943951023931953,
     angle_max_rad: 2.0943951023931953, range_min_m: 0.05, range_max_m: 8.0}}
  - {key: odometry, topic: odom, type: nav_msgs/msg/Odometry, unit: "m/s, rad/s",
     qos: {reliability: best_effort, durability: volatile, depth: 10}, rate_hz: 20,
     max_age_s: 0.25, decoder: {fields: [linear.x, angular.z]}}
action:
  topic: cmd_vel
  type: geometry_msgs/msg/TwistStamped
  label_topic: expert/cmd_vel
  rate_hz: 20
  chunk_length: 10
  fields:
    - {field: linear.x, unit: m/s, low: -0.3, high: 0.5, max_acceleration: 1.0, deadband: 0.0}
    - {field: angular.z, unit: rad/s, low: -1.0, high: 1.0, max_acceleration: 3.0, deadband: 0.0}
"""
PERIOD_NS = 50_000_000
START_NS = 1_700_000_000_000_000_000


def make_contract() -> Contract:
    return Contract.from_yaml(CONTRACT_TEXT)


@dataclass
class Message:
    """One message to write; `received_ns` defaults to a moment after its stamp."""

    topic: str
    stamp_ns: int
    message: Any
    received_ns: int | None = None


@dataclass
class Recording:
    """What a simulated drive left behind: messages, and what they were made of."""

    seed: int
    instruction: str
    messages: list[Message] = field(default_factory=list)
    readings: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    labels: list[tuple[float, float]] = field(default_factory=list)
    poses: list[Pose2D] = field(default_factory=list)


def header(stamp_ns: int, frame: str = "base_link") -> Any:
    stamp = T["Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return T["Header"](stamp=stamp, frame_id=frame)


def twist(linear: float, angular: float) -> Any:
    vector = T["Vector3"]
    return T["Twist"](linear=vector(linear, 0.0, 0.0), angular=vector(0.0, 0.0, angular))


def twist_stamped(stamp_ns: int, linear: float, angular: float) -> Any:
    return T["TwistStamped"](header=header(stamp_ns), twist=twist(linear, angular))


def pose_message(pose: Pose2D) -> Any:
    return T["Pose"](
        position=T["Point"](pose.x, pose.y, 0.0), orientation=T["Quaternion"](*pose.quaternion())
    )


def image_message(stamp_ns: int, reading: ImageReading) -> Any:
    height, width, _ = reading.rgb.shape
    return T["Image"](
        header=header(stamp_ns, "camera_optical_frame"),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(reading.rgb).reshape(-1),
    )


def scan_message(stamp_ns: int, reading: ScanReading) -> Any:
    return T["LaserScan"](
        header=header(stamp_ns, "scanner"),
        angle_min=reading.angle_min,
        angle_max=reading.angle_min + reading.angle_increment * (len(reading.ranges) - 1),
        angle_increment=reading.angle_increment,
        time_increment=0.0,
        scan_time=0.05,
        range_min=reading.range_min,
        range_max=reading.range_max,
        ranges=reading.ranges.astype(np.float32),
        intensities=np.zeros(0, np.float32),
    )


def odometry_message(stamp_ns: int, reading: OdometryReading) -> Any:
    return T["Odometry"](
        header=header(stamp_ns, "odom"),
        child_frame_id="base_link",
        pose=T["PoseWithCovariance"](pose=pose_message(Pose2D()), covariance=np.zeros(36)),
        twist=T["TwistWithCovariance"](
            twist=twist(reading.linear_x, reading.angular_z), covariance=np.zeros(36)
        ),
    )


def record(env: DockingEnv, seed: int, ticks: int, start_ns: int = START_NS) -> Recording:
    """Drive with the expert for some ticks and keep everything, stamped from `start_ns` on."""
    env.reset(seed=seed)
    recording = Recording(seed, env.instruction)
    for tick in range(ticks):
        stamp_ns = start_ns + tick * PERIOD_NS
        readings, pose = env.readings(), env.truth.dock_from_base
        action = tuple(np.clip(expert_action(pose), [-0.3, -1.0], [0.5, 1.0]).tolist())
        recording.readings.append((stamp_ns, readings))
        recording.labels.append(action)
        recording.poses.append(pose.inverse())
        dock = T["PoseStamped"](header=header(stamp_ns), pose=pose_message(pose.inverse()))
        recording.messages += [
            Message("/camera/image_raw", stamp_ns, image_message(stamp_ns, readings["image"])),
            Message("/scan", stamp_ns, scan_message(stamp_ns, readings["scan"])),
            Message("/odom", stamp_ns, odometry_message(stamp_ns, readings["odometry"])),
            Message("/ground_truth/dock_pose", stamp_ns, dock),
            Message("/expert/cmd_vel", stamp_ns, twist_stamped(stamp_ns, *action)),
            Message("/cmd_vel", stamp_ns, twist_stamped(stamp_ns, action[0] + 0.01, action[1])),
        ]
        env.step(np.array(action, np.float32))
    return recording


def write_bag(path: Path, messages: list[Message], metadata: dict[str, str] | None = None) -> Path:
    """Write messages in order of reception as a bag with custom metadata."""
    arrivals = [
        (m.stamp_ns + 3_000_000 if m.received_ns is None else m.received_ns, index, m)
        for index, m in enumerate(messages)
    ]
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for key, value in (metadata or {}).items():
            writer.set_custom_data(key, value)
        connections: dict[str, Any] = {}
        for received_ns, _, message in sorted(arrivals, key=lambda arrival: arrival[:2]):
            kind = message.message.__msgtype__
            if message.topic not in connections:
                connections[message.topic] = writer.add_connection(
                    message.topic, kind, typestore=TYPES
                )
            data = TYPES.serialize_cdr(message.message, kind)
            writer.write(connections[message.topic], received_ns, data)
    return path


def write_recording(
    path: Path, recording: Recording, outcome: str = "success", **changes: str
) -> Path:
    metadata = {
        "vla.instruction": recording.instruction,
        "vla.outcome": outcome,
        "vla.operator": "expert",
        "vla.seed": str(recording.seed),
        **changes,
    }
    return write_bag(path, recording.messages, metadata)
