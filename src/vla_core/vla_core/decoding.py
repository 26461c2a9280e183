"""From messages to the arrays that a model sees.

Two steps. `reading_from_message` checks a message and takes out what matters; `decode` brings a
reading to the fixed shape of its stream. Live nodes, the converter and the simulator (which makes
readings without messages) share the second, so that all see the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from vla_core.action_messages import (
    action_from_message,
    dock_pose_from_message,
    fill_action_message,
)
from vla_core.contract_specs import ImageDecoder, OdometryDecoder, ScanDecoder, StreamSpec
from vla_core.errors import DecodeError
from vla_core.image_resizing import resize
from vla_core.readings import (
    ImageReading,
    OdometryReading,
    Reading,
    ScanReading,
    check_odometry,
    check_scan,
    reading_from_message,
    stamp_ns_of,
    stream_error,
)

__all__ = [
    "ImageReading",
    "OdometryReading",
    "Reading",
    "ScanReading",
    "action_from_message",
    "decode",
    "decode_images",
    "decode_scans",
    "dock_pose_from_message",
    "fill_action_message",
    "reading_from_message",
    "stamp_ns_of",
]


def decode(stream: StreamSpec, reading: Reading, out: np.ndarray | None = None) -> np.ndarray:
    """Bring a reading to the shape of its stream; equal readings give equal bits.

    - Image: crop, then means of whole blocks and linear interpolation, see `image_resizing`.
    - Scan: the nearest return in each sector. A range beyond the scanner's range_max, +inf
      included, is no return; one that is NaN, -inf or below range_min (the scanner's or the
      contract's) is ignored and counts as no obstacle. A sector without a return, or without a
      single sample, has the contract's range_max_m, which also caps every other value.
    - Odometry: the components that the contract names.

    Args:
        stream: which stream the reading belongs to.
        reading: of the kind that the stream's decoder takes.
        out: an array of the result's shape and dtype, contiguous, for an image; it is returned.

    Returns:
        An array of `stream.shape` and `stream.dtype`: (H, W, 3) uint8 RGB, (beams,) float32 [m]
        or (fields,) float32 [m/s, rad/s].

    Raises:
        DecodeError: if the reading is of another kind or holds something that cannot be right.
    """
    decoder = stream.decoder
    try:
        if isinstance(decoder, ImageDecoder) and isinstance(reading, ImageReading):
            return _decode_image(decoder, reading.rgb, out)
        if isinstance(decoder, ScanDecoder) and isinstance(reading, ScanReading):
            check_scan(reading)
            return decode_scans(decoder, np.asarray(reading.ranges, np.float32)[None], reading)[0]
        if isinstance(decoder, OdometryDecoder) and isinstance(reading, OdometryReading):
            check_odometry(reading)
            values = {"linear.x": reading.linear_x, "angular.z": reading.angular_z}
            return np.array([values[field] for field in decoder.fields], np.float32)
    except DecodeError as error:
        raise stream_error(stream, str(error)) from error
    raise stream_error(stream, f"got {type(reading).__name__}, expected a reading of {stream.type}")


def decode_images(
    stream: StreamSpec, images: Iterable[np.ndarray], out: Iterable[np.ndarray]
) -> None:
    """Several images of one camera, each as `decode` gives it.

    Args:
        stream: a stream of images.
        images: (H, W, 3) uint8 RGB each.
        out: for each an array of `stream.shape` and `stream.dtype`, contiguous.

    Raises:
        DecodeError: if an image has another form, or no pixels left after cropping.
    """
    decoder = stream.decoder
    if not isinstance(decoder, ImageDecoder):
        raise stream_error(stream, f"got images, expected readings of {stream.type}")
    try:
        for image, array in zip(images, out, strict=True):
            _decode_image(decoder, image, array)
    except DecodeError as error:
        raise stream_error(stream, str(error)) from error


def _decode_image(decoder: ImageDecoder, rgb: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise DecodeError(
            f"image of shape {rgb.shape} and type {rgb.dtype}, expected (H, W, 3) uint8"
        )
    cropped = rgb[_crop(rgb.shape[0], rgb.shape[1], decoder.crop)]
    if cropped.size == 0:
        raise DecodeError(
            f"image of {rgb.shape[1]} x {rgb.shape[0]} pixels has none left after cropping "
            f"{decoder.crop} (top, bottom, left, right)",
        )
    return resize(cropped, decoder.height, decoder.width, out)


@lru_cache(maxsize=32)
def _crop(height: int, width: int, crop: tuple[float, float, float, float]) -> tuple[slice, slice]:
    """Rows and columns that are left of an image."""
    top, bottom, left, right = crop
    return (
        slice(round(top * height), height - round(bottom * height)),
        slice(round(left * width), width - round(right * width)),
    )


def decode_scans(decoder: ScanDecoder, ranges: np.ndarray, scanner: ScanReading) -> np.ndarray:
    """Several scans of one scanner, each as `decode` gives it.

    Args:
        decoder: of the contract.
        ranges: (n, N) float32 [m], of each scan.
        scanner: a checked reading of N ranges, which says all the rest.

    Returns:
        (n, beams) float32 [m].
    """
    starts, sectors, is_once = _runs(
        decoder, ranges.shape[1], scanner.angle_min, scanner.angle_increment
    )
    nearest = max(scanner.range_min, decoder.range_min_m)
    returns = (ranges >= nearest) & (ranges <= scanner.range_max)
    values = np.where(returns, ranges, np.float32(decoder.range_max_m))
    found = np.minimum.reduceat(values, starts, axis=1)
    # One more, at -1, for directions outside.
    beams = np.full((len(ranges), decoder.beams + 1), decoder.range_max_m, np.float32)
    if is_once:
        beams[:, sectors] = np.minimum(found, beams[:, sectors])
    else:
        np.minimum.at(beams.T, sectors, found.T)
    return beams[:, :-1].copy()


@lru_cache(maxsize=32)
def _runs(
    decoder: ScanDecoder, count: int, angle_min: float, angle_increment: float
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Runs of directions in one sector: the first of each, its sector, whether sectors differ."""
    every = _sectors(decoder, count, angle_min, angle_increment)
    starts = np.flatnonzero(np.diff(every, prepend=every[0] - 1))
    sectors = every[starts]
    inside = sectors[sectors >= 0]
    return starts, sectors, len(np.unique(inside)) == len(inside)


@lru_cache(maxsize=32)
def _sectors(
    decoder: ScanDecoder, count: int, angle_min: float, angle_increment: float
) -> np.ndarray:
    """Which sector each of the scanner's directions falls into: (count,) int, -1 for none."""
    span = decoder.angle_max_rad - decoder.angle_min_rad
    offset = angle_min + np.arange(count) * angle_increment - decoder.angle_min_rad
    # A direction on a boundary must not fall to one side or the other by a rounding error of the
    # scanner's float32 angles: those below the start wrap to almost a full turn.
    tolerance = 1e-5
    offset = np.mod(offset + tolerance, math.tau)
    inside = offset <= span + 2.0 * tolerance
    sectors = np.minimum(np.floor(offset / span * decoder.beams), decoder.beams - 1)
    sectors = np.where(inside, sectors, -1).astype(np.int64)
    sectors.flags.writeable = False
    return sectors
