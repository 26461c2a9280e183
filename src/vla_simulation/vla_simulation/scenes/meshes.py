"""Builds textured meshes out of quads: a whole prop becomes one mesh, one geom, one draw call."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vla_simulation.scenes.textures.atlas import Tile

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Mesh:
    """Triangles with a normal and a texture coordinate at every vertex.

    Attributes:
        vertices: (V, 3) [m].
        normals: (V, 3) unit vectors.
        texcoords: (V, 2) u to the right, v downwards, 0 to 1.
        faces: (F, 3) indices, counter-clockwise from outside.
    """

    vertices: np.ndarray
    normals: np.ndarray
    texcoords: np.ndarray
    faces: np.ndarray


class MeshBuilder:
    """Collects quads.

    Every method returns the builder, so that calls can be chained.

    Args:
        tile: tells where in the mesh's texture a picture lies.
    """

    def __init__(self, tile: Callable[[str], Tile]) -> None:
        self._tile = tile
        self._corners: list[np.ndarray] = []
        self._normals: list[np.ndarray | None] = []
        self._pictures: list[tuple[float, float, float, float]] = []

    def quad(
        self,
        corners: Sequence[Vector] | np.ndarray,
        tile: str,
        part: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
        normals: np.ndarray | None = None,
    ) -> "MeshBuilder":
        """One flat piece.

        Args:
            corners: four points: lower left, lower right, upper right, upper left, seen from
                outside.
            tile: its picture.
            part: what of the picture is shown: left, top, right, bottom.
            normals: (4, 3), for a curved surface; that of the flat piece by default.
        """
        box = self._tile(tile)
        width, height = box.right - box.left, box.bottom - box.top
        self._corners.append(np.asarray(corners, float))
        self._normals.append(normals)
        self._pictures.append(
            (
                box.left + width * part[0],
                box.top + height * part[1],
                box.left + width * part[2],
                box.top + height * part[3],
            )
        )
        return self

    def box(
        self,
        centre: Vector,
        half: Vector,
        side: str,
        top: str | None = None,
        front: str | None = None,
        yaw: float = 0.0,
        bottom: bool = False,
    ) -> "MeshBuilder":
        """A box, turned about its vertical axis.

        Args:
            centre: of the box.
            half: half its size along x, y and z.
            side: picture of the faces across x and y.
            top: picture of the upper face; the same as the sides by default.
            front: picture of the face at +x; the same as the sides by default.
            yaw: of the box, counter-clockwise from above.
            bottom: whether the lower face is there too; nobody sees it on the floor.
        """
        hx, hy, hz = half
        top = top or side
        faces = [
            (front or side, [(hx, -hy, -hz), (hx, hy, -hz), (hx, hy, hz), (hx, -hy, hz)]),
            (side, [(-hx, hy, -hz), (-hx, -hy, -hz), (-hx, -hy, hz), (-hx, hy, hz)]),
            (side, [(hx, hy, -hz), (-hx, hy, -hz), (-hx, hy, hz), (hx, hy, hz)]),
            (side, [(-hx, -hy, -hz), (hx, -hy, -hz), (hx, -hy, hz), (-hx, -hy, hz)]),
            (top, [(hx, -hy, hz), (hx, hy, hz), (-hx, hy, hz), (-hx, -hy, hz)]),
        ]
        if bottom:
            faces.append((side, [(-hx, -hy, -hz), (-hx, hy, -hz), (hx, hy, -hz), (hx, -hy, -hz)]))
        cos, sin = math.cos(yaw), math.sin(yaw)
        turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
        placed = np.array([corners for _, corners in faces]) @ turn + np.array(centre)
        for (tile, _), corners in zip(faces, placed, strict=True):
            self.quad(corners, tile)
        return self

    def prism(
        self,
        centre: Vector,
        radii: tuple[float, float],
        half_height: float,
        side: str,
        top: str | None = None,
        sides: int = 12,
        stretch: float = 1.0,
        lying: bool = False,
    ) -> "MeshBuilder":
        """A round body: cylinder, cone or frustum, shaded smoothly.

        Args:
            centre: halfway up its axis.
            radii: below and above.
            half_height: half its height.
            side: picture around the mantle, once around.
            top: picture of the upper disc, of both discs if it lies; none by default.
            sides: of the polygon.
            stretch: of the cross-section along y.
            lying: its axis points along y, its upper end to -y, instead of upwards.
        """
        turn = np.array([(1.0, 0, 0), (0, 0, 1), (0, -1, 0)]) if lying else np.eye(3)
        position = np.array(centre)
        angles = np.linspace(0.0, math.tau, sides + 1)
        ring = np.stack([np.cos(angles), stretch * np.sin(angles), np.zeros(sides + 1)], 1)
        outward = np.stack([stretch * np.cos(angles), np.sin(angles), np.zeros(sides + 1)], 1)
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        up = np.array([0.0, 0.0, half_height])
        low = (ring * radii[0] - up) @ turn + position
        high = (ring * radii[1] + up) @ turn + position
        outward, up = outward @ turn, up @ turn
        for k in range(sides):
            share = (k / sides, 0.0, (k + 1) / sides, 1.0)
            normals = np.stack([outward[k], outward[k + 1], outward[k + 1], outward[k]])
            self.quad(np.stack([low[k], low[k + 1], high[k + 1], high[k]]), side, share, normals)
        if top is not None:
            self._disc(high, position + up, up, top)
            if lying:
                self._disc(low[::-1], position - up, -up, top)
        return self

    def _disc(self, ring: np.ndarray, middle: np.ndarray, up: np.ndarray, tile: str) -> None:
        """A fan of quads, two sides of the polygon each."""
        normals = np.tile(up / np.linalg.norm(up), (4, 1))
        for k in range(0, len(ring) - 1, 2):
            last = min(k + 2, len(ring) - 1)
            self.quad(np.stack([middle, ring[k], ring[k + 1], ring[last]]), tile, normals=normals)

    def panel(
        self, x: float, y: tuple[float, float], z: tuple[float, float], tile: str
    ) -> "MeshBuilder":
        """An upright picture that faces +x."""
        return self.quad([(x, y[0], z[0]), (x, y[1], z[0]), (x, y[1], z[1]), (x, y[0], z[1])], tile)

    def patch(
        self, x: tuple[float, float], y: tuple[float, float], tile: str, height: float
    ) -> "MeshBuilder":
        """A picture on the floor; its upper edge lies at the larger x."""
        return self.quad(
            [
                (x[0], y[1], height),
                (x[0], y[0], height),
                (x[1], y[0], height),
                (x[1], y[1], height),
            ],
            tile,
        )

    def build(self) -> Mesh:
        """The collected mesh."""
        corners = np.stack(self._corners)  # (Q, 4, 3)
        flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0])
        flat /= np.linalg.norm(flat, axis=1, keepdims=True)
        normals = np.repeat(flat[:, None], 4, axis=1)
        for k, curved in enumerate(self._normals):
            if curved is not None:
                normals[k] = curved
        pictures = np.array(self._pictures)
        texcoords = pictures[:, [0, 3, 2, 3, 2, 1, 0, 1]]
        first = np.arange(0, 4 * len(corners), 4)[:, None]
        return Mesh(
            corners.reshape(-1, 3),
            normals.reshape(-1, 3),
            texcoords.reshape(-1, 2),
            (first + np.array([0, 1, 2, 0, 2, 3])).reshape(-1, 3),
        )
