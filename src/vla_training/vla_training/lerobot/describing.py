"""What an export has beside its frames: types of the tables, info.json, and what is ours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import h5py
import pyarrow as pa

from vla_core.contract import Contract
from vla_training import __version__
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import SPLITS, EpisodeRecord, contract_text
from vla_training.lerobot import feature_statistics, layout
from vla_training.lerobot.layout import Feature

_BOOKKEEPING: Final = (
    "data/chunk_index",
    "data/file_index",
    "dataset_from_index",
    "dataset_to_index",
    "meta/episodes/chunk_index",
    "meta/episodes/file_index",
)
_WHOLE: Final = frozenset({"seed", "goal", "segment"})


def episode_schema(features: Mapping[str, Feature]) -> pa.Schema:
    """Types of the table of episodes."""
    fields = [
        ("episode_index", pa.int64()),
        ("tasks", pa.list_(pa.string())),
        ("length", pa.int64()),
        *((name, pa.int64()) for name in (*_BOOKKEEPING, layout.NUMBER)),
    ]
    for name in layout.OWN_COLUMNS:
        fields.append((layout.OWN_PREFIX + name, pa.int64() if name in _WHOLE else pa.string()))
    for feature in features.values():
        values = pa.list_(pa.float64())
        if feature.is_picture:
            values = pa.list_(pa.list_(values))
        fields += [
            (f"stats/{feature.name}/{name}", pa.list_(pa.int64()) if name == "count" else values)
            for name in feature_statistics.NAMES
        ]
    return pa.schema(fields)


def info(
    contract: Contract,
    columns: Mapping[str, Feature],
    episodes: Sequence[EpisodeRecord],
    tasks: int,
) -> dict[str, Any]:
    """Contents of info.json; the episodes are in the order of their splits."""
    features = (*columns.values(), *layout.INDEX_FEATURES)
    return {
        "codebase_version": layout.CODEBASE_VERSION,
        "robot_type": contract.robot,
        "total_episodes": len(episodes),
        "total_frames": sum(e.length for e in episodes),
        "total_tasks": tasks,
        "chunks_size": layout.FILES_PER_CHUNK,
        "data_files_size_in_mb": layout.FILE_MB,
        "video_files_size_in_mb": layout.VIDEO_FILE_MB,
        "fps": int(contract.action.rate_hz),
        "splits": _split_ranges(episodes),
        "data_path": layout.DATA_PATH,
        "video_path": None,
        "features": {feature.name: feature.to_json() for feature in features},
    }


def _split_ranges(episodes: Sequence[EpisodeRecord]) -> dict[str, str]:
    """Ranges of episodes, which are in order of their splits."""
    names = {number: name for name, number in reversed(layout.SPLIT_NAMES.items())}
    splits = [episode.split for episode in episodes]
    ranges = {}
    for number in sorted(set(splits)):
        start = splits.index(number)
        ranges[names[number]] = f"{start}:{start + splits.count(number)}"
    return ranges


def ours(source: DatasetFile, columns: Mapping[str, Feature]) -> dict[str, Any]:
    """What LeRobot has no place for."""
    with h5py.File(source.path, "r") as file:
        split = {
            name: file.attrs[name].item()
            for name in ("split_seed", "validation_fraction", "test_fraction")
        }
    return {
        "format": layout.OURS_FORMAT,
        "format_version": layout.OURS_VERSION,
        "tool_version": __version__,
        "contract": contract_text(source.contract),
        "contract_hash": source.contract.hash,
        "arrays": {feature.name: array for array, feature in columns.items()},
        "drivers": list(source.drivers),
        "splits": SPLITS,
        **split,
        "provenance": source.provenance,
    }


def task_table(tasks: Mapping[str, int]) -> pa.Table:
    """The sentences, in the way that pandas stores a table with an index of texts."""
    index = "__index_level_0__"
    described = [
        {"name": name, "field_name": field, "pandas_type": kind, "numpy_type": numpy_kind}
        for name, field, kind, numpy_kind in (
            ("task_index", "task_index", "int64", "int64"),
            (None, index, "unicode", "object"),
        )
    ]
    pandas = {
        "index_columns": [index],
        "column_indexes": [],
        "columns": [{**column, "metadata": None} for column in described],
    }
    schema = pa.schema(
        [("task_index", pa.int64()), (index, pa.string())], {b"pandas": json.dumps(pandas).encode()}
    )
    return pa.table([list(tasks.values()), list(tasks)], schema=schema)
