"""A short intact bag, in the ways that bags are stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from vla_bringup.fuzzing.samples import START_NS, bag_values
from vla_core.bag_checksums import write_checksums
from vla_core.contract import Contract
from vla_recorder.durable_storage import DurableWriter

TYPES: Final = get_typestore(Stores.ROS2_JAZZY)
_TICKS: Final = 8
_PERIOD_NS: Final = 50_000_000
_DELAY_NS: Final = 2_000_000
_NS_PER_S: Final = 1_000_000_000


def write_bag(
    path: Path,
    contract: Contract,
    plugin: StoragePlugin,
    *,
    is_ours: bool = True,
    compressed: bool = False,
) -> Path:
    """Write a bag.

    Args:
        path: folder to make.
        contract: noted in the bag.
        plugin: how it is stored.
        is_ours: whether the recorder's writer writes it, with checksums.
        compressed: whether storage chunks are.
    """
    kind = DurableWriter if is_ours else Writer
    writer = kind(path, version=9, storage_plugin=plugin)
    if compressed:
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        for key, value in bag_values(contract).items():
            writer.set_custom_data(key, value)
        connections: dict[str, Any] = {}
        for topic, stamp_ns, message in drive():
            name = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, name, typestore=TYPES)
            writer.write(connections[topic], stamp_ns + _DELAY_NS, serialised(message))
    if is_ours:
        write_checksums(path)
    return path


def serialised(message: Any) -> bytes:
    """A message as it travels (CDR)."""
    return bytes(TYPES.serialize_cdr(message, message.__msgtype__))


def drive() -> Iterator[tuple[str, int, Any]]:
    """Topic, stamp and message, in order of time: a robot that drives straight on."""
    generator = np.random.default_rng(0)
    for tick in range(_TICKS):
        stamp_ns = START_NS + _PERIOD_NS * tick
        yield "/dock_pose", stamp_ns, pose(stamp_ns)
        yield "/camera/image_raw", stamp_ns + 1, image(stamp_ns + 1, generator)
        yield "/odom", stamp_ns + 2, odometry(stamp_ns + 2)
        if tick % 2 == 0:
            yield "/scan", stamp_ns + 3, scan(stamp_ns + 3, generator)
        yield "/expert/cmd_vel", stamp_ns + 4, command(stamp_ns + 4)
        yield "/cmd_vel", stamp_ns + 5, command(stamp_ns + 5)


def image(stamp_ns: int, generator: np.random.Generator) -> Any:
    """sensor_msgs/Image, rgb8."""
    pixels = generator.integers(0, 256, (7, 9, 3), np.uint8)
    return _new(
        "sensor_msgs/msg/Image",
        header=_header(stamp_ns),
        height=7,
        width=9,
        encoding="rgb8",
        is_bigendian=0,
        step=27,
        data=pixels.reshape(-1),
    )


def compressed_image(stamp_ns: int, encoding: str, data: bytes) -> Any:
    """sensor_msgs/CompressedImage of a picture file."""
    content = np.frombuffer(data, np.uint8)
    header = _header(stamp_ns)
    return _new("sensor_msgs/msg/CompressedImage", header=header, format=encoding, data=content)


def scan(stamp_ns: int, generator: np.random.Generator) -> Any:
    """sensor_msgs/LaserScan of ten beams."""
    return _new(
        "sensor_msgs/msg/LaserScan",
        header=_header(stamp_ns),
        angle_min=-2.0,
        angle_max=1.6,
        angle_increment=0.4,
        time_increment=0.0,
        scan_time=0.1,
        range_min=0.05,
        range_max=8.0,
        ranges=generator.uniform(0.5, 7.0, 10).astype(np.float32),
        intensities=np.zeros(0, np.float32),
    )


def odometry(stamp_ns: int) -> Any:
    """nav_msgs/Odometry."""
    covariance = np.zeros(36)
    moving = _new("geometry_msgs/msg/TwistWithCovariance", twist=_twist(), covariance=covariance)
    still = _new("geometry_msgs/msg/PoseWithCovariance", pose=_pose(), covariance=covariance)
    return _new(
        "nav_msgs/msg/Odometry",
        header=_header(stamp_ns),
        child_frame_id="base_link",
        pose=still,
        twist=moving,
    )


def command(stamp_ns: int) -> Any:
    """geometry_msgs/TwistStamped."""
    return _new("geometry_msgs/msg/TwistStamped", header=_header(stamp_ns), twist=_twist())


def pose(stamp_ns: int) -> Any:
    """geometry_msgs/PoseStamped."""
    return _new("geometry_msgs/msg/PoseStamped", header=_header(stamp_ns), pose=_pose())


def _pose() -> Any:
    position = _new("geometry_msgs/msg/Point", x=1.0, y=0.1, z=0.0)
    turned = _new("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.6, w=0.8)
    return _new("geometry_msgs/msg/Pose", position=position, orientation=turned)


def _twist() -> Any:
    linear = _new("geometry_msgs/msg/Vector3", x=0.2, y=0.0, z=0.0)
    angular = _new("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=-0.1)
    return _new("geometry_msgs/msg/Twist", linear=linear, angular=angular)


def _header(stamp_ns: int) -> Any:
    seconds, nanoseconds = divmod(stamp_ns, _NS_PER_S)
    stamp = _new("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
    return _new("std_msgs/msg/Header", stamp=stamp, frame_id="base_link")


def _new(kind: str, **fields: Any) -> Any:
    return TYPES.types[kind](**fields)
