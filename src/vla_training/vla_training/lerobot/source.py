"""The description of a LeRobotDataset: what is in it and where, without the frames."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from vla_training.errors import DatasetError
from vla_training.lerobot import layout
from vla_training.lerobot.layout import Feature
from vla_training.lerobot.tables import column_names, read_table

_SPAN = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")


@dataclass(frozen=True)
class VideoSpan:
    """Where the pictures of an episode are.

    Attributes:
        path: Of the video.
        start_s: Time of the first picture in it [s].
    """

    path: Path
    start_s: float


@dataclass(frozen=True)
class SourceEpisode:
    """One episode of a LeRobotDataset.

    Attributes:
        number: From 0.
        first: Number of its first frame in the whole data set.
        length: Number of frames.
        task: The sentence.
        data: File with its frames.
        videos: By feature.
        own: Columns of ours, by name without the prefix; empty if it is no export of ours.
    """

    number: int
    first: int
    length: int
    task: str
    data: Path
    videos: Mapping[str, VideoSpan] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A LeRobotDataset.

    Attributes:
        root: Its folder.
        fps: Frames per second.
        robot: Type of the robot, empty if unknown.
        features: By name.
        episodes: In order.
        tasks: Sentence by number.
        splits: Range of episodes by name of the split.
        ours: What our export has added, see `exporting`; empty if it is none.
    """

    root: Path
    fps: float
    robot: str
    features: Mapping[str, Feature]
    episodes: tuple[SourceEpisode, ...]
    tasks: Mapping[int, str]
    splits: Mapping[str, range]
    ours: Mapping[str, Any]

    @property
    def frames(self) -> int:
        """Number of frames of all episodes."""
        return sum(episode.length for episode in self.episodes)


def open_source(root: Path) -> Source:
    """Read the description of a LeRobotDataset.

    Raises:
        DatasetError: If there is none, it is of another format, or it contradicts itself.
    """
    info = _read_json(root / layout.INFO)
    version = str(info.get("codebase_version", "none"))
    if version.startswith("v2"):
        raise DatasetError(
            f"{root} has LeRobot's format {version}, expected {layout.CODEBASE_VERSION}; convert "
            "it with LeRobot: python -m lerobot.datasets.v30.convert_dataset_v21_to_v30"
        )
    if not version.startswith("v3."):
        raise DatasetError(
            f"{root} has LeRobot's format {version!r}, expected {layout.CODEBASE_VERSION}"
        )
    try:
        features = {name: _feature(name, value) for name, value in info["features"].items()}
        fps = float(info["fps"])
        splits = {name: _range(text) for name, text in (info.get("splits") or {}).items()}
        tasks = _read_tasks(root / layout.TASKS)
        episodes = _read_episodes(root, info, features)
        totals = int(info["total_episodes"]), int(info["total_frames"])
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        OverflowError,
    ) as error:
        raise DatasetError(
            f"{root}: its description is damaged ({type(error).__name__}: {error}); fetch the "
            "data set again"
        ) from error
    found = len(episodes), sum(episode.length for episode in episodes)
    if found != totals or not episodes:
        raise DatasetError(
            f"{root}: its table has {found[0]} episodes and {found[1]} frames, {layout.INFO} "
            f"{totals[0]} and {totals[1]}; fetch the data set again"
        )
    robot = str(info.get("robot_type") or "")
    return Source(root, fps, robot, features, episodes, tasks, splits, _read_ours(root))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path} is missing; expected the folder of a LeRobotDataset, which has it"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise DatasetError(f"{path} holds no JSON object")
    return values


