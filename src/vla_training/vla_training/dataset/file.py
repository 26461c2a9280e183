"""Reading a data set file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from vla_core.contract import Contract
from vla_core.errors import ContractError, StatisticsError
from vla_core.normalization import Statistics
from vla_training.dataset.layout import (
    EPISODES,
    FORMAT,
    FORMAT_VERSION,
    SPLITS,
    EpisodeRecord,
    row_specs,
)
from vla_training.errors import DatasetError

_TEXT_COLUMNS = ("instruction", "outcome", "operator", "bag", "bag_sha256")
_NUMBER_COLUMNS = ("start", "length", "split", "seed")


class DatasetFile:
    """An open data set; a context manager.

    Attributes:
        path: Of the file.
        contract: What the rows are.
        statistics: Of the training episodes.
        episodes: The table of episodes, in order of their rows.

    Raises:
        DatasetError: If the file is missing, damaged, of another format or version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DatasetError(f"data set {path} does not exist; make it with `vla convert`")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise DatasetError(
                f"data set {path} is no readable HDF5 file ({error}); convert the bags again"
            ) from error
        try:
            self._read_head()
        except BaseException:
            self._file.close()
            raise

    def _read_head(self) -> None:
        attributes = self._file.attrs
        if attributes.get("format") != FORMAT:
            raise DatasetError(
                f"{self.path} is no data set of this project: its format is "
                f"{attributes.get('format')!r}, expected {FORMAT!r}; make one with `vla convert`"
            )
        version = int(attributes.get("format_version", -1))
        if version != FORMAT_VERSION:
            raise DatasetError(
                f"data set {self.path} has format version {version}, this software reads "
                f"{FORMAT_VERSION}; convert the bags again"
            )
        try:
            self.contract = Contract.from_yaml(attributes["contract"], f"{self.path}: contract")
            self.statistics = Statistics.from_json(attributes["statistics"])
            self.episodes = self._read_table()
            frames = {spec.name: len(self._file[spec.name]) for spec in row_specs(self.contract)}
        except (KeyError, ContractError, StatisticsError) as error:
            raise DatasetError(
                f"data set {self.path} is damaged: {error}; convert the bags again"
            ) from error
        self.frames = sum(record.length for record in self.episodes)
        wrong = [name for name, count in frames.items() if count != self.frames]
        if wrong:
            raise DatasetError(
                f"data set {self.path} is damaged: {wrong[0]} has {frames[wrong[0]]} rows, its "
                f"episodes {self.frames}; convert the bags again"
            )

    def _read_table(self) -> list[EpisodeRecord]:
        group = self._file[EPISODES]
        columns: dict[str, list[Any]] = {
            name: group[name].asstr()[:].tolist() for name in _TEXT_COLUMNS
        }
        columns.update({name: group[name][:].tolist() for name in _NUMBER_COLUMNS})
        return [
            EpisodeRecord(**dict(zip(columns, values, strict=True)))
            for values in zip(*columns.values(), strict=True)
        ]

    def __enter__(self) -> DatasetFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def split(self, name: str) -> list[EpisodeRecord]:
        """Episodes of "training" or "validation"."""
        return [record for record in self.episodes if record.split == SPLITS[name]]

    def read(self, name: str, rows: slice) -> np.ndarray:
        """Some rows of an array, by the names of `dataset_layout`."""
        return self._file[name][rows]

    def gather(self, name: str, episodes: list[EpisodeRecord]) -> np.ndarray:
        """The rows of some episodes, one after the other, read without a second copy."""
        data = self._file[name]
        out = np.empty((sum(e.length for e in episodes), *data.shape[1:]), data.dtype)
        position = 0
        for run in _runs(episodes):
            length = run.stop - run.start
            if length:
                data.read_direct(out, run, slice(position, position + length))
            position += length
        return out


def _runs(episodes: list[EpisodeRecord]) -> Iterator[slice]:
    """Contiguous rows, neighbouring episodes joined."""
    start = stop = 0
    for episode in episodes:
        if episode.start != stop:
            yield slice(start, stop)
            start = episode.start
        stop = episode.start + episode.length
    yield slice(start, stop)
