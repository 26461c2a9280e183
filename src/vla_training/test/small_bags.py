"""Bags of a few kilobytes for tests that need many, and what has to come out of them."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from bag_making import (
    START_NS,
    TYPES,
    Message,
    T,
    header,
    image_message,
    odometry_message,
    pose_message,
    scan_message,
    twist_stamped,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from vla_core import keys
from vla_core.bag_checksums import write_checksums
from vla_core.contract import Contract
from vla_core.decoding import (
    ImageReading,
    OdometryReading,
    ScanReading,
    action_from_message,
    decode,
    dock_pose_from_message,
    reading_from_message,
    stamp_ns_of,
)
from vla_core.frames import MISSING_AGE_NS
from vla_core.geometry import Pose2D
from vla_recorder.durable_storage import DurableWriter
from vla_training.conversion.alignment import LABEL_MAX_AGE_NS, BagAlignment
from vla_training.conversion.bags import open_folder
from vla_training.conversion.messages import BagMessages
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    AGE_NS,
    DOCK_POSE,
    DOCK_POSE_VALID,
    TICK_NS,
    VALID,
    Rows,
    observation,
)

MS = 1_000_000
METADATA = {"vla.outcome": "success", "vla.instruction": "dock at the orange charger"}

SMALL_CONTRACT = Contract.from_yaml("""
name: small
version: 1
robot: small
base_frame: base_link
dock_pose_topic: dock_pose
streams:
  - {key: image, topic: camera/image_raw, type: sensor_msgs/msg/Image, unit: RGB 0-255,
     rate_hz: 20, max_age_s: 0.12, decoder: {height_px: 4, width_px: 6}}
  - {key: scan, topic: scan, type: sensor_msgs/msg/LaserScan, unit: m, rate_hz: 10,
     max_age_s: 0.25, decoder: {beams: 6, angle_min_rad: -2.0, angle_max_rad: 2.0,
     range_min_m: 0.05, range_max_m: 8.0}}
  - {key: odometry, topic: odom, type: nav_msgs/msg/Odometry, unit: "m/s, rad/s",
     rate_hz: 20, max_age_s: 0.12, decoder: {fields: [linear.x, angular.z]}}
action:
  topic: cmd_vel
  type: geometry_msgs/msg/TwistStamped
  label_topic: expert/cmd_vel
  rate_hz: 20
  chunk_length: 4
  fields:
    - {field: linear.x, unit: m/s, low: -0.3, high: 0.5, max_acceleration: 1.0}
    - {field: angular.z, unit: rad/s, low: -1.0, high: 1.0, max_acceleration: 3.0}
