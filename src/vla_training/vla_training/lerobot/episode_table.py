"""The table of episodes of a data set that was a LeRobotDataset."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from vla_training.dataset.head import SplitChoice
from vla_training.dataset.layout import (
    NO_SEED,
    SPLITS,
    TEST,
    TRAINING,
    VALIDATION,
    EpisodeRecord,
    group_of,
)
from vla_training.dataset.writer import EpisodeSource
from vla_training.errors import DatasetError
from vla_training.lerobot import layout
from vla_training.lerobot.source import Source, SourceEpisode

_BLOCK_BYTES = 1 << 20


def episode_records(source: Source, split: SplitChoice) -> tuple[list[EpisodeRecord], SplitChoice]:
    """The records of all episodes, by their numbers in the LeRobotDataset.

    Args:
        source: The LeRobotDataset.
        split: How to split them where it does not tell.

    Returns:
        The records, and what to say about the split.

    Raises:
        DatasetError: If a column of ours or the ranges of the splits are damaged.
    """
    hashes: dict[Path, str] = {}
    origins = [_origin(source, episode, hashes) for episode in source.episodes]
    starts = _starts(source)
    records = [
        origin.record(start, episode.length)
        for origin, start, episode in zip(origins, starts, source.episodes, strict=True)
    ]
    if not source.ours and set(source.splits) <= {"train"}:
        return split.apply(records), split
    numbers = _splits(source)
    records = [
        replace(record, split=number) for record, number in zip(records, numbers, strict=True)
    ]
    return records, _choice(source, numbers)


def _starts(source: Source) -> list[int]:
    """First row of every episode; an export of ours gets back its former order."""
    count = len(source.episodes)
    places = [episode.own.get("number", episode.number) for episode in source.episodes]
    if sorted(places) != list(range(count)):
        places = list(range(count))  # some of an export's episodes, by a tool of LeRobot
    starts = [0] * count
    start = 0
    for number in sorted(range(count), key=lambda number: places[number]):
        starts[number] = start
        start += source.episodes[number].length
    return starts


def _origin(source: Source, episode: SourceEpisode, hashes: dict[Path, str]) -> EpisodeSource:
    own = {name: value for name, value in episode.own.items() if name in layout.OWN_COLUMNS}
    if len(own) == len(layout.OWN_COLUMNS):
        if any(value is None for value in own.values()) or own["instruction"] != episode.task:
            raise DatasetError(
                f"{source.root}: the columns {layout.OWN_PREFIX}… of episode {episode.number} do "
                "not fit its task; export the data set again"
            )
        return EpisodeSource(**own)
    digest = hashlib.sha256()
    for path in (episode.data, *(span.path for span in episode.videos.values())):
        hashes[path] = hashes.get(path) or _sha256(path)
        digest.update(f"{hashes[path]}\n".encode())
    digest.update(f"{episode.number}\n".encode())
    bag_sha256 = digest.hexdigest()
    return EpisodeSource(
        seed=NO_SEED,
        instruction=episode.task,
        outcome="unknown",
        operator="",
        bag=f"{source.root.name}/episode_{episode.number:06d}",
        bag_sha256=bag_sha256,
        group=group_of(NO_SEED, bag_sha256),
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error}; fetch the data set again") from error
    return digest.hexdigest()


def _splits(source: Source) -> list[int]:
    """Split of every episode, as the ranges say."""
    numbers: dict[int, int] = {}
    for name, episodes in source.splits.items():
        if name not in layout.SPLIT_NAMES:
            raise DatasetError(
                f"{source.root}: split {name!r} is unknown, expected one of "
                f"{', '.join(layout.SPLIT_NAMES)}; rename it in {layout.INFO}"
            )
        for number in episodes:
            if number in numbers or not 0 <= number < len(source.episodes):
                raise DatasetError(
                    f"{source.root}: episode {number} of split {name!r} is in another one too, or "
                    f"does not exist; correct the splits in {layout.INFO}"
                )
            numbers[number] = layout.SPLIT_NAMES[name]
    missing = sorted(set(range(len(source.episodes))) - set(numbers))
    if missing:
        raise DatasetError(
            f"{source.root}: episode {missing[0]} is in no split; correct the splits in "
            f"{layout.INFO}"
        )
    return [numbers[number] for number in range(len(source.episodes))]


def _choice(source: Source, numbers: list[int]) -> SplitChoice:
    """What an export says about its split; of another one, the shares that there are."""
    if source.ours:
        try:
            return SplitChoice(
                float(source.ours["validation_fraction"]),
                float(source.ours["test_fraction"]),
                int(source.ours["split_seed"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{source.root / layout.OURS} is damaged: {error}") from error
    if TRAINING not in numbers:
        raise DatasetError(
            f"{source.root} has no episode in the split 'train'; correct the splits in "
            f"{layout.INFO}"
        )
    shares = {number: numbers.count(number) / len(numbers) for number in SPLITS.values()}
    return SplitChoice(shares[VALIDATION], shares[TEST])
