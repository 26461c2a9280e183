"""From messages to the arrays that a model sees.

Two steps. `reading_from_message` checks a message and takes out what matters; `decode` brings a
reading to the fixed shape of its stream. Live nodes, the converter and the simulator (which makes
readings without messages) share the second, so that all see the same bits.
"""

from __future__ import annotations

import math
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
    "dock_pose_from_message",
    "fill_action_message",
    "reading_from_message",
    "stamp_ns_of",
]


def decode(stream: StreamSpec, reading: Reading) -> np.ndarray:
    """Bring a reading to the shape of its stream; equal readings give equal bits.

    - Image: crop, then area average (shrinking) or linear interpolation (enlarging).
    - Scan: the nearest return in each sector. A range beyond the scanner's range_max, +inf
      included, is no return; one that is NaN, -inf or below range_min (the scanner's or the
      contract's) is ignored and counts as no obstacle. A sector without a return, or without a
      single sample, has the contract's range_max_m, which also caps every other value.
    - Odometry: the components that the contract names.

    Args:
        stream: which stream the reading belongs to.
        reading: of the kind that the stream's decoder takes.

    Returns:
        An array of `stream.shape` and `stream.dtype`: (H, W, 3) uint8 RGB, (beams,) float32 [m]
        or (fields,) float32 [m/s, rad/s].

    Raises:
        DecodeError: if the reading is of another kind or holds something that cannot be right.
    """
    decoder = stream.decoder
    try:
        if isinstance(decoder, ImageDecoder) and isinstance(reading, ImageReading):
            return _decode_image(decoder, reading.rgb)
        if isinstance(decoder, ScanDecoder) and isinstance(reading, ScanReading):
            check_scan(reading)
            return _decode_scan(decoder, reading)
        if isinstance(decoder, OdometryDecoder) and isinstance(reading, OdometryReading):
            check_odometry(reading)
            values = {"linear.x": reading.linear_x, "angular.z": reading.angular_z}
            return np.array([values[field] for field in decoder.fields], np.float32)
    except DecodeError as error:
        raise stream_error(stream, str(error)) from error
    raise stream_error(stream, f"got {type(reading).__name__}, expected a reading of {stream.type}")


def _decode_image(decoder: ImageDecoder, rgb: np.ndarray) -> np.ndarray:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise DecodeError(
            f"image of shape {rgb.shape} and type {rgb.dtype}, expected (H, W, 3) uint8"
        )
    height, width = rgb.shape[:2]
    top, bottom, left, right = decoder.crop
    rows = slice(round(top * height), height - round(bottom * height))
    columns = slice(round(left * width), width - round(right * width))
    cropped = rgb[rows, columns]
    if cropped.size == 0:
        raise DecodeError(
            f"image of {width} x {height} pixels has none left after cropping {decoder.crop} "
            "(top, bottom, left, right)",
        )
    return resize(cropped, decoder.height, decoder.width)


def _decode_scan(decoder: ScanDecoder, reading: ScanReading) -> np.ndarray:
    ranges = np.asarray(reading.ranges, np.float32)
    sectors = _sectors(decoder, ranges.size, reading.angle_min, reading.angle_increment)
    beams = np.full(decoder.beams, decoder.range_max_m, np.float32)
    nearest = max(reading.range_min, decoder.range_min_m)
    returns = (ranges >= nearest) & (ranges <= reading.range_max) & (sectors >= 0)
    np.minimum.at(beams, sectors[returns], ranges[returns])
    return beams


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
