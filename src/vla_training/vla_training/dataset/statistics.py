"""Statistics of rows that add up: of blocks to a part, of parts to a data set.

Images are sampled, see `sampled`; of everything else all values count. Moments and extremes are
those of what counts. Quantiles come from histograms: of bytes one bin per value, which is exact; of
floats one bin per bfloat16 number (sign, exponent and 7 bits of mantissa), whose middle lies within
2^-8 (0.4 %) of every value in it, whatever the range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import h5py
import numpy as np

from vla_core import keys
from vla_core.contract import Contract
from vla_core.normalization import FieldStatistics, Statistics
from vla_core.opencv import cv2
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    DOCK_POSE,
    DOCK_POSE_VALID,
    VALID,
    Rows,
    observation,
)

QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BIN_BITS: Final = 16
_BIN_MASK: Final = (1 << _BIN_BITS) - 1
_LEVELS: Final = 256
_IMAGE_DIMENSIONS: Final = 4

PIXEL_ROW_STEP: Final = 8
"""Of an image, one row of pixels in so many is counted."""


@dataclass(frozen=True, eq=False)
class KeyStatistics:
    """Statistics of one key, per component of the last axis.

    Attributes:
        moments: Mean, deviation, extremes and count.
        bins: (K,) uint32, ascending: component times 2^16 plus bin.
        counts: (K,) int64, values in each of them.
        is_bytes: Whether a bin is a byte or the upper half of a float32.
    """

    moments: FieldStatistics
    bins: np.ndarray
    counts: np.ndarray
    is_bytes: bool

    @classmethod
    def of(cls, array: np.ndarray) -> KeyStatistics:
        """Of an array (..., C), finite and not empty, of uint8 or float32."""
        if array.dtype == np.uint8:
            return cls.of_histograms(count_bytes(array))
        values = np.ascontiguousarray(array, np.float32).reshape(-1, array.shape[-1])
        # -0.0 and 0.0 are one value.
        upper = (values + np.float32(0.0)).view(np.uint32) >> _BIN_BITS
        upper |= np.arange(values.shape[1], dtype=np.uint32) << _BIN_BITS
        bins, counts = np.unique(upper, return_counts=True)
        return cls(FieldStatistics.from_array(values), bins, counts, is_bytes=False)

    @classmethod
    def of_histograms(cls, histograms: np.ndarray) -> KeyStatistics:
        """Of bytes that are counted already: (C, 256) int64, see `count_bytes`."""
        component, level = np.nonzero(histograms)
        bins = (component << _BIN_BITS | level).astype(np.uint32)
        return cls(_moments(histograms), bins, histograms[component, level], is_bytes=True)

    def merged(self, other: KeyStatistics) -> KeyStatistics:
        """Statistics of both sets of values together."""
        bins, where = np.unique(np.concatenate([self.bins, other.bins]), return_inverse=True)
        counts = np.zeros(len(bins), np.int64)
        np.add.at(counts, where, np.concatenate([self.counts, other.counts]))
        moments = self.moments.merged(other.moments)
        return KeyStatistics(moments, bins, counts, self.is_bytes)

    def quantiles(self, shares: Sequence[float]) -> np.ndarray:
        """The smallest values that at least these shares of the values do not exceed.

        Args:
            shares: (Q,) above 0, up to 1.

        Returns:
            (Q, C) float64.
        """
        levels = self.bins & _BIN_MASK
        values = levels.astype(np.float64) if self.is_bytes else _middles(levels)
        components = self.moments.mean.size
        limits = np.searchsorted(self.bins >> _BIN_BITS, np.arange(components + 1))
        result = np.empty((len(shares), components))
        for index in range(components):
            mine = slice(limits[index], limits[index + 1])
            order = np.argsort(values[mine])
            reached = np.cumsum(self.counts[mine][order])
            # Not one value too far for a share that rounding has put a little above a whole count.
            wanted = np.array(shares) * reached[-1] * (1.0 - 1e-12)
            result[:, index] = values[mine][order][np.searchsorted(reached, wanted)]
        return np.clip(result, self.moments.min, self.moments.max)


def sampled(images: np.ndarray) -> np.ndarray:
    """What counts of images: rows of pixels at equal distances, from half a distance on.

    Neighbouring pixels are nearly equal; to count all of them takes as long as decoding them.

    Args:
        images: (N, H, W, C) uint8.

    Returns:
        (N, h, W, C) uint8, a view; h is at least 1.
    """
    return images[:, min(PIXEL_ROW_STEP, images.shape[1]) // 2 :: PIXEL_ROW_STEP]


def count_bytes(array: np.ndarray) -> np.ndarray:
    """(C, 256) int64: how often each byte occurs in an array (..., W, C), less than 2^24 each."""
    components = array.shape[-1]
    pixels = array.reshape(-1, *array.shape[-2:])  # rows may lie apart
    counts = [
        cv2.calcHist([pixels], [component], None, [_LEVELS], [0, _LEVELS]).ravel()
        for component in range(components)
    ]
    return np.stack(counts).astype(np.int64)  # from float32, which is exact up to 2^24


def _middles(levels: np.ndarray) -> np.ndarray:
    """Middle of each bin of floats."""
    half = np.uint32(1 << _BIN_BITS - 1)
    return (levels.astype(np.uint32) << _BIN_BITS | half).view(np.float32).astype(np.float64)


def _moments(histograms: np.ndarray) -> FieldStatistics:
    """Exact moments of bytes from their (C, 256) counts."""
    levels = np.arange(_LEVELS, dtype=np.float64)
    count = int(histograms[0].sum())
    mean = histograms @ levels / count
    square = np.square(levels - mean[:, None])
    seen = histograms > 0
    return FieldStatistics(
        mean=mean,
        std=np.sqrt((histograms * square).sum(axis=1) / count),
        min=levels[seen.argmax(axis=1)],
        max=levels[_LEVELS - 1 - seen[:, ::-1].argmax(axis=1)],
        count=count,
    )


PartStatistics = Mapping[str, KeyStatistics]
"""Statistics by key: the contract's streams, the action and the dock pose."""


