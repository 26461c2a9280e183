"""Pictures of a video, one after the other; needs PyAV, which nothing else here does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vla_training.errors import DatasetError


class VideoReader:
    """Reads a video forwards.

    A context manager.

    Args:
        path: Of the video.
        fps: Pictures per second.

    Raises:
        DatasetError: If it is missing or damaged, or PyAV is not installed.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path = path
        self._tolerance_s = 0.5 / fps
        try:
            import av
        except ModuleNotFoundError as error:
            raise DatasetError(
                f"{path} is a video, and reading one needs PyAV: python3 -m pip install av"
            ) from error
        self._errors = (av.FFmpegError, OSError, ValueError)
        try:
            self._container: Any = av.open(str(path))
            self._frames: Iterator[Any] = self._container.decode(video=0)
        except (*self._errors, IndexError) as error:
            raise self._damaged(error) from error
        self._current: Any = None
        self._ahead: Any = None
        self._advance()
        self._advance()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def at(self, time_s: float) -> np.ndarray:
        """The picture that is nearest to a time, which must not be before that of the last call.

        Returns:
            (H, W, 3) uint8 RGB.

        Raises:
            DatasetError: If there is none, or the file is damaged.
        """
        while self._ahead is not None and _distance(self._ahead, time_s) <= _distance(
            self._current, time_s
        ):
            self._advance()
        if self._current is None or _distance(self._current, time_s) > self._tolerance_s:
            raise DatasetError(f"{self.path} has no picture at {time_s:.3f} s; fetch it again")
        return self._current.to_ndarray(format="rgb24")

    def _advance(self) -> None:
        try:
            self._current, self._ahead = self._ahead, next(self._frames, None)
        except self._errors as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DatasetError:
        return DatasetError(f"video {self.path} cannot be read: {error}; fetch it again")


def _distance(frame: Any, time_s: float) -> float:
    return abs(float(frame.time) - time_s)
