"""Bags of any length with the topics, types, sizes and rates of a recorded demonstration."""

from __future__ import annotations

import heapq
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from vla_core import bag_metadata
from vla_core.bag_checksums import write_checksums
from vla_core.contract import Contract
from vla_core.contract_specs import ImageDecoder, OdometryDecoder, ScanDecoder
from vla_training.conversion.mcap import MAGIC

CAMERA: Final = (120, 160)
BEAMS: Final = 240
START_NS: Final = 1_700_000_000_000_000_000
_NS_PER_S: Final = 1_000_000_000
_LOOP: Final = 64
_CHUNK_CODE: Final = 0x06
_FOOTER_CODE: Final = 0x02
_TYPES: Final = get_typestore(Stores.ROS2_JAZZY)

_FOREVER: Final = QosTime(9223372036, 854775807)
_QOS: Final = Qos(
    QosHistory.UNKNOWN,
    0,
    QosReliability.RELIABLE,
    QosDurability.VOLATILE,
    _FOREVER,
    _FOREVER,
    QosLiveliness.AUTOMATIC,
    _FOREVER,
    False,
)
"""As the middleware reports it of a publisher: history and depth are not known."""

Make = Callable[[int, int], Any]
"""A message of a number and a stamp."""


def write_long_bag(path: Path, contract: Contract, seconds: float, seed: int = 0) -> Path:
    """Record a drive that never was: pictures of noise, but as many and as large as real ones.

    Args:
        path: Folder of the bag; must not exist.
        contract: Says which streams there are, on which topics and how often.
        seconds: Length.
        seed: Noted in the bag, and of the noise.

    Returns:
        The path.
    """
    sources = _sources(contract, np.random.default_rng(seed))
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for key, value in _metadata(contract, [source[0] for source in sources], seed).items():
            writer.set_custom_data(key, value)
        connections = {
            topic: writer.add_connection(topic, kind, typestore=_TYPES, offered_qos_profiles=[_QOS])
            for topic, kind, _, _ in sources
        }
        streams = [_ticks(number, source, seconds) for number, source in enumerate(sources)]
        for stamp_ns, number, count in heapq.merge(*streams):
            topic, kind, _, make = sources[number]
            data = _TYPES.serialize_cdr(make(count, stamp_ns), kind)
            writer.write(connections[topic], stamp_ns, data)
    (storage,) = path.glob("*.mcap")
    _add_chunk_checksums(storage)
    write_checksums(path)
    return path


def copy_with_seed(bag: Path, path: Path, seed: int) -> Path:
    """Another bag of the same messages, which share their place on the disk."""
    path.mkdir()
    values = yaml.safe_load((bag / "metadata.yaml").read_text("utf-8"))
    values["rosbag2_bagfile_information"]["custom_data"][bag_metadata.SEED] = str(seed)
    (path / "metadata.yaml").write_text(yaml.safe_dump(values), "utf-8")
    for storage in bag.glob("*.mcap"):
        (path / storage.name).hardlink_to(storage)
    write_checksums(path)
    return path


def _add_chunk_checksums(storage: Path) -> None:
    """Fill in the CRC-32 of every chunk, as the recorder does and the writer of rosbags does not.

    See mcap.dev/spec: a record is a code, a length of eight bytes and a body; the body of a chunk
    is three numbers of eight bytes, the checksum, a text that is empty here, a length, records.
    """
    with storage.open("r+b") as file:
        position = len(MAGIC)
        while True:
            file.seek(position)
            code, length = struct.unpack("<BQ", file.read(9))
            if code == _FOOTER_CODE:
                return
            if code == _CHUNK_CODE:
                body = file.read(length)
                file.seek(position + 9 + 24)
                file.write(struct.pack("<I", zlib.crc32(memoryview(body)[24 + 4 + 4 + 8 :])))
            position += 9 + length


def _metadata(contract: Contract, topics: list[str], seed: int) -> dict[str, str]:
    """What the recorder notes: it takes time to read, too."""
    return {
        bag_metadata.CONTRACT: contract.to_yaml(),
        bag_metadata.CONTRACT_HASH: contract.hash,
        bag_metadata.INSTRUCTION: "dock at the orange charger",
        bag_metadata.NOISE: "1.0",
        bag_metadata.NOTE: "docked",
        bag_metadata.OPERATOR: "docking_expert",
        bag_metadata.OUTCOME: bag_metadata.Outcome.SUCCESS.value,
        bag_metadata.ROBOT: contract.robot,
        bag_metadata.SEED: str(seed),
        bag_metadata.SOFTWARE: "made up for a benchmark",
        bag_metadata.SUITE: "nominal",
        bag_metadata.TOPICS: json.dumps({topic.lstrip("/"): topic for topic in topics}),
    }


def _ticks(
    number: int, source: tuple[str, str, float, Make], seconds: float
) -> Iterator[tuple[int, int, int]]:
    """Stamp, source and count of each message, in order of time."""
    rate_hz = source[2]
    for count in range(int(seconds * rate_hz)):
        yield START_NS + round(count * _NS_PER_S / rate_hz), number, count


