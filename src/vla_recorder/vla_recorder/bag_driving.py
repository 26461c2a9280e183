"""How a recorded episode was driven: idle and saturated commands, where it ended, what was seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_typestore

from vla_core.action_messages import action_from_message, dock_pose_from_message
from vla_core.contract import Contract, ImageDecoder, OdometryDecoder
from vla_core.decoding import decode, reading_from_message
from vla_core.docking import DOCKED
from vla_core.geometry import Pose2D
from vla_recorder.errors import BagError

SATURATED: Final = 0.99
"""A command of this share of the contract's limit and more counts as saturated."""

IDLE_MPS: Final = 0.01
IDLE_RADPS: Final = 0.02
"""A command up to both of these counts as standing still."""

FRAMES: Final = 8
"""Pictures of a contact sheet."""

_NS_PER_S: Final = 1_000_000_000
_ENDS: Final = {True: "docked", False: "not docked", None: "end not known"}


@dataclass(frozen=True)
class Driving:
    """What was commanded, measured and seen.

    Attributes:
        command_s: (N,) float64, when each command was recorded [s from the bag's start].
        commands: (N, A) float32 [m/s, rad/s].
        odometry_s: (M,) float64 [s from the bag's start].
        odometry: (M, F) float32, the fields of the contract's odometry [m/s, rad/s].
        odometry_fields: F names.
        frame_s: (K,) float64 [s from the bag's start].
        frames: K pictures (H, W, 3) uint8 RGB, as a policy sees them, evenly over the bag.
        dock_from_base: the base seen from the docked pose at the end; None where the bag does not
            hold the dock's pose.
        idle_fraction: share of the commands that mean standing still; None without commands.
        saturated_fraction: share with at least one field at its limit; None without commands.
        problem: why some of it could not be read; empty if all could.
    """

    command_s: npt.NDArray[np.float64]
    commands: npt.NDArray[np.float32]
    odometry_s: npt.NDArray[np.float64]
    odometry: npt.NDArray[np.float32]
    odometry_fields: tuple[str, ...]
    frame_s: npt.NDArray[np.float64]
    frames: tuple[npt.NDArray[np.uint8], ...]
    dock_from_base: Pose2D | None
    idle_fraction: float | None
    saturated_fraction: float | None
    problem: str = ""

    @property
    def docked(self) -> bool | None:
        """Whether it ended within the tolerance of a docked robot; None if nobody can tell."""
        return None if self.dock_from_base is None else DOCKED.contains(self.dock_from_base)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; null where a value does not exist."""
        end = self.dock_from_base
        return {
            "commands": len(self.command_s),
            "idle_fraction": self.idle_fraction,
            "saturated_fraction": self.saturated_fraction,
            "docked": self.docked,
            "end": None
            if end is None
            else {
                "longitudinal_mm": 1e3 * end.x,
                "lateral_mm": 1e3 * end.y,
                "yaw_deg": math.degrees(end.yaw),
            },
            "problem": self.problem,
        }


def read_driving(
    path: Path, contract: Contract, names: Mapping[str, str], *, frames: int = 0
) -> Driving:
    """Read the commands, the odometry, the end and some pictures of a bag.

    Args:
        path: of a sound bag.
        contract: of the robot.
        names: by topic of the contract, the topic of the bag.
        frames: how many pictures to decode.

    Raises:
        BagError: it cannot be read.
    """
    reading = _Reading(contract, names, frames)
    try:
        default = get_typestore(Stores.ROS2_JAZZY)
        with AnyReader([path], default_typestore=default) as reader:
            reading.take(reader)
    except Exception as error:  # the storage readers raise whatever the broken bytes lead to
        raise BagError(
            f"bag {path} cannot be read: {type(error).__name__}: {error}; record the episode again"
        ) from error
    return reading.result()


def summary(driving: Driving) -> str:
    """Idle and saturated share, and how it ended, in one line."""
    parts = [
        f"{name} {fraction:.0%}"
        for name, fraction in (
            ("idle", driving.idle_fraction),
            ("saturated", driving.saturated_fraction),
        )
        if fraction is not None
    ]
    end = driving.dock_from_base
    where = (
        ""
        if end is None
        else f": {1e3 * end.x:+.1f} mm along, {1e3 * end.y:+.1f} mm across, "
        f"{math.degrees(end.yaw):+.2f}°"
    )
    return ", ".join([*parts, f"{_ENDS[driving.docked]}{where}"])


class _Reading:
    """Collects the messages that matter, in one pass."""

    def __init__(self, contract: Contract, names: Mapping[str, str], frames: int) -> None:
        self._contract, self._frames = contract, frames
        self._image = self._stream(ImageDecoder) if frames else None
        self._odometry = self._stream(OdometryDecoder)
        self._topics = {
            topic: names.get(topic, f"/{topic.lstrip('/')}")
            for topic in (
                contract.action.topic,
                contract.dock_pose_topic,
                *(s.topic for s in (self._image, self._odometry) if s is not None),
            )
            if topic is not None
        }
        self._commands: list[tuple[int, np.ndarray]] = []
        self._motions: list[tuple[int, np.ndarray]] = []
        self._pictures: list[tuple[int, np.ndarray]] = []
        self._end: Pose2D | None = None
        self._start_ns = 0
        self._problem = ""

    def _stream(self, decoder: type) -> Any:
        return next((s for s in self._contract.streams if isinstance(s.decoder, decoder)), None)

    def take(self, reader: AnyReader) -> None:
        self._start_ns = reader.start_time
        by_topic: dict[str, list[Connection]] = {}
        for connection in reader.connections:
            by_topic.setdefault(connection.topic, []).append(connection)
        wanted = [c for name in self._topics.values() for c in by_topic.get(name, [])]
        image = None if self._image is None else self._topics[self._image.topic]
        pictures = sum(connection.msgcount for connection in by_topic.get(image or "", []))
        chosen = set(np.linspace(0, pictures - 1, min(self._frames, pictures)).round().astype(int))
        seen = 0
        for connection, received_ns, data in reader.messages(wanted):
            if connection.topic == image:
                seen += 1
                if seen - 1 not in chosen:
                    continue
            try:
                message = reader.deserialize(data, connection.msgtype)
                self._add(connection.topic, received_ns, message)
            except Exception as error:  # of a message that is damaged, or of another type
                self._problem = self._problem or f"{connection.topic}: {error}"

    def _add(self, name: str, received_ns: int, message: Any) -> None:
        contract = self._contract
        if name == self._topics[contract.action.topic]:
            values = action_from_message(contract.action, message)
            self._commands.append((received_ns, values))
        elif self._odometry is not None and name == self._topics[self._odometry.topic]:
            reading = reading_from_message(self._odometry, message)
            self._motions.append((received_ns, decode(self._odometry, reading)))
        elif self._image is not None and name == self._topics[self._image.topic]:
            reading = reading_from_message(self._image, message)
            self._pictures.append((received_ns, decode(self._image, reading)))
        else:
            self._end = dock_pose_from_message(message).inverse()

    def result(self) -> Driving:
        action = self._contract.action
        command_s, commands = self._series(self._commands, action.size)
        fields = () if self._odometry is None else tuple(self._odometry.decoder.fields)
        odometry_s, odometry = self._series(self._motions, len(fields))
        still = np.array([IDLE_MPS if "linear" in f else IDLE_RADPS for f in action.fields])
        low, high = np.array(action.low), np.array(action.high)
        full = ((high > 0) & (commands >= SATURATED * high)) | (
            (low < 0) & (commands <= SATURATED * low)
        )
        return Driving(
            command_s=command_s,
            commands=commands,
            odometry_s=odometry_s,
            odometry=odometry,
            odometry_fields=fields,
            frame_s=self._series(self._pictures, 0)[0],
            frames=tuple(picture for _, picture in self._pictures),
            dock_from_base=self._end,
            idle_fraction=_share((np.abs(commands) <= still).all(axis=1)),
            saturated_fraction=_share(full.any(axis=1)),
            problem=self._problem,
        )

    def _series(
        self, found: list[tuple[int, np.ndarray]], width: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        times_ns = np.array([time_ns for time_ns, _ in found], np.int64)
        values = [value for _, value in found] if width else []
        return (times_ns - self._start_ns) / _NS_PER_S, np.array(values, np.float32).reshape(
            -1, max(width, 1)
        )


def _share(mask: npt.NDArray[np.bool_]) -> float | None:
    return float(mask.mean()) if len(mask) else None
