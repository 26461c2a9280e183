"""Finds out how far an MCAP file is sound that was not closed.

Record layouts: mcap.dev/spec. Everything from the first byte on that is not as it should be counts
as lost: what a crash leaves behind is the beginning of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from rosbags.rosbag2.storage_mcap import Channel, Schema

from vla_recorder.errors import BagError
from vla_recorder.mcap_records import (
    ATTACHMENT,
    CHANNEL,
    CHUNK,
    DATA_END,
    FOOTER,
    HEAD,
    HEADER,
    INDEX,
    MESSAGE,
    METADATA,
    SCHEMA,
    Contents,
    Damage,
    Entries,
    Record,
    checked_index,
    chunk_contents,
    chunk_index,
    new_indexes,
    read_inner,
)

MAGIC: Final = b"\x89MCAP0\r\n"
_LARGEST_RECORD_BYTES: Final = 1 << 32


@dataclass
class SalvagedMcap:
    """What is sound of an MCAP file.

    Attributes:
        size: of the file [B].
        end: what is sound ends here; the place for the rest of a whole file.
        missing: index records that belong behind `end` and are not there.
        reason: why it ends there; empty if the recording ended there.
        schemas: in the order of the file.
        channels: in the order of the file.
        chunks: contents of the chunk index records of a summary.
        counts: messages by channel.
        start_ns: least log time.
        end_ns: greatest log time.
        verified: whether every message is covered by a checksum.
    """

    size: int
    end: int = len(MAGIC)
    missing: bytes = b""
    reason: str = ""
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    chunks: list[BytesIO] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    start_ns: int = 2**63 - 1
    end_ns: int = 0
    verified: bool = True

    @property
    def messages(self) -> int:
        """How many are sound."""
        return sum(self.counts.values())

    def add(self, found: Contents) -> None:
        """Take over what a chunk holds.

        Raises:
            Damage: it refers to something that is not there.
        """
        for key in found.entries:
            if key not in self.channels and key not in found.channels:
                raise Damage(f"a message of channel {key}, which is not declared")
        self.schemas |= found.schemas
        for key, channel in found.channels.items():
            schema = self.schemas.get(int(channel.schema))
            if schema is None:
                raise Damage(f"channel {channel.topic} has a schema that is not declared")
            self.channels.setdefault(key, channel._replace(schema=schema.name))
            self.counts.setdefault(key, 0)
        for key, entries in found.entries.items():
            self.counts[key] += len(entries)
            self.start_ns = min(self.start_ns, *(time_ns for time_ns, _ in entries))
            self.end_ns = max(self.end_ns, *(time_ns for time_ns, _ in entries))


def salvage_mcap(path: Path, *, with_checksums: bool) -> SalvagedMcap:
    """Read a file up to its end or its first damage.

    Args:
        path: of the file, which may have been closed.
        with_checksums: whether its writer gave every chunk a checksum.

    Raises:
        BagError: not even its beginning is that of a ROS 2 MCAP file.
        OSError: it cannot be read.
    """
    found = SalvagedMcap(path.stat().st_size)
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise BagError(f"{path} does not begin as an MCAP file does; nothing can be saved")
        try:
            _walk(file, found, with_checksums)
        except Damage as damage:
            found.reason = str(damage)
    if found.end == len(MAGIC):
        raise BagError(f"{path} has no sound header ({found.reason}); nothing can be saved")
    return found


def _walk(file: BinaryIO, found: SalvagedMcap, with_checksums: bool) -> None:
    records = _records(file, len(MAGIC), found.size)
    pending: Record | None = None
    while (record := pending or next(records, None)) is not None:
        pending = None
        if found.end == len(MAGIC) and record.code != HEADER:
            raise Damage("no header record at the beginning")
        if record.code in (DATA_END, FOOTER):
            return
        if record.code == METADATA:
            continue  # of the end that is written anew, unless data follow
        if record.code == CHUNK:
            contents, crc = chunk_contents(record)
            if with_checksums and not crc:
                raise Damage(f"the chunk at byte {record.start} has no checksum")
            found.verified &= bool(crc)
            found.add(contents)
            found.end = record.end
            pending = _index_chunk(records, record, contents.entries, found)
        elif record.code in (SCHEMA, CHANNEL, MESSAGE):
            contents = Contents()
            read_inner(record.code, record.data, record.start, contents)
            found.verified &= record.code != MESSAGE
            found.add(contents)
            found.end = record.end
        elif record.code in (HEADER, ATTACHMENT):
            found.end = record.end
        else:
            raise Damage(f"a record of kind {record.code:#x} at byte {record.start}")
    raise Damage("the file ends without its summary")


def _records(file: BinaryIO, start: int, size: int) -> Iterator[Record]:
    while start < size:
        file.seek(start)
        head = file.read(HEAD.size)
        if len(head) < HEAD.size:
            raise Damage(f"the record at byte {start} is cut off")
        code, length = HEAD.unpack(head)
        end = start + HEAD.size + length
        if not code:
            raise Damage(f"zeros in place of a record at byte {start}")
        if length > _LARGEST_RECORD_BYTES or end > size:
            raise Damage(f"the record at byte {start} is cut off")
        yield Record(code, start, end, file.read(length))
        start = end


def _index_chunk(
    records: Iterator[Record], chunk: Record, entries: Entries, found: SalvagedMcap
) -> Record | None:
    """Note a chunk for the summary; its index records follow it, or are made anew.

    Returns:
        The record after them; None at the end of the file.
    """
    offsets: dict[int, int] = {}
    following: Record | None = None
    damage: Damage | None = None
    wanted = {channel for channel, own in entries.items() if own}
    try:
        for record in records:
            if record.code != INDEX:
                following = record
                break
            channel = checked_index(record, entries)
            offsets[channel] = record.start
            found.end = record.end
    except Damage as error:
        damage = error
    if wanted and not offsets and following is not None:
        raise BagError(
            f"the chunk at byte {chunk.start} has no index; use `mcap recover` for such a file"
        )
    if set(offsets) != wanted:
        damage = damage or Damage(f"the chunk at byte {chunk.start} is not followed by its index")
        found.end, found.missing, offsets = chunk.end, *new_indexes(chunk.end, entries)
    found.chunks.append(
        chunk_index(chunk, entries, offsets, found.end + len(found.missing) - chunk.end)
    )
    if damage is not None:
        raise damage
    return following
