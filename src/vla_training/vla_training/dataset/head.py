"""What every data set file has beside its rows: the table, the attributes, the way it appears."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from vla_core.contract import Contract
from vla_training import __version__
from vla_training.dataset import statistics
from vla_training.dataset.layout import (
    DRIVERS,
    EPISODE_COLUMNS,
    EPISODES,
    FORMAT,
    FORMAT_VERSION,
    EpisodeRecord,
    RowSpec,
    assign_splits,
    contract_text,
)
from vla_training.dataset.parts import describe_array, move_into_place
from vla_training.dataset.statistics import QUANTILES, PartStatistics
from vla_training.errors import DatasetError


@dataclass(frozen=True)
class SplitChoice:
    """How episodes are split, see `layout.assign_splits`.

    Attributes:
        validation_fraction: Expected share of validation episodes.
        test_fraction: Expected share of test episodes.
        seed: Another one gives another split.
    """

    validation_fraction: float = 0.1
    test_fraction: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        shares = (self.validation_fraction, self.test_fraction)
        if not (min(shares) >= 0.0 and sum(shares) < 1.0):  # also false for NaN
            raise DatasetError(
                f"validation fraction is {shares[0]} and test fraction {shares[1]}, expected 0 or "
                "more each and below 1 together"
            )

    def apply(self, episodes: Sequence[EpisodeRecord]) -> list[EpisodeRecord]:
        """The episodes with their splits."""
        splits = assign_splits(
            [episode.group for episode in episodes],
            self.validation_fraction,
            self.test_fraction,
            self.seed,
        )
        return [
            replace(episode, split=split) for episode, split in zip(episodes, splits, strict=True)
        ]


class AbandonedError(Exception):
    """Ends the writing of a file that nobody finished."""


@contextmanager
def new_file(path: Path) -> Iterator[h5py.File]:
    """A file beside the target that takes its place if the context ends well."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The format of HDF5 1.10 has no limit of 64 kB per attribute.
        with h5py.File(temporary, "w", libver=("v110", "v110")) as file:
            yield file
        move_into_place(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    except AbandonedError:
        pass
    finally:
        temporary.unlink(missing_ok=True)


def growing_array(file: h5py.File, spec: RowSpec, compression: str | None) -> h5py.Dataset:
    """Make an array without rows that can be resized."""
    array = file.create_dataset(
        spec.name,
        shape=(0, *spec.shape),
        maxshape=(None, *spec.shape),
        chunks=(spec.chunk_rows, *spec.shape),
        dtype=spec.dtype,
        compression=compression,
    )
    describe_array(array, spec)
    return array


def write_head(
    file: h5py.File,
    contract: Contract,
    episodes: Sequence[EpisodeRecord],
    training: PartStatistics,
    split: SplitChoice,
) -> None:
    """Add the table and the attributes to a data set.

    Raises:
        DatasetError: If there is no episode.
    """
    if not episodes:
        raise DatasetError(f"data set {file.filename}: no usable episode, nothing is written")
    group = file.create_group(EPISODES)
    for name, note in EPISODE_COLUMNS.items():
        values = [getattr(episode, name) for episode in episodes]
        dtype = h5py.string_dtype() if isinstance(values[0], str) else np.int64
        group.create_dataset(name, data=values, dtype=dtype).attrs["description"] = note
    attributes = file.attrs
    attributes["format"] = FORMAT
    attributes["format_version"] = FORMAT_VERSION
    attributes["tool_version"] = __version__
    attributes["contract"] = contract_text(contract)
    attributes["contract_hash"] = contract.hash
    attributes["statistics"] = _statistics_text(training, contract)
    attributes["drivers"] = list(DRIVERS)
    attributes["split_seed"] = split.seed
    attributes["validation_fraction"] = split.validation_fraction
    attributes["test_fraction"] = split.test_fraction


def _statistics_text(training: PartStatistics, contract: Contract) -> str:
    """Moments as everywhere, and the quantiles beside them."""
    values = json.loads(statistics.normalizing(training, contract).to_json())
    for key, found in training.items():
        values["fields"][key]["quantiles"] = {
            f"{share:g}": quantile.tolist()
            for share, quantile in zip(QUANTILES, found.quantiles(QUANTILES), strict=True)
        }
    return json.dumps(values, indent=1) + "\n"


def cannot_write(path: Path, error: OSError) -> DatasetError:
    """An error that says what kept a data set from being written."""
    return DatasetError(
        f"data set {path} cannot be written: {error}; free some space or name another folder"
    )
