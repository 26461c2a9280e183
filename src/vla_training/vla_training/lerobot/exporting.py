"""A data set to a LeRobotDataset."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import (
    TICK_NS,
    EpisodeRecord,
    Rows,
)
from vla_training.errors import DatasetError
from vla_training.lerobot import describing, layout
from vla_training.lerobot.feature_statistics import FeatureStatistics
from vla_training.lerobot.layout import Feature
from vla_training.lerobot.mapping import renamed
from vla_training.lerobot.tables import RollingTables, column_of
from vla_training.progress import progress_bar

_BLOCK_BYTES: Final = 1 << 24
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True)
class ExportSummary:
    """What an export did.

    Attributes:
        path: Folder of the LeRobotDataset.
        episodes: Number of episodes.
        frames: Number of frames.
        tasks: Number of different sentences.
        size_bytes: Of all files.
        features: Array of our data set by feature.
        duration_s: Wall time.
    """

    path: Path
    episodes: int
    frames: int
    tasks: int
    size_bytes: int
    features: Mapping[str, str]
    duration_s: float


def export_dataset(
    data: Path,
    out: Path,
    *,
    features: Mapping[str, str] | None = None,
    progress: bool = True,
) -> ExportSummary:
    """Write a data set as a LeRobotDataset, format v3.0, with pictures as PNG files.

    Episodes are ordered by their split, since LeRobot tells splits by ranges of episodes.

    Args:
        data: The HDF5 file.
        out: Folder to make; it appears whole or not at all.
        features: Key of a stream, "action" or "dock_pose" by name of the feature to make of it,
            where that is to be another one than `layout.feature_names` says.
        progress: Whether to show a bar.

    Raises:
        DatasetError: If the data set cannot be read, has what LeRobot cannot express, or the
            folder cannot be written or holds something already.
    """
    started = time.monotonic()
    with DatasetFile(data) as source, _new_folder(out) as folder:
        contract = source.contract
        fps = contract.action.rate_hz
        if not fps.is_integer():
            raise DatasetError(
                f"data set {data} has {fps} frames per second, LeRobot knows whole rates only; "
                "convert the bags with a contract of another rate_hz"
            )
        columns = layout.exported_features(contract, renamed(contract, features or {}))
        episodes = sorted(source.episodes, key=lambda e: (e.split, e.start))
        tasks = {text: i for i, text in enumerate(dict.fromkeys(e.instruction for e in episodes))}
        writer = _Writer(folder, source, columns, tasks)
        try:
            with progress_bar("exporting", len(episodes), progress) as bar:
                for episode in episodes:
                    writer.add(episode)
                    bar.advance(episode.bag)
        finally:
            writer.close()
        _write_json(folder / layout.INFO, describing.info(contract, columns, episodes, len(tasks)))
        _write_json(folder / layout.STATS, writer.statistics())
        _write_json(folder / layout.OURS, describing.ours(source, columns))
        pq.write_table(describing.task_table(tasks), folder / layout.TASKS)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return ExportSummary(
        path=out,
        episodes=len(episodes),
        frames=source.frames,
        tasks=len(tasks),
        size_bytes=size,
        features={feature.name: array for array, feature in columns.items()},
        duration_s=time.monotonic() - started,
    )


class _Writer:
    """Writes the frames and the table of episodes."""

    def __init__(
        self,
        folder: Path,
        source: DatasetFile,
        columns: Mapping[str, Feature],
        tasks: Mapping[str, int],
    ) -> None:
        self._source = source
        self._columns = columns
        self._tasks = tasks
        self._numbers = {e: number for number, e in enumerate(source.episodes)}
        self._features = {f.name: f for f in (*columns.values(), *layout.INDEX_FEATURES)}
        schema = pa.schema([(f.name, f.arrow_type) for f in self._features.values()])
        self._data = RollingTables(folder, layout.DATA_PATH, schema)
        self._table = RollingTables(
            folder, layout.EPISODES_PATH, describing.episode_schema(self._features)
        )
        self._total: dict[str, FeatureStatistics] = {}
        self._episodes = self._frames = 0
        row_bytes = sum(
            int(np.prod(f.shape)) * (1 if f.is_picture else np.dtype(f.dtype).itemsize)
            for f in columns.values()
        )
        self._block_rows = max(1, _BLOCK_BYTES // row_bytes)

    def add(self, episode: EpisodeRecord) -> None:
        """Write one episode."""
        found: dict[str, FeatureStatistics] = {}
        self._data.roll()
        for first in range(0, episode.length, self._block_rows):
            count = min(self._block_rows, episode.length - first)
            arrays = self._arrays(episode, first, count)
            self._data.write({n: column_of(self._features[n], a) for n, a in arrays.items()})
            _add(found, {name: FeatureStatistics.of(array) for name, array in arrays.items()})
        _add(self._total, found)
        self._describe(episode, found)
        self._frames += episode.length
        self._episodes += 1

    def _arrays(self, episode: EpisodeRecord, first: int, count: int) -> dict[str, np.ndarray]:
        """Some frames of an episode by feature."""
        start = episode.start + first
        try:
            rows: Rows = {
                array: self._source.read(array, slice(start, start + count))
                for array in self._columns
            }
            begin_ns = int(self._source.read(TICK_NS, slice(episode.start, episode.start + 1))[0])
        except OSError as error:
            raise DatasetError(
                f"data set {self._source.path} is damaged ({error}); convert the bags again"
            ) from error
        frames = np.arange(first, first + count)
        return {
            **{feature.name: rows[array] for array, feature in self._columns.items()},
            layout.TIMESTAMP: (rows[TICK_NS] - begin_ns) / _NS_PER_S,
            layout.FRAME_INDEX: frames,
            layout.EPISODE_INDEX: np.full(count, self._episodes),
            layout.INDEX: self._frames + frames,
            layout.TASK_INDEX: np.full(count, self._tasks[episode.instruction]),
        }

    def _describe(self, episode: EpisodeRecord, found: Mapping[str, FeatureStatistics]) -> None:
        chunk, file = self._data.place
        self._table.roll()
        values: dict[str, Any] = {
            "episode_index": self._episodes,
            "tasks": [episode.instruction],
            "length": episode.length,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": self._frames,
            "dataset_to_index": self._frames + episode.length,
            "meta/episodes/chunk_index": self._table.place[0],
            "meta/episodes/file_index": self._table.place[1],
            layout.NUMBER: self._numbers[episode],
        }
        for name in layout.OWN_COLUMNS:
            values[layout.OWN_PREFIX + name] = getattr(episode, name)
        for name, statistics in found.items():
            for statistic, value in statistics.to_json().items():
                values[f"stats/{name}/{statistic}"] = value
        self._table.write({name: [value] for name, value in values.items()})

    def statistics(self) -> dict[str, Any]:
        """Of all episodes, as stats.json has them."""
        return {name: statistics.to_json() for name, statistics in self._total.items()}

    def close(self) -> None:
        """Finish the files."""
        self._data.close()
        self._table.close()


def _add(total: dict[str, FeatureStatistics], more: Mapping[str, FeatureStatistics]) -> None:
    for name, value in more.items():
        total[name] = total[name].merged(value) if name in total else value


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A folder beside the target that takes its place if the context ends well."""
    path = path.absolute()
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise DatasetError(f"{path} exists already; name a new folder, or remove it first")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for file in sorted(temporary.rglob("*")):
            _flush(file)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be written: {error}; free some space or name another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
