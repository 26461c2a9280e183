"""From the messages of one bag to rows at the control rate.

Ticks are counted in header stamps. A row holds, of every stream, the latest message stamped at or
before its tick; `vla_core.frames.FrameAssembler` decides that here exactly as in the policy node.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vla_core import keys
from vla_core.contract import Contract
from vla_core.contract_specs import ACTION_TYPES
from vla_core.decoding import action_from_message, stamp_ns_of
from vla_core.errors import DecodeError
from vla_core.frames import Frame, FrameAssembler
from vla_core.geometry import Pose2D
from vla_training.conversion.bags import BagReader
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    AGE_NS,
    DOCK_POSE,
    DOCK_POSE_VALID,
    TICK_NS,
    VALID,
    Rows,
    observation,
)
from vla_training.errors import ConversionError

POSE_TYPE: Final = "geometry_msgs/msg/PoseStamped"

REORDER_WINDOW_NS: Final = 500_000_000
"""A message may arrive this much later than a newer one of its topic and still count."""

LAG_WINDOW_NS: Final = 10_000_000_000
"""A topic may lag this much behind the others. A recorder that is busy takes one topic after the
other, and a simulation may run many times faster than real time."""

LABEL_MAX_AGE_NS: Final = 500_000_000
"""A command or pose older than this at a tick labels nothing."""

CLOCK_JUMP_NS: Final = 30_000_000_000
"""Stamps that leap by more than this, either way, make a bag unusable."""

_CAPACITY: Final = 4096


@dataclass
class AlignmentCounts:
    """What happened to the messages of a bag.

    Attributes:
        rows: Rows made.
        messages: Messages read.
        late: Messages that arrived after their time had been written.
        unstamped: Messages whose time of reception had to stand in for a stamp.
    """

    rows: int = 0
    messages: int = 0
    late: int = 0
    unstamped: int = 0


class _LabelTrack:
    """Stamped label vectors of which the latest at or before a tick counts."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._stamps: list[int] = []
        self._values: list[np.ndarray] = []

    def push(self, stamp_ns: int, value: np.ndarray) -> None:
        index = bisect.bisect_right(self._stamps, stamp_ns)
        self._stamps.insert(index, stamp_ns)
        self._values.insert(index, value)

    def at(self, tick_ns: int) -> tuple[np.ndarray, bool]:
        """The label at a tick, and whether it is young enough; drops what came before it."""
        index = bisect.bisect_right(self._stamps, tick_ns) - 1
        if index < 0:
            return np.zeros(self._size, np.float32), False
        del self._stamps[:index], self._values[:index]
        return self._values[0], tick_ns - self._stamps[0] <= LABEL_MAX_AGE_NS


