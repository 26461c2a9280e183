"""Targets that are learned from: our data sets, and LeRobot's."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import ClassVar, Final

import h5py
import numpy as np
import torch

from vla_bringup.fuzzing.errors import AcceptedError
from vla_bringup.fuzzing.formats import Folder, folder_bytes, json_document, write_folder
from vla_bringup.fuzzing.samples import SENTENCES, small_contract
from vla_bringup.fuzzing.storage_formats import Hdf5, Parquet
from vla_bringup.fuzzing.subject import Subject
from vla_core.contract import Contract
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    AGE_NS,
    DOCK_POSE,
    DOCK_POSE_VALID,
    DRIVER,
    TICK_NS,
    VALID,
    Rows,
    observation,
    row_specs,
)
from vla_training.dataset.windows import DockingDataset
from vla_training.dataset.writer import DatasetWriter, EpisodeSource
from vla_training.lerobot.exporting import export_dataset
from vla_training.lerobot.importing import contract_of, import_dataset

_PERIOD_NS: Final = 50_000_000
_LENGTHS: Final = (7, 5)


def write_dataset(path: Path, contract: Contract) -> Path:
    """A packed data set of two short episodes, one of them for training."""
    with DatasetWriter(path, contract) as writer:
        for number, length in enumerate(_LENGTHS):
            writer.append(_rows(contract, length, number))
            writer.end_episode(
                EpisodeSource(
                    seed=number,
                    instruction=SENTENCES[number],
                    outcome="success",
                    operator="docking_expert",
                    bag=f"bag_{number}",
                    bag_sha256=f"{number:064x}",
                    paraphrases='["drive there"]',
                )
            )
        writer.finish(validation_fraction=0.5)
    return path


def _copied(path: Path, compression: str | None) -> bytes:
    """The same data set without room for more rows: a change hits what is read."""
    stream = io.BytesIO()
    with h5py.File(path, "r") as source, h5py.File(stream, "w") as target:
        target.attrs.update(source.attrs)

        def copy(name: str, node: h5py.Group | h5py.Dataset) -> None:
            if isinstance(node, h5py.Group):
                return
            filters = {"compression": compression} if node.ndim == 4 else {}
            array = target.create_dataset(name, data=node[()], dtype=node.dtype, **filters)
            array.attrs.update(node.attrs)

        source.visititems(copy)
    return stream.getvalue()


def _rows(contract: Contract, length: int, seed: int) -> Rows:
    generator = np.random.default_rng(seed)
    streams = {
        observation(stream.key): generator.uniform(0.1, 7.0, (length, *stream.shape)).astype(
            stream.dtype
        )
        for stream in contract.streams
    }
    count = len(contract.streams)
    return {
        **streams,
        VALID: np.ones((length, count), bool),
        AGE_NS: np.zeros((length, count), np.int64),
        TICK_NS: np.arange(length) * _PERIOD_NS,
        DRIVER: np.ones(length, np.uint8),
        ACTION: generator.uniform(-0.1, 0.1, (length, contract.action.size)).astype(np.float32),
        ACTION_VALID: np.ones(length, bool),
        DOCK_POSE: generator.normal(size=(length, 3)).astype(np.float32),
        DOCK_POSE_VALID: np.ones(length, bool),
    }


class Dataset(Subject):
    """An HDF5 file that training opens."""

    suffix: ClassVar[str] = ".h5"
    format = Hdf5()

    def seeds(self) -> list[bytes]:
        """One whose rows are in one piece, one with compressed pictures."""
        large = write_dataset(self.scratch / "large.h5", small_contract())
        found = [_copied(large, compression) for compression in (None, "gzip")]
        large.unlink()
        return found

    def consume(self, data: bytes) -> None:
        """Read all of it, then what a step of training reads, from memory and mapped."""
        path = self.scratch / "data.h5"
        path.write_bytes(data)
        with DatasetFile(path) as file:
            for spec in row_specs(file.contract):
                for episode in file.episodes:
                    file.read(spec.name, episode.rows)
                is_plain = bool(file.extents(spec.name))
        for storage in ("memory", "mapped") if is_plain else ("memory",):
            dataset = DockingDataset(path, "training", storage=storage)  # type: ignore[arg-type]
            batch = dataset.batch(torch.arange(min(4, len(dataset))), torch.Generator())
            for stream in dataset.contract.streams:
                if tuple(batch[stream.key].shape[1:]) != stream.shape:
                    raise AcceptedError(f"{stream.key} has shape {tuple(batch[stream.key].shape)}")


class LeRobot(Subject):
    """A LeRobotDataset that is imported."""

    suffix: ClassVar[str] = ".tar"
    format = Folder({".json": json_document(), ".parquet": Parquet()})

    def seeds(self) -> list[bytes]:
        """An export of ours, with what we add and without."""
        data = write_dataset(self.scratch / "seed.h5", small_contract())
        folder = self.scratch / "seed"
        export_dataset(data, folder, progress=False)
        whole = folder_bytes(folder)
        for path in (folder / "meta").glob("vla*.json"):
            path.unlink()
        foreign = folder_bytes(folder)
        shutil.rmtree(folder)
        data.unlink()
        return [whole, foreign]

    def consume(self, data: bytes) -> None:
        """Import it, and open what came of it."""
        root, out = self.scratch / "lerobot", self.scratch / "imported.h5"
        shutil.rmtree(root, ignore_errors=True)
        out.unlink(missing_ok=True)
        write_folder(data, root)
        contract = contract_of(root) or small_contract()
        summary = import_dataset(root, out, contract, progress=False)
        with DatasetFile(out) as file, h5py.File(out, "r") as raw:
            if file.frames != summary.frames:
                raise AcceptedError(f"{summary.frames} frames imported, {file.frames} there")
            json.dumps(file.provenance)
            for spec in row_specs(contract):
                values = raw[spec.name][()]
                if values.dtype.kind == "f" and not np.isfinite(values).all():
                    raise AcceptedError(f"{spec.name} holds values that are not finite")
