"""Whether what stands in a data set file can be what was written: it may come from anywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

import h5py
import numpy as np

from vla_training.dataset.layout import SPLITS, EpisodeRecord, RowSpec

READ_ERRORS: Final = (
    OSError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    RuntimeError,
    RecursionError,
    OverflowError,
)
"""What h5py, numpy and JSON raise for a damaged file."""

_WHOLE: Final = ("start", "length", "split", "seed", "goal", "segment")
_LARGEST_ROWS: Final = 1 << 48


def check_array(array: h5py.Dataset | h5py.Group, spec: RowSpec, rows: int) -> None:
    """Make sure that an array is what the contract says, with a row for each of the episodes'.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(array, h5py.Dataset):
        raise ValueError(f"{spec.name} is no array")
    if array.shape != (rows, *spec.shape) or array.dtype != np.dtype(spec.dtype):
        shape = array.shape or ()
        raise ValueError(
            f"{spec.name} has {shape[0] if shape else 'no'} rows of {shape[1:]} {array.dtype}, "
            f"expected {rows}, as its episodes have, of {spec.shape} {spec.dtype}"
        )


def check_table(episodes: Sequence[EpisodeRecord]) -> None:
    """Make sure that a table of episodes is one: values of their kinds, rows without a gap.

    Raises:
        ValueError: It is not.
    """
    start = 0
    for number, record in enumerate(episodes):
        wrong = _mistake(record, start)
        if wrong:
            raise ValueError(f"episode {number} of its table {wrong}")
        start += record.length


def _mistake(record: EpisodeRecord, start: int) -> str:
    """What is wrong with an episode that has to begin at a row; empty if nothing is."""
    for name, value in vars(record).items():
        kind = int if name in _WHOLE else str
        if not isinstance(value, kind) or isinstance(value, bool):
            return f"has a {name} of type {type(value).__name__}, expected {kind.__name__}"
    if record.start != start or not 0 < record.length < _LARGEST_ROWS:
        return f"has {record.length} rows from {record.start} on, expected some from {start} on"
    if record.split not in SPLITS.values():
        return f"is in split {record.split}, expected one of {tuple(SPLITS.values())}"
    if record.part and (PurePath(record.part).name != record.part or "\0" in record.part):
        return f"names the part {record.part[:80]!r}, expected a file name without a folder"
    sentences = json.loads(record.paraphrases)
    if not isinstance(sentences, list) or not all(isinstance(each, str) for each in sentences):
        return "has paraphrases that are no list of sentences"
    return ""
