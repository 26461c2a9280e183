"""Who was driving at each moment of a bag."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from vla_core.cdr import stamp_ns_of_cdr
from vla_core.errors import DecodeError
from vla_training.conversion.messages import BagMessages
from vla_training.dataset.layout import DRIVERS
from vla_training.errors import ConversionError

DRIVER_TOPIC: Final = "driver"
DRIVER_TYPE: Final = "vla_msgs/msg/Driver"

MAX_AGE_NS: Final = 3_000_000_000
"""It is said once a second; what was said longer ago does not hold any more."""

_KINDS: Final = {"docking_expert": "expert", "expert": "expert", "policy": "policy"}
_UNKNOWN: Final = DRIVERS.index("unknown")
_FRAME_START: Final = 12


def driver_of(operator: str) -> int:
    """Who drove, by what the recorder noted; an index into `DRIVERS`."""
    return DRIVERS.index(_KINDS.get(operator, "person")) if operator else _UNKNOWN


def drivers_at(bag: BagMessages, ticks_ns: np.ndarray) -> np.ndarray:
    """Who drove at each tick.

    Args:
        bag: The open bag. Where it has the topic `driver`, that tells; before its first message,
            and where there is none, the operator that the recorder noted.
        ticks_ns: (n,) int64, rising.

    Returns:
        (n,) uint8, indices into `DRIVERS`.

    Raises:
        ConversionError: If a message on the topic is malformed, or several robots have it.
    """
    drivers = np.full(len(ticks_ns), driver_of(bag.metadata.operator), np.uint8)
    if not any(channel.type == DRIVER_TYPE for channel in bag.channels):
        return drivers
    channel = bag.find(DRIVER_TOPIC, [DRIVER_TYPE])
    if channel is None:
        return drivers
    track = bag.track(channel)
    said = []
    for index in range(len(track.arrival)):
        data = bytes(bag.data(track, index))
        try:
            said.append((stamp_ns_of_cdr(data), driver_of(_driver(data))))
        except (DecodeError, struct.error, UnicodeDecodeError) as error:
            raise ConversionError(
                f"bag {bag.metadata.path}: topic {channel.topic}: {error}"
            ) from error
    said.sort(key=lambda pair: pair[0])
    stamps_ns = np.array([stamp_ns for stamp_ns, _ in said], np.int64)
    found = np.array([driver for _, driver in said], np.uint8)
    newest = np.searchsorted(stamps_ns, ticks_ns, side="right") - 1
    known = newest >= 0
    age_ns = ticks_ns[known] - stamps_ns[newest[known]]
    drivers[known] = np.where(age_ns <= MAX_AGE_NS, found[newest[known]], _UNKNOWN)
    return drivers


def _driver(data: bytes) -> str:
    """The text behind the header of a serialised message."""
    order = "<" if data[1] & 1 else ">"
    (length,) = struct.unpack_from(f"{order}I", data, _FRAME_START)
    start = _FRAME_START + 4 + length
    start += -start % 4
    (length,) = struct.unpack_from(f"{order}I", data, start)
    text = data[start + 4 : start + 4 + length]
    if len(text) != length:
        raise DecodeError(f"the name of the driver has {len(text)} bytes, expected {length}")
    return text.rstrip(b"\0").decode()
