"""Frames of a LeRobotDataset to rows of a data set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
import pyarrow as pa

from vla_core.contract import Contract
from vla_core.decoding import ImageReading, decode
from vla_core.errors import DecodeError
from vla_core.image_decoding import rgb_from_compressed
from vla_training.dataset.layout import (
    ACTION_VALID,
    OBSERVATIONS,
    TICK_NS,
    VALID,
    Rows,
    RowSpec,
    row_specs,
)
from vla_training.errors import DatasetError
from vla_training.lerobot import layout
from vla_training.lerobot.layout import Feature
from vla_training.lerobot.source import Source, SourceEpisode
from vla_training.lerobot.tables import files_of, values_of
from vla_training.lerobot.video import VideoReader

_CHECKED: Final = tuple(feature.name for feature in layout.INDEX_FEATURES)
_TIME_TOLERANCE: Final = 0.1


class RowReader:
    """Turns columns into rows; a context manager, since it may have videos open.

    Args:
        source: The LeRobotDataset.
        contract: What the rows are to be.
        features: Feature by array, see `mapping.found_features`.
    """

    def __init__(self, source: Source, contract: Contract, features: Mapping[str, Feature]) -> None:
        self._source = source
        self._contract = contract
        self._features = features
        self._specs = {spec.name: spec for spec in row_specs(contract)}
        self._videos: dict[str, VideoReader] = {}

    def __enter__(self) -> RowReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for video in self._videos.values():
            video.close()

    @property
    def columns(self) -> list[str]:
        """Columns that are needed."""
        names = [feature.name for feature in self._features.values() if feature.dtype != "video"]
        return [*_CHECKED, *names]

    def rows(self, episode: SourceEpisode, first: int, batch: pa.RecordBatch) -> Rows:
        """Rows of some frames of an episode.

        Args:
            episode: Which.
            first: Number of the first of these frames in it.
            batch: See `columns`.

        Raises:
            DatasetError: If something in them is damaged or not what the description says.
        """
        frames = np.arange(first, first + batch.num_rows)
        try:
            self._check(episode, frames, batch)
            rows = {}
            for array, feature in self._features.items():
                spec = self._specs[array]
                if feature.dtype == "video":
                    rows[array] = self._pictures_of_video(spec, feature, episode, frames)
                elif feature.is_picture:
                    files = files_of(batch.column(feature.name))
                    pictures = [rgb_from_compressed("PNG or JPEG", file) for file in files]
                    rows[array] = self._resized(spec, pictures)
                else:
                    rows[array] = _numbers(spec, feature, batch)
        except (ValueError, TypeError, KeyError, DecodeError) as error:
            raise DatasetError(
                f"{episode.data}: episode {episode.number}, frames {first} to {frames[-1]}: "
                f"{error}; fetch the data set again"
            ) from error
        return {**self._absent(frames), **rows}

    def _check(self, episode: SourceEpisode, frames: np.ndarray, batch: pa.RecordBatch) -> None:
        """Make sure that these are the frames that the table of episodes speaks of."""
        task = next((n for n, text in self._source.tasks.items() if text == episode.task), None)
        expected = {
            layout.FRAME_INDEX: frames,
            layout.EPISODE_INDEX: np.full(len(frames), episode.number),
            layout.INDEX: episode.first + frames,
            layout.TASK_INDEX: np.full(len(frames), task),
        }
        for name, numbers in expected.items():
            found = values_of(batch.column(name), 1)[:, 0]
            wrong = np.flatnonzero(found != numbers)
            if wrong.size:
                at = wrong[0]
                raise ValueError(f"{name} is {found[at]}, expected {numbers[at]}")
        times_s = values_of(batch.column(layout.TIMESTAMP), 1)[:, 0].astype(np.float64)
        off_s = np.abs(times_s - frames / self._source.fps)
        if not (off_s <= _TIME_TOLERANCE / self._source.fps).all():  # also for NaN
            at = int(np.argmax(~(off_s <= _TIME_TOLERANCE / self._source.fps)))
            raise ValueError(
                f"timestamp is {times_s[at]:g} s, expected {frames[at] / self._source.fps:g} s at "
                f"{self._source.fps:g} frames per second"
            )

    def _pictures_of_video(
        self, spec: RowSpec, feature: Feature, episode: SourceEpisode, frames: np.ndarray
    ) -> np.ndarray:
        span = episode.videos[feature.name]
        video = self._video(feature.name, span.path)
        times_s = span.start_s + frames / self._source.fps
        return self._resized(spec, [video.at(float(time_s)) for time_s in times_s])

    def _video(self, name: str, path: Path) -> VideoReader:
        """The open video of a feature; one that is done with is closed."""
        open_one = self._videos.get(name)
        if open_one is None or open_one.path != path:
            if open_one is not None:
                open_one.close()
            self._videos[name] = VideoReader(path, self._source.fps)
        return self._videos[name]

    def _resized(self, spec: RowSpec, pictures: list[np.ndarray]) -> np.ndarray:
        """Pictures as the contract wants them; what has its size already stays as it is."""
        stream = self._contract.stream(spec.name.removeprefix(f"{OBSERVATIONS}/"))
        out = np.empty((len(pictures), *spec.shape), np.uint8)
        for row, picture in enumerate(pictures):
            fits = picture.shape == spec.shape
            out[row] = picture if fits else decode(stream, ImageReading(picture))
        return out

    def _absent(self, frames: np.ndarray) -> Rows:
        """Rows of the arrays that have no feature."""
        rows = {}
        for name, spec in self._specs.items():
            if name not in self._features:
                fill = name in {VALID, ACTION_VALID}
                rows[name] = np.full((len(frames), *spec.shape), fill, spec.dtype)
        if TICK_NS in rows:
            rows[TICK_NS] = frames * self._contract.action.period_ns
        return rows


def _numbers(spec: RowSpec, feature: Feature, batch: pa.RecordBatch) -> np.ndarray:
    """Numbers of a feature in the type of the array.

    Raises:
        ValueError: If one is not finite, or not possible in that type.
    """
    found = values_of(batch.column(feature.name), math.prod(spec.shape))
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise ValueError(f"feature {feature.name!r} is not finite")
    values = found.astype(spec.dtype)
    if np.dtype(spec.dtype).kind != "f" and not (values == found).all():
        raise ValueError(f"feature {feature.name!r} has values that are no {spec.dtype}")
    return values.reshape(len(found), *spec.shape)
