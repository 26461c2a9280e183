"""What is in a bag: counts, rates, gaps and stamps of every topic. Needs no ROS."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.typesys import Stores, get_typestore

from vla_recorder.bag_files import storage_files
from vla_recorder.errors import BagError
from vla_recorder.header_stamps import header_stamp_ns, starts_with_header

GAP_PERIODS: Final = 1.75
"""An interval of this many periods or more has lost a message; real sensors jitter below it."""

_NS_PER_S: Final = 1_000_000_000

Stamps = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TopicContents:
    """The messages of one topic.

    Attributes:
        name: absolute topic name.
        type: message type.
        received_ns: (N,) int64, receive times in the order of the bag.
        stamps_ns: (N,) int64, header stamps; None where the type has no header.
        first_message: the first one, deserialised; None if there is none.
        error: why it could not be deserialised.
    """

    name: str
    type: str
    received_ns: Stamps
    stamps_ns: Stamps | None
    first_message: Any = None
    error: str = ""

    @property
    def count(self) -> int:
        """Number of messages, N."""
        return len(self.received_ns)

    @property
    def unstamped(self) -> int:
        """Messages whose header stamp is zero; a simulation's first message may be of time zero."""
        stamps = self.stamps_ns
        if stamps is None or not len(stamps):
            return 0
        zeros = int(np.count_nonzero(stamps == 0))
        return 0 if zeros == 1 and stamps[0] == 0 and len(stamps) > 1 else zeros

    @property
    def timeline_ns(self) -> Stamps:
        """(N,) int64: header stamps, or receive times where there are none."""
        return self.received_ns if self.stamps_ns is None or self.unstamped else self.stamps_ns

    @property
    def rate_hz(self) -> float:
        """Mean rate from the first to the last message; NaN for fewer than two."""
        if self.count < 2:
            return float("nan")
        span_ns = int(self.timeline_ns.max() - self.timeline_ns.min())
        return (self.count - 1) * _NS_PER_S / span_ns if span_ns else float("nan")

    @property
    def intervals_s(self) -> npt.NDArray[np.float64]:
        """(N-1,) float64, from each message to the next, in the order of their stamps [s]."""
        return np.diff(np.sort(self.timeline_ns)) / _NS_PER_S

    @property
    def period_s(self) -> float:
        """Median interval; NaN for fewer than two messages."""
        intervals = self.intervals_s
        return float(np.median(intervals)) if len(intervals) else float("nan")

    @property
    def largest_gap_s(self) -> float:
        """Longest interval; NaN for fewer than two messages."""
        intervals = self.intervals_s
        return float(intervals.max()) if len(intervals) else float("nan")

    def missing(self, period_s: float | None = None) -> int:
        """Estimate how many messages are missing between those that are there.

        Args:
            period_s: nominal interval; None for the median one.
        """
        period_s = self.period_s if period_s is None else period_s
        if not period_s > 0.0:
            return 0
        periods = self.intervals_s / period_s
        return int(np.sum(np.rint(periods[periods >= GAP_PERIODS]) - 1))

    @property
    def out_of_order(self) -> int:
        """Messages whose stamp is not later than the one before."""
        return int(np.count_nonzero(np.diff(self.timeline_ns) <= 0))

    @property
    def skew_s(self) -> tuple[float, float, float] | None:
        """Least, median and greatest (receive time - header stamp) [s], where there are stamps."""
        if self.stamps_ns is None or not self.count or self.unstamped:
            return None
        skew = (self.received_ns - self.stamps_ns) / _NS_PER_S
        return float(skew.min()), float(np.median(skew)), float(skew.max())


@dataclass(frozen=True)
class BagContents:
    """A bag.

    Attributes:
        path: folder of the bag, or its storage file.
        storage: "mcap" or "sqlite3".
        size_bytes: of its files.
        topics: by name.
        custom: custom metadata.
    """

    path: Path
    storage: str
    size_bytes: int
    topics: Mapping[str, TopicContents]
    custom: Mapping[str, str] = field(default_factory=dict)

    @property
    def messages(self) -> int:
        """Messages of all topics."""
        return sum(topic.count for topic in self.topics.values())

    @property
    def duration_s(self) -> float:
        """First to last receive time."""
        times = [t.received_ns for t in self.topics.values() if t.count]
        if not times:
            return 0.0
        span_ns = max(int(t.max()) for t in times) - min(int(t.min()) for t in times)
        return span_ns / _NS_PER_S


def read_contents(path: Path) -> BagContents:
    """Read a whole bag; of its messages, only stamps and the first of each topic are kept.

    Args:
        path: folder of a rosbag2 bag, or a single .mcap or .db3 file.

    Raises:
        BagError: there is no bag, it was not closed, or it is damaged.
    """
    files = storage_files(path)
    try:
        with ExitStack() as stack:
            default = get_typestore(Stores.ROS2_JAZZY)
            reader = stack.enter_context(AnyReader([path], default_typestore=default))
            topics = _read_topics(reader)
            metadata = reader.readers[0].storage.metadata  # type: ignore[union-attr]
            custom = {str(key): str(value) for key, value in (metadata.custom or {}).items()}
    except BagError:
        raise
    except Exception as error:  # the storage readers raise whatever the broken bytes lead to
        raise BagError(
            f"bag {path} is damaged: {type(error).__name__}: {error}; record the episode again"
        ) from error
    suffix = files[0].name.removesuffix(".zstd")
    return BagContents(
        path,
        "mcap" if suffix.endswith(".mcap") else "sqlite3",
        sum(file.stat().st_size for file in files),
        topics,
        custom,
    )


def _read_topics(reader: AnyReader) -> dict[str, TopicContents]:
    received: dict[str, list[int]] = {}
    stamps: dict[str, list[int] | None] = {}
    first: dict[str, bytes] = {}
    types: dict[str, str] = {}
    for connection in reader.connections:
        _check_type(connection, types)
        types[connection.topic] = connection.msgtype
        received.setdefault(connection.topic, [])
        with_header = _known(reader, connection) and starts_with_header(
            reader.typestore, connection.msgtype
        )
        stamps.setdefault(connection.topic, [] if with_header else None)
    for connection, received_ns, data in reader.messages():
        name = connection.topic
        received[name].append(received_ns)
        topic_stamps = stamps[name]
        if topic_stamps is not None:
            topic_stamps.append(header_stamp_ns(data))
        first.setdefault(name, data)
    return {
        name: _topic(reader, name, types[name], received[name], stamps[name], first.get(name))
        for name in sorted(types)
    }


def _check_type(connection: Connection, types: Mapping[str, str]) -> None:
    known = types.get(connection.topic, connection.msgtype)
    if known != connection.msgtype:
        raise BagError(
            f"topic {connection.topic} has messages of two types, {known} and {connection.msgtype}"
        )


def _known(reader: AnyReader, connection: Connection) -> bool:
    return (
        connection.msgdef.format is not MessageDefinitionFormat.NONE
        or connection.msgtype in reader.typestore.fielddefs
    )


def _topic(
    reader: AnyReader,
    name: str,
    message_type: str,
    received: list[int],
    stamps: list[int] | None,
    first: bytes | None,
) -> TopicContents:
    message, error = None, ""
    if first is not None and message_type in reader.typestore.fielddefs:
        try:
            message = reader.deserialize(first, message_type)
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
    return TopicContents(
        name,
        message_type,
        np.array(received, dtype=np.int64),
        None if stamps is None else np.array(stamps, dtype=np.int64),
        message,
        error,
    )
