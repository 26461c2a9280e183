"""Brings files onto the disk, where there is one under them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

_CANNOT_BE_SYNCED: Final = frozenset({errno.EINVAL, errno.EROFS, errno.ENOTSUP})
"""What `fsync` answers for a pipe, a device or a file system that has nothing to synchronise
(fsync(2), section Errors). That says nothing about what was written."""


def sync_data(descriptor: int) -> None:
    """Bring what was written to a file onto the disk, and its size.

    Raises:
        OSError: it could not be written, for instance because the disk is full.
    """
    _sync(os.fdatasync, descriptor)


def sync(descriptor: int) -> None:
    """Bring what was written to a file, and all that is known about it, onto the disk.

    Raises:
        OSError: it could not be written, for instance because the disk is full.
    """
    _sync(os.fsync, descriptor)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder onto the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(folder: Path) -> None:
    """Bring the files of a folder, and their names, onto the disk."""
    for file in folder.iterdir():
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                sync(descriptor)
            finally:
                os.close(descriptor)
    sync_folder(folder)


def _sync(call: Callable[[int], None], descriptor: int) -> None:
    try:
        call(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_BE_SYNCED:
            raise