""")

TOPICS = {
    keys.IMAGE: "/camera/image_raw",
    keys.SCAN: "/scan",
    keys.ODOMETRY: "/odom",
    keys.ACTION: "/expert/cmd_vel",
    keys.DOCK_POSE: "/dock_pose",
}
KEYS = {topic: key for key, topic in TOPICS.items()}


def small_messages(ticks: int = 12, seed: int = 0) -> list[Message]:
    """A drive of some ticks, no two messages of which say the same; stamps off the ticks."""
    rng = np.random.default_rng(seed)
    messages = []
    for tick in range(ticks):
        at = START_NS + 50 * MS * tick
        image = ImageReading(rng.integers(0, 256, (7, 9, 3), np.uint8))
        odometry = OdometryReading(*rng.uniform(0.05, 0.5, 2))
        base_from_dock = Pose2D(*rng.uniform(-1.0, 1.0, 3))
        pose = T["PoseStamped"](header=header(at), pose=pose_message(base_from_dock))
        command = twist_stamped(at + 4 * MS, *rng.uniform(0.05, 0.3, 2))
        messages += [
            Message("/camera/image_raw", at + 3 * MS, image_message(at + 3 * MS, image)),
            Message("/odom", at + MS, odometry_message(at + MS, odometry)),
            Message("/expert/cmd_vel", at + 4 * MS, command),
            Message("/cmd_vel", at + 5 * MS, twist_stamped(at + 5 * MS, 9.0, 9.0)),
            Message("/dock_pose", at, pose),
        ]
        if tick % 2 == 0:
            ranges = rng.uniform(0.5, 7.0, 10).astype(np.float32)
            scan = ScanReading(ranges, -2.0, 0.4, 0.05, 8.0)
            messages.append(Message("/scan", at + 7 * MS, scan_message(at + 7 * MS, scan)))
    return messages


@dataclass(frozen=True)
class Storage:
    """One way to store a bag."""

    plugin: StoragePlugin = StoragePlugin.MCAP
    is_compressed: bool = False
    is_ours: bool = False


STORAGES = {
    "ours": Storage(is_ours=True),
    "ours, zstd": Storage(is_compressed=True, is_ours=True),
    "ours, sqlite3": Storage(StoragePlugin.SQLITE3, is_ours=True),
    "foreign": Storage(),
    "foreign, zstd": Storage(is_compressed=True),
    "foreign, sqlite3": Storage(StoragePlugin.SQLITE3),
}


def in_order_of_reception(messages: Sequence[Message]) -> list[Message]:
    """The messages with their times of reception, as a bag has them."""
    received = [
        replace(m, received_ns=m.stamp_ns + 2 * MS if m.received_ns is None else m.received_ns)
        for m in messages
    ]
    return sorted(received, key=lambda m: m.received_ns)


def write_small_bag(
    path: Path,
    messages: Sequence[Message],
    storage: Storage = STORAGES["foreign"],
    metadata: Mapping[str, str] = METADATA,
) -> Path:
    """Write a bag; one of ours as the recorder writes it, with checksums."""
    kind = DurableWriter if storage.is_ours else Writer
    writer = kind(path, version=9, storage_plugin=storage.plugin)
    if storage.is_compressed:
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        for key, value in metadata.items():
            writer.set_custom_data(key, value)
        connections: dict[tuple[str, str], Any] = {}
        for m in in_order_of_reception(messages):
            name = m.message.__msgtype__
            if (m.topic, name) not in connections:
                connections[m.topic, name] = writer.add_connection(m.topic, name, typestore=TYPES)
            data = TYPES.serialize_cdr(m.message, name)
            writer.write(connections[m.topic, name], m.received_ns, data)
    if storage.is_ours:
        write_checksums(path)
    return path


def copy_bag(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    return shutil.copytree(source, target)


def rows_of(path: Path, contract: Contract = SMALL_CONTRACT) -> tuple[Rows, Mapping[str, str]]:
    """The rows that the converter makes of a bag, and the metadata that it found."""
    with BagMessages(open_folder(path)) as bag:
        blocks = [
            {name: np.array(data) for name, data in rows.items()}
            for rows in BagAlignment(bag, contract).blocks(driver=0)
        ]
        rows = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
        return rows, bag.metadata.custom


def decoded(contract: Contract, key: str, message: Any) -> np.ndarray:
    """What a row holds of a message."""
    if key == keys.ACTION:
        return action_from_message(contract.action, message)
    if key == keys.DOCK_POSE:
        pose = dock_pose_from_message(message)
        return np.array([pose.x, pose.y, pose.yaw], np.float32)
    stream = contract.stream(key)
    return decode(stream, reading_from_message(stream, message))


def stamp_of(message: Message) -> int:
    stamp_ns = stamp_ns_of(message.message)
    return message.received_ns if stamp_ns is None else stamp_ns


def expected_rows(messages: Sequence[Message], contract: Contract = SMALL_CONTRACT) -> Rows:
    """Rows by the definition: of every stream the latest message stamped at or before the tick.

    One message after the other, with nothing in common with the converter but the decoding.
    """
    tracks: dict[str, list[tuple[int, Any]]] = {key: [] for key in TOPICS}
    for m in in_order_of_reception(messages):
        if m.topic in KEYS:
            tracks[KEYS[m.topic]].append((stamp_of(m), m.message))
    if not tracks[keys.ACTION]:  # without the topic of labels the executed commands are the action
        tracks[keys.ACTION] = [
            (stamp_of(m), m.message)
            for m in in_order_of_reception(messages)
            if m.topic == "/cmd_vel"
        ]
    required = (*contract.keys, keys.ACTION)
    start_ns = max(min(stamp for stamp, _ in tracks[key]) for key in required)
    end_ns = max(max(stamp for stamp, _ in tracks[key]) for key in contract.keys)
    ticks = range(start_ns, end_ns + 1, contract.action.period_ns)
    rows: dict[str, list[Any]] = {name: [] for name in (VALID, AGE_NS, TICK_NS)}
    names = {
        **{key: observation(key) for key in contract.keys},
        keys.ACTION: ACTION,
        keys.DOCK_POSE: DOCK_POSE,
    }
    ages = {key: [] for key in names}
    cache: dict[int, np.ndarray] = {}
    for tick in ticks:
        rows[TICK_NS].append(tick)
        for key, name in names.items():
            latest = None
            for stamp, message in tracks[key]:
                if stamp <= tick and (latest is None or stamp >= latest[0]):
                    latest = (stamp, message)
            if latest is None:
                shape = contract.stream(key).shape if key in contract.keys else (3,)
                rows.setdefault(name, []).append(np.zeros(shape))
                ages[key].append(MISSING_AGE_NS)
                continue
            if id(latest[1]) not in cache:
                cache[id(latest[1])] = decoded(contract, key, latest[1])
            rows.setdefault(name, []).append(cache[id(latest[1])])
            ages[key].append(tick - latest[0])
    limits = [contract.stream(key).max_age_ns for key in contract.keys]
    columns = np.array([ages[key] for key in contract.keys]).T
    return {
        **{name: np.array(values) for name, values in rows.items()},
        AGE_NS: columns,
        VALID: columns <= np.array(limits),
        ACTION_VALID: np.array(ages[keys.ACTION]) <= LABEL_MAX_AGE_NS,
        DOCK_POSE_VALID: np.array(ages[keys.DOCK_POSE]) <= LABEL_MAX_AGE_NS,
    }


def assert_rows_equal(rows: Rows, expected: Rows) -> None:
    """Ticks, ages and validity the same, and whatever is valid the same bit for bit."""
    for name in (TICK_NS, AGE_NS, VALID, ACTION_VALID, DOCK_POSE_VALID):
        np.testing.assert_array_equal(rows[name], expected[name], err_msg=name)
    for name, values in expected.items():
        if name.startswith("observations/") and name not in (VALID, AGE_NS):
            assert rows[name].shape == values.shape
            np.testing.assert_array_equal(rows[name], values, err_msg=name)
    for name, valid in ((ACTION, ACTION_VALID), (DOCK_POSE, DOCK_POSE_VALID)):
        known = expected[valid]
        np.testing.assert_array_equal(rows[name][known], expected[name][known], err_msg=name)
