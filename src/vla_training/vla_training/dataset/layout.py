"""Layout of a data set (HDF5), format version 2.

Flat arrays, one row per control tick, episodes one after the other; a table of episodes says which
rows are whose:

    observations/<key>      (N, *shape)  as the contract's stream, such as image (N, H, W, 3) uint8
    observations/valid      (N, S) bool  in the order of the contract's streams
    observations/age_ns     (N, S) int64 tick minus stamp
    labels/action           (N, A) float32 [m/s, rad/s]
    labels/action_valid     (N,) bool
    labels/dock_pose        (N, 3) float32 [m, m, rad], commanded station in the base frame
    labels/dock_pose_valid  (N,) bool
    driver                  (N,) uint8   who was driving, see DRIVERS
    tick_ns                 (N,) int64
    episodes/<column>       (E,)         see EpisodeRecord

The file is an index: its row arrays are virtual datasets over one part per bag, in the folder
`<stem>.parts` beside it. A part holds the same row arrays of its bag alone, contiguous and
uncompressed, so that they can be memory-mapped. A packed file holds the rows itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_core.contract import Contract

FORMAT: Final = "vla-docking-dataset"
PART_FORMAT: Final = "vla-docking-dataset-part"
FORMAT_VERSION: Final = 2
PARTS_SUFFIX: Final = ".parts"

OBSERVATIONS: Final = "observations"
VALID: Final = "observations/valid"
AGE_NS: Final = "observations/age_ns"
ACTION: Final = "labels/action"
ACTION_VALID: Final = "labels/action_valid"
DOCK_POSE: Final = "labels/dock_pose"
DOCK_POSE_VALID: Final = "labels/dock_pose_valid"
DRIVER: Final = "driver"
TICK_NS: Final = "tick_ns"
EPISODES: Final = "episodes"

TRAINING: Final = 0
VALIDATION: Final = 1
TEST: Final = 2
SPLITS: Final = {"training": TRAINING, "validation": VALIDATION, "test": TEST}

NO_SEED: Final = -1
NO_GOAL: Final = -1

DRIVERS: Final = ("unknown", "expert", "policy", "person")
"""Who drove, by the number in the array `driver`."""

Rows = dict[str, np.ndarray]
"""Arrays of equal length by the names above."""

_CHUNK_BYTES: Final = 1 << 19


def parts_folder(path: Path) -> Path:
    """Where the parts of a data set are: beside the file that is the index over them."""
    return path.with_name(path.stem + PARTS_SUFFIX)


@lru_cache(maxsize=8)
def contract_text(contract: Contract) -> str:
    """A contract as YAML; writing it takes as long as converting a hundred rows."""
    return contract.to_yaml()


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
    def row_bytes(self) -> int:
        """Size of one row."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    @property
    def chunk_rows(self) -> int:
        """Rows per chunk where rows are compressed: about half a megabyte."""
        return int(np.clip(_CHUNK_BYTES // max(1, self.row_bytes), 1, 4096))


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
        RowSpec(
            DRIVER, (), "uint8", "", ", ".join(f"{i} {name}" for i, name in enumerate(DRIVERS))
        ),
        RowSpec(TICK_NS, (), "int64", "ns", "clock of the header stamps"),
    ]


@dataclass(frozen=True)
class EpisodeRecord:
    """One episode of the table.

    Attributes:
        start: First row.
        length: Number of rows.
        split: TRAINING, VALIDATION or TEST.
        seed: Of the simulated episode; NO_SEED if there is none.
        group: Episodes of one group are always in the same split, see `group_of`.
        goal: Number of the commanded station, from the left; NO_GOAL if unknown.
        instruction: The sentence.
        outcome: "success", "failure" or "unknown".
        operator: Who drove.
        suite: Of the simulated episode; empty if there is none.
        bag: Name of the bag.
        bag_sha256: See `bags.bag_sha256`.
        segment: Number of the episode within its bag, from 0.
        part: File name of the part, in the folder of parts; empty in a packed file.
        paraphrases: JSON list of further sentences that command the same.
    """

    start: int
    length: int
    split: int
    seed: int
    group: str
    goal: int
    instruction: str
    outcome: str
    operator: str
    suite: str
    bag: str
    bag_sha256: str
    segment: int = 0
    part: str = ""
    paraphrases: str = "[]"

    @property
    def rows(self) -> slice:
        """Where the episode is in the flat arrays."""
        return slice(self.start, self.start + self.length)


EPISODE_COLUMNS: Final = {
    "start": "first row",
    "length": "number of rows",
    "split": ", ".join(f"{number} {name}" for name, number in SPLITS.items()),
    "seed": f"of the simulated episode, {NO_SEED} for none",
    "group": "episodes of one group are in the same split",
    "goal": f"number of the commanded station from the left, {NO_GOAL} if unknown",
    "instruction": "the sentence",
    "outcome": "success, failure or unknown",
    "operator": "who drove",
    "suite": "of the simulated episode, empty for none",
    "bag": "name of the bag",
    "bag_sha256": "of the list of the SHA-256 of the bag's files",
    "segment": "number of the episode within its bag",
    "part": "file of the rows in the folder of parts, empty if they are in this file",
    "paraphrases": "JSON list of further sentences that command the same",
}
"""Columns of the table of episodes, with what they hold."""


def group_of(seed: int, bag_sha256: str, named: str = "") -> str:
    """The group of an episode: what its bag says, else its seed, else the bag itself.

    Episodes of one simulation seed share their scene, whatever the goal.
    """
    if named:
        return f"group {named}"
    return bag_sha256 if seed == NO_SEED else f"seed {seed}"


def assign_splits(
    groups: Sequence[str],
    validation_fraction: float,
    test_fraction: float = 0.0,
    split_seed: int = 0,
) -> list[int]:
    """Assign each episode to training, validation or test by a hash of its group.

    The assignment of an episode does not depend on the others, so that adding bags moves none,
    with one exception: where a split that was asked for would be empty, the groups nearest to it
    go there, as far as there are enough groups.

    Args:
        groups: Group of each episode, see `group_of`.
        validation_fraction: Expected share of validation episodes, 0 to 1.
        test_fraction: Expected share of test episodes, 0 to 1; together at most 1.
        split_seed: Another one gives another assignment.
    """
    scores = {group: _score(group, split_seed) for group in groups}
    ranked = sorted(scores, key=lambda group: scores[group])
    below = {VALIDATION: validation_fraction, TEST: validation_fraction + test_fraction}
    splits = {
        group: next((split for split, limit in below.items() if score < limit), TRAINING)
        for group, score in scores.items()
    }
    shares = {
        VALIDATION: validation_fraction,
        TEST: test_fraction,
        TRAINING: 1.0 - validation_fraction - test_fraction,
    }
    wanted = [split for split, share in shares.items() if share > 0.0]
    if len(ranked) >= len(wanted):
        _fill_empty(splits, ranked, wanted)
    return [splits[group] for group in groups]


def _score(group: str, split_seed: int) -> float:
    """A number from 0 to 1 that depends on nothing but the group and the seed."""
    digest = hashlib.sha256(f"{split_seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2.0**56


def _fill_empty(splits: dict[str, int], ranked: list[str], wanted: list[int]) -> None:
    """Move one group into each split that has none, from the end that lies next to it."""
    for position, split in enumerate(wanted):
        if split in splits.values():
            continue
        before = wanted[:position]
        start = sum(value in before for value in splits.values())
        candidates = [*ranked[start:], *reversed(ranked[:start])]
        crowded = (group for group in candidates if list(splits.values()).count(splits[group]) > 1)
        splits[next(crowded)] = split


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
