"""Readings straight from the bytes of a message, without building the message.

A bag holds messages in CDR (OMG DDSI-RTPS 2.5, section 10: four bytes of encapsulation, then the
fields, each aligned to its size). For the types that contracts use, these functions take out what
matters in a few microseconds and without copying pixels or ranges. They give what deserialising
the whole message and `reading_from_message` would give; a test compares the two.

Every length is checked against the buffer before it is used: bytes that are no message of the
type give a DecodeError, or, where they happen to be one, its reading.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from vla_core.action_messages import action_from_values
from vla_core.contract_specs import (
    COMPRESSED_IMAGE_TYPE,
    IMAGE_TYPE,
    ODOMETRY_TYPE,
    POSE_TYPE,
    SCAN_TYPE,
    TWIST_STAMPED_TYPE,
    TWIST_TYPE,
    ActionSpec,
    StreamSpec,
)
from vla_core.errors import DecodeError
from vla_core.geometry import Pose2D
from vla_core.image_decoding import rgb_from_compressed, rgb_from_raw
from vla_core.readings import (
    ImageReading,
    OdometryReading,
    Reading,
    ScanReading,
    check_odometry,
    check_scan,
    stamp_ns_from,
    stream_error,
)

Buffer = bytes | bytearray | memoryview

READABLE_TYPES: Final = frozenset(
    {
        IMAGE_TYPE,
        COMPRESSED_IMAGE_TYPE,
        SCAN_TYPE,
        ODOMETRY_TYPE,
        TWIST_TYPE,
        TWIST_STAMPED_TYPE,
        POSE_TYPE,
    }
)
"""Message types that the functions of this module take."""

HEADED_TYPES: Final = READABLE_TYPES - {TWIST_TYPE}
"""Of these, the types with a header, whose stamp `stamp_ns_of_cdr` reads."""

_ENCAPSULATION: Final = 4
_PADDING: Final = 3  # a serialised payload may be filled up to a multiple of four bytes

# Fields of fixed size that follow each other without a gap, by byte order.
_STAMP = {order: struct.Struct(order + "iI") for order in "<>"}
_COUNT = {order: struct.Struct(order + "I") for order in "<>"}
_SIZE = {order: struct.Struct(order + "II") for order in "<>"}
_SCAN = {order: struct.Struct(order + "7f") for order in "<>"}
_POSE = {order: struct.Struct(order + "7d") for order in "<>"}
_TWIST = {order: struct.Struct(order + "6d") for order in "<>"}
_COVARIANCE_BYTES: Final = 36 * 8


def stamp_ns_of_cdr(data: Buffer) -> int:
    """The header stamp [ns] of a message whose type is one of `HEADED_TYPES`; reads nothing else.

    Raises:
        DecodeError: if the message is shorter than a stamp, of an unknown encapsulation, or the
            stamp is none.
    """
    order = _byte_order(data)
    try:
        return stamp_ns_from(*_STAMP[order].unpack_from(data, _ENCAPSULATION))
    except struct.error:
        raise _too_short(data) from None


def reading_from_cdr(stream: StreamSpec, data: Buffer) -> tuple[int, Reading]:
    """Check a serialised message and take out what the stream's decoder needs.

    Args:
        stream: which stream the message belongs to; its type says how to read the bytes.
        data: the message in CDR.

    Returns:
        Header stamp [ns] and reading. The reading may share its memory with `data`, which must
        not change while it is in use.

    Raises:
        DecodeError: if the bytes are no such message, or it holds something that cannot be right.
    """
    try:
        return _STREAM_READERS[stream.type](data)
    except DecodeError as error:
        raise stream_error(stream, str(error)) from error


def action_from_cdr(
    action: ActionSpec, message_type: str, data: Buffer
) -> tuple[int | None, np.ndarray]:
    """The command in a serialised Twist or TwistStamped.

    Args:
        action: the contract's action.
        message_type: of the two; contracts and bags may differ in it.
        data: the message in CDR.

    Returns:
        Header stamp [ns], None for a Twist; (A,) float32 [m/s, rad/s], not limited.

    Raises:
        DecodeError: if the bytes are no such message or a component is not finite.
    """
    if message_type not in (TWIST_TYPE, TWIST_STAMPED_TYPE):
        raise DecodeError(f"action: got {message_type}, expected {TWIST_TYPE} or its stamped form")
    try:
        cursor = _Cursor(data)
        stamp_ns = cursor.header() if message_type == TWIST_STAMPED_TYPE else None
        cursor.align(8)
        linear_x, linear_y, linear_z, *angular = cursor.take(_TWIST)
        cursor.finish()
    except DecodeError as error:
        raise DecodeError(f"action: {error}") from error
    vectors = {"linear": (linear_x, linear_y, linear_z), "angular": tuple(angular)}
    return stamp_ns, action_from_values(action, vectors)


def dock_pose_from_cdr(data: Buffer) -> tuple[int, Pose2D]:
    """Header stamp [ns] and `base_from_dock` of a serialised geometry_msgs/PoseStamped.

    Raises:
        DecodeError: if the bytes are no such message, or the pose is not finite.
    """
    try:
        cursor = _Cursor(data)
        stamp_ns = cursor.header()
        cursor.align(8)
        x, y, _, *quaternion = cursor.take(_POSE)
        cursor.finish()
        return stamp_ns, Pose2D.from_quaternion(x, y, *quaternion)
    except (DecodeError, ValueError) as error:
        raise DecodeError(f"dock pose: {error}") from error


class _Cursor:
    """Where in a message the next field begins, the encapsulation counted in."""

    __slots__ = ("data", "order", "position")

    def __init__(self, data: Buffer) -> None:
        self.order = _byte_order(data)
        self.data = data
        self.position = _ENCAPSULATION

    def take(self, layouts: dict[str, struct.Struct]) -> tuple:
        layout = layouts[self.order]
        try:
            values = layout.unpack_from(self.data, self.position)
        except struct.error:
            raise _too_short(self.data) from None
        self.position += layout.size
        return values

    def align(self, size: int) -> None:
        # The encapsulation does not count; for 8 the position must be 4 more than a multiple.
        self.position += (_ENCAPSULATION - self.position) % size

    def skip(self, size: int) -> None:
        self.position += size

    def header(self) -> int:
        stamp_ns = stamp_ns_from(*self.take(_STAMP))
        self.text()
        return stamp_ns

    def text(self) -> memoryview:
        """The bytes of a string without the zero at its end."""
        self.align(4)
        data = self.bytes(1)
        if not data or data[-1]:
            raise DecodeError("a string has no end; the message is damaged or of another type")
        return data[:-1]

    def bytes(self, size: int) -> memoryview:
        """A sequence of elements of `size` bytes, which must be aligned already or single bytes."""
        self.align(4)
        (count,) = self.take(_COUNT)
        end = self.position + count * size
        if end > len(self.data):
            raise _too_short(self.data, end)
        start, self.position = self.position, end
        return memoryview(self.data)[start:end]

    def finish(self) -> None:
        """Refuse a message that ends before its last field or goes on after it."""
        if self.position > len(self.data):
            raise _too_short(self.data, self.position)
        if len(self.data) > self.position + _PADDING:
            raise DecodeError(
                f"message of {len(self.data)} bytes goes on after its last field, which ends at "
                f"{self.position}; it is damaged or of another type"
            )


def _byte_order(data: Buffer) -> str:
    if len(data) < _ENCAPSULATION:
        raise _too_short(data)
    if data[0] != 0 or data[1] > 1:
        raise DecodeError(
            f"encapsulation {data[0]:02x} {data[1]:02x} is not supported, expected plain CDR "
            "(00 00 or 00 01)"
        )
    return "<" if data[1] else ">"


def _too_short(data: Buffer, needed: int | None = None) -> DecodeError:
    more = "" if needed is None else f", its fields need {needed}"
    return DecodeError(
        f"message ends after {len(data)} bytes{more}; it is damaged or of another type"
    )


def _read_image(data: Buffer) -> tuple[int, ImageReading]:
    cursor = _Cursor(data)
    stamp_ns = cursor.header()
    cursor.align(4)
    height, width = cursor.take(_SIZE)
    encoding = bytes(cursor.text()).decode("ascii", "replace")
    cursor.skip(1)  # byte order of samples of more than one byte, which no encoding has
    cursor.align(4)
    (step,) = cursor.take(_COUNT)
    pixels = np.frombuffer(cursor.bytes(1), np.uint8)
    cursor.finish()
    return stamp_ns, ImageReading(rgb_from_raw(encoding, height, width, step, pixels))


def _read_compressed_image(data: Buffer) -> tuple[int, ImageReading]:
    cursor = _Cursor(data)
    stamp_ns = cursor.header()
    image_format = bytes(cursor.text()).decode("ascii", "replace")
    file = cursor.bytes(1)
    cursor.finish()
    return stamp_ns, ImageReading(rgb_from_compressed(image_format, file))


def _read_scan(data: Buffer) -> tuple[int, ScanReading]:
    cursor = _Cursor(data)
    stamp_ns = cursor.header()
    cursor.align(4)
    angle_min, _, angle_increment, _, _, range_min, range_max = cursor.take(_SCAN)
    ranges = np.frombuffer(cursor.bytes(4), cursor.order + "f4").astype(np.float32, copy=False)
    cursor.bytes(4)  # intensities
    cursor.finish()
    reading = ScanReading(ranges, angle_min, angle_increment, range_min, range_max)
    check_scan(reading)
    return stamp_ns, reading


def _read_odometry(data: Buffer) -> tuple[int, OdometryReading]:
    cursor = _Cursor(data)
    stamp_ns = cursor.header()
    cursor.text()  # child frame
    cursor.align(8)
    cursor.skip(_POSE[cursor.order].size + _COVARIANCE_BYTES)
    linear_x, _, _, _, _, angular_z = cursor.take(_TWIST)
    cursor.skip(_COVARIANCE_BYTES)
    cursor.finish()
    reading = OdometryReading(linear_x, angular_z)
    check_odometry(reading)
    return stamp_ns, reading


_STREAM_READERS: Final[Mapping[str, Callable[[Buffer], tuple[int, Reading]]]] = {
    IMAGE_TYPE: _read_image,
    COMPRESSED_IMAGE_TYPE: _read_compressed_image,
    SCAN_TYPE: _read_scan,
    ODOMETRY_TYPE: _read_odometry,
}
