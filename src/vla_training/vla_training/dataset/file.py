"""Reading a data set, whether it is an index over parts or a packed file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from vla_core.contract import Contract
from vla_core.errors import ContractError, StatisticsError
from vla_core.normalization import Statistics
from vla_core.strict_yaml import describe
from vla_training.dataset.file_checks import READ_ERRORS, check_array, check_table
from vla_training.dataset.heap_check import check_heaps
from vla_training.dataset.layout import (
    DRIVERS,
    EPISODE_COLUMNS,
    EPISODES,
    FORMAT,
    FORMAT_VERSION,
    SPLITS,
    EpisodeRecord,
    parts_folder,
    row_specs,
)
from vla_training.errors import DatasetError


@dataclass(frozen=True)
class Extent:
    """Rows of an array that lie in one piece of a file, for memory-mapping.

    Attributes:
        path: Of the file.
        offset: Of the first of these rows, in bytes.
        start: Number of that row in the data set.
        rows: How many rows.
    """

    path: Path
    offset: int
    start: int
    rows: int


class DatasetFile:
    """An open data set; a context manager.

    Attributes:
        path: Of the file.
        contract: What the rows are.
        statistics: Of the training episodes.
        quantiles: Of the training episodes: by key, then by share, (C,) float64.
        drivers: Names by the numbers in the array `driver`.
        provenance: What the data set was made of.
        episodes: The table of episodes, in order of their rows.

    Raises:
        DatasetError: If the file is missing, damaged, of another format or version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DatasetError(f"data set {path} does not exist; make it with `vla convert`")
        try:
            check_heaps(self.path)
            self._file = h5py.File(self.path, "r")
        except READ_ERRORS as error:
            raise DatasetError(
                f"data set {path} is no readable HDF5 file ({error}); convert the bags again"
            ) from error
        try:
            self._read_head()
        except BaseException:
            self._file.close()
            raise

    def _read_head(self) -> None:
        try:
            attributes = self._file.attrs
            kind = attributes.get("format")
            version = attributes.get("format_version", -1)
        except READ_ERRORS as error:
            raise _damaged(self.path, error) from error
        if not isinstance(kind, str) or kind != FORMAT:
            raise DatasetError(
                f"{self.path} is no data set of this project: its format is "
                f"{describe(kind)}, expected {FORMAT!r}; make one with `vla convert`"
            )
        if not isinstance(version, int | np.integer) or version != FORMAT_VERSION:
            raise DatasetError(
                f"data set {self.path} has format version {describe(version)}, this software reads "
                f"{FORMAT_VERSION}; convert the bags again"
            )
        try:
            self.contract = Contract.from_yaml(attributes["contract"], f"{self.path}: contract")
            self.statistics = Statistics.from_json(attributes["statistics"])
            self.quantiles = _quantiles(attributes["statistics"])
            self.drivers = tuple(str(name) for name in attributes.get("drivers", DRIVERS))
            self.provenance: dict[str, Any] = json.loads(attributes["provenance"])
            self.episodes = self._read_table()
            check_table(self.episodes)
            self.frames = sum(record.length for record in self.episodes)
            for spec in row_specs(self.contract):
                check_array(self._file[spec.name], spec, self.frames)
        except (ContractError, StatisticsError, *READ_ERRORS) as error:
            raise _damaged(self.path, error) from error
        folder = parts_folder(self.path)
        for part in dict.fromkeys(record.part for record in self.episodes if record.part):
            # HDF5 gives zeros for what is missing, silently.
            if not (folder / part).is_file():
                raise DatasetError(
                    f"data set {self.path}: its part {folder / part} is missing; move the folder "
                    "with the file, or convert the bags again"
                )

    def _read_table(self) -> list[EpisodeRecord]:
        group = self._file[EPISODES]
        columns: dict[str, list[Any]] = {}
        for name in EPISODE_COLUMNS:
            values = group[name]
            is_text = h5py.check_string_dtype(values.dtype) is not None
            columns[name] = (values.asstr() if is_text else values)[:].tolist()
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
        """Episodes of "training", "validation" or "test"."""
        return [record for record in self.episodes if record.split == SPLITS[name]]

    def read(self, name: str, rows: slice) -> np.ndarray:
        """Some rows of an array, by the names of `layout`.

        Raises:
            DatasetError: If they cannot be read.
        """
        try:
            return self._file[name][rows]
        except READ_ERRORS as error:
            raise _damaged(self.path, error) from error

    def extents(self, name: str) -> list[Extent]:
        """Where the rows of an array lie, in order; empty if they are chunked or compressed.

        Raises:
            DatasetError: If a part is damaged.
        """
        data = self._file[name]
        if not data.is_virtual:
            offset = data.id.get_offset()
            return [] if offset is None else [Extent(self.path, offset, 0, self.frames)]
        extents = []
        folder = parts_folder(self.path)
        start = 0
        for part, rows in self._part_rows().items():
            try:
                with h5py.File(folder / part, "r") as file:
                    offset, found = file[name].id.get_offset(), len(file[name])
            except READ_ERRORS as error:
                raise DatasetError(
                    f"part {folder / part} is damaged ({error}); delete it and convert again"
                ) from error
            if offset is None or found != rows:
                raise DatasetError(
                    f"part {folder / part} has {found} rows of {name}, expected {rows} in one "
                    "piece; delete it and convert again"
                )
            extents.append(Extent(folder / part, offset, start, rows))
            start += rows
        return extents

    def _part_rows(self) -> dict[str, int]:
        """Rows of each part, in order."""
        rows: dict[str, int] = {}
        for record in self.episodes:
            rows[record.part] = rows.get(record.part, 0) + record.length
        return rows

    def gather(self, name: str, episodes: list[EpisodeRecord]) -> np.ndarray:
        """The rows of some episodes, one after the other, read without a second copy.

        Raises:
            DatasetError: If they cannot be read.
        """
        data = self._file[name]
        out = np.empty((sum(e.length for e in episodes), *data.shape[1:]), data.dtype)
        extents = self.extents(name)
        position = 0
        for run in _runs(episodes):
            length = run.stop - run.start
            if extents:
                _read_extents(extents, run, out[position : position + length])
            elif length:
                try:
                    data.read_direct(out, run, slice(position, position + length))
                except READ_ERRORS as error:
                    raise _damaged(self.path, error) from error
            position += length
        return out


