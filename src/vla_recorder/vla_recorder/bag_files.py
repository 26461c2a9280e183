"""Which files make a bag, and whether it was closed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vla_core.bag_metadata import JOURNAL_FILE
from vla_recorder.errors import BagError

STORAGE_SUFFIXES: Final = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
METADATA_FILE: Final = "metadata.yaml"


def find_bags(path: Path) -> list[Path]:
    """The bags at a path, closed or not: itself, or those directly below it, sorted by name.

    Raises:
        BagError: there are none.
    """
    if not path.exists():
        raise BagError(f"{path} does not exist; give the folder of a bag")
    if path.is_file() or (path / METADATA_FILE).exists() or _storage_files_in(path):
        return [path]
    found = [
        folder
        for folder in sorted(path.iterdir())
        if folder.is_dir() and ((folder / METADATA_FILE).exists() or _storage_files_in(folder))
    ]
    if not found:
        raise BagError(
            f"no bag in {path}: expected a folder with metadata.yaml and a storage file "
            f"({', '.join(STORAGE_SUFFIXES[:2])}), or a folder of such folders"
        )
    return found


def is_closed(folder: Path) -> bool:
    """Whether whoever recorded a bag came to the end of it."""
    return (folder / METADATA_FILE).exists() and not (folder / JOURNAL_FILE).exists()


def _storage_files_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.name.endswith(STORAGE_SUFFIXES))


def storage_files(path: Path) -> list[Path]:
    """The storage files of a bag that was closed; the path itself if it is one.

    Raises:
        BagError: there is no bag, or it was not closed.
    """
    if not path.exists():
        raise BagError(f"{path} does not exist; give the folder of a bag")
    if path.is_file():
        return [path]
    files = _storage_files_in(path)
    closed = is_closed(path)
    if not closed and files:
        size_mb = sum(file.stat().st_size for file in files) / 1e6
        raise BagError(
            f"bag {path} was never closed ({files[0].name}, {size_mb:.1f} MB): it is still being "
            f"written, or its recorder crashed; then `vla inspect --repair {path}` finishes it"
        )
    if not closed:
        raise BagError(f"{path} is no bag: it has neither metadata.yaml nor a storage file")
    if not files:
        raise BagError(f"bag {path} is damaged: metadata.yaml has no storage file beside it")
    return files
