"""Where the messages of an MCAP file are: one walk from its first to its last byte.

The file stays mapped and messages stay where they are; only what is compressed is unpacked, into a
file beside. Format: mcap.dev/spec, version 0.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Callable
from struct import Struct
from typing import BinaryIO, Final

import numpy as np
from backports import zstd
from lz4 import frame as lz4

from vla_training.conversion.chunk_index import indexed_messages, indexed_starts
from vla_training.conversion.message_index import (
    HEAD_BYTES,
    INDEX_TYPE,
    DamagedFileError,
    MessageIndex,
    Spool,
    release,
)

MAGIC: Final = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END, _FOOTER = 0x03, 0x04, 0x05, 0x06, 0x0F, 0x02
_RECORD: Final = Struct("<BQ")
_MESSAGE_RECORD: Final = Struct("<BQHIQ")
_MESSAGE_HEAD_BYTES: Final = 2 + 4 + 8 + 8
_CHUNK_HEAD: Final = Struct("<QQQII")
_CHANNELS: Final = 1 << 16
_MAX_CHUNK_BYTES: Final = 1 << 31
_RELEASE_BYTES: Final = 1 << 26
_COPY_BYTES: Final = 1 << 22
"""Chunks up to this size are copied from the disk's cache, which beats touching mapped pages."""


def scan(
    stream: BinaryIO,
    data: mmap.mmap,
    index: MessageIndex,
    spool: Callable[[], Spool],
    hashed: Callable[..., object],
) -> bool:
    """Add the messages of a file to an index.

    Args:
        stream: The open file.
        data: The same, mapped.
        index: Takes channels and messages; messages in compressed chunks get -1 as the number of
            their file.
        spool: Gives the place for these.
        hashed: Is called with every byte of the file, in order.

    Returns:
        Whether every message is covered by a checksum, which was right.

    Raises:
        DamagedFileError: If the file does not end as it should, or contradicts itself.
    """
    walk = _Scan(stream, data, index, spool, hashed)
    walk.run()
    return walk.is_checked


