"""Resizing images to the same bits on every machine.

Weights are multiples of 1/256 that add up to 256 per output pixel. Every product and partial sum
of the two passes is then an integer of at most 255 * 256 * 256 < 2**24, which float32 holds
exactly: whatever order, vector width or number of threads a BLAS uses, the result is the same.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_ONE = 256


@lru_cache(maxsize=64)
def resize_weights(source: int, target: int) -> np.ndarray:
    """Weights of one pass along one axis.

    Area average when shrinking (each output pixel is the mean of what it covers, so nothing
    aliases), linear interpolation between pixel centres when enlarging, identity for equal sizes.

    Args:
        source: pixels before.
        target: pixels after.

    Returns:
        (target, source) float32, read-only: whole numbers from 0 to 256, rows adding up to 256.
    """
    if target <= source:
        edges = np.arange(target + 1) * (source / target)
        pixels = np.arange(source)
        exact = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        exact = np.clip(exact, 0.0, None) * (target / source)
    else:
        centres = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
        exact = np.clip(1.0 - np.abs(centres[:, None] - np.arange(source)), 0.0, None)
    weights = _round_to_sum(exact * _ONE)
    weights.flags.writeable = False
    return weights


def _round_to_sum(weights: np.ndarray) -> np.ndarray:
    """Round each row to integers that add up to 256 (largest remainders are rounded up)."""
    whole = np.floor(weights + 1e-9)
    missing = (_ONE - whole.sum(axis=1)).astype(int)
    order = np.argsort(-(weights - whole), axis=1, kind="stable")
    for row, count in enumerate(missing):
        whole[row, order[row, :count]] += 1.0
    return whole.astype(np.float32)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image.

    Args:
        image: (H, W, C) uint8.
        height: rows of the result.
        width: columns of the result.

    Returns:
        (height, width, C) uint8, rounded to the nearest value.
    """
    rows, columns, channels = image.shape
    if (rows, columns) == (height, width):
        return image.copy()
    # Rows first: a single product of two matrices, and it leaves less for the columns.
    pixels = image.astype(np.float32).reshape(rows, columns * channels)
    pixels = (resize_weights(rows, height) @ pixels).reshape(height, columns, channels)
    pixels = resize_weights(columns, width) @ pixels  # (height, columns, C) -> (height, width, C)
    pixels *= 1.0 / (_ONE * _ONE)
    return np.rint(pixels, out=pixels).astype(np.uint8)
