"""Several data sets as one: an index over all their parts, without copying a row.

The parts are linked into the folder of the new data set, so that it stays whole when the ones that
it was made of are moved, extended or deleted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vla_training import __version__
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.head import SplitChoice
from vla_training.dataset.index import write_index
from vla_training.dataset.layout import (
    SPLITS,
    TRAINING,
    EpisodeRecord,
    describe_data,
    parts_folder,
)
from vla_training.dataset.parts import PartRecord, read_part
from vla_training.errors import DatasetError


@dataclass(frozen=True)
class KeptSplits(SplitChoice):
    """Episodes stay in the splits that they were in.

    Attributes:
        splits: By group.
    """

    splits: Mapping[str, int] = field(default_factory=dict)

    def apply(self, episodes: Sequence[EpisodeRecord]) -> list[EpisodeRecord]:
        """The episodes with their splits."""
        return [replace(episode, split=self.splits[episode.group]) for episode in episodes]


@dataclass(frozen=True)
class MergeSummary:
    """What a merge did.

    Attributes:
        path: The data set.
        episodes: In it.
        split_episodes: Of these, episodes of each split by name.
        frames: Rows in it.
        twins: Parts that were there already, from another of the data sets, and are in it once.
        moved: Groups that some of the data sets train on and others do not: they are not trained
            on.
    """

    path: Path
    episodes: int
    split_episodes: Mapping[str, int]
    frames: int
    twins: int
    moved: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {
            **self.__dict__,
            "path": str(self.path),
            "split_episodes": dict(self.split_episodes),
        }


def merge(paths: Sequence[Path], out: Path) -> MergeSummary:
    """Make one data set of several.

    Episodes stay in their splits. A group that is kept from training in one of the data sets is
    kept from training in the new one, whatever the others say. Statistics are those of the new
    training episodes.

    Args:
        paths: Data sets that are indices over parts, with one contract.
        out: The HDF5 file to make, another one; it appears whole or not at all.

    Raises:
        DatasetError: If a data set cannot be used or a file cannot be written.
    """
    if not paths:
        raise DatasetError("merge: 0 data sets, expected 1 or more")
    folder = parts_folder(out.absolute())
    used = [path for path in paths if parts_folder(path.absolute()) == folder]
    if used:
        raise DatasetError(
            f"merge: {out} would replace {used[0]}, which it is made of; name another file"
        )
    sources: list[dict[str, Any]] = []
    parts: dict[str, PartRecord] = {}
    splits: dict[str, set[int]] = {}
    twins = 0
    contract = None
    for path in paths:
        with DatasetFile(path) as file:
            if contract is not None and file.contract.hash != contract.hash:
                differences = contract.differences(file.contract, f"in {paths[0]}", f"in {path}")
                raise DatasetError(
                    f"merge: the contracts differ: {'; '.join(differences)}; make both data sets "
                    "with one contract"
                )
            contract = contract or file.contract
            described = describe_data(path.name, file.episodes)
            sources.append({"path": str(path), "episodes_sha256": described["episodes_sha256"]})
            for episode in file.episodes:
                splits.setdefault(episode.group, set()).add(episode.split)
            found = _parts(file)
            twins += sum(part.head.bag_sha256 in parts for part in found)
            for part in found:
                parts.setdefault(part.head.bag_sha256, part)
    assert contract is not None
    linked = _link(list(parts.values()), folder)
    kept = KeptSplits(splits={group: max(found) for group, found in splits.items()})
    provenance = {"merged": sources, "software": {"vla_training": __version__}}
    episodes = write_index(out, contract, linked, kept, provenance)
    _tidy(folder, {part.path.name for part in linked})
    numbers = [episode.split for episode in episodes]
    return MergeSummary(
        path=out,
        episodes=len(episodes),
        split_episodes={name: numbers.count(number) for name, number in SPLITS.items()},
        frames=sum(episode.length for episode in episodes),
        twins=twins,
        moved=sum(len(found) > 1 and TRAINING in found for found in splits.values()),
    )


def _parts(file: DatasetFile) -> list[PartRecord]:
    """The parts of a data set, with the episodes as its own table has them.

    Raises:
        DatasetError: If it has none, or one is damaged.
    """
    tables: dict[str, list[EpisodeRecord]] = {}
    for episode in file.episodes:
        tables.setdefault(episode.part, []).append(episode)
    if "" in tables:
        raise DatasetError(
            f"merge: data set {file.path} holds its rows itself, expected an index over parts; "
            "convert its bags again without --pack"
        )
    parts = []
    for name, episodes in tables.items():
        part = read_part(parts_folder(file.path) / name)
        first = episodes[0].start
        table = tuple(replace(episode, start=episode.start - first) for episode in episodes)
        parts.append(replace(part, episodes=table))
    return parts


def _link(parts: Sequence[PartRecord], folder: Path) -> list[PartRecord]:
    """The parts under names in another folder.

    Raises:
        DatasetError: If a link cannot be made.
    """
    names: set[str] = set()
    linked = []
    for part in parts:
        name = part.path.name
        if name in names:
            name = f"{part.head.bag_sha256[:16]}-{name}"
        names.add(name)
        target = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (target.exists() and target.samefile(part.path)):
                target.unlink(missing_ok=True)
                _link_file(part.path.resolve(), target)
        except OSError as error:
            raise DatasetError(
                f"merge: {target} cannot be linked to {part.path}: {error}; name another folder"
            ) from error
        linked.append(replace(part, path=target))
    return linked


def _link_file(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        target.symlink_to(source)


def _tidy(folder: Path, names: set[str]) -> None:
    """Remove the links of an earlier merge into the same file."""
    for path in folder.glob("*.h5"):
        if path.name not in names:
            path.unlink(missing_ok=True)
