"""People's corrections of a driving policy, as data to train on.

When a person takes over, the states are the policy's and the commands are the person's: what DAgger
asks an expert for. Kelly et al., "HG-DAgger: Interactive imitation learning with human experts",
ICRA 2019. What the policy did itself teaches nothing.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Final

import numpy as np

from vla_training.dataset.file import DatasetFile
from vla_training.dataset.index import write_index
from vla_training.dataset.layout import (
    ACTION_VALID,
    DRIVER,
    EpisodeRecord,
    Rows,
    parts_folder,
    row_specs,
)
from vla_training.dataset.merging import KeptSplits
from vla_training.dataset.parts import PartHead, PartRecord, PartWriter
from vla_training.errors import DatasetError

_PERSON: Final = "person"


def keep_corrections(source: Path, out: Path) -> int:
    """Copy the episodes in which a person drove; actions are known where a person gave them.

    Args:
        source: Any data set, such as of bags in which a person took over from a policy.
        out: The data set to make; episodes stay in their splits.

    Returns:
        How many actions are a person's.

    Raises:
        DatasetError: If a file cannot be used, or nobody drove in it.
    """
    folder = parts_folder(out.absolute())
    labels = 0
    parts: list[PartRecord] = []
    with DatasetFile(source) as file:
        if _PERSON not in file.drivers:
            raise _nobody(source, file.drivers)
        person = file.drivers.index(_PERSON)
        episodes = [e for e in file.episodes if (file.read(DRIVER, e.rows) == person).any()]
        if not episodes:
            raise _nobody(source, file.drivers)
        for number, episode in enumerate(episodes):
            specs = row_specs(file.contract)
            rows = {spec.name: file.read(spec.name, episode.rows) for spec in specs}
            rows[ACTION_VALID] = rows[ACTION_VALID] & (rows[DRIVER] == person)
            labels += int(np.count_nonzero(rows[ACTION_VALID]))
            parts.append(_write(file, episode, rows, folder / f"correction_{number:06d}.h5"))
        contract, provenance = file.contract, {"corrections_of": str(source)}
    splits = KeptSplits(splits={e.group: e.split for e in episodes})
    write_index(out, contract, parts, splits, provenance)
    return labels


def _write(file: DatasetFile, episode: EpisodeRecord, rows: Rows, path: Path) -> PartRecord:
    values = {field.name: getattr(episode, field.name) for field in fields(episode)}
    identity = f"{episode.bag_sha256}-{episode.segment}-corrections"
    values.update(start=0, part="", bag_sha256=identity)
    head = PartHead("corrections", identity, identity, episode.bag)
    with PartWriter(path, file.contract, episode.length) as writer:
        writer.append(rows)
        return writer.finish(head, [EpisodeRecord(**values)])


def _nobody(source: Path, drivers: tuple[str, ...]) -> DatasetError:
    return DatasetError(
        f"data set {source} has no row that a person drove (its drivers are "
        f"{', '.join(drivers)}), expected corrections; convert bags of a person's takeovers"
    )
