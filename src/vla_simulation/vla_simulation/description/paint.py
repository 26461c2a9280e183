"""Paint on the floor: what the MuJoCo model shows as half-transparent pictures, as thin boxes."""

from collections.abc import Iterator

import numpy as np

from vla_simulation.description.media import mean_colour
from vla_simulation.description.parts import Material, Shape
from vla_simulation.description.rotations import IDENTITY
from vla_simulation.scenes.meshes import Mesh
from vla_simulation.scenes.textures.atlas import DECALS, Atlas, Tile

_PREFIX = "paint_"
_HALF_THICKNESS_M = 0.0004


def painted_boxes(mesh: Mesh) -> tuple[Shape, ...]:
    """The quads of a mesh that show a plain paint; shadows and dirt are left to Gazebo's lights."""
    decals = DECALS
    paints = {name: tile for name, tile in decals.tiles.items() if name.startswith(_PREFIX)}
    shapes = []
    for points, texcoords in _quads(mesh):
        middle = texcoords.mean(axis=0)
        for tile in paints.values():
            if _holds(tile, middle):
                shapes.append(_box(points, Material((*_colour(decals, tile), 1.0), 0.1)))
    return tuple(shapes)


def _quads(mesh: Mesh) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for first in range(0, len(mesh.vertices), 4):
        quad = slice(first, first + 4)
        yield mesh.vertices[quad], mesh.texcoords[quad]


def _holds(tile: Tile, point: np.ndarray) -> bool:
    return bool(tile.left <= point[0] <= tile.right and tile.top <= point[1] <= tile.bottom)


def _colour(decals: Atlas, tile: Tile) -> tuple[float, float, float]:
    height, width = decals.image.shape[:2]
    rows = slice(round(tile.top * height), round(tile.bottom * height))
    columns = slice(round(tile.left * width), round(tile.right * width))
    return mean_colour(decals.image[rows, columns])


def _box(points: np.ndarray, material: Material) -> Shape:
    low, high = points.min(axis=0), points.max(axis=0)
    x, y, z = ((low + high) / 2).tolist()
    half_x, half_y, _ = ((high - low) / 2).tolist()
    size = (half_x, half_y, _HALF_THICKNESS_M)
    return Shape("", "box", (x, y, z), IDENTITY, size, material, False, 1.0)
