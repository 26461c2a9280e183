"""What is taken out of a message, checked: the input of decoding.

Messages are used by their fields only: those of rclpy and those of rosbags work alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vla_core.contract_specs import COMPRESSED_IMAGE_TYPE, IMAGE_TYPE, SCAN_TYPE, StreamSpec
from vla_core.errors import DecodeError
from vla_core.image_decoding import rgb_from_compressed, rgb_from_raw

MAX_VELOCITY: Final = 1e6
"""Beyond this a velocity [m/s, rad/s] is an error of the sender, and float32 runs out of digits."""

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class ImageReading:
    """One camera image.

    Attributes:
        rgb: (H, W, 3) uint8.
    """

    rgb: np.ndarray


@dataclass(frozen=True)
class ScanReading:
    """One scan of a planar range finder, with the conventions of sensor_msgs/LaserScan.

    Attributes:
        ranges: (N,) float32 [m].
        angle_min: direction of the first range, counter-clockwise from forward [rad].
        angle_increment: from one range to the next, of either sign, not zero [rad].
        range_min: smaller ranges are invalid [m].
        range_max: larger ranges mean that nothing was hit [m].
    """

    ranges: np.ndarray
    angle_min: float
    angle_increment: float
    range_min: float
    range_max: float


@dataclass(frozen=True)
class OdometryReading:
    """Velocity of the base in its own frame.

    Attributes:
        linear_x: forward [m/s].
        angular_z: counter-clockwise [rad/s].
    """

    linear_x: float
    angular_z: float


Reading = ImageReading | ScanReading | OdometryReading


def stamp_ns_from(seconds: int, nanoseconds: int) -> int:
    """A builtin_interfaces/Time as one number [ns].

    Raises:
        DecodeError: if the nanoseconds are a second or more.
    """
    if nanoseconds >= _NS_PER_S:
        raise DecodeError(f"stamp with {nanoseconds} ns after the second, expected below 1e9")
    return seconds * _NS_PER_S + nanoseconds


def stamp_ns_of(message: Any) -> int | None:
    """The header stamp [ns], or None for a message without a header (such as Twist)."""
    stamp = getattr(getattr(message, "header", None), "stamp", None)
    if stamp is None:
        return None
    return int(stamp.sec) * _NS_PER_S + int(stamp.nanosec)


def reading_from_message(stream: StreamSpec, message: Any) -> Reading:
    """Check a message and take out what the stream's decoder needs.

    Args:
        stream: which stream the message belongs to.
        message: of the type that the stream names, by rclpy or by rosbags.

    Returns:
        A reading that shares no memory with the message.

    Raises:
        DecodeError: if a field is missing or holds something that cannot be right.
    """
    try:
        if stream.type == IMAGE_TYPE:
            return _image_reading(message)
        if stream.type == COMPRESSED_IMAGE_TYPE:
            return _compressed_image_reading(message)
        if stream.type == SCAN_TYPE:
            return _scan_reading(message)
        return _odometry_reading(message)
    except DecodeError as error:
        raise stream_error(stream, str(error)) from error
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise stream_error(
            stream, f"got {type(message).__name__} ({error}), expected {stream.type}"
        ) from error


def stream_error(stream: StreamSpec, text: str) -> DecodeError:
    """An error that says which stream it is about."""
    return DecodeError(f"stream {stream.key!r} (topic {stream.topic}): {text}")


def _as_uint8(data: Any) -> np.ndarray:
    """A flat (N,) uint8 view or copy of array.array, bytes, numpy array or list."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return np.frombuffer(data, np.uint8)
    array = np.asarray(data)
    if array.dtype != np.uint8:
        if array.size and not (array.min() >= 0 and array.max() <= 255):
            raise ValueError("data holds values that are no bytes")
        array = array.astype(np.uint8)
    return array.reshape(-1)


def _image_reading(message: Any) -> ImageReading:
    rgb = rgb_from_raw(
        message.encoding,
        int(message.height),
        int(message.width),
        int(message.step),
        _as_uint8(message.data),
    )
    return ImageReading(rgb if rgb.flags.owndata else rgb.copy())


def _compressed_image_reading(message: Any) -> ImageReading:
    return ImageReading(rgb_from_compressed(message.format, _as_uint8(message.data)))


def _scan_reading(message: Any) -> ScanReading:
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinitely far
        ranges = np.array(message.ranges, np.float32).reshape(-1)
    reading = ScanReading(
        ranges=ranges,
        angle_min=float(message.angle_min),
        angle_increment=float(message.angle_increment),
        range_min=float(message.range_min),
        range_max=float(message.range_max),
    )
    check_scan(reading)
    return reading


def check_scan(reading: ScanReading) -> None:
    """Raise a DecodeError if a scan cannot be right; NaN and infinity among its ranges can."""
    if reading.ranges.size == 0:
        raise DecodeError("scan without a single range")
    if not abs(reading.angle_min) <= 2.0 * math.tau:  # also true for NaN
        raise DecodeError(
            f"angle_min is {reading.angle_min}, expected an angle within two turns, in rad"
        )
    if not 0.0 < abs(reading.angle_increment) <= math.tau:
        raise DecodeError(
            f"angle_increment is {reading.angle_increment}, expected a step of at most a turn, "
            "not 0, in rad",
        )
    if not 0.0 <= reading.range_min < reading.range_max:
        raise DecodeError(
            f"range_min is {reading.range_min} and range_max {reading.range_max}, "
            "expected 0 <= range_min < range_max in m",
        )


def _odometry_reading(message: Any) -> OdometryReading:
    twist = message.twist.twist
    reading = OdometryReading(float(twist.linear.x), float(twist.angular.z))
    check_odometry(reading)
    return reading


def check_odometry(reading: OdometryReading) -> None:
    """Raise a DecodeError if a velocity is not finite or absurd."""
    values = (reading.linear_x, reading.angular_z)
    if not all(abs(value) <= MAX_VELOCITY for value in values):  # also true for NaN
        raise DecodeError(
            f"twist with linear.x {reading.linear_x} and angular.z {reading.angular_z}, "
            "expected finite velocities",
        )
