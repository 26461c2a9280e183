"""Bags to a data set."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vla_core.contract import Contract
from vla_training import __version__
from vla_training.conversion.bags import find_bags, fingerprint
from vla_training.conversion.convert_bag import (
    BagJob,
    BagResult,
    ConversionOptions,
    convert_bag,
)
from vla_training.conversion.episodes import SegmentLimits
from vla_training.dataset.head import SplitChoice
from vla_training.dataset.index import write_index, write_packed
from vla_training.dataset.layout import SPLITS, EpisodeRecord, parts_folder
from vla_training.dataset.parts import PartRecord, read_head
from vla_training.errors import ConversionError
from vla_training.executors import Work, executor
from vla_training.progress import ProgressBar, progress_bar

CONVERTING = Work(ConversionError, "converting", ": what is done is kept")


@dataclass(frozen=True)
class SkippedBag:
    """A bag that is not in the data set.

    Attributes:
        bag: Path of the bag.
        reason: One sentence.
        damaged: False if the bag was left out on purpose (its outcome is not wanted).
    """

    bag: Path
    reason: str
    damaged: bool


@dataclass(frozen=True)
class ConversionSummary:
    """What a conversion did.

    Attributes:
        path: The data set.
        episodes: Episodes in it.
        split_episodes: Of these, episodes of each split by name.
        frames: Rows in it.
        converted: Bags that were read.
        reused: Bags whose rows were there already.
        skipped: Bags that are not in it.
        duration_s: Wall time.
        records: What became of each bag, in order, see `bag_record`.
    """

    path: Path
    episodes: int
    split_episodes: Mapping[str, int]
    frames: int
    converted: int
    reused: int
    skipped: tuple[SkippedBag, ...]
    duration_s: float
    records: tuple[Mapping[str, Any], ...] = field(repr=False)


def convert(
    bags: Sequence[Path],
    out: Path,
    contract: Contract,
    *,
    include: Collection[str] = ("success",),
    validation_fraction: float = 0.1,
    test_fraction: float = 0.05,
    split_seed: int = 0,
    instruction: str = "",
    action_delay_s: float = 0.0,
    limits: SegmentLimits | None = None,
    strict: bool = False,
    pack: bool = False,
    compression: str | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    progress: bool = True,
) -> ConversionSummary:
    """Make a data set of bags.

    Bags whose rows are in the folder of parts already, from an earlier call with the same
    contract and options, are not read again, whether that call was finished or not.

    Args:
        bags: Bags, or folders with bags in them.
        out: The HDF5 file to make; it appears whole or not at all. Its rows are in a folder
            beside it, see `layout.parts_folder`.
        contract: What to read from the bags.
        include: Outcomes that are wanted.
        validation_fraction: Expected share of validation episodes.
        test_fraction: Expected share of test episodes; below 1 together.
        split_seed: Another one splits the episodes differently.
        instruction: The sentence of bags that have none.
        action_delay_s: The action of a row is the newest command at or before its tick plus this.
        limits: Where to cut bags that are no recorded episodes; None for the defaults.
        strict: Stop at the first bag that is damaged or foreign instead of leaving it out.
        pack: Write one self-contained file and remove the parts.
        compression: None, "lzf" or "gzip", for the images of a packed file.
        jobs: Processes; None for as many as there are cores, at most one per bag.
        scheduler: Address of a Dask scheduler whose workers convert, in place of processes here.
        progress: Whether to show a bar.

    Returns:
        What was used and what was not, and why.

    Raises:
        ConversionError: If nothing usable is given, or in strict mode a bag cannot be used.
        DatasetError: If a file cannot be written.
    """
    started = time.monotonic()
    split = SplitChoice(validation_fraction, test_fraction, split_seed)
    options = ConversionOptions(contract, limits or SegmentLimits(), action_delay_s)
    if compression and not pack:
        raise ConversionError("only packed files are compressed: add --pack")
    paths = [path.absolute() for path in find_bags(bags)]
    folder = parts_folder(out.absolute())
    known = _known_parts(folder, options.key)
    work = [
        BagJob(path, folder, options, frozenset(include), known.get(_fingerprint(path)))
        for path in paths
    ]
    processes = max(1, min(jobs or os.cpu_count() or 1, len(paths)))
    run = executor(CONVERTING, processes, scheduler)
    results: dict[Path, BagResult] = {}
    with progress_bar("converting", len(paths), progress) as bar:
        for result in run(convert_bag, work):
            _settle(result, strict, bar)
            results[result.bag] = result
    ordered = _without_twins([results[path] for path in paths])
    parts = [_with_instruction(r.part, instruction) for r in ordered if r.part is not None]
    if not parts:
        raise _nothing_usable(ordered)
    write = partial(write_packed, compression=compression) if pack else write_index
    episodes = write(out, contract, parts, split, _provenance(ordered, options))
    _tidy(folder, () if pack else {part.path for part in parts}, options.key)
    return _summary(out, ordered, episodes, time.monotonic() - started)


def _fingerprint(path: Path) -> str:
    try:
        return fingerprint(path)
    except OSError:
        return ""  # said when the bag is opened


def _known_parts(folder: Path, options_key: str) -> dict[str, Path]:
    """Finished parts that these options would give again, by the fingerprint of their bags."""
    known = {}
    for path in sorted(folder.glob(f"*-{options_key[:8]}.h5")):
        try:
            with h5py.File(path, "r") as file:
                head = read_head(file)
        except (OSError, KeyError, ValueError, RuntimeError):
            continue  # it is made again
        if head.options == options_key:
            known[head.fingerprint] = path
    return known


def _settle(result: BagResult, strict: bool, bar: ProgressBar) -> None:
    if result.skipped:
        if strict and result.is_damaged:
            raise ConversionError(result.skipped)
        bar.say(f"skipped: {result.skipped}")
    bar.advance(result.bag.name)


def _without_twins(results: Sequence[BagResult]) -> list[BagResult]:
    """The results without bags that are copies of earlier ones."""
    first: dict[str, Path] = {}
    kept = []
    for result in results:
        if result.part is not None:
            sha256 = result.part.head.bag_sha256
            if sha256 in first:
                reason = f"bag {result.bag} has the same contents as {first[sha256]}"
                result = replace(
                    result, part=None, skipped=reason, record={**result.record, "skipped": reason}
                )
            first.setdefault(sha256, result.bag)
        kept.append(result)
    return kept


def _with_instruction(part: PartRecord, instruction: str) -> PartRecord:
    """The part with a sentence for the episodes that have none."""
    episodes = tuple(
        replace(episode, instruction=episode.instruction or instruction)
        for episode in part.episodes
    )
    return replace(part, episodes=episodes)


def _nothing_usable(results: Sequence[BagResult]) -> ConversionError:
    reasons = [result.skipped for result in results]
    more = "; …" if len(reasons) > 3 else ""
    return ConversionError(
        f"none of {len(results)} bags can be used: {'; '.join(reasons[:3])}{more}"
    )


def _provenance(results: Sequence[BagResult], options: ConversionOptions) -> dict[str, Any]:
    return {
        "bags": [
            {
                "path": str(result.bag),
                "sha256": result.part.head.bag_sha256,
                "part": result.part.path.name,
            }
            for result in results
            if result.part is not None
        ],
        "options": {
            "action_delay_s": options.action_delay_s,
            "limits": asdict(options.limits),
        },
        "software": {
            "vla_training": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "h5py": h5py.__version__,
        },
    }


def _tidy(folder: Path, used: Collection[Path], options_key: str) -> None:
    """Remove what no later call can use: unfinished files, and parts of other options.

    Parts of bags that were left out this time stay, except beside a packed file.
    """
    for path in folder.glob("*.h5"):
        if path not in used and (not used or not path.stem.endswith(options_key[:8])):
            path.unlink(missing_ok=True)
    for path in folder.glob(".*.partial"):
        path.unlink(missing_ok=True)
    if not used and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _summary(
    out: Path, results: Sequence[BagResult], episodes: Sequence[EpisodeRecord], duration_s: float
) -> ConversionSummary:
    splits = [episode.split for episode in episodes]
    return ConversionSummary(
        path=out,
        episodes=len(episodes),
        split_episodes={name: splits.count(number) for name, number in SPLITS.items()},
        frames=sum(episode.length for episode in episodes),
        converted=sum(result.is_new for result in results),
        reused=sum(result.part is not None and not result.is_new for result in results),
        skipped=tuple(
            SkippedBag(result.bag, result.skipped, result.is_damaged)
            for result in results
            if result.skipped
        ),
        duration_s=duration_s,
        records=tuple(result.record for result in results),
    )