def of_rows(rows: Rows, contract: Contract) -> dict[str, KeyStatistics]:
    """Statistics by key of what is valid in some rows; a key without a valid row is left out.

    Args:
        rows: May lack arrays; those that are there come with their masks.
        contract: What the rows are.
    """
    masks: dict[str, tuple[str, np.ndarray | None]] = {
        key: (observation(key), rows[VALID][:, i])
        for i, key in enumerate(contract.keys)
        if VALID in rows
    }
    masks[keys.ACTION] = (ACTION, rows.get(ACTION_VALID))
    masks[keys.DOCK_POSE] = (DOCK_POSE, rows.get(DOCK_POSE_VALID))
    found = {}
    for key, (name, mask) in masks.items():
        if name in rows and mask is not None and mask.any():
            array = rows[name] if mask.all() else rows[name][mask]
            found[key] = KeyStatistics.of(
                sampled(array) if array.ndim == _IMAGE_DIMENSIONS else array
            )
    return found


def merged(total: PartStatistics, part: PartStatistics) -> dict[str, KeyStatistics]:
    """Statistics of both sets of rows."""
    result = dict(total)
    for key, statistics in part.items():
        result[key] = result[key].merged(statistics) if key in result else statistics
    return result


def merged_all(parts: Sequence[PartStatistics]) -> dict[str, KeyStatistics]:
    """Statistics of the rows of all parts; in pairs, since merging takes as long as both are."""
    while len(parts) > 1:
        pairs = [merged(*parts[i : i + 2]) for i in range(0, len(parts) - 1, 2)]
        parts = [*pairs, *parts[2 * len(pairs) :]]
    return dict(parts[0]) if parts else {}


def normalizing(total: PartStatistics, contract: Contract) -> Statistics:
    """The moments, with the contract's way to normalise each key."""
    methods = {stream.key: stream.normalization for stream in contract.streams}
    methods[keys.ACTION] = contract.action.normalization
    return Statistics(
        {
            key: replace(statistics.moments, normalization=methods.get(key, "mean_std"))
            for key, statistics in total.items()
        }
    )


_HISTOGRAM: Final = np.dtype(
    [("key", "u1"), ("component", "<u2"), ("bin", "<u2"), ("count", "<i8")]
)


def write(group: h5py.Group, statistics: PartStatistics) -> None:
    """Store statistics in a group of a file: few arrays, each of which costs a fifth of a row.

    `keys` (K,) names; `moments` (M, 4) mean, std, min, max of all components of all keys one
    after the other; `sizes` (K, 3) components, values of each, whether bins are bytes;
    `histograms` key, component, bin and count of every bin that is not empty.
    """
    columns = [
        (value.moments.mean, value.moments.std, value.moments.min, value.moments.max)
        for value in statistics.values()
    ]
    histograms = np.zeros(sum(len(value.bins) for value in statistics.values()), _HISTOGRAM)
    sizes = np.zeros((len(statistics), 3), np.int64)
    start = 0
    for number, value in enumerate(statistics.values()):
        mine = histograms[start : start + len(value.bins)]
        mine["key"], mine["count"] = number, value.counts
        mine["component"], mine["bin"] = value.bins >> _BIN_BITS, value.bins & _BIN_MASK
        sizes[number] = value.moments.mean.size, value.moments.count, value.is_bytes
        start += len(value.bins)
    group.attrs["keys"] = list(statistics)
    group["sizes"] = sizes
    group["moments"] = np.concatenate(
        [np.stack(each, axis=1) for each in columns] or [np.zeros((0, 4))]
    )
    group["histograms"] = histograms


def read(group: h5py.Group) -> dict[str, KeyStatistics]:
    """What `write` stored."""
    found = {}
    moments, histograms = group["moments"][:], group["histograms"][:]
    bins = histograms["component"].astype(np.uint32) << _BIN_BITS | histograms["bin"]
    start = 0
    sizes = group["sizes"][:].tolist()
    for number, (key, (components, count, is_bytes)) in enumerate(
        zip(group.attrs["keys"], sizes, strict=True)
    ):
        mean, std, low, high = moments[start : start + components].T
        mine = histograms["key"] == number
        found[str(key)] = KeyStatistics(
            FieldStatistics(mean, std, low, high, count),
            bins[mine],
            histograms["count"][mine],
            bool(is_bytes),
        )
        start += components
    return found
