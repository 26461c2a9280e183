"""Targets that are messages, as the middleware and bags deliver them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from vla_bringup.fuzzing.errors import AcceptedError
from vla_bringup.fuzzing.sample_bags import (
    command,
    compressed_image,
    image,
    odometry,
    pose,
    scan,
    serialised,
)
from vla_bringup.fuzzing.samples import CONTRACT_TEXT, START_NS
from vla_bringup.fuzzing.subject import Subject
from vla_core.cdr import (
    action_from_cdr,
    dock_pose_from_cdr,
    reading_from_cdr,
    stamp_ns_of_cdr,
)
from vla_core.contract import Contract
from vla_core.decoding import decode
from vla_core.errors import DecodeError
from vla_core.opencv import cv2


class Messages(Subject):
    """A message after a byte that says of which kind."""

    suffix: ClassVar[str] = ".cdr"

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        contract = Contract.from_yaml(CONTRACT_TEXT)
        compressed = Contract.from_yaml(CONTRACT_TEXT.replace("msg/Image", "msg/CompressedImage"))
        self._streams = [*contract.streams, compressed.streams[0]]
        self._action = contract.action

    def seeds(self) -> list[bytes]:
        """One of each kind; pictures as PNG and as JPEG."""
        generator = np.random.default_rng(0)
        pixels = generator.integers(0, 256, (8, 8, 3), np.uint8)
        files = {name: cv2.imencode(f".{name}", pixels)[1].tobytes() for name in ("png", "jpeg")}
        kinds = {
            0: [image(START_NS, generator)],
            1: [scan(START_NS, generator)],
            2: [odometry(START_NS)],
            3: [compressed_image(START_NS, name, data) for name, data in files.items()],
            4: [command(START_NS)],
            5: [pose(START_NS)],
        }
        return [
            bytes([kind]) + serialised(message)
            for kind, messages in kinds.items()
            for message in messages
        ]

    def consume(self, data: bytes) -> None:
        """Read and decode it as the converter does."""
        if not data:
            raise DecodeError("no message")
        kind, body = data[0] % 6, memoryview(data)[1:]
        stamp_ns_of_cdr(body)
        if kind < len(self._streams):
            stream = self._streams[kind]
            _, reading = reading_from_cdr(stream, body)
            values = decode(stream, reading)
            if values.shape != stream.shape or values.dtype != stream.dtype:
                raise AcceptedError(f"{stream.key} became {values.shape} {values.dtype}")
        elif kind == 4:
            values = action_from_cdr(self._action, "geometry_msgs/msg/TwistStamped", body)[1]
        else:
            found = dock_pose_from_cdr(body)[1]
            values = np.array([found.x, found.y, found.yaw])
        if not np.isfinite(values).all():
            raise AcceptedError(f"kind {kind}: values that are not finite")
