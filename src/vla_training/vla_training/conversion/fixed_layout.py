"""Numbers from many messages at once, where all of them have the same layout.

The messages of one publisher differ in their numbers and hardly ever in the lengths of their texts
(frame names). Then every number stands at the same place of each message, and a block of messages
is one array. Whatever deviates is left to `vla_core.cdr`, message by message, which also finds the
words for what is wrong; a test holds the two against each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vla_core.contract_specs import ODOMETRY_TYPE, TWIST_STAMPED_TYPE, TWIST_TYPE

POSE_TYPE: Final = "geometry_msgs/msg/PoseStamped"

_ENCAPSULATION: Final = 4
_STAMP: Final = 8
_MAX_TEXT: Final = 256
_PADDING: Final = 3
_NS_PER_S: Final = 1_000_000_000
_MIN_NORM_SQUARED: Final = 1e-6


@dataclass(frozen=True)
class _Fields:
    """Of what a message consists, after the encapsulation.

    Attributes:
        has_header: Whether it begins with a stamp and a text.
        texts: Further texts after the header.
        skipped: Numbers of eight bytes before those that matter.
        doubles: Numbers that matter.
        rest: Numbers after them.
    """

    has_header: bool
    texts: int = 0
    skipped: int = 0
    doubles: int = 6
    rest: int = 0


_TYPES: Final = {
    TWIST_TYPE: _Fields(has_header=False),
    TWIST_STAMPED_TYPE: _Fields(has_header=True),
    POSE_TYPE: _Fields(has_header=True, doubles=7),
    ODOMETRY_TYPE: _Fields(has_header=True, texts=1, skipped=7 + 36, rest=36),
}


def read_doubles(
    message_type: str, buffer: memoryview, positions: np.ndarray, lengths: np.ndarray
) -> np.ndarray | None:
    """The numbers of some messages: of a twist, of a pose, of an odometry's twist.

    Args:
        message_type: Of the messages.
        buffer: Where they are.
        positions: (n,) int64, first byte of each; n at least 1.
        lengths: (n,) int64, bytes of each.

    Returns:
        (n, 6) float64, linear and angular x, y, z; of a pose (n, 7), position and quaternion x, y,
        z, w; not checked. None if the messages are of another type, have not all the same layout
        or not a valid one.
    """
    fields = _TYPES.get(message_type)
    length = int(lengths[0])
    if fields is None or (lengths != length).any() or length < _ENCAPSULATION:
        return None
    walk = _walk(fields, buffer[int(positions[0]) : int(positions[0]) + length])
    if walk is None:
        return None
    start, fixed, ends = walk
    if not 0 <= length - (start + 8 * (fields.doubles + fields.rest)) <= _PADDING:
        return None
    messages = gathered(buffer, positions, length)
    # The bytes that decide the layout must be those of the first message in all.
    if _differ(messages)[fixed].any() or messages[:, ends].any():
        return None
    if fields.has_header and (_nanoseconds(messages) >= _NS_PER_S).any():
        return None
    return np.ascontiguousarray(messages[:, start : start + 8 * fields.doubles]).view("<f8")


def planar_poses(poses: np.ndarray) -> np.ndarray | None:
    """The planar parts of some poses, with the bits of `vla_core.geometry.Pose2D.from_quaternion`.

    Args:
        poses: (n, 7) float64, position and quaternion x, y, z, w.

    Returns:
        (n, 3) float64 [m, m, rad]; None if one of them is no pose.
    """
    x, y, _, qx, qy, qz, qw = poses.T
    with np.errstate(over="ignore", invalid="ignore"):
        norm_squared = qx * qx + qy * qy + qz * qz + qw * qw
        sine = 2.0 * (qw * qz + qx * qy)
        cosine = qw * qw + qx * qx - qy * qy - qz * qz
    finite = np.isfinite(x) & np.isfinite(y) & np.isfinite(norm_squared)
    if not (finite & (norm_squared >= _MIN_NORM_SQUARED)).all():
        return None
    # Not numpy's arctan2, whose last bit depends on the processor.
    yaw = list(map(math.atan2, sine.tolist(), cosine.tolist()))
    return np.column_stack([x, y, yaw])


def gathered(buffer: memoryview, positions: np.ndarray, count: int) -> np.ndarray:
    """(n, count) uint8: a copy of so many bytes from each of some positions (n,) on."""
    # One item per position, whose bytes overlap those of the next: to copy items is much faster
    # than to copy bytes one by one.
    items: np.ndarray = np.ndarray(
        (len(buffer) - count + 1,), np.dtype((np.void, count)), buffer, strides=(1,)
    )
    return items[positions].view(np.uint8).reshape(len(positions), count)


def share_bytes(
    buffer: memoryview, positions: np.ndarray, lengths: np.ndarray, places: np.ndarray
) -> bool:
    """Whether messages have the same length and the same bytes at these places of each."""
    if (lengths != lengths[0]).any() or places[-1] >= lengths[0]:
        return False
    messages = gathered(buffer, positions, int(places[-1]) + 1)
    return not _differ(messages)[places].any()


def _differ(messages: np.ndarray) -> np.ndarray:
    """(count,) bool: where any of the messages (n, count) is not as the first."""
    return (messages != messages[0]).any(axis=0)


def _walk(fields: _Fields, message: memoryview) -> tuple[int, Sequence[int], Sequence[int]] | None:
    """Where in a message its numbers begin, which bytes fix that, and where its texts end."""
    if message[0] != 0 or message[1] != 1:
        return None
    fixed = [0, 1]
    ends = []
    position = _ENCAPSULATION + (_STAMP if fields.has_header else 0)
    for _ in range(fields.texts + fields.has_header):
        position += -position % 4
        if position + 4 > len(message):
            return None
        count = int.from_bytes(message[position : position + 4], "little")
        fixed += range(position, position + 4)
        position += 4 + count
        if not 1 <= count <= _MAX_TEXT or position > len(message):
            return None
        ends.append(position - 1)
    position += (_ENCAPSULATION - position) % 8
    return position + 8 * fields.skipped, fixed, ends


def _nanoseconds(messages: np.ndarray) -> np.ndarray:
    words = messages[:, _ENCAPSULATION + 4 : _ENCAPSULATION + _STAMP]
    return np.ascontiguousarray(words).view("<u4").ravel()
