"""One episode while it is recorded: its bag, its counters and how it ends."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from vla_core import bag_metadata
from vla_core.bag_metadata import Outcome
from vla_recorder.bag_writer import BagWriter
from vla_recorder.errors import RecorderError
from vla_recorder.message_definitions import RecordedTopic
from vla_recorder.ring_buffer import Received
from vla_recorder.writer_settings import WriterSettings

_NS_PER_S: Final = 1_000_000_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MAX_NAME_LENGTH: Final = 200


@dataclass(frozen=True)
class EpisodeRequest:
    """What an episode is asked to be.

    Attributes:
        name: folder of the bag; empty for one made from the time.
        instruction: the sentence that is demonstrated.
        operator: who drives.
        max_duration_s: the episode ends after this; 0 for no limit.
        metadata: further custom metadata of the bag.
    """

    name: str = ""
    instruction: str = ""
    operator: str = ""
    max_duration_s: float = 0.0
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def checked(
        cls,
        name: str,
        instruction: str,
        operator: str,
        max_duration_s: float,
        metadata_keys: Sequence[str],
        metadata_values: Sequence[str],
    ) -> EpisodeRequest:
        """Check the fields of a goal.

        Raises:
            RecorderError: names everything that is wrong.
        """
        mistakes = []
        if name and (not _NAME.fullmatch(name) or len(name) > _MAX_NAME_LENGTH):
            mistakes.append(
                f"name {name!r} is no plain folder name (letters, digits, '.', '_', '-', "
                f"starting with a letter or digit)"
            )
        if not 0.0 <= max_duration_s < float("inf"):
            mistakes.append(f"max_duration_s is {max_duration_s}, expected 0 or more")
        if len(metadata_keys) != len(metadata_values):
            mistakes.append(
                f"{len(metadata_keys)} metadata_keys, but {len(metadata_values)} metadata_values"
            )
        taken = sorted(bag_metadata.WRITTEN_BY_RECORDER.intersection(metadata_keys))
        if taken:
            mistakes.append(f"metadata_keys {', '.join(taken)} are written by the recorder itself")
        if mistakes:
            raise RecorderError(f"cannot record: {'; '.join(mistakes)}")
        return cls(
            name or f"episode_{datetime.now(timezone.utc):%Y%m%dT%H%M%S_%f}",
            instruction,
            operator,
            max_duration_s,
            dict(zip(metadata_keys, metadata_values, strict=True)),
        )


@dataclass(frozen=True)
class EpisodeSummary:
    """How an episode ended.

    Attributes:
        success: whether everything that was received is in a closed bag, or deleted as asked.
        path: of the bag.
        outcome: as labelled.
        messages: in the bag.
        size_bytes: serialised size of these [B].
        duration_s: first to last message.
        message: one sentence for people.
    """

    success: bool
    path: Path
    outcome: Outcome
    messages: int
    size_bytes: int
    duration_s: float
    message: str


class Episode:
    """An episode that is being recorded."""

    def __init__(
        self,
        request: EpisodeRequest,
        directory: Path,
        settings: WriterSettings,
        metadata: Mapping[str, str],
        required: Sequence[str] = (),
    ) -> None:
        """Open the bag.

        Args:
            request: what was asked for.
            directory: receives the bag's folder.
            settings: how the bag is written.
            metadata: custom metadata that is known from the start.
            required: topics without which the episode is of no use.

        Raises:
            BagError: the bag cannot be created.
        """
        self.request = request
        self._metadata = {
            **metadata,
            **request.metadata,
            bag_metadata.INSTRUCTION: request.instruction,
            bag_metadata.OPERATOR: request.operator,
            bag_metadata.OUTCOME: Outcome.UNKNOWN.value,
        }
        self.writer = BagWriter(directory / request.name, settings, self._metadata)
        self._required = tuple(required)
        self._counts: dict[str, int] = {}
        self._topics: dict[str, RecordedTopic] = {}
        self._started_s = time.monotonic()
        self._first_ns: int | None = None
        self._last_ns = 0
        self._outcome = Outcome.UNKNOWN
        self._notes: list[str] = []

    @property
    def elapsed_s(self) -> float:
        """First to newest message."""
        return 0.0 if self._first_ns is None else (self._last_ns - self._first_ns) / _NS_PER_S

    @property
    def too_long(self) -> bool:
        """Whether the longest duration that was asked for has passed.

        Until the first message, which starts the episode's own clock, the machine's clock counts.
        """
        waiting = self._first_ns is None
        elapsed_s = time.monotonic() - self._started_s if waiting else self.elapsed_s
        return 0.0 < self.request.max_duration_s <= elapsed_s

    def add_topic(self, topic: RecordedTopic) -> None:
        """Record one more topic."""
        if topic.name not in self._counts:
            self._counts[topic.name] = 0
            self._topics[topic.name] = topic
            self.writer.add_topic(topic)

    def add_earlier(self, messages: Iterable[Received]) -> None:
        """Record what was received before the episode; it counts for nothing but the bag.

        Args:
            messages: oldest first; those of topics that were not added are left out.
        """
        self._write_kept(messages)

    def replay(self, messages: Iterable[Received]) -> None:
        """Record what was received before as the episode itself, see `add_earlier`."""
        for message in self._write_kept(messages):
            self._count(message.topic.name, message.stamp_ns)

    def _write_kept(self, messages: Iterable[Received]) -> list[Received]:
        """Record messages that are in memory anyway, so that none has to be dropped."""
        written = [m for m in messages if self._topics.get(m.topic.name) == m.topic]
        for message in written:
            self.writer.write(message.topic.name, message.stamp_ns, message.data, is_limited=False)
        return written

    def write(self, topic_name: str, stamp_ns: int, data: bytes) -> None:
        """Record a message of an added topic."""
        if topic_name not in self._counts:
            return
        self._count(topic_name, stamp_ns)
        self.writer.write(topic_name, stamp_ns, data)

    def _count(self, topic_name: str, stamp_ns: int) -> None:
        self._counts[topic_name] += 1
        if self._first_ns is None:
            self._first_ns = stamp_ns
        self._last_ns = max(self._last_ns, stamp_ns)

    def label(self, outcome: Outcome, note: str = "") -> None:
        """Say how the episode went; the last word counts, notes are collected."""
        self._outcome = outcome
        if note:
            self._notes.append(note)

    def finish(self, on_finished: Callable[[], None] | None = None) -> None:
        """Close the bag, or delete it if it was labelled as discarded.

        Args:
            on_finished: called on the writer's thread.
        """
        self.writer.finish(
            {
                **self._metadata,
                bag_metadata.OUTCOME: self._outcome.value,
                bag_metadata.NOTE: "; ".join(self._notes),
            },
            discard=self._outcome is Outcome.DISCARDED,
            on_finished=on_finished,
        )

    def summary(self) -> EpisodeSummary:
        """Describe the finished episode."""
        writer = self.writer
        problems = []
        if writer.failure is not None:
            problems.append(str(writer.failure))
        if writer.dropped:
            problems.append(f"{writer.dropped} messages dropped: the disk was too slow")
        discarded = self._outcome is Outcome.DISCARDED
        silent = [name for name in self._required if not self._counts.get(name)]
        if silent and not discarded:
            problems.append(f"no message on {', '.join(silent)}")
        said = [*problems, *self._notes]
        size_mb = writer.written_bytes / 1e6
        facts = f"{self.elapsed_s:.1f} s, {writer.written_messages} messages, {size_mb:.1f} MB"
        return EpisodeSummary(
            success=not problems,
            path=writer.path,
            outcome=self._outcome,
            messages=writer.written_messages,
            size_bytes=writer.written_bytes,
            duration_s=self.elapsed_s,
            message="; ".join(["discarded" if discarded else facts, *said]),
        )
