"""From the messages of one bag to rows at the control rate.

Ticks are counted in header stamps. A row holds, of every stream, the latest message stamped at or
before its tick, as `vla_core.frames.FrameAssembler` does in the policy node; here all stamps are
known beforehand, so that every stream is searched once and only messages that become rows are
decoded, by the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import numpy as np

from vla_core import keys
from vla_core.contract import Contract
from vla_core.contract_specs import ImageDecoder, OdometryDecoder, StreamSpec
from vla_core.frames import MISSING_AGE_NS
from vla_training.conversion.clocks import check_clocks
from vla_training.conversion.episodes import (
    BagTimeline,
    Segment,
    SegmentLimits,
    is_recorded_episode,
    segments,
    whole,
)
from vla_training.conversion.messages import BagMessages
from vla_training.conversion.tracks import BagTracks
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    AGE_NS,
    DOCK_POSE,
    DOCK_POSE_VALID,
    DRIVER,
    TICK_NS,
    VALID,
    Rows,
    observation,
)

LABEL_MAX_AGE_NS: Final = 500_000_000
"""A command or pose older than this at a tick labels nothing."""

BLOCK_BYTES: Final = 5 << 19
"""Size of a block of images: what stays in the processor's cache until it is written."""

_SPAN_BYTES: Final = 1 << 25
_SPAN_ROWS: Final = 1024

_BLOCK_MESSAGES: Final = 1024


@dataclass(frozen=True, eq=False)
class Episode:
    """Rows between two moments of a bag.

    Attributes:
        segment: The stretch that they are from.
        ticks_ns: (n,) int64.
    """

    segment: Segment
    ticks_ns: np.ndarray


@dataclass(frozen=True, eq=False)
class Selection:
    """Which message of a track each row takes.

    Attributes:
        index: (n,) int64 into the track; -1 where there is none yet.
        age_ns: (n,) int64; MISSING_AGE_NS where there is none.
    """

    index: np.ndarray
    age_ns: np.ndarray


