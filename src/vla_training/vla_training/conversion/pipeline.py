"""Bags to a data set."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vla_core.contract import Contract
from vla_simulation.suites import FIRST_HELD_OUT_SEED, is_held_out
from vla_training.conversion.alignment import EpisodeAligner
from vla_training.conversion.bags import BagMetadata, BagReader, find_bags
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import NO_SEED, TRAINING, VALIDATION, row_specs
from vla_training.dataset.writer import DatasetWriter, EpisodeSource
from vla_training.errors import ConversionError
from vla_training.progress import ProgressBar, progress_bar

_COPY_ROWS = 64


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
        training_episodes: Of these, episodes for training.
        validation_episodes: Of these, episodes for validation.
        frames: Rows in it.
        late_messages: Messages that arrived too late to count.
        skipped: Bags that are not in it.
        duration_s: Wall time.
    """

    path: Path
    episodes: int
    training_episodes: int
    validation_episodes: int
    frames: int
    late_messages: int
    skipped: tuple[SkippedBag, ...]
    duration_s: float


@dataclass(frozen=True)
class _Outcome:
    """One bag after its conversion: an episode, or the reason why not."""

    bag: Path
    source: EpisodeSource | None = None
    late: int = 0
    shard: Path | None = None
    skipped: SkippedBag | None = None


@dataclass
class _Totals:
    late: int = 0
    skipped: list[SkippedBag] = field(default_factory=list)


def convert(
    bags: Sequence[Path],
    out: Path,
    contract: Contract,
    *,
    include: Collection[str] = ("success",),
    validation_fraction: float = 0.1,
    split_seed: int = 0,
    strict: bool = False,
    jobs: int | None = None,
    compression: str | None = None,
    progress: bool = True,
) -> ConversionSummary:
    """Make a data set of bags.

    Args:
        bags: Bags, or folders with bags in them.
        out: The HDF5 file to make; it appears whole or not at all.
        contract: What to read from the bags.
        include: Outcomes that are wanted.
        validation_fraction: Expected share of validation episodes, 0 to below 1.
        split_seed: Another one splits the episodes differently.
        strict: Stop at the first bag that is damaged or foreign instead of leaving it out.
        jobs: Processes; None for as many as there are cores, at most one per bag.
        compression: None, "lzf" or "gzip" for the images.
        progress: Whether to show a bar.

    Returns:
        What was used and what was not, and why.

    Raises:
        ConversionError: If nothing usable is given, or in strict mode a bag cannot be used.
        DatasetError: If the file cannot be written.
    """
    if not 0.0 <= validation_fraction < 1.0:
        raise ConversionError(
            f"validation fraction is {validation_fraction}, expected 0 to below 1"
        )
    started = time.monotonic()
    paths = find_bags(bags)
    jobs = max(1, min(jobs or os.cpu_count() or 1, len(paths)))
    totals = _Totals()
    with (
        DatasetWriter(out, contract, compression) as writer,
        progress_bar("converting", len(paths), progress) as bar,
    ):
        wanted = frozenset(include)
        if jobs == 1:
            for path in paths:
                _settle(_convert_into(path, contract, wanted, writer), totals, strict, bar)
        else:
            for outcome in _convert_in_pool(paths, contract, wanted, jobs, out.parent):
                _settle(outcome, totals, strict, bar)
                if outcome.shard is not None and outcome.source is not None:
                    _copy_shard(outcome.shard, writer, outcome.source)
        if writer.episodes == 0:
            reasons = "; ".join(skip.reason for skip in totals.skipped[:3])
            raise ConversionError(
                f"none of {len(paths)} bags can be used: {reasons}"
                f"{'; …' if len(totals.skipped) > 3 else ''}"
            )
        writer.finish(validation_fraction, split_seed)
        splits = [record.split for record in writer.records]
        return ConversionSummary(
            path=out,
            episodes=writer.episodes,
            training_episodes=splits.count(TRAINING),
            validation_episodes=splits.count(VALIDATION),
            frames=writer.frames,
            late_messages=totals.late,
            skipped=tuple(totals.skipped),
            duration_s=time.monotonic() - started,
        )


