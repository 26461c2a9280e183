"""Writes one bag on a thread of its own, so that no callback ever waits for the disk."""

from __future__ import annotations

import logging
import queue
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, WriterError

from vla_core.bag_checksums import write_checksums
from vla_recorder.disk_reserve import DiskReserve
from vla_recorder.durable_storage import DurableWriter
from vla_recorder.errors import BagError
from vla_recorder.file_sync import sync_files
from vla_recorder.message_definitions import RecordedTopic
from vla_recorder.recording_journal import RecordingJournal
from vla_recorder.writer_settings import METADATA_VERSION, WriterSettings

_PLUGINS: Final = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}

_FLUSH_PERIOD_S: Final = 0.4
"""A crash loses what came after the last flush."""

_LOGGER = logging.getLogger(__name__)


class _Flush:
    """Nothing came for a while."""


_FLUSH: Final = _Flush()
_Item = RecordedTopic | tuple[str, int, bytes] | _Flush


class BagWriter:
    """A rosbag2 bag that is being written.

    The calls are for one thread. They hand over to the writer's thread and return at once, except
    for the constructor, which waits until the bag is open, and `wait`. What was handed over is on
    the disk after less than half a second, unless the disk is slower; a journal beside it holds
    the metadata until the bag is closed.
    """

    def __init__(
        self, path: Path, settings: WriterSettings, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Create the bag's folder and its storage file.

        Args:
            path: folder of the bag.
            settings: how it is written.
            metadata: custom metadata, as far as it is known: a bag has them that is never closed.

        Raises:
            BagError: the folder exists, cannot be created or its disk is nearly full.
        """
        self.path = path
        self._settings = settings
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._opened = threading.Event()
        self._metadata: Mapping[str, str] = dict(metadata or {})
        self._discard = False
        self._on_finished: Callable[[], None] | None = None
        self._failure: BagError | None = None
        self._broken = False
        # Each counter has one writing thread, so that none of them needs a lock.
        self._accepted_bytes = 0
        self._accepted_messages = 0
        self._unlimited_bytes = 0
        self._dropped = 0
        self._handled_bytes = 0
        self._written_messages = 0
        self._written_bytes = 0
        self._next_flush_s = 0.0
        self._disk = DiskReserve(path.parent, settings.disk_reserve_bytes)

        self._thread = threading.Thread(target=self._run, name=f"bag {path.name}", daemon=True)
        self._thread.start()
        self._opened.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    @property
    def messages(self) -> int:
        """Messages accepted so far."""
        return self._accepted_messages

    @property
    def size_bytes(self) -> int:
        """Serialised size of the accepted messages [B]."""
        return self._accepted_bytes

    @property
    def written_messages(self) -> int:
        """Messages handed to the storage; equals `messages` in a finished bag without a failure."""
        return self._written_messages

    @property
    def written_bytes(self) -> int:
        """Serialised size of the written messages [B]."""
        return self._written_bytes

    @property
    def dropped(self) -> int:
        """Messages lost because the disk was slower than they came."""
        return self._dropped

    @property
    def failure(self) -> BagError | None:
        """Why the bag does not take messages any more."""
        return self._failure

    @property
    def finished(self) -> bool:
        """Whether the thread has closed (or deleted) the bag."""
        return not self._thread.is_alive()

    def add_topic(self, topic: RecordedTopic) -> None:
        """Announce a topic; before its first message."""
        self._queue.put(topic)

    def write(
        self, topic_name: str, stamp_ns: int, data: bytes, *, is_limited: bool = True
    ) -> None:
        """Append a message.

        Args:
            topic_name: of an added topic.
            stamp_ns: when it was received.
            data: the message in CDR.
            is_limited: drop it if too much waits for the disk; not for what is in memory anyway.
        """
        waiting_bytes = self._accepted_bytes - self._handled_bytes
        if not is_limited:
            self._unlimited_bytes += len(data)
        elif waiting_bytes > self._settings.queue_limit_bytes + self._unlimited_bytes:
            self._dropped += 1
            return
        self._accepted_bytes += len(data)
        self._accepted_messages += 1
        self._queue.put((topic_name, stamp_ns, data))

    def finish(
        self,
        metadata: Mapping[str, str],
        *,
        discard: bool = False,
        on_finished: Callable[[], None] | None = None,
    ) -> None:
        """Write what is queued and close the bag, or delete it.

        Args:
            metadata: all of the custom metadata.
            discard: delete the bag instead of closing it.
            on_finished: called on the writer's thread when the bag is closed.
        """
        self._metadata = metadata
        self._discard = discard
        self._on_finished = on_finished
        self._queue.put(None)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the bag is closed; false if that took longer."""
        self._thread.join(timeout_s)
        return self.finished

    # ------------------------------------------------------------------ the writer's thread

    def _run(self) -> None:
        try:
            writer, journal = self._open()
        except BagError as error:
            self._failure = error
            return
        finally:
            self._opened.set()
        connections: dict[str, Connection] = {}
        while (item := self._take()) is not None:
            if self._failure is None:
                try:
                    self._handle(writer, connections, item)
                except BagError as error:
                    self._failure = error
                except Exception as error:
                    _LOGGER.exception("writing to the bag failed")
                    self._broken = True
                    self._failure = BagError(
                        f"writing to {self.path} failed: {error}; the bag is not closed: see to "
                        f"the disk, then `vla inspect --repair {self.path}` saves what is sound"
                    )
            if isinstance(item, tuple):
                self._handled_bytes += len(item[2])
        try:
            self._close(writer, journal)
        finally:
            if self._on_finished is not None:
                self._on_finished()

    def _take(self) -> _Item | None:
        """The next item; a flush where none comes before it is due."""
        if self._failure is not None:
            return self._queue.get()
        try:
            return self._queue.get(timeout=max(0.0, self._next_flush_s - time.monotonic()))
        except queue.Empty:
            return _FLUSH

    def _handle(
        self, writer: DurableWriter, connections: dict[str, Connection], item: _Item
    ) -> None:
        if isinstance(item, RecordedTopic):
            connections[item.name] = writer.add_connection(
                item.name,
                item.definition.type,
                msgdef=item.definition.text,
                rihs01=item.definition.type_hash,
                offered_qos_profiles=item.qos,
            )
        elif isinstance(item, tuple):
            self._disk.check(self._written_bytes)
            name, stamp_ns, data = item
            writer.write(connections[name], stamp_ns, data)
            self._written_messages += 1
            self._written_bytes += len(data)
        if time.monotonic() >= self._next_flush_s:
            self._disk.check(self._written_bytes)
            writer.flush()
            self._next_flush_s = time.monotonic() + _FLUSH_PERIOD_S

    def _open(self) -> tuple[DurableWriter, RecordingJournal]:
        if self.path.exists():
            raise BagError(
                f"{self.path} exists already; choose another name or move it out of the way"
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._disk.check(0)
            writer = DurableWriter(
                self.path,
                version=METADATA_VERSION,
                storage_plugin=_PLUGINS[self._settings.storage],
            )
            if self._settings.compression == "zstd":
                writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            writer.open()
            journal = RecordingJournal(self.path)
            journal.append(self._metadata)
        except (OSError, sqlite3.Error, WriterError) as error:
            raise BagError(
                f"cannot create the bag {self.path}: {error}; check output_directory and its "
                f"permissions"
            ) from error
        return writer, journal

    def _close(self, writer: DurableWriter, journal: RecordingJournal) -> None:
        if self._discard or self._broken:
            # Closing a file that holds half a record would make it look sound.
            with suppress(OSError, sqlite3.Error):
                writer.abort()
            if self._discard:
                shutil.rmtree(self.path, ignore_errors=True)
            journal.close()
            return
        try:
            journal.append(self._metadata, self._written_messages)
            for key, value in self._metadata.items():
                writer.set_custom_data(key, value)
            writer.close()
            sync_files(self.path)
            journal.remove()
            write_checksums(self.path)
        except Exception as error:
            _LOGGER.exception("closing the bag failed")
            with suppress(OSError, sqlite3.Error):
                writer.abort()
            journal.close()
            reason = (
                f"closing {self.path} failed: {error}; see to the disk, then "
                f"`vla inspect --repair {self.path}` finishes it"
            )
            if self._failure is not None:
                reason = f"{self._failure}; {reason}"
            self._failure = BagError(reason)