class BagAlignment:
    """Rows of one open bag: first how many and of what, then block by block.

    Args:
        bag: The open bag.
        contract: What to read from it.
        limits: Where to cut a bag that is no recorded episode.
        action_delay_ns: The action of a row is the newest command at or before its tick plus
            this: more than 0 where commands are recorded later than they were decided on.

    Attributes:
        tracks: By key, as far as they are in the bag.
        episodes: What becomes rows.
        dropped: What does not, and why.

    Raises:
        ConversionError: If the bag lacks a topic, jumps in time or has nothing to make a row of.
    """

    def __init__(
        self,
        bag: BagMessages,
        contract: Contract,
        limits: SegmentLimits | None = None,
        action_delay_ns: int = 0,
    ) -> None:
        self._contract = contract
        self._delay_ns = action_delay_ns
        self.tracks = BagTracks(bag, contract)
        self._begin_ns = bag.metadata.start_ns
        max_ages_ns = {stream.key: stream.max_age_ns for stream in contract.streams}
        check_clocks(str(bag.metadata.path), self.tracks, max_ages_ns)
        is_recorded = is_recorded_episode(bag.metadata.custom)
        found = (
            whole(self._timeline(False))
            if is_recorded
            else segments(self._timeline(True), limits or SegmentLimits())
        )
        self.dropped = [segment for segment in found if segment.dropped]
        self.episodes = self._episodes([segment for segment in found if not segment.dropped])

    def _episodes(self, found: Sequence[Segment]) -> list[Episode]:
        """Ticks of each stretch, from when all streams have sent something to when all end.

        What was recorded before the episode began is no part of it.
        """
        first_ns = max(int(self.tracks[key].stamps_ns[0]) for key in self.tracks.required)
        first_ns = max(first_ns, self._begin_ns)
        last_ns = max(int(self.tracks[key].stamps_ns[-1]) for key in self._contract.keys)
        episodes = []
        for segment in found:
            start_ns, end_ns = max(segment.start_ns, first_ns), min(segment.end_ns, last_ns)
            ticks_ns = np.arange(start_ns, end_ns + 1, self._contract.action.period_ns)
            if len(ticks_ns):
                episodes.append(Episode(segment, ticks_ns))
        if not episodes:
            reasons = "; ".join(dict.fromkeys(segment.dropped for segment in self.dropped))
            raise self.tracks.error(f"no episode in it{': ' if reasons else ''}{reasons}")
        return episodes

    def _timeline(self, with_values: bool) -> BagTimeline:
        """What is needed to find episodes; values of commands and odometry only where asked."""
        contract, tracks = self._contract, self.tracks
        stamps_ns = {key: tracks[key].stamps_ns for key in tracks.required}
        if not with_values:
            return BagTimeline(stamps_ns, np.zeros((0, contract.action.size)))
        commands = _in_blocks(tracks.commands, len(stamps_ns[keys.ACTION]))
        fields = contract.action.fields
        odometry = next((s for s in contract.streams if s.key == keys.ODOMETRY), None)
        if odometry is None or not isinstance(odometry.decoder, OdometryDecoder):
            return BagTimeline(stamps_ns, commands, command_fields=fields)
        velocities = _in_blocks(
            partial(tracks.velocities, odometry, odometry.decoder), len(stamps_ns[keys.ODOMETRY])
        )
        return BagTimeline(stamps_ns, commands, velocities, fields, odometry.decoder.fields)

    @property
    def rows(self) -> int:
        """Rows of all episodes."""
        return sum(len(episode.ticks_ns) for episode in self.episodes)

    @cached_property
    def ticks_ns(self) -> np.ndarray:
        """(rows,) int64: ticks of all episodes."""
        return np.concatenate([episode.ticks_ns for episode in self.episodes])

    @cached_property
    def selections(self) -> dict[str, Selection]:
        """Which message each row takes, by key."""
        return {key: self._select(key) for key in self.tracks}

    def _select(self, key: str) -> Selection:
        moments_ns = self.ticks_ns + (self._delay_ns if key == keys.ACTION else 0)
        stamps_ns = self.tracks[key].stamps_ns
        index = np.searchsorted(stamps_ns, moments_ns, side="right") - 1
        age_ns = np.where(index < 0, MISSING_AGE_NS, moments_ns - stamps_ns[index])
        return Selection(index, age_ns)

    def blocks(self, driver: int | np.ndarray) -> Iterator[Rows]:
        """Rows in order of time, a bounded number at a time.

        Args:
            driver: Who was driving, see `layout.DRIVERS`: at all times, or (rows,) of them.

        Yields:
            Arrays by name, which are used again for the next block.

        Raises:
            ConversionError: If a message that a row needs is malformed.
        """
        contract = self._contract
        drivers = np.broadcast_to(np.asarray(driver, np.uint8), self.rows)
        wide = [s for s in contract.streams if isinstance(s.decoder, ImageDecoder)]
        row_bytes = sum(int(np.prod(stream.shape)) for stream in wide)
        block_rows = int(np.clip(BLOCK_BYTES // max(row_bytes, 1), 8, _SPAN_ROWS))
        buffers = {
            stream.key: np.zeros((min(block_rows, self.rows), *stream.shape), stream.dtype)
            for stream in wide
        }
        held = dict.fromkeys(buffers, -1)
        span_rows = self._span_rows(block_rows)
        for first in range(0, self.rows, span_rows):
            narrow = self._narrow(slice(first, min(first + span_rows, self.rows)), drivers)
            for start in range(first, first + len(narrow[VALID]), block_rows):
                stop = min(start + block_rows, first + len(narrow[VALID]))
                rows = {name: data[start - first : stop - first] for name, data in narrow.items()}
                for stream in wide:
                    rows[observation(stream.key)] = self._images(
                        stream, slice(start, stop), buffers[stream.key], held
                    )
                yield rows

    def _span_rows(self, block_rows: int) -> int:
        """Rows whose small messages are read at once: calls are fewer, but pages are kept."""
        size = sum(int(track.places["length"].sum()) for track in self.tracks.values())
        rows = self.rows * _SPAN_BYTES // max(size, 1)
        return int(np.clip(rows, block_rows, _SPAN_ROWS)) // block_rows * block_rows

    def _narrow(self, span: slice, drivers: np.ndarray) -> Rows:
        """Everything but images of some rows."""
        contract = self._contract
        rows: Rows = {
            observation(stream.key): self._values(stream, span)
            for stream in contract.streams
            if not isinstance(stream.decoder, ImageDecoder)
        }
        ages_ns = [self.selections[key].age_ns[span] for key in contract.keys]
        limits_ns = [stream.max_age_ns for stream in contract.streams]
        rows[AGE_NS] = np.stack(ages_ns, axis=1)
        rows[VALID] = rows[AGE_NS] <= np.array(limits_ns)
        rows[TICK_NS] = self.ticks_ns[span]
        rows[DRIVER] = drivers[span]
        rows[ACTION], rows[ACTION_VALID] = self._labels(keys.ACTION, contract.action.size, span)
        rows[DOCK_POSE], rows[DOCK_POSE_VALID] = self._labels(keys.DOCK_POSE, 3, span)
        return rows

    def _values(self, stream: StreamSpec, span: slice) -> np.ndarray:
        """Scans or odometry of some rows, each message read once."""
        wanted = self.selections[stream.key].index[span]
        values = np.zeros((len(wanted), *stream.shape), stream.dtype)
        if (known := wanted >= 0).any():
            messages, places = np.unique(wanted[known], return_inverse=True)
            values[known] = self.tracks.numbers(stream, messages)[places]
        return values

    def _images(
        self, stream: StreamSpec, span: slice, buffer: np.ndarray, held: dict[str, int]
    ) -> np.ndarray:
        """Decode into a buffer, each message once; `held` says what its last row has already."""
        wanted = self.selections[stream.key].index[span]
        rows = buffer[: len(wanted)]
        before = np.concatenate([[held[stream.key]], wanted[:-1]])
        if wanted[0] == before[0]:
            rows[0] = buffer[-1]
        rows[wanted < 0] = 0
        if len(new := np.flatnonzero((wanted >= 0) & (wanted != before))):
            self.tracks.decode_images(stream, wanted[new], (rows[row] for row in new.tolist()))
        for row in np.flatnonzero((wanted == before) & (wanted >= 0)).tolist():
            if row:
                rows[row] = rows[row - 1]
        held[stream.key] = int(wanted[-1]) if len(rows) == len(buffer) else -1
        return rows

    def _labels(self, key: str, size: int, span: slice) -> tuple[np.ndarray, np.ndarray]:
        """Labels of some rows, and whether they are known."""
        values = np.zeros((span.stop - span.start, size), np.float32)
        if key not in self.tracks:
            return values, np.zeros(len(values), bool)
        wanted, age_ns = self.selections[key].index[span], self.selections[key].age_ns[span]
        if (known := wanted >= 0).any():
            read = self.tracks.commands if key == keys.ACTION else self.tracks.poses
            values[known] = read(wanted[known])
        return values, age_ns <= LABEL_MAX_AGE_NS


def _in_blocks(read: Callable[[np.ndarray], np.ndarray], count: int) -> np.ndarray:
    """Values of all messages of a track, read some at a time."""
    return np.concatenate(
        [
            read(np.arange(start, min(start + _BLOCK_MESSAGES, count)))
            for start in range(0, count, _BLOCK_MESSAGES)
        ]
    )
