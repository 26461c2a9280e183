"""What a policy knows at one moment: the newest message of every stream, and how old it is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from vla_core.contract import Contract, StreamSpec
from vla_core.decoding import (
    ImageReading,
    OdometryReading,
    Reading,
    ScanReading,
    decode,
    reading_from_message,
)

MISSING_AGE_NS: Final = int(np.iinfo(np.int64).max)
"""Age of a stream that has sent nothing up to the tick."""

_JUMP_NS: Final = 1_000_000_000


@dataclass(frozen=True)
class Frame:
    """One observation.

    Attributes:
        tick_ns: the moment [ns].
        arrays: by stream key, of the shape and dtype that the contract says; read-only. An array
            means something only where `valid` is True: of a stream that is too old it is the last
            value, of one that has sent nothing it is zeros.
        valid: (S,) bool, in the order of the contract's streams.
        age_ns: (S,) int64, tick minus header stamp; MISSING_AGE_NS if there is no message.
    """

    tick_ns: int
    arrays: dict[str, np.ndarray]
    valid: np.ndarray
    age_ns: np.ndarray


@dataclass
class _Sample:
    stamp_ns: int
    reading: Reading
    array: np.ndarray | None = field(default=None)

    def decoded(self, stream: StreamSpec) -> np.ndarray:
        if self.array is None:
            self.array = decode(stream, self.reading)
            self.array.flags.writeable = False
        return self.array


class FrameAssembler:
    """Collects messages and aligns them to ticks; the same live and offline.

    A frame holds, of every stream, the latest message stamped at or before the tick: never a later
    one, even if that has arrived already. Messages may come out of order; of two with the same
    stamp the one that came last counts. Each stream keeps at most `capacity` samples. A stamp more
    than a second (or the stream's maximum age, if that is longer) behind the newest one means that
    the clock was set back: what lies after it is forgotten.

    Ticks should not go back either: samples before the ones that a frame used are dropped.

    Not thread-safe.
    """

    def __init__(self, contract: Contract, capacity: int = 64) -> None:
        """Start with nothing.

        Args:
            contract: which streams there are.
            capacity: samples kept per stream; when there are more, those that came first go.
        """
        self._streams = contract.streams
        self._samples: dict[str, deque[_Sample]] = {
            stream.key: deque(maxlen=capacity) for stream in contract.streams
        }
        self._stream_by_key = {stream.key: stream for stream in contract.streams}

    def clear(self) -> None:
        """Forget all messages, at the start of an episode."""
        for samples in self._samples.values():
            samples.clear()

    def push(self, key: str, stamp_ns: int, reading_or_message: Any) -> None:
        """Take one message, in the order of arrival.

        Args:
            key: its stream.
            stamp_ns: its header stamp, or the time of arrival where it has no header [ns].
            reading_or_message: a Reading, or a ROS message of the stream's type.

        Raises:
            DecodeError: if the message is malformed; the streams stay as they were.
            KeyError: if the contract has no such stream.
        """
        stream, samples = self._stream_by_key[key], self._samples[key]
        reading = reading_or_message
        if not isinstance(reading, (ImageReading, ScanReading, OdometryReading)):
            reading = reading_from_message(stream, reading)
        stamp_ns = int(stamp_ns)
        kept = [sample for sample in samples if sample.stamp_ns != stamp_ns]
        newest_ns = max((sample.stamp_ns for sample in kept), default=stamp_ns)
        if stamp_ns < newest_ns - max(_JUMP_NS, stream.max_age_ns):
            kept = [sample for sample in kept if sample.stamp_ns < stamp_ns]
        if len(kept) != len(samples):
            samples.clear()
            samples.extend(kept)
        samples.append(_Sample(stamp_ns, reading))

    def assemble(self, tick_ns: int) -> Frame:
        """The frame at a tick.

        Args:
            tick_ns: the moment, of the same clock as the stamps [ns].

        Raises:
            DecodeError: if a reading that was pushed without a message does not fit its stream.
        """
        tick_ns = int(tick_ns)
        arrays: dict[str, np.ndarray] = {}
        valid = np.zeros(len(self._streams), bool)
        age_ns = np.full(len(self._streams), MISSING_AGE_NS, np.int64)
        for index, stream in enumerate(self._streams):
            sample = self._latest(stream.key, tick_ns)
            if sample is None:
                arrays[stream.key] = _absent(stream)
                continue
            arrays[stream.key] = sample.decoded(stream)
            age_ns[index] = tick_ns - sample.stamp_ns
            valid[index] = age_ns[index] <= stream.max_age_ns
        return Frame(tick_ns, arrays, valid, age_ns)

    def _latest(self, key: str, tick_ns: int) -> _Sample | None:
        samples = self._samples[key]
        past = [sample for sample in samples if sample.stamp_ns <= tick_ns]
        if not past:
            return None
        latest = max(past, key=lambda sample: sample.stamp_ns)
        if len(past) > 1:
            kept = [sample for sample in samples if sample.stamp_ns >= latest.stamp_ns]
            samples.clear()
            samples.extend(kept)
        return latest


def _absent(stream: StreamSpec) -> np.ndarray:
    array = np.zeros(stream.shape, stream.dtype)
    array.flags.writeable = False
    return array
