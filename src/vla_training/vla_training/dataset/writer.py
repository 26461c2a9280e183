"""Writing a data set file: episode by episode, all or nothing."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np

from vla_core import keys
from vla_core.contract import Contract
from vla_core.normalization import FieldStatistics, Statistics
from vla_training import __version__
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    DOCK_POSE,
    DOCK_POSE_VALID,
    EPISODES,
    FORMAT,
    FORMAT_VERSION,
    TRAINING,
    VALID,
    EpisodeRecord,
    Rows,
    assign_splits,
    observation,
    row_specs,
)
from vla_training.errors import DatasetError

_TABLE_NOTES = {
    "start": "first row",
    "length": "number of rows",
    "split": "0 training, 1 validation",
    "seed": "of the simulated episode, -1 for none",
    "instruction": "the sentence",
    "outcome": "success, failure or unknown",
    "operator": "who drove",
    "bag": "name of the bag",
    "bag_sha256": "over the names and contents of the bag's files",
}


@dataclass(frozen=True)
class EpisodeSource:
    """Where an episode comes from, before it has rows."""

    seed: int
    instruction: str
    outcome: str
    operator: str
    bag: str
    bag_sha256: str


class DatasetWriter:
    """Writes to a temporary file beside the target and moves it there when all is said.

    A context manager; leaving it without `finish` leaves nothing behind.

    Args:
        path: The file to make; one that is there is replaced at the end.
        contract: What the rows are.
        compression: None, "lzf" or "gzip", for the images.
    """

    def __init__(self, path: Path, contract: Contract, compression: str | None = None) -> None:
        self._path = path
        self._contract = contract
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
        self._records: list[EpisodeRecord] = []
        self._statistics: list[dict[str, FieldStatistics]] = []
        self._open: dict[str, FieldStatistics] | None = None
        self._rows = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The format of HDF5 1.10 has no limit of 64 kB per attribute.
            self._file = h5py.File(self._temporary, "w", libver=("v110", "v110"))
        except OSError as error:
            raise self._cannot_write(error) from error
        for spec in row_specs(contract):
            data = self._file.create_dataset(
                spec.name,
                shape=(0, *spec.shape),
                maxshape=(None, *spec.shape),
                chunks=(spec.chunk_rows, *spec.shape),
                dtype=spec.dtype,
                compression=compression if len(spec.shape) == 3 else None,
            )
            data.attrs["unit"] = spec.unit
            data.attrs["description"] = spec.note

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file:
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    @property
    def frames(self) -> int:
        """Rows of all finished episodes."""
        return sum(record.length for record in self._records)

    @property
    def episodes(self) -> int:
        """Finished episodes."""
        return len(self._records)

    @property
    def records(self) -> tuple[EpisodeRecord, ...]:
        """The table as it stands; splits are final after `finish`."""
        return tuple(self._records)

    def append(self, rows: Rows) -> None:
        """Add rows to the episode in progress, which begins with the first call.

        Raises:
            DatasetError: If the file cannot be written (no space left).
        """
        count = len(rows[VALID])
        try:
            for spec in row_specs(self._contract):
                data = self._file[spec.name]
                data.resize(self._rows + count, axis=0)
                data[self._rows :] = rows[spec.name]
        except OSError as error:
            raise self._cannot_write(error) from error
        self._rows += count
        self._open = _merged(self._open or {}, _statistics_of(rows, self._contract))

    def discard_episode(self) -> None:
        """Take back the rows of the episode in progress."""
        self._rows = self.frames
        for spec in row_specs(self._contract):
            self._file[spec.name].resize(self._rows, axis=0)
        self._open = None

    def end_episode(self, source: EpisodeSource) -> None:
        """Finish the episode in progress.

        Raises:
            DatasetError: If it has no rows.
        """
        length = self._rows - self.frames
        if length == 0:
            raise DatasetError(f"episode of bag {source.bag} has no rows")
        self._records.append(
            EpisodeRecord(start=self.frames, length=length, split=TRAINING, **asdict(source))
        )
        self._statistics.append(self._open or {})
        self._open = None

    def finish(self, validation_fraction: float, split_seed: int) -> None:
        """Split the episodes, add table and attributes, and move the file into place.

        Raises:
            DatasetError: If there is no episode or the file cannot be moved.
        """
        if not self._records:
            raise DatasetError(f"data set {self._path}: no usable episode, nothing is written")
        splits = assign_splits(
            [(r.seed, r.bag_sha256) for r in self._records], validation_fraction, split_seed
        )
        self._records = [
            replace(record, split=split)
            for record, split in zip(self._records, splits, strict=True)
        ]
        try:
            self._write_head(validation_fraction, split_seed)
            self._file.flush()
            self._file.close()
            with self._temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            self._temporary.replace(self._path)
            _sync_folder(self._path.parent)
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> DatasetError:
        return DatasetError(
            f"data set {self._path} cannot be written: {error}; free some space or name another "
            "folder"
        )

    def _write_head(self, validation_fraction: float, split_seed: int) -> None:
        """The table and the attributes."""
        _write_table(self._file, self._records)
        attributes = self._file.attrs
        attributes["format"] = FORMAT
        attributes["format_version"] = FORMAT_VERSION
        attributes["tool_version"] = __version__
        attributes["contract"] = self._contract.to_yaml()
        attributes["contract_hash"] = self._contract.hash
        attributes["statistics"] = self._training_statistics().to_json()
        attributes["split_seed"] = split_seed
        attributes["validation_fraction"] = validation_fraction

    def _training_statistics(self) -> Statistics:
        total: dict[str, FieldStatistics] = {}
        for record, fields in zip(self._records, self._statistics, strict=True):
            if record.split == TRAINING:
                total = _merged(total, fields)
        contract = self._contract
        methods = {stream.key: stream.normalization for stream in contract.streams}
        methods[keys.ACTION] = contract.action.normalization
        return Statistics(
            {
                key: replace(field, normalization=methods.get(key, "mean_std"))
                for key, field in total.items()
            }
        )


def _statistics_of(rows: Rows, contract: Contract) -> dict[str, FieldStatistics]:
    """Statistics by key of what is valid in the rows."""
    valid = {key: rows[observation(key)][rows[VALID][:, i]] for i, key in enumerate(contract.keys)}
    valid[keys.ACTION] = rows[ACTION][rows[ACTION_VALID]]
    valid[keys.DOCK_POSE] = rows[DOCK_POSE][rows[DOCK_POSE_VALID]]
    return {key: _field_statistics(array) for key, array in valid.items() if len(array)}


def _field_statistics(array: np.ndarray) -> FieldStatistics:
    if array.dtype != np.uint8:
        return FieldStatistics.from_array(array)
    # Exact as well, and several times faster: histograms of the 256 values.
    samples = array.reshape(-1, array.shape[-1])
    levels = np.arange(256, dtype=np.float64)
    counts = np.stack([np.bincount(column, minlength=256) for column in samples.T])
    mean = counts @ levels / len(samples)
    variance = [row @ np.square(levels - m) for row, m in zip(counts, mean, strict=True)]
    seen = counts > 0
    return FieldStatistics(
        mean=mean,
        std=np.sqrt(np.array(variance) / len(samples)),
        min=levels[seen.argmax(axis=1)],
        max=levels[255 - seen[:, ::-1].argmax(axis=1)],
        count=len(samples),
    )


def _merged(
    total: dict[str, FieldStatistics], part: dict[str, FieldStatistics]
) -> dict[str, FieldStatistics]:
    merged = dict(total)
    for key, field in part.items():
        merged[key] = merged[key].merged(field) if key in merged else field
    return merged


def _write_table(file: h5py.File, records: Sequence[EpisodeRecord]) -> None:
    group = file.create_group(EPISODES)
    for name, note in _TABLE_NOTES.items():
        values = [getattr(record, name) for record in records]
        dtype = h5py.string_dtype() if isinstance(values[0], str) else np.int64
        group.create_dataset(name, data=values, dtype=dtype).attrs["description"] = note


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
