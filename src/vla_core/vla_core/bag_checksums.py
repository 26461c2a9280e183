"""The list of checksums that the recorder leaves in a bag's folder, as `sha256sum` writes it.

`sha256sum --check SHA256SUMS` in the folder verifies a bag by hand.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vla_core.errors import VlaError

FILE_NAME: Final = "SHA256SUMS"

_HEX_DIGITS: Final = 64
_BLOCK_BYTES: Final = 1 << 20


class ChecksumError(VlaError):
    """A file is not what it was when its checksum was written down."""


def sha256_of(file: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def write_checksums(folder: Path) -> Path:
    """Write down the checksums of all files of a folder; the list appears whole or not at all.

    Returns:
        The list.

    Raises:
        OSError: if a file cannot be read or the list cannot be written.
    """
    names = sorted(file.name for file in folder.iterdir() if file.is_file())
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in names if name != FILE_NAME]
    target, temporary = folder / FILE_NAME, folder / f".{FILE_NAME}.tmp"
    with temporary.open("w", encoding="utf-8") as stream:
        stream.writelines(lines)
        stream.flush()
        os.fsync(stream.fileno())
    return temporary.replace(target)


def read_checksums(folder: Path) -> dict[str, str] | None:
    """The list of a folder: SHA-256 (hex) by file name; None if there is none.

    Raises:
        ChecksumError: if the list is damaged.
    """
    file = folder / FILE_NAME
    if not file.is_file():
        return None
    checksums: dict[str, str] = {}
    try:
        lines = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ChecksumError(f"{file} is damaged: {error}; record the bag again") from error
    for number, line in enumerate(lines, 1):
        digest, gap, name = line[:_HEX_DIGITS], line[_HEX_DIGITS : _HEX_DIGITS + 2], line[66:]
        is_name = name and "/" not in name and "\0" not in name
        if gap not in ("  ", " *") or not is_name or not set(digest) <= set("0123456789abcdef"):
            raise ChecksumError(
                f"{file} is damaged: line {number} is {line[:80]!r}, expected 64 hexadecimal "
                "digits, two spaces and a file name"
            )
        checksums[name] = digest
    return checksums


def check(checksums: Mapping[str, str], file: Path, sha256: str | None = None) -> None:
    """Compare a file with a list.

    Args:
        checksums: The list, see `read_checksums`.
        file: In the folder of the list; a file that is not on it may hold anything.
        sha256: Its checksum, where that is known already.

    Raises:
        ChecksumError: If they differ.
    """
    expected = checksums.get(file.name)
    if expected is not None and (sha256 or sha256_of(file)) != expected:
        raise ChecksumError(
            f"{file} is not what was recorded: it does not have the checksum in {FILE_NAME}; copy "
            f"it again from where it was recorded (or, if it was changed on purpose, delete "
            f"{FILE_NAME})"
        )


def changed_files(folder: Path) -> list[str]:
    """Why a folder is not as its list says, one sentence for each file; empty without a list."""
    try:
        checksums = read_checksums(folder) or {}
    except ChecksumError as error:
        return [str(error)]
    found = []
    for name in checksums:
        try:
            check(checksums, folder / name)
        except ChecksumError as error:
            found.append(str(error))
        except OSError:
            found.append(f"{name} is missing; copy the whole folder")
    return found
