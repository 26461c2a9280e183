"""Where messages are: records of their places in mapped files."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from functools import cached_property
from typing import BinaryIO, Final, NamedTuple

import numpy as np

HEAD_BYTES: Final = 12
"""Of each message so many bytes are kept: encapsulation and, if it begins with a header, stamp."""

INDEX_TYPE: Final = np.dtype(
    [
        ("channel", np.int32),
        ("file", np.int32),
        ("received_ns", np.int64),
        ("position", np.int64),
        ("length", np.int64),
        ("head", np.uint8, HEAD_BYTES),
    ]
)
"""One message: where it is, when it was received, and how it begins."""


class Channel(NamedTuple):
    """A topic and its message type."""

    topic: str
    type: str


class DamagedFileError(Exception):
    """Something in the file cannot be right."""


@dataclass
class MessageIndex:
    """Messages of the files of one bag, added file by file.

    Attributes:
        channels: By number.
        buffers: Mapped files, by number.
        blocks: Records of `INDEX_TYPE`.
    """

    channels: list[Channel] = field(default_factory=list)
    buffers: list[mmap.mmap] = field(default_factory=list)
    blocks: list[np.ndarray] = field(default_factory=list)

    def channel(self, topic: str, message_type: str) -> int:
        """Number of a channel, which is added where it is new."""
        channel = Channel(topic, message_type)
        if channel not in self.channels:
            self.channels.append(channel)
        return self.channels.index(channel)


class Spool:
    """A file for what cannot be read in place, mapped when all is written.

    Args:
        file: Open for reading and writing, empty.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0

    def append(self, data: bytes | memoryview) -> int:
        """Add some bytes and say where they are."""
        position = self.size
        self._file.write(data)
        self.size += len(data)
        return position

    def map(self) -> mmap.mmap:
        """Everything that was added."""
        self._file.flush()
        return mmap.mmap(self._file.fileno(), self.size, access=mmap.ACCESS_READ)


@dataclass(frozen=True, eq=False)
class Track:
    """The messages of one topic.

    Attributes:
        channel: Topic and type.
        stamps_ns: (n,) int64, ascending: header stamps, or times of reception where there are
            none. Of messages with the same stamp the one that came last is last.
        arrival: (n,) int64, place of each message among all of the bag's as they were received.
        places: (n,) records of `mcap.INDEX_TYPE`.
        is_stamped: Whether the messages have stamps of their own.
    """

    channel: Channel
    stamps_ns: np.ndarray
    arrival: np.ndarray
    places: np.ndarray
    is_stamped: bool

    @cached_property
    def spots(self) -> list[tuple[int, int, int]]:
        """Number of the file, first byte and length of each message."""
        columns = (self.places[name].tolist() for name in ("file", "position", "length"))
        return list(zip(*columns, strict=True))


def release(buffer: mmap.mmap, start: int, end: int) -> None:
    """Let go of mapped pages; they are read again where they are used again."""
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    if end > first:
        buffer.madvise(mmap.MADV_DONTNEED, first, (end - first) // mmap.PAGESIZE * mmap.PAGESIZE)