class _Scan:
    def __init__(
        self,
        stream: BinaryIO,
        data: mmap.mmap,
        index: MessageIndex,
        spool: Callable[[], Spool],
        hashed: Callable[..., object],
    ) -> None:
        self.is_checked = True
        self._stream = stream
        self._buffer = bytearray()
        self._data = data
        self._index = index
        self._spool = spool
        self._hashed = hashed
        self._file = len(index.buffers) - 1
        self._done = 0
        self._released = 0
        self._schemas: dict[int, str] = {0: ""}
        self._channels: dict[int, int] = {}
        self._numbers = np.full(_CHANNELS, -1, np.int32)

    def run(self) -> None:
        size = len(self._data)
        if size < 2 * len(MAGIC) or self._data[: len(MAGIC)] != MAGIC:
            raise DamagedFileError("it does not begin as an MCAP file")
        if self._data[-len(MAGIC) :] != MAGIC:
            raise DamagedFileError("it has no end: it is cut off, or its recording was not closed")
        try:
            view = memoryview(self._data)
            self._records(view, len(MAGIC), size - len(MAGIC))
            self._advance(view, size)
        except (struct.error, UnicodeDecodeError, IndexError) as error:
            raise DamagedFileError(f"a record cannot be read ({error})") from error

    def _records(self, view: memoryview, position: int, end: int) -> None:
        """The records between two positions of the file."""
        loose: list[tuple[int, int, int, int]] = []
        code = 0
        while position < end and code != _FOOTER:
            code, length = _RECORD.unpack_from(view, position)
            body = position + _RECORD.size
            position = body + length
            if position > end:
                raise DamagedFileError(
                    f"the record at byte {body - _RECORD.size} reaches beyond the end"
                )
            if code == _CHUNK:
                self._chunk(view, body, position)
                self._advance(view, position)
            elif code == _MESSAGE:
                self.is_checked = False
                loose.append(self._message(view, body, length))
            else:
                self._describe(code, view[body:position])
            if len(loose) == 1024:
                self._add(view, loose, self._file)
                loose = []
                self._advance(view, position)
        if code != _FOOTER:
            raise DamagedFileError("it has no footer")
        self._add(view, loose, self._file)

    def _advance(self, view: memoryview, position: int) -> None:
        """Hash up to a position, and let go of pages long read."""
        self._hashed(view[self._done : position])
        self._done = position
        if position - self._released > _RELEASE_BYTES:
            release(self._data, self._released, position)
            self._released = position

    def _message(self, view: memoryview, body: int, length: int) -> tuple[int, int, int, int]:
        _, _, channel, _, received_ns = _MESSAGE_RECORD.unpack_from(view, body - _RECORD.size)
        if length < _MESSAGE_HEAD_BYTES:
            raise DamagedFileError(f"the message at byte {body} has {length} bytes")
        return (
            self._channels.get(channel, -1),
            received_ns,
            body + _MESSAGE_HEAD_BYTES,
            length - _MESSAGE_HEAD_BYTES,
        )

    def _chunk(self, view: memoryview, body: int, end: int) -> None:
        first_ns, last_ns, size, checksum, name_length = _CHUNK_HEAD.unpack_from(view, body)
        position = body + _CHUNK_HEAD.size + name_length
        compression = str(view[position - name_length : position], "ascii")
        (stored,) = Struct("<Q").unpack_from(view, position)
        position += 8
        if position + stored != end or size > _MAX_CHUNK_BYTES:
            raise DamagedFileError(f"the chunk at byte {body} contradicts itself about its size")
        records = self._stored(view, position, end)
        file = self._file
        offset = position
        if compression:
            records = memoryview(_unpacked(records, compression, size, body))
            file, offset = -1, self._spool().append(records)
        if len(records) != size:
            raise DamagedFileError(f"the chunk at byte {body} has {len(records)} bytes, not {size}")
        self.is_checked &= checksum != 0
        if checksum and zlib.crc32(records) != checksum:
            raise DamagedFileError(f"the chunk at byte {body} has another checksum than it says")
        if not self._add_indexed(records, view, end, offset, file, first_ns, last_ns):
            self._chunk_records(records, offset, file, first_ns, last_ns)

    def _add_indexed(
        self,
        records: memoryview,
        view: memoryview,
        end: int,
        offset: int,
        file: int,
        first_ns: int,
        last_ns: int,
    ) -> bool:
        """Add the messages of a chunk at once, if its index is what a walk over it would find."""
        starts = indexed_starts(view, end)
        if (block := indexed_messages(records, starts, first_ns, last_ns)) is None:
            return False
        # Before the first message there may be schemas and channels, and nothing else.
        self._chunk_records(records[: int(starts[0])], offset, file, first_ns, last_ns)
        numbers = self._numbers[block["channel"]]
        if (numbers < 0).any():
            return False  # the walk will say what is wrong
        block["channel"], block["file"] = numbers, file
        block["position"] += offset
        self._index.blocks.append(block)
        return True

    def _stored(self, view: memoryview, start: int, end: int) -> memoryview:
        """Some bytes of the file, to be used before the next call."""
        size = end - start
        if size > _COPY_BYTES:
            return view[start:end]
        if len(self._buffer) < size:
            self._buffer = bytearray(size)
        records = memoryview(self._buffer)[:size]
        whole = os.preadv(self._stream.fileno(), [records], start) == size
        return records if whole else view[start:end]

    def _chunk_records(
        self, records: memoryview, offset: int, file: int, first_ns: int, last_ns: int
    ) -> None:
        """The records of one unpacked chunk; this loop sees every message of the bag."""
        found: list[tuple[int, int, int, int]] = []
        channels = self._channels
        unpack, head, least = _MESSAGE_RECORD.unpack_from, _RECORD.size, _MESSAGE_HEAD_BYTES
        position, end = 0, len(records)
        while position < end:
            if records[position] == _MESSAGE:
                _, length, channel, _, received_ns = unpack(records, position)
                if length < least or not first_ns <= received_ns <= last_ns:
                    raise DamagedFileError(f"the message at byte {position} contradicts its chunk")
                found.append(
                    (
                        channels.get(channel, -1),
                        received_ns,
                        position + head + least,
                        length - least,
                    )
                )
            else:
                code, length = _RECORD.unpack_from(records, position)
                body = position + head
                self._describe(code, records[body : body + length])
            position += head + length
        if position != end:
            raise DamagedFileError("a record reaches beyond the end of its chunk")
        self._add(records, found, file, offset)

    def _add(
        self,
        view: memoryview,
        found: list[tuple[int, int, int, int]],
        file: int,
        offset: int = 0,
    ) -> None:
        """Put messages into the index, with the bytes that each begins with."""
        if not found:
            return
        columns = np.array(found, np.int64)
        block = np.zeros(len(found), INDEX_TYPE)
        block["channel"], block["received_ns"], position, block["length"] = columns.T
        if (block["channel"] < 0).any():
            raise DamagedFileError("a message is of a channel that is not described")
        block["file"] = file
        block["position"] = position + offset
        data = np.frombuffer(view, np.uint8)
        places = position[:, None] + np.arange(HEAD_BYTES)
        inside = places < (position + block["length"])[:, None]
        block["head"] = np.where(inside, data[np.minimum(places, data.size - 1)], 0)
        self._index.blocks.append(block)

    def _describe(self, code: int, body: memoryview) -> None:
        """Schemas and channels; other records do not matter here."""
        if code == _SCHEMA:
            name, _ = _text(body, 2)
            self._schemas[int.from_bytes(body[:2], "little")] = name
        elif code == _CHANNEL:
            number, schema = Struct("<HH").unpack_from(body)
            topic, position = _text(body, 4)
            encoding, _ = _text(body, position)
            if schema not in self._schemas:
                raise DamagedFileError(f"topic {topic} is of a type that is not described")
            if encoding != "cdr":
                raise DamagedFileError(f"topic {topic} is encoded as {encoding!r}, expected 'cdr'")
            channel = self._index.channel(topic, self._schemas[schema])
            self._numbers[number] = self._channels[number] = channel


def _text(body: memoryview, position: int) -> tuple[str, int]:
    """A text with its length before it, and where it ends."""
    (length,) = Struct("<I").unpack_from(body, position)
    end = position + 4 + length
    if end > len(body):
        raise DamagedFileError("a text reaches beyond its record")
    return str(body[position + 4 : end], "utf-8"), end


def _unpacked(data: memoryview, compression: str, size: int, place: int) -> bytes:
    try:
        if compression == "zstd":
            return zstd.decompress(data)
        if compression == "lz4":
            return bytes(lz4.decompress(data))
    except Exception as error:
        # Either library has errors of its own.
        raise DamagedFileError(f"the chunk at byte {place} cannot be unpacked ({error})") from error
    raise DamagedFileError(f"the chunk at byte {place} is compressed as {compression!r}")
