"""Procedural textures, drawn from fixed seeds: floors, walls, and atlases for all the rest."""

from collections.abc import Callable

from vla_simulation.scenes.textures import floors, walls
from vla_simulation.scenes.textures.noise import Array

FLOORS: dict[str, Callable[[], Array]] = {
    "concrete": floors.concrete_floor,
    "patched": floors.patched_floor,
    "epoxy": floors.epoxy_floor,
    "blue_epoxy": floors.blue_epoxy_floor,
    "tile": floors.tile_floor,
    "asphalt": floors.asphalt_floor,
}
FLOOR_SIZE_M = 4.0
"""Length of floor that one texture shows."""

WALLS: dict[str, Callable[[], Array]] = {
    "painted": walls.painted_wall,
    "corrugated": walls.corrugated_wall,
    "brick": walls.brick_wall,
    "red_brick": walls.red_brick_wall,
    "block": walls.block_wall,
    "panel": walls.panel_wall,
    "concrete": walls.concrete_wall,
}
WALL_SIZE_M = (7.0, 3.5)
"""Length and height of wall that one texture shows."""
