"""Storages of bags that survive a crash and in which damage shows.

The writers of rosbags keep what they are given until a chunk is full (MCAP) or the bag is closed
(sqlite3), and leave the checksum of a chunk at zero, which readers take for "unknown".
"""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import Any, Final, cast

from rosbags.rosbag2 import CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer

from vla_recorder.errors import BagError
from vla_recorder.file_sync import sync_data

# Of a chunk record: its code, its length, first and last time and size come before.
_CHECKSUM_OFFSET: Final = 1 + 8 + 3 * 8


class _Staged(BytesIO):
    """Records that are to be appended to a file; knows where they will stand in it."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self._offset = offset

    def tell(self) -> int:
        """Place in the file."""
        return self._offset + super().tell()


class DurableMcapWriter(McapWriter):
    """Writes an MCAP file with the CRC-32 of every chunk (mcap.dev/spec, section Chunk)."""

    def __init__(self, path: Any, compression: CompressionMode) -> None:
        super().__init__(path, compression)
        self.flush()

    def close_chunk(self) -> None:
        """Append the pending chunk and its indexes to the file, in one piece.

        A chunk must never stand there without its checksum: a crash in between would leave one
        that nobody can verify.
        """
        if not self.chunk.msgs:
            self.chunk.message_start_time = 0
        checksum = zlib.crc32(self.chunk.bio.getbuffer())
        file = self.bio
        staged = _Staged(file.tell())
        self.bio = cast(Any, staged)
        try:
            super().close_chunk()
        finally:
            self.bio = file
        with staged.getbuffer() as records:
            records[_CHECKSUM_OFFSET : _CHECKSUM_OFFSET + 4] = checksum.to_bytes(4, "little")
            file.write(records)

    def flush(self) -> None:
        """Bring every message so far onto the disk."""
        if self.chunk.msgs:
            self.close_chunk()
        self.bio.flush()
        sync_data(self.bio.fileno())


class DurableSqlite3Writer(Sqlite3Writer):
    """Writes an SQLite file whose transactions are short."""

    def flush(self) -> None:
        """Bring every message so far onto the disk."""
        self.conn.commit()


class DurableWriter(Writer):
    """A rosbags writer whose storages can be flushed."""

    STORAGE_PLUGINS = {  # noqa: RUF012 -- as in the base
        StoragePlugin.MCAP: DurableMcapWriter,
        StoragePlugin.SQLITE3: DurableSqlite3Writer,
    }

    def flush(self) -> None:
        """Bring every message so far onto the disk.

        Raises:
            OSError: the file cannot be written.
            sqlite3.Error: the same of an SQLite file.
        """
        if self.storage is None:
            raise BagError(f"bag {self.path} is not open; nothing can be flushed")
        cast("DurableMcapWriter | DurableSqlite3Writer", self.storage).flush()