def _settle(outcome: _Outcome, totals: _Totals, strict: bool, bar: ProgressBar) -> None:
    totals.late += outcome.late
    if outcome.skipped is not None:
        if strict and outcome.skipped.damaged:
            raise ConversionError(outcome.skipped.reason)
        totals.skipped.append(outcome.skipped)
        bar.say(f"skipped: {outcome.skipped.reason}")
    bar.advance(outcome.bag.name)


def _convert_into(
    path: Path, contract: Contract, include: frozenset[str], writer: DatasetWriter
) -> _Outcome:
    """Append one bag to a writer, or nothing of it."""
    try:
        with BagReader(path) as reader:
            metadata = reader.metadata
            if unwanted := _why_unwanted(metadata, include):
                return _Outcome(path, skipped=SkippedBag(path, unwanted, damaged=False))
            aligner = EpisodeAligner(reader, contract)
            for rows in aligner.blocks():
                writer.append(rows)
            if aligner.counts.rows == 0:
                raise ConversionError(f"bag {path} is too short for a single row")
            source = _source_of(metadata)
            writer.end_episode(source)
            return _Outcome(path, source, aligner.counts.late)
    except ConversionError as error:
        writer.discard_episode()
        return _Outcome(path, skipped=SkippedBag(path, str(error), damaged=True))


def _why_unwanted(metadata: BagMetadata, include: frozenset[str]) -> str:
    """Why an intact bag must stay out of the data set; empty if it may come in."""
    if metadata.outcome not in include:
        return (
            f"bag {metadata.path} has outcome {metadata.outcome}, included are "
            f"{', '.join(sorted(include))}"
        )
    if metadata.seed is not None and is_held_out(metadata.seed):
        return (
            f"bag {metadata.path} has seed {metadata.seed}, which is held out for evaluation; "
            f"seeds below {FIRST_HELD_OUT_SEED} are for training"
        )
    return ""


def _source_of(metadata: BagMetadata) -> EpisodeSource:
    return EpisodeSource(
        seed=NO_SEED if metadata.seed is None else metadata.seed,
        instruction=metadata.instruction,
        outcome=metadata.outcome,
        operator=metadata.operator,
        bag=metadata.name,
        bag_sha256=metadata.sha256,
    )


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for shards beside the output: on the same disk, gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=".convert-", dir=folder))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _convert_in_pool(
    paths: Sequence[Path], contract: Contract, include: frozenset[str], jobs: int, folder: Path
) -> Iterator[_Outcome]:
    """Convert each bag to a shard in another process; outcomes come in the order of the bags.

    No more than twice as many shards as processes exist at a time.
    """
    remaining = deque(enumerate(paths))
    pending: deque[tuple[Path, Future[_Outcome]]] = deque()
    context = multiprocessing.get_context("spawn")
    with (
        _scratch(folder) as scratch,
        ProcessPoolExecutor(max_workers=jobs, mp_context=context) as pool,
    ):
        try:
            while remaining or pending:
                while remaining and len(pending) < 2 * jobs:
                    index, path = remaining.popleft()
                    shard = scratch / f"{index}.h5"
                    pending.append((path, pool.submit(_make_shard, path, shard, contract, include)))
                path, future = pending.popleft()
                try:
                    outcome = future.result()
                except BrokenProcessPool as error:
                    raise ConversionError(
                        f"a converting process died at or near bag {path} (out of memory?); try "
                        "again with --jobs 1"
                    ) from error
                yield outcome
                if outcome.shard is not None:
                    outcome.shard.unlink(missing_ok=True)
        finally:
            for _, future in pending:
                future.cancel()


def _make_shard(path: Path, shard: Path, contract: Contract, include: frozenset[str]) -> _Outcome:
    with DatasetWriter(shard, contract) as writer:
        outcome = _convert_into(path, contract, include, writer)
        if outcome.source is None:
            return outcome
        writer.finish(validation_fraction=0.0, split_seed=0)
    return _Outcome(path, outcome.source, outcome.late, shard)


def _copy_shard(shard: Path, writer: DatasetWriter, source: EpisodeSource) -> None:
    with DatasetFile(shard) as data:
        names = [spec.name for spec in row_specs(data.contract)]
        for start in range(0, data.frames, _COPY_ROWS):
            rows = slice(start, min(start + _COPY_ROWS, data.frames))
            writer.append({name: data.read(name, rows) for name in names})
    writer.end_episode(source)
