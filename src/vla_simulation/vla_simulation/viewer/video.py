"""Writes pictures as a video file (MP4) or as an animated GIF."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from PIL import Image

from vla_simulation.errors import SimulationError
from vla_simulation.viewer.drawing import (
    BACKGROUND,
    BAD,
    GOOD,
    INTENT,
    MUTED,
    SCAN,
    TRAIL,
    WHITE,
    mix,
)

SUFFIXES: Final = (".mp4", ".gif")
HOLD_LAST_MS: Final = 2500
_GIF_WIDTH_PX: Final = 800
_GIF_COLOURS: Final = 128
_DRAWN: Final = (TRAIL, SCAN, INTENT, WHITE, MUTED, GOOD, BAD)


class VideoWriter(Protocol):
    """Takes pictures one after the other."""

    def write(self, picture: np.ndarray) -> None:
        """Append one (H, W, 3) uint8 RGB picture; all of one size."""

    def close(self) -> None:
        """Finish the file."""


def check_video_path(path: Path) -> None:
    """Whether a file of this name can be written.

    Raises:
        SimulationError: its suffix is unknown or its folder is missing.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise SimulationError(
            f"video {path} ends in '{path.suffix}', expected one of: {', '.join(SUFFIXES)}"
        )
    if not path.absolute().parent.is_dir():
        raise SimulationError(f"video {path}: folder {path.parent} does not exist, make it first")


def open_video(path: Path, period_ms: int) -> VideoWriter:
    """Begin a video.

    Args:
        path: of the file; its suffix decides the format.
        period_ms: time from one picture to the next; a GIF counts in hundredths of a second.

    Raises:
        SimulationError: the file cannot be written.
    """
    check_video_path(path)
    return _Gif(path, period_ms) if path.suffix.lower() == ".gif" else _Mp4(path, period_ms)


def save_gif(
    path: Path,
    frames: Sequence[Image.Image],
    period_ms: int,
    colours: int,
    hold_last_ms: int = HOLD_LAST_MS,
) -> None:
    """Write a GIF with one palette for all frames, so that what stands still costs nothing.

    Args:
        path: of the file.
        frames: RGB, of one size.
        period_ms: time from one to the next.
        colours: in the palette, at most 256.
        hold_last_ms: how long the last one stays.
    """
    palette = _palette(frames, colours)
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    indexed[0].save(
        path,
        save_all=True,
        append_images=indexed[1:],
        duration=[period_ms] * (len(indexed) - 1) + [hold_last_ms],
        loop=0,
        optimize=False,
    )


class _Mp4:
    """MPEG-4 part 2, the codec that every build of OpenCV brings."""

    def __init__(self, path: Path, period_ms: int) -> None:
        self._path, self._rate_hz = path, 1000.0 / period_ms
        self._writer: Any = None

    def write(self, picture: np.ndarray) -> None:
        """Append one picture."""
        import cv2

        if self._writer is None:
            height, width = picture.shape[:2]
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), code, self._rate_hz, (width, height))
            if not self._writer.isOpened():
                raise SimulationError(
                    f"video {self._path} cannot be written: OpenCV opens no MPEG-4 encoder there; "
                    "write a .gif instead, or to another folder"
                )
        self._writer.write(np.ascontiguousarray(picture[:, :, ::-1]))

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()


class _Gif:
    """Keeps the pictures, smaller, until the palette is known."""

    def __init__(self, path: Path, period_ms: int) -> None:
        self._path, self._period_ms = path, period_ms
        self._frames: list[Image.Image] = []

    def write(self, picture: np.ndarray) -> None:
        """Append one picture."""
        frame = Image.fromarray(picture)
        if frame.width > _GIF_WIDTH_PX:
            height = round(frame.height * _GIF_WIDTH_PX / frame.width)
            frame = frame.resize((_GIF_WIDTH_PX, height), Image.Resampling.BILINEAR)
        self._frames.append(frame)

    def close(self) -> None:
        """Write the file."""
        if not self._frames:
            return
        try:
            save_gif(self._path, self._frames, self._period_ms, _GIF_COLOURS)
        except OSError as error:
            raise SimulationError(f"video {self._path} cannot be written: {error}") from error


def _palette(frames: Sequence[Image.Image], colours: int) -> Image.Image:
    """The frames' colours, and those of the drawing, which are too few pixels to be counted."""
    sample = frames[:: max(1, len(frames) // 8)]
    mosaic = Image.fromarray(np.concatenate([np.asarray(frame) for frame in sample]))
    drawn = [mix(BACKGROUND, colour, share) for colour in _DRAWN for share in (0.33, 0.66, 1.0)]
    counted = mosaic.quantize(
        colours - len(drawn), Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    values = (counted.getpalette() or [])[: 3 * (colours - len(drawn))]
    palette = Image.new("P", (1, 1))
    palette.putpalette(values + [channel for colour in drawn for channel in colour])
    return palette
