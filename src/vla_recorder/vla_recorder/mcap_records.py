"""Records of MCAP files: what a chunk holds, and the indexes that belong to it.

Layouts: mcap.dev/spec.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final, NamedTuple

from rosbags.rosbag2.storage_mcap import Channel, Schema, decompress

HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, INDEX = range(1, 8)
ATTACHMENT, METADATA, DATA_END = 0x09, 0x0C, 0x0F
HEAD: Final = struct.Struct("<BQ")

_MESSAGE_HEAD: Final = struct.Struct("<HIQQ")
_CHUNK_HEAD: Final = struct.Struct("<QQQI")
_ENTRY: Final = struct.Struct("<QQ")

Entries = dict[int, list[tuple[int, int]]]
"""By channel, (log time [ns], place in the chunk) of each message."""


class Damage(Exception):  # noqa: N818 (an observation)
    """From here on the file is not sound."""


class Record(NamedTuple):
    """A record of the file.

    Attributes:
        code: what it is.
        start: its first byte in the file.
        end: behind its last byte.
        data: without code and length.
    """

    code: int
    start: int
    end: int
    data: bytes


@dataclass
class Contents:
    """What a chunk holds, by identifier; a channel's `schema` is the schema's identifier."""

    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    entries: Entries = field(default_factory=lambda: defaultdict(list))


def chunk_contents(record: Record) -> tuple[Contents, int]:
    """What a chunk holds, and its checksum; 0 for none.

    Raises:
        Damage: it is not sound.
    """
    where = f"the chunk at byte {record.start}"
    try:
        start_ns, end_ns, size, crc = _CHUNK_HEAD.unpack_from(record.data)
        compression, place = _string(record.data, _CHUNK_HEAD.size)
        (packed,) = struct.unpack_from("<Q", record.data, place)
        if place + 8 + packed != len(record.data):
            raise Damage(f"{where} does not have the size that it says")
        data = decompress(record.data[place + 8 :], compression, size, crc)
        contents = Contents()
        offset = 0
        while offset < len(data):
            code, length = HEAD.unpack_from(data, offset)
            body = data[offset + HEAD.size : offset + HEAD.size + length]
            if len(body) != length:
                raise Damage(f"{where} holds a record that is cut off")
            read_inner(code, body, offset, contents)
            offset += HEAD.size + length
    except Damage:
        raise
    except Exception as error:  # the decompressors raise whatever the broken bytes lead to
        raise Damage(f"{where} is damaged: {error}") from error
    times = [time_ns for entries in contents.entries.values() for time_ns, _ in entries]
    if times and (min(times), max(times)) != (start_ns, end_ns):
        raise Damage(f"{where} does not have the times that it says")
    return contents, crc


def read_inner(code: int, data: bytes, offset: int, contents: Contents) -> None:
    """Add a schema, channel or message to the contents.

    Raises:
        Damage: it cannot be read.
    """
    try:
        if code == SCHEMA:
            (key,) = struct.unpack_from("<H", data)
            name, place = _string(data, 2)
            encoding, place = _string(data, place)
            text, _ = _string(data, place)
            contents.schemas[key] = Schema(key, name, encoding, text)
        elif code == CHANNEL:
            key, schema = struct.unpack_from("<HH", data)
            topic, place = _string(data, 4)
            encoding, place = _string(data, place)
            (length,) = struct.unpack_from("<I", data, place)
            metadata = data[place + 4 : place + 4 + length]
            contents.channels[key] = Channel(key, str(schema), topic, encoding, metadata)
        elif code == MESSAGE:
            channel, _, time_ns, _ = _MESSAGE_HEAD.unpack_from(data)
            contents.entries[channel].append((time_ns, offset))
    except (struct.error, UnicodeDecodeError) as error:
        raise Damage(f"a record that cannot be read: {error}") from error


def _string(data: bytes, place: int) -> tuple[str, int]:
    """A text with its length before it, and where it ends."""
    (length,) = struct.unpack_from("<I", data, place)
    end = place + 4 + length
    if end > len(data):
        raise Damage("a text that is longer than its record")
    return data[place + 4 : end].decode(), end


def checked_index(record: Record, entries: Entries) -> int:
    """The channel of an index record that says what is in the chunk.

    Raises:
        Damage: it says something else.
    """
    try:
        channel, length = struct.unpack_from("<HI", record.data)
        if 6 + length != len(record.data) or length % _ENTRY.size:
            raise Damage(f"the index at byte {record.start} does not have the size that it says")
    except struct.error as error:
        raise Damage(f"the index at byte {record.start} cannot be read") from error
    if sorted(_ENTRY.iter_unpack(record.data[6:])) != sorted(entries.get(channel, [])):
        raise Damage(f"the index at byte {record.start} does not fit its chunk")
    return int(channel)


def new_indexes(start: int, entries: Entries) -> tuple[bytes, dict[int, int]]:
    """Index records of a chunk that end up at a place in the file, and where each is."""
    records, offsets = b"", {}
    for channel, own in entries.items():
        offsets[channel] = start + len(records)
        packed = b"".join(_ENTRY.pack(*entry) for entry in own)
        body = struct.pack("<HI", channel, len(packed)) + packed
        records += HEAD.pack(INDEX, len(body)) + body
    return records, offsets


def chunk_index(
    chunk: Record, entries: Entries, offsets: dict[int, int], index_bytes: int
) -> BytesIO:
    """Content of the record that stands for a chunk in the summary.

    Args:
        chunk: the chunk.
        entries: its messages.
        offsets: place of its index records in the file, by channel.
        index_bytes: size of these.
    """
    times = [time_ns for own in entries.values() for time_ns, _ in own] or [0]
    size = struct.unpack_from("<Q", chunk.data, 16)[0]
    (name_bytes,) = struct.unpack_from("<I", chunk.data, _CHUNK_HEAD.size)
    name_end = _CHUNK_HEAD.size + 4 + name_bytes
    compression = chunk.data[_CHUNK_HEAD.size : name_end]
    (packed,) = struct.unpack_from("<Q", chunk.data, name_end)
    record = BytesIO()
    record.write(struct.pack("<4Q", min(times), max(times), chunk.start, chunk.end - chunk.start))
    record.write(struct.pack("<I", 10 * len(offsets)))
    for channel, place in offsets.items():
        record.write(struct.pack("<HQ", channel, place))
    record.write(struct.pack("<Q", index_bytes) + compression + struct.pack("<QQ", packed, size))
    return record
