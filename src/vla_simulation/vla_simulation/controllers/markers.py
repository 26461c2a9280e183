"""Square markers: where they are, and their edges in an image."""

import math
from dataclasses import dataclass

import numpy as np

from vla_core.opencv import cv2

MODULES = 6
"""Cells along the side of a DICT_4X4 marker, black border included."""

_MIN_CONTRAST = 25.0


@dataclass(frozen=True)
class Marker:
    """A marker on a station.

    Attributes:
        number: in the dictionary.
        size_m: edge of the black square.
        dock_from_marker: (4, 4), marker frame: x right and y up for who looks at it, z towards him.
    """

    number: int
    size_m: float
    dock_from_marker: np.ndarray

    @property
    def corners(self) -> np.ndarray:
        """(4, 3) [m] in the marker frame: top left, top right, bottom right, bottom left."""
        half = self.size_m / 2
        return np.array(
            [[-half, half, 0.0], [half, half, 0.0], [half, -half, 0.0], [-half, -half, 0.0]]
        )


def upright_marker(front_m: float, height_m: float) -> np.ndarray:
    """(4, 4) dock_from_marker of a marker that faces a robot in front of the dock.

    Args:
        front_m: the marker's plane, in the dock frame.
        height_m: its centre above the floor.
    """
    transform = np.eye(4)
    transform[:3, :3] = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    transform[:3, 3] = (front_m, 0.0, height_m)
    return transform


def edge_points(grey: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Where brightness rises across an edge of a dark square, to a fraction of a pixel.

    Args:
        grey: (H, W) uint8.
        start: (2,) corner [px]; going from it to the end, the square lies to the right.
        end: (2,) next corner [px].

    Returns:
        (N, 2) [px] along the edge; fewer than its length where there is too little contrast.
    """
    along = end - start
    length = float(np.linalg.norm(along))
    if length < MODULES:
        return np.zeros((0, 2))
    along = along / length
    outward = np.array([along[1], -along[0]])
    # Neither the code inside nor what lies beyond the white margin belongs to the edge.
    reach = min(4.0, 0.7 * length / MODULES)
    depths = np.linspace(-reach, reach, 2 * math.ceil(2 * reach) + 1)
    marks = np.arange(0.08 * length, 0.92 * length, 1.0)
    places = start + marks[:, None, None] * along + depths[None, :, None] * outward
    profile = cv2.remap(
        grey, places[..., 0].astype(np.float32), places[..., 1].astype(np.float32), cv2.INTER_LINEAR
    ).astype(np.float64)
    rise = np.maximum(np.diff(profile, axis=1), 0.0)
    total = rise.sum(axis=1)
    clear = total > _MIN_CONTRAST
    middles = (depths[:-1] + depths[1:]) / 2
    depth = (rise[clear] * middles).sum(axis=1) / total[clear]
    points: np.ndarray = start + marks[clear, None] * along + depth[:, None] * outward
    return points
