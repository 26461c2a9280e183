"""The outline of a station in the scanner's plane: what a planar scan of it can show."""

import math
from collections.abc import Iterable

import numpy as np

from vla_simulation.scenes.station_shapes import Solid

_CYLINDER_SIDES = 24
_PIECE_M = 0.03
_SHORT_OF_M = 1e-3


def section(solids: Iterable[Solid], height_m: float) -> np.ndarray:
    """Cut upright solids at a height.

    Returns:
        (S, 2, 2) [m] segments in the frame of the solids.
    """
    outlines = [
        _ring(solid)
        for solid in solids
        if abs(height_m - solid.centre[2]) < solid.size[2 if solid.kind == "box" else 1]
    ]
    segments = [np.stack([ring, np.roll(ring, -1, axis=0)], axis=1) for ring in outlines]
    return np.concatenate(segments) if segments else np.zeros((0, 2, 2))


def seen_from(segments: np.ndarray, viewpoints: np.ndarray) -> np.ndarray:
    """The parts of segments that are in sight of any of some places.

    Args:
        segments: (S, 2, 2) [m].
        viewpoints: (V, 2) [m].

    Returns:
        (P, 2, 2) pieces, a few centimetres long at most.
    """
    pieces = _pieces(segments)
    middles = pieces.mean(axis=1)
    seen = np.zeros(len(pieces), bool)
    for viewpoint in viewpoints:
        sight = middles - viewpoint
        # A little short of the piece itself.
        length = np.linalg.norm(sight, axis=1, keepdims=True)
        seen |= ~_crossed(viewpoint, middles - sight / length * _SHORT_OF_M, segments)
    return pieces[seen]


def _ring(solid: Solid) -> np.ndarray:
    """(K, 2) [m] corners of a solid's horizontal section."""
    if solid.kind == "box":
        corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * solid.size[:2]
    else:
        angles = np.arange(_CYLINDER_SIDES) * math.tau / _CYLINDER_SIDES
        # Corners so far out that the mean radius is the circle's.
        half = math.pi / _CYLINDER_SIDES
        radius = solid.size[0] * math.sqrt(half / (math.sin(half) * math.cos(half)))
        corners = radius * np.column_stack([np.cos(angles), np.sin(angles)])
    cos, sin = math.cos(solid.yaw), math.sin(solid.yaw)
    ring: np.ndarray = corners @ np.array([[cos, sin], [-sin, cos]]) + solid.centre[:2]
    return ring


def _pieces(segments: np.ndarray) -> np.ndarray:
    pieces = [np.zeros((0, 2, 2))]
    for start, end in segments:
        count = max(1, math.ceil(float(np.linalg.norm(end - start)) / _PIECE_M))
        marks = start + np.linspace(0.0, 1.0, count + 1)[:, None] * (end - start)
        pieces.append(np.stack([marks[:-1], marks[1:]], axis=1))
    return np.concatenate(pieces)


def _crossed(start: np.ndarray, ends: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """(N,) bool: whether any segment lies between a place and each of (N, 2) others."""
    way = (ends - start)[:, None]
    first, along = segments[None, :, 0] - start, segments[None, :, 1] - segments[None, :, 0]
    cross = _cross(way, along)
    with np.errstate(divide="ignore", invalid="ignore"):
        on_way = _cross(first, along) / cross
        on_segment = _cross(first, way) / cross
    hit = (on_way > 0.0) & (on_way < 1.0) & (on_segment >= 0.0) & (on_segment <= 1.0)
    crossed: np.ndarray = hit.any(axis=1)
    return crossed


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    product: np.ndarray = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return product
