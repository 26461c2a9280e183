"""What the inference loop is told and tells: its settings, its state, and whom it works for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Logger(Protocol):
    """The part of a ROS or standard logger that is used here."""

    def info(self, message: str) -> object:
        """Log what happens."""

    def warning(self, message: str) -> object:
        """Log what should not happen."""

    def error(self, message: str) -> object:
        """Log what went wrong."""


class ChunkTarget(Protocol):
    """Where chunks go, and who knows whether another one is wanted."""

    def wants_chunk(self, now_ns: int) -> bool:
        """Whether a chunk that is computed now would be used."""

    def add_chunk(self, stamp_ns: int, actions: npt.NDArray[np.float32]) -> None:
        """Take a chunk, (H, A), computed from the frame of `stamp_ns`."""


Judge = Callable[
    [int, npt.NDArray[np.float32], npt.NDArray[np.float32] | None], npt.NDArray[np.float32]
]
"""See `confidence.ConfidenceJudge.judge`."""


@dataclass(frozen=True)
class InferenceSettings:
    """How inference runs.

    Attributes:
        timeout_s: a longer inference counts as hung, and the process is replaced.
        start_timeout_s: to load and warm up.
        max_restarts: how often a lost process is replaced, all together.
        workers: processes that take turns. A second one keeps chunks coming when an inference takes
            longer than half a chunk.
        spacing_s: least time between the frames of two inferences that are under way at once.
    """

    timeout_s: float
    start_timeout_s: float
    max_restarts: int
    workers: int = 1
    spacing_s: float = 0.0


@dataclass(frozen=True)
class InferenceState:
    """How inference is doing.

    Attributes:
        worker_pid: process identifier, of the first process, None while there is none.
        ready: whether every process can take a frame.
        latency_s: from the assembly of a frame to its chunk, NaN before the first.
        chunks: computed since the node was configured.
        restarts: of processes.
        fault: why the running goal gets no more chunks; empty if it does.
    """

    worker_pid: int | None = None
    ready: bool = False
    latency_s: float = math.nan
    chunks: int = 0
    restarts: int = 0
    fault: str = ""


@dataclass(frozen=True, eq=False)
class Goal:
    """What is inferred for.

    Attributes:
        instruction: what the policy is told.
        target: where its chunks go.
    """

    instruction: str
    target: ChunkTarget
