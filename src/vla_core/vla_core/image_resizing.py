"""Resizing images to the same bits wherever they are resized.

Two steps of integer arithmetic: means of whole blocks of pixels, so that nothing aliases, then
linear interpolation between pixel centres for what is left, a factor below two. OpenCV does both;
of its methods these are the fastest that give equal bits whatever the vector width. A test holds
them against the arithmetic written out.
"""

from __future__ import annotations

import numpy as np

from vla_core.opencv import cv2


def resize(image: np.ndarray, height: int, width: int, out: np.ndarray | None = None) -> np.ndarray:
    """Resize an image.

    Where a side shrinks to a half or less, blocks of `side // target` pixels are averaged first;
    up to one block's worth of pixels in all, left over at the two ends, is cut off. That is at
    most one pixel of the result over the whole side.

    Args:
        image: (H, W, 3) uint8. Rows may lie apart in memory, as those of a crop do.
        height: rows of the result.
        width: columns of the result.
        out: (height, width, 3) uint8, contiguous, for the result; None for a new array.

    Returns:
        (height, width, 3) uint8, rounded to the nearest value; `out` or an array of its own.
    """
    if out is None:
        out = np.empty((height, width, 3), np.uint8)
    rows, columns = image.shape[:2]
    blocks = max(1, rows // height), max(1, columns // width)
    if blocks != (1, 1):
        image = _block_means(image, *blocks)
    if image.shape[:2] == (height, width):
        np.copyto(out, image)
        return out
    return cv2.resize(image, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)


def _block_means(image: np.ndarray, block_rows: int, block_columns: int) -> np.ndarray:
    height, width = image.shape[0] // block_rows, image.shape[1] // block_columns
    top = (image.shape[0] - height * block_rows) // 2
    left = (image.shape[1] - width * block_columns) // 2
    whole = image[top : top + height * block_rows, left : left + width * block_columns]
    # The area method is exact and fast only for whole factors.
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
