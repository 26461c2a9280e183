"""A LeRobotDataset to a data set."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from vla_core.contract import Contract
from vla_training import __version__
from vla_training.dataset import statistics
from vla_training.dataset.head import SplitChoice, new_file, write_head
from vla_training.dataset.layout import SPLITS, TRAINING, row_specs
from vla_training.dataset.parts import describe_array, place_array
from vla_training.dataset.statistics import PartStatistics
from vla_training.errors import DatasetError
from vla_training.lerobot import layout
from vla_training.lerobot.episode_table import episode_records
from vla_training.lerobot.layout import Feature
from vla_training.lerobot.mapping import found_features
from vla_training.lerobot.row_reading import RowReader
from vla_training.lerobot.source import Source, SourceEpisode, open_source
from vla_training.lerobot.tables import read_batches
from vla_training.progress import progress_bar


@dataclass(frozen=True)
class ImportSummary:
    """What an import did.

    Attributes:
        path: The data set.
        episodes: Number of episodes.
        split_episodes: Of these, episodes of each split by name.
        frames: Rows in it.
        features: Array of our data set by feature that was read.
        ignored: Features that were not.
        duration_s: Wall time.
    """

    path: Path
    episodes: int
    split_episodes: Mapping[str, int]
    frames: int
    features: Mapping[str, str]
    ignored: tuple[str, ...]
    duration_s: float


def import_dataset(
    root: Path,
    out: Path,
    contract: Contract,
    *,
    features: Mapping[str, str] | None = None,
    split: SplitChoice | None = None,
    progress: bool = True,
) -> ImportSummary:
    """Read a LeRobotDataset, format v3.0, into a packed data set.

    Nothing is resampled. Pictures of another size than the contract's are cropped and resized as
    those of a camera are. What a LeRobotDataset does not know is marked so: no dock pose, an
    unknown driver; every stream and action counts as valid, and as old as its row.

    Args:
        root: Folder of the LeRobotDataset.
        out: The HDF5 file to make; it appears whole or not at all.
        contract: What the rows are to be, see `contract_of`.
        features: Key of a stream, "action" or "dock_pose" by name of the feature to take for it,
            where that is to be another one than `layout.feature_names` says.
        split: How to split the episodes, where the LeRobotDataset does not tell; an export of
            ours does, and so does one whose info names more than "train".
        progress: Whether to show a bar.

    Raises:
        DatasetError: If the LeRobotDataset is damaged or does not fit the contract, or the file
            cannot be written.
    """
    started = time.monotonic()
    source = open_source(root)
    if source.fps != contract.action.rate_hz:
        raise DatasetError(
            f"{root} has {source.fps:g} frames per second, contract {contract.name!r} "
            f"{contract.action.rate_hz:g}; give a contract of that rate_hz, nothing is resampled"
        )
    exported = source.ours.get("arrays", {})
    found = found_features(source.features, contract, features or {}, exported, str(root))
    records, choice = episode_records(source, split or SplitChoice())
    with new_file(out) as file:
        for spec in row_specs(contract):
            describe_array(place_array(file, spec, source.frames), spec)
        training: PartStatistics = {}
        with (
            RowReader(source, contract, found) as reader,
            progress_bar("importing", len(records), progress) as bar,
        ):
            for episode, first, batch in _episode_batches(source, reader.columns):
                record = records[episode.number]
                rows = reader.rows(episode, first, batch)
                start = record.start + first
                for name, values in rows.items():
                    file[name][start : start + len(values)] = values
                if record.split == TRAINING:
                    more = statistics.of_rows(rows, contract)
                    training = statistics.merged(training, more)
                if first + batch.num_rows == episode.length:
                    bar.advance(record.bag)
        ordered = sorted(records, key=lambda record: record.start)
        write_head(file, contract, ordered, training, choice)
        file.attrs["provenance"] = json.dumps(_provenance(source, found))
    used = {feature.name: array for array, feature in found.items()}
    splits = [record.split for record in records]
    always = {feature.name for feature in layout.INDEX_FEATURES}
    return ImportSummary(
        path=out,
        episodes=len(records),
        split_episodes={name: splits.count(number) for name, number in SPLITS.items()},
        frames=source.frames,
        features=used,
        ignored=tuple(n for n in source.features if n not in used and n not in always),
        duration_s=time.monotonic() - started,
    )


def contract_of(root: Path) -> Contract | None:
    """The contract of an export of ours; None if the folder is none.

    Raises:
        DatasetError: If the folder is damaged.
        ContractError: If its contract is.
    """
    text = open_source(root).ours.get("contract")
    return None if text is None else Contract.from_yaml(text, f"{root / layout.OURS}: contract")


def _episode_batches(
    source: Source, columns: Sequence[str]
) -> Iterator[tuple[SourceEpisode, int, pa.RecordBatch]]:
    """The frames piece by piece: episode, number of the first frame in it, and columns.

    Raises:
        DatasetError: If a file is damaged, or has more or fewer frames than its episodes.
    """
    for path, group in groupby(source.episodes, key=lambda episode: episode.data):
        episodes = list(group)
        total = sum(episode.length for episode in episodes)
        position, current = 0, 0
        for batch in read_batches(path, columns):
            taken = 0
            while taken < batch.num_rows and current < len(episodes):
                episode = episodes[current]
                first = position - (episode.first - episodes[0].first)
                count = min(batch.num_rows - taken, episode.length - first)
                yield episode, first, batch.slice(taken, count)
                taken, position = taken + count, position + count
                current += first + count == episode.length
            if taken < batch.num_rows:
                raise DatasetError(
                    f"{path} has more than the {total} frames of its episodes; fetch it again"
                )
        if position != total:
            raise DatasetError(
                f"{path} has {position} frames, its episodes {total}; fetch it again"
            )


def _provenance(source: Source, found: Mapping[str, Feature]) -> dict[str, Any]:
    original = source.ours.get("provenance", {})
    return {
        **original,
        "bags": original.get("bags", []),
        "lerobot": {
            "path": str(source.root.absolute()),
            "features": {feature.name: array for array, feature in found.items()},
            "vla_training": __version__,
        },
    }
