"""What is known about a bag while it is written: for whoever finds it after a crash."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final

from vla_core.bag_metadata import JOURNAL_FILE
from vla_recorder.errors import BagError
from vla_recorder.file_sync import sync, sync_folder

_METADATA: Final = "metadata"
_MESSAGES: Final = "messages"


@dataclass(frozen=True)
class JournalEntry:
    """The last that was written down.

    Attributes:
        metadata: custom metadata of the bag.
        messages: how many the whole bag has; None while it is being recorded.
    """

    metadata: Mapping[str, str] = field(default_factory=dict)
    messages: int | None = None


class RecordingJournal:
    """The journal of a bag; locked for as long as this object, or its process, lives."""

    def __init__(self, folder: Path) -> None:
        """Open the journal of a bag, or begin one.

        Raises:
            BagError: another process has it open, which means that the bag is being written.
            OSError: it cannot be created.
        """
        self.path = folder / JOURNAL_FILE
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise BagError(
                f"bag {folder} is being written by another process; end its recording first"
            ) from error

    def __enter__(self) -> RecordingJournal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def append(self, metadata: Mapping[str, str], messages: int | None = None) -> None:
        """Write down what is known now, and bring it onto the disk.

        Args:
            metadata: custom metadata of the bag.
            messages: how many the whole bag has, once that is known.
        """
        line = json.dumps({_METADATA: dict(metadata), _MESSAGES: messages}) + "\n"
        os.write(self._file, line.encode())
        sync(self._file)
        sync_folder(self.path.parent)

    def remove(self) -> None:
        """The bag is closed: nothing is left to be known."""
        self.path.unlink(missing_ok=True)
        sync_folder(self.path.parent)
        self.close()

    def close(self) -> None:
        """Give the lock back and leave the file, if it is there."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_journal(folder: Path) -> JournalEntry | None:
    """The last whole entry of a bag's journal; None if there is none."""
    try:
        text = (folder / JOURNAL_FILE).read_text("utf-8", errors="replace")
    except OSError:
        return None
    for line in reversed(text.splitlines()):
        try:
            values = json.loads(line)
            metadata = {str(key): str(value) for key, value in values[_METADATA].items()}
            messages = values[_MESSAGES]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # torn by the crash
        return JournalEntry(metadata, messages if isinstance(messages, int) else None)
    return None