class EpisodeAligner:
    """Takes the messages of one bag and gives blocks of rows, a bounded number at a time.

    Args:
        reader: The open bag.
        contract: What to read from it.
        block_rows: Rows of a block; the memory used does not depend on the length of the bag.
    """

    def __init__(self, reader: BagReader, contract: Contract, block_rows: int = 64) -> None:
        self.counts = AlignmentCounts()
        self._contract = contract
        self._reader = reader
        self._block_rows = block_rows
        self._assembler = FrameAssembler(contract, capacity=_CAPACITY)
        self._action = _LabelTrack(contract.action.size)
        self._dock_pose = _LabelTrack(3)
        self._routes = self._find_routes()
        self._first_ns: dict[str, int] = {}
        self._last_ns: dict[str, int] = {}
        self._newest_ns: int | None = None
        self._tick_ns: int | None = None
        self._written_ns: int | None = None
        self._pruned_ns = 0
        self._pending: list[tuple[Frame, np.ndarray, bool, np.ndarray, bool]] = []

    def _find_routes(self) -> dict[int, tuple[str, Any]]:
        """What each connection carries, by its id: key and connection."""
        contract, reader = self._contract, self._reader
        routes: dict[int, tuple[str, Any]] = {}
        for stream in contract.streams:
            connection = reader.connection(stream.topic, [stream.type])
            if connection is None:
                topics = ", ".join(sorted({c.topic for c in reader.reader.connections})) or "none"
                raise ConversionError(
                    f"bag {reader.metadata.path}: no topic {stream.topic} for stream "
                    f"{stream.key!r} (the bag has {topics}); use the contract of this robot"
                )
            routes[connection.id] = (stream.key, connection)
        action = contract.action
        for topic in filter(None, (action.label_topic, action.topic)):
            connection = reader.connection(topic, ACTION_TYPES)
            if connection is not None and connection.msgcount:
                routes[connection.id] = (keys.ACTION, connection)
                break
        else:
            raise ConversionError(
                f"bag {reader.metadata.path}: no commands on {action.label_topic or action.topic} "
                f"or {action.topic}; record the topic that drives the robot"
            )
        if contract.dock_pose_topic:
            connection = reader.connection(contract.dock_pose_topic, [POSE_TYPE])
            if connection is not None and connection.msgcount:
                routes[connection.id] = (keys.DOCK_POSE, connection)
        return routes

    def blocks(self) -> Iterator[Rows]:
        """Blocks of rows in order of time, each up to `block_rows` long.

        Raises:
            ConversionError: If the bag is damaged, jumps in time, holds a malformed message or
                ends before every stream has sent something.
        """
        connections = [connection for _, connection in self._routes.values()]
        for connection, received_ns, message in self._reader.messages(connections):
            self._take(self._routes[connection.id][0], received_ns, message)
            yield from self._advance(self._complete_ns())
        if self._tick_ns is None:
            expected = {*self._contract.keys, keys.ACTION}
            missing = ", ".join(sorted(expected - self._first_ns.keys()))
            raise ConversionError(
                f"bag {self._reader.metadata.path}: nothing was received of {missing}; no row can "
                "be made of it"
            )
        yield from self._advance(max(self._last_ns[key] for key in self._contract.keys))
        if self._pending:
            yield self._flush()

    def _newest_ns_or_zero(self) -> int:
        return self._newest_ns if self._newest_ns is not None else 0

    def _complete_ns(self) -> int:
        """Up to here nothing more is to be expected of any topic."""
        heard_ns = min(self._last_ns.get(key, 0) for key, _ in self._routes.values())
        return max(heard_ns - REORDER_WINDOW_NS, self._newest_ns_or_zero() - LAG_WINDOW_NS)

    def _take(self, key: str, received_ns: int, message: Any) -> None:
        self.counts.messages += 1
        stamp_ns = stamp_ns_of(message)
        if stamp_ns is None:
            stamp_ns = received_ns
            self.counts.unstamped += 1
        self._check_clock(key, stamp_ns)
        try:
            if key == keys.ACTION:
                self._action.push(stamp_ns, action_from_message(self._contract.action, message))
            elif key == keys.DOCK_POSE:
                pose = Pose2D.from_message(message.pose)
                self._dock_pose.push(stamp_ns, np.array([pose.x, pose.y, pose.yaw], np.float32))
            else:
                self._assembler.push(key, stamp_ns, message)
        except (DecodeError, ValueError) as error:
            raise ConversionError(f"bag {self._reader.metadata.path}: {error}") from error
        self._first_ns[key] = min(self._first_ns.get(key, stamp_ns), stamp_ns)
        self._last_ns[key] = max(self._last_ns.get(key, stamp_ns), stamp_ns)
        self._newest_ns = max(self._newest_ns_or_zero(), stamp_ns)
        if self._tick_ns is None:
            needed = {*self._contract.keys, keys.ACTION}
            if needed <= self._first_ns.keys():
                self._tick_ns = max(self._first_ns[name] for name in needed)
            else:
                self._prune()
        elif self._written_ns is not None and stamp_ns <= self._written_ns:
            self.counts.late += 1

    def _prune(self) -> None:
        """Let go of what was received long before the first row, which needs the newest only."""
        horizon_ns = self._newest_ns_or_zero() - LAG_WINDOW_NS
        if horizon_ns - self._pruned_ns > REORDER_WINDOW_NS:
            self._pruned_ns = horizon_ns
            self._assembler.assemble(horizon_ns)
            self._action.at(horizon_ns)
            self._dock_pose.at(horizon_ns)

    def _check_clock(self, key: str, stamp_ns: int) -> None:
        if self._newest_ns is None:
            return
        jump_ns = stamp_ns - self._newest_ns
        if abs(jump_ns) > CLOCK_JUMP_NS:
            raise ConversionError(
                f"bag {self._reader.metadata.path}: the clock jumps by {jump_ns * 1e-9:+.1f} s at "
                f"a message of {key!r}, at most {CLOCK_JUMP_NS * 1e-9:.0f} s is accepted; check "
                "that all publishers use the same clock, and split the bag at the jump"
            )

    def _advance(self, until_ns: int) -> Iterator[Rows]:
        while self._tick_ns is not None and self._tick_ns <= until_ns:
            frame = self._assembler.assemble(self._tick_ns)
            self._pending.append(
                (frame, *self._action.at(self._tick_ns), *self._dock_pose.at(self._tick_ns))
            )
            self._written_ns = self._tick_ns
            self._tick_ns += self._contract.action.period_ns
            if len(self._pending) == self._block_rows:
                yield self._flush()

    def _flush(self) -> Rows:
        frames, actions, action_valid, poses, pose_valid = zip(*self._pending, strict=True)
        self._pending = []
        self.counts.rows += len(frames)
        rows = {
            observation(key): np.stack([frame.arrays[key] for frame in frames])
            for key in self._contract.keys
        }
        rows[VALID] = np.stack([frame.valid for frame in frames])
        rows[AGE_NS] = np.stack([frame.age_ns for frame in frames])
        rows[TICK_NS] = np.array([frame.tick_ns for frame in frames], np.int64)
        rows[ACTION] = np.stack(actions)
        rows[ACTION_VALID] = np.array(action_valid)
        rows[DOCK_POSE] = np.stack(poses)
        rows[DOCK_POSE_VALID] = np.array(pose_valid)
        return rows