def _read_ours(root: Path) -> dict[str, Any]:
    if not (root / layout.OURS).is_file():
        return {}
    ours = _read_json(root / layout.OURS)
    found = ours.get("format"), ours.get("format_version")
    if found != (layout.OURS_FORMAT, layout.OURS_VERSION):
        raise DatasetError(
            f"{root / layout.OURS} has format {found}, expected "
            f"{(layout.OURS_FORMAT, layout.OURS_VERSION)}; without the file, the data set is read "
            "like one of LeRobot's own"
        )
    wanted = {"contract": str, "arrays": dict, "split_seed": int, "provenance": dict}
    for name, kind in wanted.items():
        if not isinstance(ours.get(name), kind):
            raise DatasetError(f"{root / layout.OURS} has no {name!r}; export the data set again")
    return ours


def _feature(name: str, values: Mapping[str, Any]) -> Feature:
    shape = tuple(int(size) for size in values["shape"])
    names = values.get("names")
    # Older recordings name the components within groups.
    if isinstance(names, dict):
        names = [part for parts in names.values() for part in parts]
    return Feature(name, str(values["dtype"]), shape, tuple(map(str, names)) if names else None)


def _range(text: str) -> range:
    first, _, last = str(text).partition(":")
    return range(int(first), int(last))


def _read_tasks(path: Path) -> dict[int, str]:
    """The sentences, whose column is the index of a table of pandas and named anyhow."""
    table = read_table(path)
    texts = [
        name
        for name, kind in zip(table.schema.names, table.schema.types, strict=True)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind)
    ]
    if len(texts) != 1:
        raise DatasetError(f"{path} has {len(texts)} columns of text, expected one, the sentences")
    numbers = table.column(layout.TASK_INDEX).to_pylist()
    return dict(zip(numbers, table.column(texts[0]).to_pylist(), strict=True))


def _read_episodes(
    root: Path, info: Mapping[str, Any], features: Mapping[str, Feature]
) -> tuple[SourceEpisode, ...]:
    paths = sorted((root / "meta" / "episodes").glob("*/*.parquet"))
    if not paths:
        raise DatasetError(f"{root / 'meta' / 'episodes'} has no files; fetch the data set again")
    videos = [feature.name for feature in features.values() if feature.dtype == "video"]
    episodes: list[SourceEpisode] = []
    first = 0
    for path in paths:
        wanted = [name for name in column_names(path) if not name.startswith("stats/")]
        for row in read_table(path, wanted).to_pylist():
            episode = _episode(root, info, row, videos)
            if (episode.number, episode.first) != (len(episodes), first):
                raise DatasetError(
                    f"{path}: episode {episode.number} begins at frame {episode.first}, expected "
                    f"episode {len(episodes)} at frame {first}; fetch the data set again"
                )
            first += episode.length
            episodes.append(episode)
    return tuple(episodes)


def _episode(
    root: Path, info: Mapping[str, Any], row: Mapping[str, Any], videos: list[str]
) -> SourceEpisode:
    number, first = int(row["episode_index"]), int(row["dataset_from_index"])
    length = int(row["length"])
    tasks = list(row["tasks"])
    if len(tasks) != 1:
        raise DatasetError(
            f"{root}: episode {number} has {len(tasks)} tasks, expected one: {', '.join(tasks)}; "
            "record or split such episodes at the change of the task"
        )
    if length < 1 or int(row["dataset_to_index"]) != first + length:
        raise DatasetError(
            f"{root}: episode {number} has {length} frames, from {first} to "
            f"{row['dataset_to_index']}; fetch the data set again"
        )
    spans = {}
    for name in videos:
        chunk, file, start_s, _ = (row[f"videos/{name}/{part}"] for part in _SPAN)
        path = str(info["video_path"]).format(
            video_key=name, chunk_index=int(chunk), file_index=int(file)
        )
        spans[name] = VideoSpan(root / path, float(start_s))
    place = str(info["data_path"]).format(
        chunk_index=int(row["data/chunk_index"]), file_index=int(row["data/file_index"])
    )
    own = {
        name.removeprefix(layout.OWN_PREFIX): value
        for name, value in row.items()
        if name.startswith(layout.OWN_PREFIX)
    }
    return SourceEpisode(number, first, length, tasks[0], root / place, spans, own)
