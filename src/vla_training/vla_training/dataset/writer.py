"""Writing a packed data set file, episode by episode, of rows from anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vla_core.contract import Contract
from vla_training.dataset import statistics
from vla_training.dataset.head import (
    AbandonedError,
    SplitChoice,
    cannot_write,
    growing_array,
    new_file,
    write_head,
)
from vla_training.dataset.layout import (
    DRIVER,
    NO_GOAL,
    TRAINING,
    VALID,
    EpisodeRecord,
    Rows,
    group_of,
    row_specs,
)
from vla_training.dataset.statistics import PartStatistics
from vla_training.errors import DatasetError


@dataclass(frozen=True)
class EpisodeSource:
    """Where an episode comes from, before it has rows; see `layout.EpisodeRecord`."""

    seed: int
    instruction: str
    outcome: str
    operator: str
    bag: str
    bag_sha256: str
    group: str = ""
    goal: int = NO_GOAL
    suite: str = ""
    segment: int = 0
    paraphrases: str = "[]"

    def record(self, start: int, length: int) -> EpisodeRecord:
        """The episode with its rows; without a group of its own, that of its seed or bag."""
        values = asdict(self)
        values["group"] = self.group or group_of(self.seed, self.bag_sha256)
        return EpisodeRecord(start=start, length=length, split=TRAINING, **values)


class DatasetWriter:
    """Writes a packed data set episode by episode, of rows from anywhere.

    A context manager; leaving it without `finish` leaves nothing behind.

    Args:
        path: The file to make; one that is there is replaced at the end.
        contract: What the rows are.
        compression: None, "lzf" or "gzip", for the images.
    """

    def __init__(self, path: Path, contract: Contract, compression: str | None = None) -> None:
        self._path = path
        self._contract = contract
        self._records: list[EpisodeRecord] = []
        self._statistics: list[PartStatistics] = []
        self._open: PartStatistics = {}
        self._rows = 0
        self._context = new_file(path)
        self._file = self._context.__enter__()
        for spec in row_specs(contract):
            growing_array(self._file, spec, compression if len(spec.shape) == 3 else None)

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file:
            self._context.__exit__(AbandonedError, AbandonedError(), None)

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

        Args:
            rows: Every array of the layout; without `driver` it is unknown who drove.

        Raises:
            DatasetError: If the file cannot be written (no space left).
        """
        count = len(rows[VALID])
        rows = {DRIVER: np.zeros(count, np.uint8), **rows}
        try:
            for spec in row_specs(self._contract):
                data = self._file[spec.name]
                data.resize(self._rows + count, axis=0)
                data[self._rows :] = rows[spec.name]
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self._rows += count
        self._open = statistics.merged(self._open, statistics.of_rows(rows, self._contract))

    def discard_episode(self) -> None:
        """Take back the rows of the episode in progress."""
        self._rows = self.frames
        for spec in row_specs(self._contract):
            self._file[spec.name].resize(self._rows, axis=0)
        self._open = {}

    def end_episode(self, source: EpisodeSource) -> None:
        """Finish the episode in progress.

        Raises:
            DatasetError: If it has no rows.
        """
        length = self._rows - self.frames
        if length == 0:
            raise DatasetError(f"episode of bag {source.bag} has no rows")
        self._records.append(source.record(self.frames, length))
        self._statistics.append(self._open)
        self._open = {}

    def finish(
        self,
        validation_fraction: float = 0.1,
        split_seed: int = 0,
        test_fraction: float = 0.0,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """Split the episodes, add table and attributes, and move the file into place.

        Raises:
            DatasetError: If there is no episode or the file cannot be moved.
        """
        split = SplitChoice(validation_fraction, test_fraction, split_seed)
        self._records = split.apply(self._records)
        recorded = zip(self._records, self._statistics, strict=True)
        total = statistics.merged_all(
            [part for record, part in recorded if record.split == TRAINING]
        )
        write_head(self._file, self._contract, self._records, total, split)
        self._file.attrs["provenance"] = json.dumps(provenance or {})
        self._context.__exit__(None, None, None)
