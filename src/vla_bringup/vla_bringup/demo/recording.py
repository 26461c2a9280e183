"""What a demo run's bag says, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from vla_bringup.demo.session import DemoError
from vla_bringup.graph import POLICY
from vla_core.contract import Contract
from vla_core.decoding import ImageReading, ScanReading, reading_from_message, stamp_ns_of
from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE, SCAN

STATE_TOPIC: Final = "ground_truth/state"
STATUS_TOPIC: Final = f"{POLICY}/status"


@dataclass(frozen=True)
class State:
    """Ground truth at one moment.

    Attributes:
        stamp_ns: when.
        world_from_base: the robot.
        world_from_dock: the robot's docked pose.
        speed_mps: of the robot.
        message: all of it (vla_msgs/SimulationState).
    """

    stamp_ns: int
    world_from_base: Pose2D
    world_from_dock: Pose2D
    speed_mps: float
    message: Any

    @property
    def dock_from_base(self) -> Pose2D:
        """The robot in the dock frame."""
        return self.world_from_base.relative_to(self.world_from_dock)


@dataclass(frozen=True)
class Chunk:
    """What the policy intended at one moment.

    Attributes:
        stamp_ns: of the observation that it was computed from.
        actions: (H, 2) float32, [m/s, rad/s].
    """

    stamp_ns: int
    actions: np.ndarray


@dataclass(frozen=True)
class Recording:
    """One run, each list in order of time; states and chunks relate to the same clock."""

    states: list[State]
    images: list[tuple[int, ImageReading]]
    scans: list[tuple[int, ScanReading]]
    chunks: list[Chunk]

    @property
    def final(self) -> State:
        """Where it ended."""
        return self.states[-1]


def read_recording(bag: Path, contract: Contract) -> Recording:
    """Read a run.

    Args:
        bag: folder of the bag.
        contract: names the camera's and the scanner's topics.

    Raises:
        DemoError: the bag cannot be read or lacks the simulator's truth.
    """
    image, scan = contract.stream(IMAGE), contract.stream(SCAN)
    recording = Recording([], [], [], [])
    try:
        with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
            for connection, _received_ns, raw in reader.messages():
                topic = connection.topic
                if topic.endswith("/" + STATE_TOPIC):
                    recording.states.append(_state(reader.deserialize(raw, connection.msgtype)))
                elif topic.endswith("/" + STATUS_TOPIC):
                    _add_chunk(recording.chunks, reader.deserialize(raw, connection.msgtype))
                elif topic.endswith("/" + image.topic):
                    message = reader.deserialize(raw, connection.msgtype)
                    reading = reading_from_message(image, message)
                    recording.images.append((stamp_ns_of(message) or 0, reading))  # type: ignore[arg-type]
                elif topic.endswith("/" + scan.topic):
                    message = reader.deserialize(raw, connection.msgtype)
                    reading = reading_from_message(scan, message)
                    recording.scans.append((stamp_ns_of(message) or 0, reading))  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError) as error:
        raise DemoError(f"bag {bag} cannot be read: {error}") from error
    if not recording.states:
        raise DemoError(f"bag {bag} has no message of topic {STATE_TOPIC}")
    return recording


def _state(message: Any) -> State:
    base, dock = message.base_pose, message.dock_pose
    return State(
        stamp_ns=stamp_ns_of(message) or 0,
        world_from_base=Pose2D(base.x, base.y, base.theta),
        world_from_dock=Pose2D(dock.x, dock.y, dock.theta),
        speed_mps=message.speed_mps,
        message=message,
    )


def _add_chunk(chunks: list[Chunk], message: Any) -> None:
    stamp_ns = message.chunk_stamp.sec * 1_000_000_000 + message.chunk_stamp.nanosec
    if not len(message.chunk) or (chunks and chunks[-1].stamp_ns == stamp_ns):
        return
    actions = np.asarray(message.chunk, np.float32).reshape(message.horizon, message.action_size)
    chunks.append(Chunk(stamp_ns, actions))