def _read_extents(extents: list[Extent], run: slice, out: np.ndarray) -> None:
    """Read rows past HDF5, whose virtual arrays look through all parts for each piece."""
    for extent in extents:
        first = max(run.start, extent.start)
        last = min(run.stop, extent.start + extent.rows)
        if first >= last:
            continue
        target = out[first - run.start : last - run.start]
        with extent.path.open("rb") as file:
            file.seek(extent.offset + (first - extent.start) * target[0].nbytes)
            # An array without a dimension is a scalar, which has no buffer to read into.
            if file.readinto(target.reshape(-1).view(np.uint8).data) != target.nbytes:
                raise DatasetError(f"{extent.path} is cut off; delete it and convert again")


def _damaged(path: Path, error: Exception) -> DatasetError:
    reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return DatasetError(f"data set {path} is damaged: {reason}; convert the bags again")


def _quantiles(text: str) -> dict[str, dict[float, np.ndarray]]:
    fields = json.loads(text)["fields"]
    return {
        key: {float(share): np.array(values) for share, values in field["quantiles"].items()}
        for key, field in fields.items()
    }


def _runs(episodes: list[EpisodeRecord]) -> Iterator[slice]:
    """Contiguous rows, neighbouring episodes joined."""
    start = stop = 0
    for episode in episodes:
        if episode.start != stop:
            yield slice(start, stop)
            start = episode.start
        stop = episode.start + episode.length
    yield slice(start, stop)
