"""What the system is told of the pages of mapped files before they are read.

Shuffled rows of a file that is larger than the memory are read one by one from the disk. Left to
itself the system reads far ahead of each (128 KiB by default, megabytes on some machines), which
pushes out of the memory what others need, and waits for every row in turn.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from functools import cache
from typing import Any, Final

import numpy as np

_PAGE: Final = mmap.PAGESIZE


def expect_random_reads(memory: np.ndarray) -> None:
    """Have nothing read ahead of what is asked for.

    Args:
        memory: (bytes,) uint8 that lie in a map, from the beginning of a page on.
    """
    _advise(memory.ctypes.data, memory.nbytes, "MADV_RANDOM")


def begin_to_read(addresses: np.ndarray, size: int) -> None:
    """Have rows read from the disk side by side; returns at once.

    Args:
        addresses: (n,) int64 of their first bytes, in maps.
        size: Bytes of a row; of rows smaller than a page nothing is gained.
    """
    if size < _PAGE:
        return
    for address in addresses.tolist():
        begin = address - address % _PAGE
        _advise(begin, address + size - begin, "MADV_WILLNEED")


def _advise(address: int, size: int, name: str) -> None:
    """It is advice: where it cannot be given, reading is slower and nothing else."""
    madvise, value = _madvise(), getattr(mmap, name, None)
    if madvise is not None and value is not None:
        madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), value)


@cache
def _madvise() -> Any:
    """The function of the C library; None where it has none. Python's own knows its maps only."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "madvise", None)
