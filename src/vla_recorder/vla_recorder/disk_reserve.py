"""Keeps an eye on the free space of the disk that is written to."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final

from vla_recorder.errors import BagError

_PERIOD_S: Final = 0.4
_PERIOD_BYTES: Final = 4_000_000


class DiskReserve:
    """Says when a disk has less than its reserve left; looks now and then."""

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        """Begin to watch.

        Args:
            folder: on the disk.
            reserve_bytes: that must stay free.
        """
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._next_s = 0.0
        self._next_bytes = 0

    def check(self, written_bytes: int) -> None:
        """Look, unless that was a moment and a few megabytes ago.

        Args:
            written_bytes: so far.

        Raises:
            BagError: less than the reserve is free.
        """
        now_s = time.monotonic()
        if now_s < self._next_s and written_bytes < self._next_bytes:
            return
        self._next_s = now_s + _PERIOD_S
        self._next_bytes = written_bytes + _PERIOD_BYTES
        free_bytes = shutil.disk_usage(self._folder).free
        if free_bytes < self._reserve_bytes:
            raise BagError(
                f"disk of {self._folder} is nearly full: {free_bytes / 1e9:.3g} GB free, "
                f"disk_reserve_bytes is {self._reserve_bytes / 1e9:.3g} GB; "
                f"free some space or record elsewhere"
            )
