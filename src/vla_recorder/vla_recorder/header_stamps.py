"""Header stamps, read from serialised messages without deserialising them."""

from __future__ import annotations

import struct
from typing import Final

from rosbags.interfaces import Nodetype
from rosbags.typesys.store import Typestore

from vla_recorder.errors import BagError

STAMP_END: Final = 12
"""Bytes of a serialised message up to the end of its stamp, encapsulation header included."""

_HEADER: Final = "std_msgs/msg/Header"
_NS_PER_S: Final = 1_000_000_000


def header_stamp_ns(data: bytes | memoryview) -> int:
    """Read the stamp of a serialised message whose first field is a std_msgs/Header.

    Args:
        data: the message in CDR, with its four bytes of encapsulation header, whose second byte
            gives the byte order (OMG DDSI-RTPS 2.5, section 10.2).

    Raises:
        BagError: the message is shorter than a stamp.
    """
    if len(data) < STAMP_END:
        raise BagError(
            f"serialised message of {len(data)} bytes is too short for a header stamp "
            f"({STAMP_END} bytes)"
        )
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * _NS_PER_S + int(nanoseconds)


def starts_with_header(store: Typestore, message_type: str) -> bool:
    """Tell whether the first field of a message type is a std_msgs/Header."""
    fields = store.fielddefs[message_type][1]
    return bool(fields) and fields[0][1] == (Nodetype.NAME, _HEADER)
