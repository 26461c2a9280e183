"""Layout of a data set file (HDF5), format version 1.

Flat arrays, one row per control tick, episodes one after the other; a table of episodes says which
rows are whose:

    observations/<key>      (N, *shape)  as the contract's stream, such as image (N, H, W, 3) uint8
    observations/valid      (N, S) bool  in the order of the contract's streams
    observations/age_ns     (N, S) int64 tick minus stamp
    labels/action           (N, A) float32 [m/s, rad/s]
    labels/action_valid     (N,) bool
    labels/dock_pose        (N, 3) float32 [m, m, rad], commanded station in the base frame
    labels/dock_pose_valid  (N,) bool
    tick_ns                 (N,) int64
    episodes/start, length, split, seed, instruction, outcome, operator, bag, bag_sha256   (E,)

Attributes of the root: format, format_version, tool_version, contract (YAML), contract_hash,
statistics (JSON, of the training episodes), split_seed, validation_fraction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vla_core.contract import Contract

FORMAT: Final = "vla-docking-dataset"
FORMAT_VERSION: Final = 1

OBSERVATIONS: Final = "observations"
VALID: Final = "observations/valid"
AGE_NS: Final = "observations/age_ns"
ACTION: Final = "labels/action"
ACTION_VALID: Final = "labels/action_valid"
DOCK_POSE: Final = "labels/dock_pose"
DOCK_POSE_VALID: Final = "labels/dock_pose_valid"
TICK_NS: Final = "tick_ns"
EPISODES: Final = "episodes"

TRAINING: Final = 0
VALIDATION: Final = 1
SPLITS: Final = {"training": TRAINING, "validation": VALIDATION}
NO_SEED: Final = -1

Rows = dict[str, np.ndarray]
"""Arrays of equal length by the names above."""

_CHUNK_BYTES: Final = 1 << 19


def observation(key: str) -> str:
    """Name of a stream's array."""
    return f"{OBSERVATIONS}/{key}"


@dataclass(frozen=True)
class RowSpec:
    """One array of the file.

    Attributes:
        name: Path in the file.
        shape: Of one row.
        dtype: As numpy names it.
        unit: For people.
        note: What the array holds.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    unit: str
    note: str

    @property
    def chunk_rows(self) -> int:
        """Rows per chunk: about half a megabyte, so that a window of rows is one read."""
        row_bytes = int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize
        return int(np.clip(_CHUNK_BYTES // max(1, row_bytes), 1, 4096))


def row_specs(contract: Contract) -> list[RowSpec]:
    """Every array with one row per tick."""
    streams = [
        RowSpec(observation(s.key), s.shape, s.dtype, s.unit, f"latest {s.topic} at the tick")
        for s in contract.streams
    ]
    count = len(contract.streams)
    units = ", ".join(contract.action.units)
    return [
        *streams,
        RowSpec(VALID, (count,), "bool", "", "whether each stream is young enough"),
        RowSpec(AGE_NS, (count,), "int64", "ns", "tick minus stamp of each stream"),
        RowSpec(ACTION, (contract.action.size,), "float32", units, "action to learn"),
        RowSpec(ACTION_VALID, (), "bool", "", "whether the action is known"),
        RowSpec(DOCK_POSE, (3,), "float32", "m, m, rad", "commanded station in the base frame"),
        RowSpec(DOCK_POSE_VALID, (), "bool", "", "whether the station's pose is known"),
        RowSpec(TICK_NS, (), "int64", "ns", "clock of the header stamps"),
    ]


@dataclass(frozen=True)
class EpisodeRecord:
    """One episode of the table.

    Attributes:
        start: First row.
        length: Number of rows.
        split: TRAINING or VALIDATION.
        seed: Of the simulated episode; NO_SEED if there is none.
        instruction: The sentence.
        outcome: "success", "failure" or "unknown".
        operator: Who drove.
        bag: Name of the bag.
        bag_sha256: See `bags.bag_sha256`.
    """

    start: int
    length: int
    split: int
    seed: int
    instruction: str
    outcome: str
    operator: str
    bag: str
    bag_sha256: str

    @property
    def rows(self) -> slice:
        """Where the episode is in the flat arrays."""
        return slice(self.start, self.start + self.length)


def assign_splits(
    identities: Sequence[tuple[int, str]], validation_fraction: float, split_seed: int
) -> list[int]:
    """Assign each episode to training or validation by a hash of what it shows.

    The assignment of an episode does not depend on the others, so that adding bags moves none;
    episodes of one simulation seed, which share their scene, stay together. With two groups or
    more and a fraction strictly between 0 and 1, neither split is empty.

    Args:
        identities: Seed (NO_SEED for none) and bag hash of each episode.
        validation_fraction: Expected share of validation episodes, 0 to 1.
        split_seed: Another one gives another assignment.
    """

    def score(identity: tuple[int, str]) -> float:
        seed, sha256 = identity
        text = f"{split_seed}:{sha256 if seed == NO_SEED else f'seed {seed}'}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2.0**56

    scores = [score(identity) for identity in identities]
    groups = sorted(set(scores))
    threshold = validation_fraction
    if 0.0 < validation_fraction < 1.0 and len(groups) > 1:
        threshold = float(np.clip(threshold, np.nextafter(groups[0], 1.0), groups[-1]))
    return [VALIDATION if value < threshold else TRAINING for value in scores]


def describe_data(name: str, episodes: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """Provenance of a data set for checkpoints and manifests.

    Args:
        name: Of the file.
        episodes: Its whole table.

    Returns:
        name; episodes and frames of each split; episodes_sha256, which is another one if any
        episode, its length or its split is; bags, each with its name and hash.
    """
    digest = hashlib.sha256()
    counts: dict[str, int] = {}
    for record in episodes:
        digest.update(f"{record.bag_sha256} {record.length} {record.split}\n".encode())
    for split, number in SPLITS.items():
        lengths = [record.length for record in episodes if record.split == number]
        counts[f"{split}_episodes"], counts[f"{split}_frames"] = len(lengths), sum(lengths)
    return {
        "name": name,
        **counts,
        "episodes_sha256": digest.hexdigest(),
        "bags": [{"bag": record.bag, "sha256": record.bag_sha256} for record in episodes],
    }
