"""Parts: the rows of one bag, contiguous arrays at known places of an HDF5 file."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from vla_core.contract import Contract
from vla_training.dataset import statistics
from vla_training.dataset.heap_check import check_heaps
from vla_training.dataset.layout import (
    FORMAT_VERSION,
    OBSERVATIONS,
    PART_FORMAT,
    VALID,
    EpisodeRecord,
    Rows,
    RowSpec,
    contract_text,
    row_specs,
)
from vla_training.dataset.statistics import KeyStatistics, PartStatistics
from vla_training.errors import DatasetError

_STATISTICS = "statistics"
_STATISTICS_ROWS = 2048
_TEXTS = ("options", "fingerprint", "bag_sha256", "bag")


@dataclass(frozen=True)
class PartHead:
    """What a part was made of and how.

    Attributes:
        options: Identifies everything that decides what the rows of a bag are: the contract, the
            options of the conversion, the version of the software.
        fingerprint: Names, sizes and times of change of the bag's files: equal ones spare reading
            the bag.
        bag_sha256: See `bags.bag_sha256`.
        bag: Path of the bag.
        report: What was used, dropped and why, see `conversion.bag_record`.
    """

    options: str
    fingerprint: str
    bag_sha256: str
    bag: str
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PartRecord:
    """A finished part.

    Attributes:
        path: Of the file.
        head: What it was made of.
        episodes: Of the bag; `start` counts from the part's first row, splits are not decided yet.
        rows: Number of rows.
        statistics: Of all valid rows; of images a sample, see `statistics.sampled`.
    """

    path: Path
    head: PartHead
    episodes: tuple[EpisodeRecord, ...]
    rows: int
    statistics: PartStatistics


class PartWriter:
    """Writes a part of known length block by block; it appears whole or not at all.

    A context manager; leaving it without `finish` leaves nothing behind.

    Args:
        path: The file to make; one that is there is replaced at the end.
        contract: What the rows are.
        rows: Number of rows, at least 1.

    Raises:
        DatasetError: If the file cannot be written.
    """

    def __init__(self, path: Path, contract: Contract, rows: int) -> None:
        self._path = path
        self._contract = contract
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
        self._rows = rows
        self._written = 0
        self._statistics: PartStatistics = {}
        self._narrow: list[Rows] = []
        specs = row_specs(contract)
        self._wide = tuple(spec for spec in specs if len(spec.shape) == 3)
        self._histograms: dict[str, np.ndarray] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The format of HDF5 1.10 has no limit of 64 kB per attribute.
            self._file = h5py.File(self._temporary, "w", libver=("v110", "v110"))
            arrays = {spec.name: place_array(self._file, spec, rows) for spec in specs}
            self._offsets = {name: array.id.get_offset() for name, array in arrays.items()}
            # HDF5 has given the arrays their places and does not touch them any more.
            self._descriptor = os.open(self._temporary, os.O_WRONLY)
        except OSError as error:
            raise _cannot_write(path, error) from error

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
        self._temporary.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._file.close()

    def append(self, rows: Rows) -> None:
        """Write the next rows; the arrays may be reused afterwards.

        Raises:
            DatasetError: If the file cannot be written (no space left).
            ValueError: If these are more rows than there is room for.
        """
        count = len(rows[VALID])
        if self._written + count > self._rows:
            raise ValueError(f"{self._written + count} rows for a part of {self._rows}")
        for spec in self._wide:
            self._write(spec, rows[spec.name])
            self._count_bytes(spec.name, rows)
        self._written += count
        wide = {spec.name for spec in self._wide}
        self._narrow.append(
            {name: np.array(data) for name, data in rows.items() if name not in wide}
        )
        if sum(len(block[VALID]) for block in self._narrow) >= _STATISTICS_ROWS:
            self._flush()

    def _flush(self) -> None:
        """Write the small arrays, which come in blocks too small for a call each."""
        if not self._narrow:
            return
        names = self._narrow[0]
        rows = {name: np.concatenate([block[name] for block in self._narrow]) for name in names}
        self._narrow = []
        start = self._written - len(rows[VALID])
        for spec in row_specs(self._contract):
            if spec.name in rows:
                self._write(spec, rows[spec.name], start)
        self._count(rows)

    def _count_bytes(self, name: str, rows: Rows) -> None:
        """Images are counted while they are in the processor's cache."""
        key = name.removeprefix(f"{OBSERVATIONS}/")
        valid = rows[VALID][:, self._contract.keys.index(key)]
        if valid.any():
            images = rows[name] if valid.all() else rows[name][valid]
            found = statistics.count_bytes(statistics.sampled(images))
            self._histograms[key] = self._histograms.get(key, 0) + found

    def _count(self, rows: Rows) -> None:
        found = statistics.of_rows(rows, self._contract)
        self._statistics = statistics.merged(self._statistics, found)

    def _write(self, spec: RowSpec, data: np.ndarray, start: int | None = None) -> None:
        position = self._offsets[spec.name]
        position += (self._written if start is None else start) * spec.row_bytes
        view = np.ascontiguousarray(data, spec.dtype).reshape(-1).view(np.uint8).data
        try:
            while view:
                written = os.pwrite(self._descriptor, view, position)
                position, view = position + written, view[written:]
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    def finish(self, head: PartHead, episodes: Sequence[EpisodeRecord]) -> PartRecord:
        """Add the description and move the file into place.

        Args:
            head: What the part was made of.
            episodes: Of the bag, in order, which together have all rows.

        Raises:
            DatasetError: If the file cannot be written.
            ValueError: If rows are missing.
        """
        if not self._written == self._rows == sum(episode.length for episode in episodes):
            raise ValueError(f"{self._written} rows for a part of {self._rows}")
        try:
            self._flush()
            images = {
                key: KeyStatistics.of_histograms(counts) for key, counts in self._histograms.items()
            }
            total = statistics.merged(images, self._statistics)
            attributes = self._file.attrs
            attributes["format"] = PART_FORMAT
            attributes["format_version"] = FORMAT_VERSION
            attributes["contract"] = contract_text(self._contract)
            for name in _TEXTS:
                attributes[name] = getattr(head, name)
            attributes["report"] = json.dumps(head.report)
            attributes["episodes"] = json.dumps([asdict(episode) for episode in episodes])
            statistics.write(self._file.create_group(_STATISTICS), total)
            self._close()
            move_into_place(self._temporary, self._path)
        except OSError as error:
            raise _cannot_write(self._path, error) from error
        return PartRecord(self._path, head, tuple(episodes), self._rows, total)


