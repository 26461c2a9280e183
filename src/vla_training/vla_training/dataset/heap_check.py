"""A look at a file before HDF5 reads it: one kind of damage makes the library loop for ever.

Texts of variable length stand in global heaps (HDF5 file format, section III.E): collections of
entries, each with its size, the free space being entry 0. HDF5 2.0 goes from entry to entry by
these sizes, and does not go on from a free space of size 0 (H5HG__cache_heap_deserialize), which
no Ctrl-C ends.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final

_SIGNATURE: Final = b"GCOL\x01\0\0\0"
_COLLECTION: Final = Struct("<8sQ")
_ENTRY: Final = Struct("<HHIQ")
_ALIGNMENT: Final = 8
_LOOK_BYTES: Final = 1 << 25
"""At the beginning and at the end of a file: a head stands before or after all rows."""


def check_heaps(path: Path) -> None:
    """Make sure that HDF5 comes to an end with the texts of a file.

    Raises:
        OSError: The file cannot be read.
        ValueError: It does not.
    """
    with path.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            check_heaps_of(data)


def check_heaps_of(data: bytes | mmap.mmap) -> None:
    """The same of a file's content.

    Raises:
        ValueError: HDF5 does not come to an end with it.
    """
    for start in _collections(data, len(data)):
        _check_collection(data, start, len(data))


def _collections(data: bytes | mmap.mmap, size: int) -> Iterator[int]:
    ends = ((0, min(size, _LOOK_BYTES)), (max(_LOOK_BYTES, size - _LOOK_BYTES), size))
    for position, end in ends:
        while position < end and (position := data.find(_SIGNATURE, position, end)) >= 0:
            yield position
            position += len(_SIGNATURE)


def _check_collection(data: bytes | mmap.mmap, start: int, size: int) -> None:
    if start + _COLLECTION.size > size:
        return
    _, length = _COLLECTION.unpack_from(data, start)
    end = min(start + length, size)
    position = start + _COLLECTION.size
    while position + _ENTRY.size <= end:
        number, _, _, taken = _ENTRY.unpack_from(data, position)
        if number:
            taken = _ENTRY.size + -(-taken // _ALIGNMENT) * _ALIGNMENT
        if not taken:
            raise ValueError(f"its heap at byte {start} has a free space without a size")
        position += taken
