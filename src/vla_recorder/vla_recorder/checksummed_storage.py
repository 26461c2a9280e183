"""Bags in which damage shows: MCAP chunks with their checksums.

The writer of rosbags leaves the checksum of a chunk at zero, which readers take for "unknown".
"""

from __future__ import annotations

import zlib
from typing import Final

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter

# Of a chunk record: its code, its length, first and last time and size come before.
_CHECKSUM_OFFSET: Final = 1 + 8 + 3 * 8


class ChecksummedMcapWriter(McapWriter):
    """Writes an MCAP file with the CRC-32 of every chunk (mcap.dev/spec, section Chunk)."""

    def close_chunk(self) -> None:
        """Write the pending chunk, and its checksum over the zeros that stand for it."""
        start = self.bio.tell()
        checksum = zlib.crc32(self.chunk.bio.getbuffer())
        super().close_chunk()
        end = self.bio.tell()
        self.bio.seek(start + _CHECKSUM_OFFSET)
        self.bio.write(checksum.to_bytes(4, "little"))
        self.bio.seek(end)


class ChecksummedWriter(Writer):
    """A rosbags writer whose MCAP files have checksums."""

    STORAGE_PLUGINS = {**Writer.STORAGE_PLUGINS, StoragePlugin.MCAP: ChecksummedMcapWriter}  # noqa: RUF012 -- as in the base