def place_array(file: h5py.File, spec: RowSpec, rows: int) -> h5py.Dataset:
    """Make a contiguous array of a file, with a place but without values."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    space = h5py.h5s.create_simple((rows, *spec.shape))
    kind = h5py.h5t.py_create(np.dtype(spec.dtype), logical=True)
    identifier = h5py.h5d.create(file.id, spec.name.encode(), kind, space, creation, links)
    return h5py.Dataset(identifier)


def describe_array(array: h5py.Dataset, spec: RowSpec) -> None:
    """Attach unit and description."""
    array.attrs["unit"] = spec.unit
    array.attrs["description"] = spec.note


def read_part(path: Path) -> PartRecord:
    """The description of a finished part.

    Raises:
        DatasetError: If it is no part of this version, or damaged.
    """
    try:
        check_heaps(path)
        with h5py.File(path, "r") as file:
            head = read_head(file)
            episodes = tuple(
                EpisodeRecord(**episode) for episode in json.loads(file.attrs["episodes"])
            )
            rows = sum(episode.length for episode in episodes)
            if len(file[VALID]) != rows:
                raise ValueError(f"{len(file[VALID])} rows, its episodes {rows}")
            return PartRecord(path, head, episodes, rows, statistics.read(file[_STATISTICS]))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DatasetError(
            f"part {path} is damaged or of another version ({error}); delete it and convert again"
        ) from error


def read_head(file: h5py.File) -> PartHead:
    """What an open part was made of.

    Raises:
        KeyError: If the file is no part.
        ValueError: If it is one of another format version.
    """
    attributes = file.attrs
    found = attributes["format"], int(attributes["format_version"])
    if found != (PART_FORMAT, FORMAT_VERSION):
        raise ValueError(f"format {found}, expected {(PART_FORMAT, FORMAT_VERSION)}")
    texts = {name: str(attributes[name]) for name in _TEXTS}
    return PartHead(**texts, report=json.loads(attributes["report"]))


def move_into_place(temporary: Path, path: Path) -> None:
    """Make a finished file appear under its name, whole even if the power fails.

    Raises:
        OSError: If that cannot be done.
    """
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> DatasetError:
    return DatasetError(
        f"{path} cannot be written: {error}; free some space or name another folder"
    )
