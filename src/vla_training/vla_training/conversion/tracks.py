"""What a contract wants of a bag: which topic is which stream, and the values of its messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from vla_core import keys
from vla_core.cdr import action_from_cdr, dock_pose_from_cdr, reading_from_cdr
from vla_core.contract import Contract
from vla_core.contract_specs import (
    ACTION_TYPES,
    ODOMETRY_TYPE,
    OdometryDecoder,
    ScanDecoder,
    StreamSpec,
)
from vla_core.decoding import decode, decode_images, decode_scans
from vla_core.errors import DecodeError
from vla_core.readings import MAX_VELOCITY, ImageReading, OdometryReading, Reading, ScanReading
from vla_training.conversion.fixed_layout import (
    POSE_TYPE,
    gathered,
    planar_poses,
    read_doubles,
    share_bytes,
)
from vla_training.conversion.message_index import Track
from vla_training.conversion.messages import BagMessages
from vla_training.errors import ConversionError

_HEAD_BYTES: Final = 2
_STAMP_END: Final = 12
_COUNT_BYTES: Final = 4
_COMPONENTS: Final = tuple(f"{vector}.{axis}" for vector in ("linear", "angular") for axis in "xyz")


class BagTracks(Mapping[str, Track]):
    """Tracks of a bag by key: the contract's streams, the action, and the dock pose if it is there.

    Values are read by index into a track; every way to read raises a ConversionError for a message
    that is malformed.

    Args:
        bag: The open bag.
        contract: What to read from it.

    Raises:
        ConversionError: If the bag lacks a topic or has nothing on it.
    """

    def __init__(self, bag: BagMessages, contract: Contract) -> None:
        self.bag = bag
        self._contract = contract
        self._tracks = self._find()
        missing = [key for key in self.required if not len(self[key].stamps_ns)]
        if missing:
            raise self.error(
                f"nothing was received of {', '.join(missing)}; no row can be made of it"
            )

    def __getitem__(self, key: str) -> Track:
        return self._tracks[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tracks)

    def __len__(self) -> int:
        return len(self._tracks)

    @property
    def required(self) -> tuple[str, ...]:
        """Keys without which there is no row."""
        return (*self._contract.keys, keys.ACTION)

    def error(self, text: str) -> ConversionError:
        """An error that names the bag."""
        return ConversionError(f"bag {self.bag.metadata.path}: {text}")

    def _find(self) -> dict[str, Track]:
        contract, bag = self._contract, self.bag
        tracks: dict[str, Track] = {}
        for stream in contract.streams:
            channel = bag.find(stream.topic, [stream.type])
            if channel is None:
                topics = ", ".join(sorted({c.topic for c in bag.channels})) or "none"
                raise self.error(
                    f"no topic {stream.topic} for stream {stream.key!r} (the bag has {topics}); "
                    "use the contract of this robot"
                )
            tracks[stream.key] = bag.track(channel)
        counts = bag.counts()
        action = contract.action
        for topic in filter(None, (action.label_topic, action.topic)):
            channel = bag.find(topic, ACTION_TYPES)
            if channel is not None and counts[channel]:
                tracks[keys.ACTION] = bag.track(channel)
                break
        else:
            raise self.error(
                f"no commands on {action.label_topic or action.topic} or {action.topic}; record "
                "the topic that drives the robot"
            )
        if contract.dock_pose_topic:
            channel = bag.find(contract.dock_pose_topic, [POSE_TYPE])
            if channel is not None and counts[channel]:
                tracks[keys.DOCK_POSE] = bag.track(channel)
        return tracks

    def commands(self, indices: np.ndarray) -> np.ndarray:
        """(n, A) float32 [m/s, rad/s]: commands of some messages."""
        action, track = self._contract.action, self[keys.ACTION]
        values = self._twists(track, indices, action.fields)
        if values is not None:
            return values
        data = (self.bag.data(track, index) for index in indices.tolist())
        return self._checked(
            lambda: [action_from_cdr(action, track.channel.type, each)[1] for each in data]
        )

    def velocities(
        self, stream: StreamSpec, decoder: OdometryDecoder, indices: np.ndarray
    ) -> np.ndarray:
        """(n, F) float32 [m/s, rad/s]: odometry of some messages."""
        track = self[stream.key]
        values = self._twists(track, indices, decoder.fields)
        if values is not None:
            return values
        return np.stack([self.decoded(stream, index) for index in indices.tolist()])

    def _twists(
        self, track: Track, indices: np.ndarray, fields: Sequence[str]
    ) -> np.ndarray | None:
        """Components of the twists in some messages; None if they must be read one by one."""
        twists = self._doubles(track, indices)
        if twists is None:
            return None
        columns = twists[:, [_COMPONENTS.index(field) for field in fields]]
        # Odometry is checked in both of its components, whichever are used.
        checked = twists[:, [0, 5]] if track.channel.type == ODOMETRY_TYPE else columns
        return columns.astype(np.float32) if (np.abs(checked) <= MAX_VELOCITY).all() else None

    def _doubles(self, track: Track, indices: np.ndarray) -> np.ndarray | None:
        spans = self.bag.spans(track, indices)
        return read_doubles(track.channel.type, *spans) if spans is not None else None

    def poses(self, indices: np.ndarray) -> np.ndarray:
        """(n, 3) float32 [m, m, rad]: dock poses of some messages."""
        track = self[keys.DOCK_POSE]
        values = self._doubles(track, indices)
        planar = planar_poses(values) if values is not None else None
        if planar is not None:
            return planar.astype(np.float32)
        data = (self.bag.data(track, index) for index in indices.tolist())
        poses = (dock_pose_from_cdr(each)[1] for each in data)
        return self._checked(lambda: [(pose.x, pose.y, pose.yaw) for pose in poses])

    def _checked(self, read: Callable[[], Sequence[Any]]) -> np.ndarray:
        try:
            return np.array(read(), np.float32)
        except DecodeError as error:
            raise self.error(str(error)) from error

    def numbers(self, stream: StreamSpec, indices: np.ndarray) -> np.ndarray:
        """(n, …) float32: some messages, at least one, of a stream of anything but images."""
        if isinstance(stream.decoder, ScanDecoder):
            return self.scans(stream, stream.decoder, indices)
        if isinstance(stream.decoder, OdometryDecoder):
            return self.velocities(stream, stream.decoder, indices)
        return np.stack([self.decoded(stream, index) for index in indices.tolist()])

    def decoded(self, stream: StreamSpec, index: int) -> np.ndarray:
        """One message of a stream, of the shape and dtype that the contract says."""
        try:
            data = self.bag.data(self[stream.key], index)
            return decode(stream, reading_from_cdr(stream, data)[1])
        except DecodeError as error:
            raise self.error(str(error)) from error

    def decode_images(
        self, stream: StreamSpec, indices: np.ndarray, out: Iterable[np.ndarray]
    ) -> None:
        """Decode some messages of a camera, at least one, each into an array."""
        found = self._alike(stream, indices)
        if found is None or not isinstance(found[0], ImageReading):
            for index, array in zip(indices.tolist(), out, strict=True):
                array[...] = self.decoded(stream, index)
            return
        first, start, buffer = found[0].rgb, *found[1:]
        shape, strides = first.shape, first.strides
        positions = (self[stream.key].places["position"][indices] + start).tolist()
        images: Iterator[np.ndarray] = (
            np.ndarray(shape, np.uint8, buffer, place, strides) for place in positions
        )
        try:
            decode_images(stream, images, out)
        except DecodeError as error:
            raise self.error(str(error)) from error

    def scans(self, stream: StreamSpec, decoder: ScanDecoder, indices: np.ndarray) -> np.ndarray:
        """(n, beams) float32 [m]: scans of some messages, at least one."""
        found = self._alike(stream, indices)
        if found is None or not isinstance(found[0], ScanReading):
            return np.stack([self.decoded(stream, index) for index in indices.tolist()])
        reading, start, buffer = found[0], *found[1:]
        positions = self[stream.key].places["position"][indices] + start
        ranges = gathered(buffer, positions, reading.ranges.nbytes).view(np.float32)
        return decode_scans(decoder, ranges, reading)

    def _alike(
        self, stream: StreamSpec, indices: np.ndarray
    ) -> tuple[Reading, int, memoryview] | None:
        """Whether messages of a camera or scanner differ in stamps and samples alone.

        Returns:
            The reading of the first, the place of its samples in the message, and the buffer with
            all messages; None if something else differs, or samples cannot be used as they are.
        """
        spans = self.bag.spans(self[stream.key], indices)
        if spans is None:
            return None
        buffer, positions, lengths = spans
        message = buffer[int(positions[0]) : int(positions[0] + lengths[0])]
        try:
            reading = reading_from_cdr(stream, message)[1]
        except DecodeError:
            return None  # the message itself will tell
        if isinstance(reading, OdometryReading):
            return None
        samples = reading.rgb if isinstance(reading, ImageReading) else reading.ranges
        start = _address(samples) - _address(np.frombuffer(message, np.uint8))
        if not _STAMP_END <= start < len(message):
            return None  # a converted copy
        fixed = [*range(_HEAD_BYTES), *range(_STAMP_END, start)]
        if isinstance(reading, ScanReading):  # the number of intensities follows
            fixed += range(start + samples.nbytes, start + samples.nbytes + _COUNT_BYTES)
        if not share_bytes(buffer, positions, lengths, np.array(fixed)):
            return None
        return reading, start, buffer


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])
