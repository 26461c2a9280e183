"""Writing a data set of parts: an index over them, or a packed copy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import h5py

from vla_core.contract import Contract
from vla_training.dataset import statistics
from vla_training.dataset.head import SplitChoice, growing_array, new_file, write_head
from vla_training.dataset.layout import TRAINING, EpisodeRecord, parts_folder, row_specs
from vla_training.dataset.parts import PartRecord, describe_array, place_array
from vla_training.dataset.statistics import PartStatistics

_COPY_BYTES: Final = 1 << 24


def write_index(
    path: Path,
    contract: Contract,
    parts: Sequence[PartRecord],
    split: SplitChoice,
    provenance: Mapping[str, Any],
) -> list[EpisodeRecord]:
    """Write a data set whose rows stay in parts, all or nothing.

    Args:
        path: The file to make; the parts are in the folder `parts_folder(path)`.
        contract: What the rows are.
        parts: In the order of their rows.
        split: How to split the episodes.
        provenance: What the data set was made of.

    Returns:
        The table of episodes.

    Raises:
        DatasetError: If there is no episode or the file cannot be written.
    """
    episodes = split.apply(joined_episodes(parts, named=True))
    rows = sum(part.rows for part in parts)
    folder = parts_folder(path).name
    with new_file(path) as file:
        for spec in row_specs(contract):
            layout = h5py.VirtualLayout((rows, *spec.shape), spec.dtype)
            start = 0
            for part in parts:
                layout[start : start + part.rows] = h5py.VirtualSource(
                    f"{folder}/{part.path.name}", spec.name, (part.rows, *spec.shape), spec.dtype
                )
                start += part.rows
            describe_array(file.create_virtual_dataset(spec.name, layout), spec)
        write_head(file, contract, episodes, training_statistics(parts, episodes), split)
        file.attrs["provenance"] = json.dumps(provenance)
    return episodes


def write_packed(
    path: Path,
    contract: Contract,
    parts: Sequence[PartRecord],
    split: SplitChoice,
    provenance: Mapping[str, Any],
    compression: str | None = None,
) -> list[EpisodeRecord]:
    """Write a data set into one self-contained file, all or nothing.

    Args:
        path: The file to make.
        contract: What the rows are.
        parts: In the order of their rows.
        split: How to split the episodes.
        provenance: What the data set was made of.
        compression: None, "lzf" or "gzip", for the images.

    Returns:
        The table of episodes.

    Raises:
        DatasetError: If there is no episode or the file cannot be written.
    """
    episodes = split.apply(joined_episodes(parts, named=False))
    rows = sum(part.rows for part in parts)
    with new_file(path) as file:
        for spec in row_specs(contract):
            if compression and len(spec.shape) == 3:
                growing_array(file, spec, compression).resize(rows, axis=0)
            else:
                describe_array(place_array(file, spec, rows), spec)
        start = 0
        for part in parts:
            _copy_rows(part, contract, file, start)
            start += part.rows
        write_head(file, contract, episodes, training_statistics(parts, episodes), split)
        file.attrs["provenance"] = json.dumps(provenance)
    return episodes


def _copy_rows(part: PartRecord, contract: Contract, file: h5py.File, start: int) -> None:
    with h5py.File(part.path, "r") as source:
        for spec in row_specs(contract):
            step = max(1, _COPY_BYTES // max(1, spec.row_bytes))
            for row in range(0, part.rows, step):
                data = source[spec.name][row : row + step]
                file[spec.name][start + row : start + row + len(data)] = data


def joined_episodes(parts: Sequence[PartRecord], named: bool) -> list[EpisodeRecord]:
    """Episodes of all parts, with their rows counted through.

    Args:
        parts: In the order of their rows.
        named: Whether the table is to say which part holds an episode.
    """
    episodes = []
    start = 0
    for part in parts:
        name = part.path.name if named else ""
        for episode in part.episodes:
            episodes.append(replace(episode, start=start + episode.start, part=name))
        start += part.rows
    return episodes


def training_statistics(
    parts: Sequence[PartRecord], episodes: Sequence[EpisodeRecord]
) -> PartStatistics:
    """Statistics of the training rows; all episodes of a bag are in one group and thus split."""
    training = {e.bag_sha256 for e in episodes if e.split == TRAINING}
    return statistics.merged_all(
        [part.statistics for part in parts if part.head.bag_sha256 in training]
    )
