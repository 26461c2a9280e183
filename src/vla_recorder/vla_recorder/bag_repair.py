"""Finishes bags whose recording was cut off, by a crash or a loss of power."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rosbags.rosbag2 import StoragePlugin

from vla_core import bag_metadata
from vla_core.bag_checksums import FILE_NAME as CHECKSUMS_FILE
from vla_core.bag_checksums import write_checksums
from vla_core.bag_metadata import JOURNAL_FILE, Outcome
from vla_recorder.bag_files import STORAGE_SUFFIXES, is_closed
from vla_recorder.errors import BagError
from vla_recorder.file_sync import sync, sync_files, sync_folder
from vla_recorder.mcap_salvage import SalvagedMcap, salvage_mcap
from vla_recorder.recording_journal import JournalEntry, RecordingJournal, read_journal
from vla_recorder.resumed_bag import ResumedBag, resume_mcap, resume_sqlite3

CUT_SUFFIX: Final = ".cut"
"""What was cut off a storage file is kept beside it, in a file with this at the end of its name."""

_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Repair:
    """What was done to a bag.

    Attributes:
        path: folder of the bag.
        messages: that it has now.
        cut_bytes: of a damaged or unfinished end, which are in a file of their own now.
        text: one sentence.
    """

    path: Path
    messages: int
    cut_bytes: int
    text: str


def repair_bag(path: Path) -> Repair | None:
    """Finish a bag that was not closed: its summary, metadata and checksums.

    What is damaged or unfinished at its end is cut off and kept beside it. A repair that is
    interrupted can be repeated.

    Args:
        path: folder of the bag.

    Returns:
        What was done; None where the bag was closed as it should be.

    Raises:
        BagError: it is being recorded right now, or nothing of it can be saved.
    """
    if not path.is_dir() or is_closed(path):
        return None
    storages = sorted(file for file in path.iterdir() if file.name.endswith(STORAGE_SUFFIXES))
    if len(storages) != 1 or storages[0].suffix not in STORAGE_SUFFIXES[:2]:
        names = ", ".join(file.name for file in storages) or "none"
        raise BagError(
            f"bag {path} cannot be repaired: expected one file that ends in "
            f"{' or '.join(STORAGE_SUFFIXES[:2])}, found {names}; try `ros2 bag reindex`"
        )
    is_ours = (path / JOURNAL_FILE).exists()
    try:
        with RecordingJournal(path) as journal:
            try:
                repair = _repair(path, storages[0], read_journal(path))
            except BaseException:
                if not is_ours:
                    journal.remove()
                raise
            journal.remove()
    except (OSError, sqlite3.Error) as error:
        raise BagError(
            f"bag {path} cannot be repaired: {error}; see to the disk and its permissions, then "
            f"try again"
        ) from error
    write_checksums(path)
    return repair


def _repair(path: Path, storage: Path, known: JournalEntry | None) -> Repair:
    is_mcap = storage.suffix == ".mcap"
    bag = ResumedBag(path, StoragePlugin.MCAP if is_mcap else StoragePlugin.SQLITE3)
    cut_bytes, notes = 0, []
    if is_mcap:
        found = salvage_mcap(storage, with_checksums=known is not None)
        cut_bytes = _cut(storage, found)
        if found.reason:
            notes.append(found.reason)
        if not found.verified:
            notes.append("it has no checksums, so damage within its messages would not show")
        resume_mcap(bag, storage, found)
    else:
        resume_sqlite3(bag, storage)
    messages = sum(bag.counts.values())
    if cut_bytes:
        notes.append(f"{cut_bytes} bytes were cut off, they are in {storage.name}{CUT_SUFFIX}")
    text = "; ".join([f"not closed by its recorder, {messages} messages saved", *notes])
    for key, value in _metadata(known, messages, text).items():
        bag.set_custom_data(key, value)
    (path / CHECKSUMS_FILE).unlink(missing_ok=True)
    try:
        bag.close()
    except BaseException:
        with suppress(OSError, sqlite3.Error):
            bag.abort()
        raise
    sync_files(path)
    return Repair(path, messages, cut_bytes, text)


def _metadata(known: JournalEntry | None, messages: int, text: str) -> Mapping[str, str]:
    """What the recorder knew; how the episode ended only if the bag has it to its end."""
    if known is None:
        return {bag_metadata.REPAIRED: text}
    values = {**known.metadata, bag_metadata.REPAIRED: text}
    if known.messages != messages:
        values[bag_metadata.OUTCOME] = Outcome.UNKNOWN.value
    return values


def _cut(storage: Path, found: SalvagedMcap) -> int:
    """Keep what is not sound in a file of its own, before it is overwritten.

    Returns:
        Its size; 0 if the recording ended where it should.
    """
    size = found.size - found.end
    if not found.reason or size <= 0:
        return 0
    target = storage.with_name(storage.name + CUT_SUFFIX)
    if target.exists():
        return target.stat().st_size  # of a repair that was interrupted
    temporary = target.with_name(target.name + ".tmp")
    try:
        with storage.open("rb") as source, temporary.open("wb") as copy:
            source.seek(found.end)
            while block := source.read(_BLOCK_BYTES):
                copy.write(block)
            copy.flush()
            sync(copy.fileno())
        temporary.replace(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(storage.parent)
    return size
