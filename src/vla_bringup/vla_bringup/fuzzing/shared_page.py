"""What a fuzzing process tells its parent even if it dies: counts, and the input under way."""

from __future__ import annotations

import mmap
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LAYOUT: Final = struct.Struct("<QQQQQQ")
_PAGE: Final = "page"
_INPUT: Final = "input"


@dataclass(frozen=True)
class Progress:
    """Where a process is.

    Attributes:
        executions: that have begun.
        accepted: of those that have ended.
        refused: likewise, with an error for a user.
        cpu_ns: that the process had taken when the last one began.
        begun_ns: monotonic time at which the one under way began; 0 for none.
        input_bytes: size of its input.
    """

    executions: int = 0
    accepted: int = 0
    refused: int = 0
    cpu_ns: int = 0
    begun_ns: int = 0
    input_bytes: int = 0


class SharedPage:
    """The place of both, in a folder; made by the parent.

    Args:
        folder: of the two files.
        create: whether to begin anew.
    """

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | ((os.O_CREAT | os.O_TRUNC) if create else 0)
        page = os.open(folder / _PAGE, flags, 0o644)
        self._input = os.open(folder / _INPUT, flags, 0o644)
        os.ftruncate(page, mmap.PAGESIZE)
        self._page = mmap.mmap(page, mmap.PAGESIZE)
        os.close(page)

    def begin(self, data: bytes) -> None:
        """An input is about to be tried."""
        was = self.read()
        os.pwrite(self._input, data, 0)
        self._write(
            was.executions + 1,
            was.accepted,
            was.refused,
            time.process_time_ns(),
            time.monotonic_ns(),
            len(data),
        )

    def end(self, *, accepted: bool = False, refused: bool = False) -> None:
        """It came to an end."""
        was = self.read()
        self._write(
            was.executions, was.accepted + accepted, was.refused + refused, was.cpu_ns, 0, 0
        )

    def read(self) -> Progress:
        """Where the process is."""
        return Progress(*_LAYOUT.unpack_from(self._page))

    def current_input(self) -> bytes:
        """The input under way, or the last one."""
        return os.pread(self._input, self.read().input_bytes, 0)

    def close(self) -> None:
        """Let go of both files."""
        self._page.close()
        os.close(self._input)

    def _write(self, *values: int) -> None:
        _LAYOUT.pack_into(self._page, 0, *values)
