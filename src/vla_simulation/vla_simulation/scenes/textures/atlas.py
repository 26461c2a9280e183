"""Atlases: many small pictures in one texture, so that a whole prop is one mesh and one draw call.

Drawing costs by the geom rather than by the triangle (about 6 microseconds each in software), so
every prop is a single mesh whose faces take their pictures from here.
"""

import functools
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vla_simulation.errors import SimulationError
from vla_simulation.scenes.textures import decals, goods, materials, signs
from vla_simulation.scenes.textures.goods import Painter
from vla_simulation.scenes.textures.noise import Array

_CELL_PX = 64
_INSET_PX = 1.5
"""Keeps the filtered border of a tile clear of its neighbour."""


@dataclass(frozen=True)
class Tile:
    """Where a picture lies in its atlas; u to the right, v downwards, 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Atlas:
    """A packed texture.

    Attributes:
        image: (H, W, 3 or 4) uint8, RGB or RGBA.
        tiles: by name.
    """

    image: Array
    tiles: Mapping[str, Tile]

    def tile(self, name: str) -> Tile:
        """Look a tile up.

        Raises:
            SimulationError: there is none of this name.
        """
        if name not in self.tiles:
            raise SimulationError(
                f"texture tile '{name}' is unknown, expected one of: {', '.join(self.tiles)}"
            )
        return self.tiles[name]


WHOLE_TEXTURE = Atlas(np.zeros((1, 1, 3), np.uint8), {"all": Tile(0.0, 0.0, 1.0, 1.0)})
"""For a mesh that has a texture of its own."""

_CARTON = (192, 152, 104)
_CARTON_PALE = (206, 172, 126)
_CARTON_DARK = (158, 118, 76)

_PROP_TILES: dict[str, tuple[tuple[int, int], Painter]] = {
    # name: ((rows, columns) in cells, painter)
    "roller_door": ((4, 4), signs.roller_door),
    "wrapped": ((4, 4), goods.wrapped((206, 212, 214), 0.66, _CARTON)),
    "wrapped_black": ((4, 4), goods.wrapped((26, 27, 30), 0.10, _CARTON)),
    "partition": ((4, 4), materials.partition((98, 116, 128))),
    "sacks": ((2, 2), goods.sacks),
    "tank_cage": ((2, 2), goods.tank_cage),
    "strip_curtain": ((2, 2), materials.strip_curtain),
    "mesh_fence": ((2, 2), materials.mesh_fence),
    "plywood": ((2, 2), materials.plywood),
    "door_grey": ((4, 2), signs.personnel_door((138, 144, 148))),
    "door_green": ((4, 2), signs.personnel_door((76, 104, 92))),
    "upright_blue": ((4, 1), materials.upright((36, 68, 132))),
    "upright_grey": ((4, 1), materials.upright((112, 118, 122))),
    "vented_cabinet": ((4, 2), materials.vented_cabinet((152, 156, 154))),
    "hazard": ((4, 2), materials.hazard((32, 32, 33), (222, 178, 30))),
    "hazard_red": ((2, 1), materials.hazard((226, 224, 218), (176, 34, 32))),
    "window": ((2, 4), signs.window),
    "pallet_end": ((2, 2), materials.pallet_end),
    "boards": ((2, 2), materials.boards),
    "carton_a": ((2, 2), goods.carton(_CARTON, (214, 196, 158), (92, 62, 38), True)),
    "carton_b": ((2, 2), goods.carton(_CARTON_PALE, (190, 160, 118), (150, 44, 36), False)),
    "carton_c": ((2, 2), goods.carton(_CARTON_DARK, (206, 186, 146), (40, 32, 26), True)),
    "carton_d": ((2, 2), goods.carton((218, 214, 204), (190, 190, 186), (36, 78, 128), True)),
    "carton_top": ((1, 1), goods.carton_top(_CARTON)),
    "carton_top_pale": ((1, 1), goods.carton_top(_CARTON_PALE)),
    "tote_blue": ((2, 2), goods.tote((46, 88, 148))),
    "tote_grey": ((2, 2), goods.tote((112, 116, 120))),
    "tote_green": ((1, 1), goods.tote((58, 116, 82))),
    "tote_red": ((1, 1), goods.tote((150, 50, 44))),
    "tote_top_blue": ((1, 1), goods.tote_top((46, 88, 148))),
    "tote_top_grey": ((1, 1), goods.tote_top((112, 116, 120))),
    "drum_blue": ((2, 1), goods.drum((32, 66, 122))),
    "drum_black": ((2, 1), goods.drum((34, 35, 38))),
    "beam_orange": ((1, 1), materials.paint_coat((206, 98, 30), 0.5)),
    "beam_yellow": ((1, 1), materials.paint_coat((212, 170, 38), 0.5)),
    "machine_yellow": ((1, 1), materials.paint_coat((218, 164, 28), 0.3)),
    "machine_red": ((1, 1), materials.paint_coat((166, 38, 32), 0.3)),
    "cone": ((1, 1), materials.cone),
    "lamp": ((1, 1), materials.paint_coat((255, 253, 244), 0.0, 0.0)),
    "tread": ((1, 1), materials.paint_coat((38, 38, 40), 0.0, 0.5)),
    "steel": ((1, 1), materials.paint_coat((150, 154, 158), 0.2)),
    "steel_dark": ((1, 1), materials.paint_coat((66, 69, 73), 0.3)),
    "plastic_black": ((1, 1), materials.paint_coat((30, 31, 33), 0.0, 0.2)),
    "plastic_grey": ((1, 1), materials.paint_coat((92, 97, 101), 0.1)),
    "plastic_green": ((1, 1), materials.paint_coat((44, 92, 60), 0.1)),
    "white_shell": ((1, 1), materials.paint_coat((222, 224, 226), 0.05, 0.2)),
    "concrete": ((1, 1), materials.rough_concrete),
    "extinguisher": ((1, 1), materials.paint_coat((184, 24, 26), 0.05)),
    "vest_yellow": ((2, 1), materials.vest((206, 226, 44))),
    "vest_orange": ((2, 1), materials.vest((240, 112, 32))),
    "trousers": ((1, 1), materials.cloth((48, 56, 78))),
    "trousers_grey": ((1, 1), materials.cloth((86, 86, 84))),
    "sleeve": ((1, 1), materials.cloth((60, 74, 104))),
    "skin": ((1, 1), materials.paint_coat((196, 148, 118), 0.0, 0.1)),
    "skin_dark": ((1, 1), materials.paint_coat((122, 84, 62), 0.0, 0.1)),
    "helmet": ((1, 1), materials.paint_coat((232, 232, 226), 0.05, 0.1)),
    "helmet_yellow": ((1, 1), materials.paint_coat((226, 190, 40), 0.05, 0.1)),
    "notice_blue": ((2, 1), signs.notice((38, 88, 152), 5)),
    "notice_yellow": ((2, 1), signs.notice((216, 176, 34), 4)),
    "extinguisher_sign": ((1, 1), signs.extinguisher_sign),
    "exit_sign": ((1, 1), signs.exit_sign),
    "station_dark": ((1, 1), materials.paint_coat((58, 60, 65), 0.08, 0.3)),
    "station_front": ((2, 2), materials.vented_cabinet((64, 67, 72))),
    "accent": ((2, 2), materials.paint_coat((246, 246, 246), 0.12, 0.25)),
}

_DECAL_TILES: dict[str, tuple[tuple[int, int], decals.DecalPainter]] = {
    "soft_box": ((2, 2), decals.soft_box(0.55)),
    "soft_disc": ((2, 2), decals.soft_disc(0.6)),
    "fade_down": ((2, 2), decals.fade_down(0.85)),
    "oil": ((2, 2), decals.blotch((28, 26, 24), 0.6)),
    "dust": ((2, 2), decals.blotch((196, 190, 178), 0.4)),
    "puddle": ((2, 2), decals.blotch((150, 160, 168), 0.35)),
    "tyre_marks": ((4, 2), decals.tyre_marks),
    "arrow": ((4, 2), decals.arrow),
    "zebra": ((2, 4), decals.zebra),
    "drain": ((2, 4), decals.drain),
    "paint_yellow": ((2, 2), decals.painted((214, 172, 36))),
    "paint_white": ((2, 2), decals.painted((222, 221, 214))),
    "paint_blue": ((2, 2), decals.painted((58, 92, 140))),
    "hatched": ((2, 2), decals.hatched_area),
    "glare": ((4, 2), decals.glare((255, 252, 240), 0.62)),
    "sun_patch": ((2, 4), decals.sun_patch),
}


@functools.cache
def prop_atlas() -> Atlas:
    """Everything that props and stations are made of; (1024, 1024, 3)."""
    return _pack(_PROP_TILES, 3, 1024)


@functools.cache
def decal_atlas() -> Atlas:
    """Shadows, stains and paint; (512, 1024, 4), with opacity."""
    return _pack(_DECAL_TILES, 4, 512)


def _pack(
    painters: Mapping[str, tuple[tuple[int, int], Painter]], channels: int, rows_px: int
) -> Atlas:
    """Put every tile into the first free cells, large ones first."""
    columns_px = 1024
    free = np.ones((rows_px // _CELL_PX, columns_px // _CELL_PX), bool)
    image = np.zeros((rows_px, columns_px, channels), np.uint8)
    tiles = {}
    for name, (cells, paint) in sorted(painters.items(), key=_largest_first):
        row, column = _first_fit(free, cells)
        free[row : row + cells[0], column : column + cells[1]] = False
        top, left = row * _CELL_PX, column * _CELL_PX
        height, width = cells[0] * _CELL_PX, cells[1] * _CELL_PX
        # A seed of its own for every tile: adding one leaves the others as they are.
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        picture = paint(rng, (height, width))
        if channels == 3:
            picture = picture + rng.normal(0, 2.0, (height, width, 1))
        image[top : top + height, left : left + width] = np.clip(picture, 0, 255)
        tiles[name] = Tile(
            (left + _INSET_PX) / columns_px,
            (top + _INSET_PX) / rows_px,
            (left + width - _INSET_PX) / columns_px,
            (top + height - _INSET_PX) / rows_px,
        )
    return Atlas(image, tiles)


def _largest_first(item: tuple[str, tuple[tuple[int, int], object]]) -> tuple[int, str]:
    name, ((rows, columns), _) = item
    return -rows * columns, name


def _first_fit(free: Array, cells: tuple[int, int]) -> tuple[int, int]:
    for row in range(free.shape[0] - cells[0] + 1):
        for column in range(free.shape[1] - cells[1] + 1):
            if free[row : row + cells[0], column : column + cells[1]].all():
                return row, column
    raise SimulationError(
        f"texture atlas of {free.size} cells is full, no {cells[0]} x {cells[1]} free: "
        "use smaller tiles or a larger atlas"
    )
