"""Data sets of made-up rows, without bags."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vla_core.contract import Contract
from vla_training.dataset.head import SplitChoice
from vla_training.dataset.index import write_index, write_packed
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
    parts_folder,
)
from vla_training.dataset.parts import PartHead, PartWriter
from vla_training.dataset.writer import EpisodeSource


def episode_rows(contract: Contract, length: int, seed: int) -> Rows:
    """Random observations; the actions count the rows, in hundredths."""
    random = np.random.default_rng(seed)
    high = {"uint8": 256.0, "float32": 7.0}
    rows = {
        observation(stream.key): random.uniform(
            0.1, high[stream.dtype], (length, *stream.shape)
        ).astype(stream.dtype)
        for stream in contract.streams
    }
    count = len(contract.streams)
    return {
        **rows,
        VALID: np.ones((length, count), bool),
        AGE_NS: np.zeros((length, count), np.int64),
        TICK_NS: np.arange(length) * 50_000_000,
        DRIVER: np.ones(length, np.uint8),
        ACTION: np.arange(2 * length, dtype=np.float32).reshape(length, 2) / 100.0,
        ACTION_VALID: np.ones(length, bool),
        DOCK_POSE: random.normal(size=(length, 3)).astype(np.float32),
        DOCK_POSE_VALID: np.ones(length, bool),
    }


def write_dataset(
    path: Path,
    contract: Contract,
    episodes: Sequence[Rows],
    *,
    instructions: Sequence[str] = ("dock left",),
    split: SplitChoice | None = None,
    packed: bool = False,
    compression: str | None = None,
    first_seed: int = 0,
) -> Path:
    """A data set with one part for each episode; the instructions take turns."""
    parts = []
    for index, rows in enumerate(episodes):
        length = len(rows[VALID])
        source = EpisodeSource(
            seed=first_seed + index,
            instruction=instructions[index % len(instructions)],
            outcome="success",
            operator="docking_expert",
            bag=f"bag_{index}",
            bag_sha256=f"{index}",
        )
        with PartWriter(parts_folder(path) / f"bag_{index}.h5", contract, length) as writer:
            writer.append(rows)
            head = PartHead("options", "fingerprint", f"{index}", f"bag_{index}")
            parts.append(writer.finish(head, [source.record(0, length)]))
    split = split or SplitChoice(0.0, 0.0)
    if packed:
        write_packed(path, contract, parts, split, {}, compression)
    else:
        write_index(path, contract, parts, split, {})
    return path
