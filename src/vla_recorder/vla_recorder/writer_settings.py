"""How bags are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from vla_recorder.errors import BagError

StorageName = Literal["mcap", "sqlite3"]
CompressionName = Literal["none", "zstd"]
METADATA_VERSION: Final = 9
"""Of rosbag2 in ROS 2 Jazzy."""

STORAGES: Final[tuple[StorageName, ...]] = ("mcap", "sqlite3")
COMPRESSIONS: Final[tuple[CompressionName, ...]] = ("none", "zstd")


@dataclass(frozen=True)
class WriterSettings:
    """How bags are written.

    Attributes:
        storage: "mcap" or "sqlite3".
        compression: "none", or "zstd" for the chunks of an MCAP file.
        disk_reserve_bytes: recording stops when less than this is free.
        queue_limit_bytes: messages waiting for the disk; further ones are dropped and counted.
    """

    storage: StorageName = "mcap"
    compression: CompressionName = "none"
    disk_reserve_bytes: int = 0
    queue_limit_bytes: int = 256_000_000

    def __post_init__(self) -> None:
        if self.storage not in STORAGES:
            raise BagError(f"storage {self.storage!r} is unknown; choose one of {STORAGES}")
        if self.compression not in COMPRESSIONS:
            raise BagError(
                f"compression {self.compression!r} is unknown; choose one of {COMPRESSIONS}"
            )
        if self.compression != "none" and self.storage != "mcap":
            raise BagError(
                f"compression {self.compression!r} needs storage 'mcap', got {self.storage!r}"
            )