def _sources(
    contract: Contract, generator: np.random.Generator
) -> list[tuple[str, str, float, Make]]:
    """Topic, type, rate and maker of every stream, label and bystander."""
    makers: dict[type, Make] = {
        ImageDecoder: _image_maker(generator),
        ScanDecoder: _scan_maker(generator),
        OdometryDecoder: _odometry,
    }
    action = contract.action
    commands = [topic for topic in (action.topic, action.label_topic) if topic]
    return [
        *(
            (f"/{stream.topic}", stream.type, stream.rate_hz, makers[type(stream.decoder)])
            for stream in contract.streams
        ),
        *(
            (f"/{topic}", "geometry_msgs/msg/TwistStamped", action.rate_hz, _command)
            for topic in commands
        ),
        *(
            [(f"/{contract.dock_pose_topic}", "geometry_msgs/msg/PoseStamped", 20.0, _pose)]
            if contract.dock_pose_topic
            else []
        ),
        ("/joint_states", "sensor_msgs/msg/JointState", 50.0, _joints),
        ("/camera/camera_info", "sensor_msgs/msg/CameraInfo", 20.0, _camera_info),
    ]


def _new(kind: str, **fields: Any) -> Any:
    return _TYPES.types[kind](**fields)


def _header(stamp_ns: int, frame: str) -> Any:
    seconds, nanoseconds = divmod(stamp_ns, _NS_PER_S)
    stamp = _new("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
    return _new("std_msgs/msg/Header", stamp=stamp, frame_id=frame)


def _vector(x: float = 0.0, z: float = 0.0) -> Any:
    return _new("geometry_msgs/msg/Vector3", x=x, y=0.0, z=z)


def _twist(count: int) -> Any:
    return _new(
        "geometry_msgs/msg/Twist",
        linear=_vector(x=0.2 + 0.1 * np.sin(0.01 * count)),
        angular=_vector(z=0.3 * np.cos(0.013 * count)),
    )


def _planar_pose() -> Any:
    return _new(
        "geometry_msgs/msg/Pose",
        position=_new("geometry_msgs/msg/Point", x=1.0, y=0.1, z=0.0),
        orientation=_new("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
    )


def _image_maker(generator: np.random.Generator) -> Make:
    height, width = CAMERA
    pictures = generator.integers(0, 256, (_LOOP, height * width * 3), np.uint8)
    return lambda count, stamp_ns: _new(
        "sensor_msgs/msg/Image",
        header=_header(stamp_ns, "camera_optical_frame"),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=pictures[count % _LOOP],
    )


def _scan_maker(generator: np.random.Generator) -> Make:
    scans = generator.uniform(0.2, 9.0, (_LOOP, BEAMS)).astype(np.float32)
    half = 2.0 * np.pi / 3.0
    return lambda count, stamp_ns: _new(
        "sensor_msgs/msg/LaserScan",
        header=_header(stamp_ns, "scanner"),
        angle_min=-half,
        angle_max=half,
        angle_increment=2.0 * half / (BEAMS - 1),
        time_increment=0.0,
        scan_time=0.1,
        range_min=0.05,
        range_max=10.0,
        ranges=scans[count % _LOOP],
        intensities=np.zeros(0, np.float32),
    )


def _odometry(count: int, stamp_ns: int) -> Any:
    covariance = np.zeros(36)
    return _new(
        "nav_msgs/msg/Odometry",
        header=_header(stamp_ns, "odom"),
        child_frame_id="base_link",
        pose=_new(
            "geometry_msgs/msg/PoseWithCovariance", pose=_planar_pose(), covariance=covariance
        ),
        twist=_new(
            "geometry_msgs/msg/TwistWithCovariance", twist=_twist(count), covariance=covariance
        ),
    )


def _command(count: int, stamp_ns: int) -> Any:
    return _new(
        "geometry_msgs/msg/TwistStamped",
        header=_header(stamp_ns, "base_link"),
        twist=_twist(count),
    )


def _pose(count: int, stamp_ns: int) -> Any:
    return _new(
        "geometry_msgs/msg/PoseStamped",
        header=_header(stamp_ns, "base_link"),
        pose=_planar_pose(),
    )


def _joints(count: int, stamp_ns: int) -> Any:
    return _new(
        "sensor_msgs/msg/JointState",
        header=_header(stamp_ns, ""),
        name=["left_wheel", "right_wheel"],
        position=np.array([0.01 * count, 0.01 * count]),
        velocity=np.array([1.0, 1.0]),
        effort=np.zeros(2),
    )


def _camera_info(count: int, stamp_ns: int) -> Any:
    height, width = CAMERA
    roi = _new(
        "sensor_msgs/msg/RegionOfInterest",
        x_offset=0,
        y_offset=0,
        height=0,
        width=0,
        do_rectify=False,
    )
    return _new(
        "sensor_msgs/msg/CameraInfo",
        header=_header(stamp_ns, "camera_optical_frame"),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=np.eye(3).ravel(),
        r=np.eye(3).ravel(),
        p=np.eye(3, 4).ravel(),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )
