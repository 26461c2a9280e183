"""Websocket messages as bytes on the wire, and changes in what they carry."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from openpi_client import msgpack_numpy

from vla_bringup.fuzzing.drawing import Draw
from vla_bringup.fuzzing.formats import Plain

BINARY: Final = 0x2
TEXT: Final = 0x1
CLOSE_HEAD: Final = 0x88
"""First byte of a frame that ends a conversation."""

_FINAL: Final = 0x80
_MASKED: Final = 0x80
_NO_MASK: Final = bytes(4)


@dataclass(frozen=True)
class WireFrame:
    """One websocket frame (RFC 6455, section 5.2).

    Attributes:
        head: first byte: whether it is the last of a message, and what it holds.
        payload: what it carries.
        masked: whether it comes from a client; with a mask of zeros the payload stays readable.
        claimed: length that it claims; None for the true one.
    """

    head: int
    payload: bytes
    masked: bool
    claimed: int | None = None

    def encode(self) -> bytes:
        """As it travels."""
        size = len(self.payload) if self.claimed is None else self.claimed
        mark = _MASKED if self.masked else 0
        if size < 126:
            start = struct.pack("!BB", self.head, mark | size)
        elif size < 1 << 16:
            start = struct.pack("!BBH", self.head, mark | 126, size)
        else:
            start = struct.pack("!BBQ", self.head, mark | 127, size % (1 << 64))
        return start + (_NO_MASK if self.masked else b"") + self.payload


def binary_frame(payload: bytes, *, masked: bool) -> WireFrame:
    """A whole binary message."""
    return WireFrame(_FINAL | BINARY, payload, masked)


def text_frame(text: str, *, masked: bool) -> WireFrame:
    """A whole text message."""
    return WireFrame(_FINAL | TEXT, text.encode(), masked)


def join(frames: list[WireFrame]) -> bytes:
    """Frames one after the other."""
    return b"".join(frame.encode() for frame in frames)


def split(data: bytes) -> list[WireFrame]:
    """The frames of what travelled; what is no whole frame is left out."""
    frames, position = [], 0
    while position + 2 <= len(data):
        head, size = data[position], data[position + 1]
        masked, size = bool(size & _MASKED), size & 0x7F
        position += 2
        for mark, form in ((126, "!H"), (127, "!Q")):
            if size == mark and position + struct.calcsize(form) <= len(data):
                (size,) = struct.unpack_from(form, data, position)
                position += struct.calcsize(form)
                break
        position += 4 * masked
        frames.append(WireFrame(head, data[position : position + size], masked))
        position += size
    return frames


class Conversation:
    """Frames that carry MessagePack with arrays."""

    def change(self, data: bytes, draw: Draw, plain: Plain) -> bytes:
        """Change what a frame carries, what it says of itself, or which frames there are."""
        frames = split(data)
        choice = draw.random.random()
        if not frames or choice < 0.1:
            return plain(data)
        at = draw.random.randrange(len(frames))
        frame = frames[at]
        if choice < 0.55:
            frames[at] = replace(frame, payload=_changed_message(frame.payload, draw))
        elif choice < 0.8:
            frames[at] = replace(frame, payload=plain(frame.payload))
        elif choice < 0.86:
            frames[at] = replace(frame, head=draw.random.randrange(256))
        elif choice < 0.9:
            frames[at] = replace(frame, claimed=int.from_bytes(draw.word(), "big"))
        elif choice < 0.93:
            frames[at] = replace(frame, masked=not frame.masked)
        elif choice < 0.97:
            frames.insert(at, frame)
        else:
            del frames[at]
        return join(frames)


def _changed_message(payload: bytes, draw: Draw) -> bytes:
    """MessagePack with values changed, also those that describe an array."""
    import msgpack

    try:
        # Without the hooks of numpy an array is a map of its description and bytes.
        values = [msgpack.unpackb(payload, strict_map_key=False)]
        draw.damage(values if draw.chance(0.1) else values[0])
        if draw.chance(0.3):
            _replace_array(values[0], draw)
        return bytes(msgpack.packb(values[0], default=str))
    # Changed before: most payloads are no MessagePack any more.
    except Exception:
        return payload


def _replace_array(message: Any, draw: Draw) -> None:
    key = draw.one_of([name for name in message if isinstance(message[name], dict)])
    shape = draw.one_of(((), (0,), (1,), (3,), (4, 2), (1, 4, 2), (2, 2, 2, 2)))
    kind = draw.one_of(("f4", "f8", "f2", "i8", "u1", "?", "S3", "M8[ns]", "V5", ">f4"))
    array = np.zeros(shape, kind)
    if kind in ("f4", "f8") and draw.chance(0.5):
        array[...] = draw.one_of((np.nan, np.inf, 1e300))
    packed = {b"__ndarray__": True, b"data": array.tobytes(), b"dtype": array.dtype.str}
    message[key] = {**packed, b"shape": array.shape}


def packed(message: dict[str, Any]) -> bytes:
    """A message as the protocol has it."""
    return bytes(msgpack_numpy.packb(message))
