"""Targets that are bags: closed ones, which are inspected and converted, and unclosed ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import ClassVar, Final

import h5py
import numpy as np
from rosbags.rosbag2 import StoragePlugin

from vla_bringup.fuzzing.errors import AcceptedError
from vla_bringup.fuzzing.formats import (
    Files,
    Folder,
    Format,
    folder_bytes,
    json_document,
    pack,
    unpack,
    write_folder,
    yaml_document,
)
from vla_bringup.fuzzing.sample_bags import write_bag
from vla_bringup.fuzzing.samples import bag_values, small_contract
from vla_bringup.fuzzing.storage_formats import Mcap, Sqlite
from vla_bringup.fuzzing.subject import Subject
from vla_core import bag_metadata
from vla_core.bag_checksums import FILE_NAME as CHECKSUMS_FILE
from vla_recorder.bag_files import METADATA_FILE
from vla_recorder.bag_inspection import inspect_bag
from vla_recorder.bag_repair import repair_bag
from vla_recorder.errors import BagError
from vla_training.conversion.convert_bag import BagJob, ConversionOptions, convert_bag
from vla_training.dataset.layout import row_specs
from vla_training.errors import ConversionError

_OUTCOMES: Final = frozenset({"success", "failure", "unknown"})
_FORMATS: Final[dict[str, Format]] = {
    ".yaml": yaml_document(),
    ".jsonl": json_document(),
    ".mcap": Mcap(),
    ".db3": Sqlite(),
}


def _without_checksums(files: Files) -> Files:
    """Without them, damage is for the parsers to find."""
    return {name: data for name, data in files.items() if name != CHECKSUMS_FILE}


class _Bag(Subject):
    suffix: ClassVar[str] = ".tar"
    format = Folder(_FORMATS, _without_checksums)
    plugin: ClassVar[StoragePlugin]
    can_compress: ClassVar[bool]

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self._contract = small_contract()
        self._bag, self._parts = scratch / "bag", scratch / "parts"
        self._options = ConversionOptions(self._contract)

    def seeds(self) -> list[bytes]:
        """One of the recorder's and one of `ros2 bag record`, also compressed."""
        ways = [(True, False), (False, False), *([(True, True)] * self.can_compress)]
        seeds = []
        for number, (is_ours, compressed) in enumerate(ways):
            path = self.scratch / f"seed_{number}"
            write_bag(path, self._contract, self.plugin, is_ours=is_ours, compressed=compressed)
            seeds.append(folder_bytes(path))
            shutil.rmtree(path)
        return seeds

    def consume(self, data: bytes) -> None:
        """What `vla inspect --json` and `vla convert` do with it."""
        shutil.rmtree(self._bag, ignore_errors=True)
        shutil.rmtree(self._parts, ignore_errors=True)
        path = write_folder(data, self._bag)
        for contract in (None, self._contract):
            json.dumps(inspect_bag(path, contract).to_dict(), allow_nan=False)
        result = convert_bag(BagJob(path, self._parts, self._options, _OUTCOMES))
        json.dumps(dict(result.record))
        if result.part is None:
            raise ConversionError(result.skipped)
        self._check_part(result.part.path, result.part.rows)

    def _check_part(self, path: Path, rows: int) -> None:
        with h5py.File(path, "r") as file:
            for spec in row_specs(self._contract):
                values = file[spec.name][()]
                if values.shape != (rows, *spec.shape):
                    raise AcceptedError(f"{spec.name} has shape {values.shape}, {rows} rows")
                if values.dtype.kind == "f" and not np.isfinite(values).all():
                    raise AcceptedError(f"{spec.name} holds values that are not finite")


class McapBag(_Bag):
    """An MCAP bag."""

    plugin = StoragePlugin.MCAP
    can_compress = True


class SqliteBag(_Bag):
    """An SQLite bag."""

    plugin = StoragePlugin.SQLITE3
    can_compress = False


class UnclosedBag(Subject):
    """What a recorder leaves that was killed: a journal, and a storage that has no end."""

    suffix: ClassVar[str] = ".tar"
    format = Folder(_FORMATS)

    def seeds(self) -> list[bytes]:
        """Both storages, with the journal and without."""
        contract = small_contract()
        values = {"metadata": bag_values(contract), "messages": None}
        journal = (json.dumps(values) + "\n").encode()
        seeds = []
        for plugin in (StoragePlugin.MCAP, StoragePlugin.SQLITE3):
            path = self.scratch / "seed"
            files = unpack(folder_bytes(write_bag(path, contract, plugin)))
            shutil.rmtree(path)
            left = {
                name: data[: len(data) * 3 // 4] if name.endswith(".mcap") else data
                for name, data in files.items()
                if name not in (METADATA_FILE, CHECKSUMS_FILE)
            }
            seeds += [pack(left), pack({**left, bag_metadata.JOURNAL_FILE: journal})]
        return seeds

    def consume(self, data: bytes) -> None:
        """What `vla inspect --repair` does with it."""
        path = self.scratch / "bag"
        shutil.rmtree(path, ignore_errors=True)
        write_folder(data, path)
        repair = repair_bag(path)
        inspection = inspect_bag(path)
        json.dumps(inspection.to_dict(), allow_nan=False)
        if repair is None:
            raise BagError(f"bag {path.name} was closed or is none: nothing to repair")
        if inspection.contents is None:
            # What cannot be read was not cut off by a crash; the inspection says so at once.
            raise BagError(inspection.violations[0])
        if inspection.contents.messages != repair.messages:
            raise AcceptedError(
                f"repaired with {repair.messages} messages, {inspection.contents.messages} found"
            )
