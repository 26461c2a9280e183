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
from vla_core.contract_specs import OdometryDecoder, ScanDecoder, StreamSpec
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
    row_specs,
)

LABEL_MAX_AGE_NS: Final = 500_000_000
"""A command or pose older than this at a tick labels nothing."""

BLOCK_BYTES: Final = 5 << 19
"""Size of a block of rows: what stays in the processor's cache until it is written."""

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
        """Ticks of each stretch, from when all streams have sent something to when all end."""
        first_ns = max(int(self.tracks[key].stamps_ns[0]) for key in self.tracks.required)
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

    def blocks(self, driver: int) -> Iterator[Rows]:
        """Rows in order of time, a bounded number at a time.

        Args:
            driver: Who was driving, see `layout.DRIVERS`.

        Yields:
            Arrays by name, which are used again for the next block.

        Raises:
            ConversionError: If a message that a row needs is malformed.
        """
        contract = self._contract
        row_bytes = sum(spec.row_bytes for spec in row_specs(contract))
        block_rows = int(np.clip(BLOCK_BYTES // row_bytes, 8, 1024))
        buffers = {
            stream.key: np.zeros((min(block_rows, self.rows), *stream.shape), stream.dtype)
            for stream in contract.streams
        }
        held = dict.fromkeys(contract.keys, -1)
        for start in range(0, self.rows, block_rows):
            span = slice(start, min(start + block_rows, self.rows))
            rows: Rows = {
                observation(stream.key): self._fill(stream, span, buffers[stream.key], held)
                for stream in contract.streams
            }
            ages_ns = [self.selections[key].age_ns[span] for key in contract.keys]
            limits_ns = [stream.max_age_ns for stream in contract.streams]
            rows[AGE_NS] = np.stack(ages_ns, axis=1)
            rows[VALID] = rows[AGE_NS] <= np.array(limits_ns)
            rows[TICK_NS] = self.ticks_ns[span]
            rows[DRIVER] = np.full(len(rows[TICK_NS]), driver, np.uint8)
            rows[ACTION], rows[ACTION_VALID] = self._labels(keys.ACTION, contract.action.size, span)
            rows[DOCK_POSE], rows[DOCK_POSE_VALID] = self._labels(keys.DOCK_POSE, 3, span)
            yield rows

    def _fill(
        self, stream: StreamSpec, span: slice, buffer: np.ndarray, held: dict[str, int]
    ) -> np.ndarray:
        """Decode into a buffer, each message once; `held` says what its last row has already."""
        wanted = self.selections[stream.key].index[span]
        if isinstance(stream.decoder, OdometryDecoder) and wanted[0] >= 0:
            return self.tracks.velocities(stream, stream.decoder, wanted)
        if isinstance(stream.decoder, ScanDecoder) and wanted[0] >= 0:
            messages, places = np.unique(wanted, return_inverse=True)
            return self.tracks.scans(stream, stream.decoder, messages)[places]
        decode_into = self.tracks.decoder(stream, wanted[wanted >= 0]) if wanted[-1] >= 0 else None
        previous, row = held[stream.key], len(buffer) - 1
        for position, index in enumerate(wanted.tolist()):
            if index < 0 or decode_into is None:
                buffer[position] = 0
            elif index == previous:
                buffer[position] = buffer[row]
            else:
                decode_into(index, buffer[position])
            previous, row = index, position
        held[stream.key] = previous if row == len(buffer) - 1 else -1
        return buffer[: row + 1]

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
