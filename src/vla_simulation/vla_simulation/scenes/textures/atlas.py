"""Atlases: many small pictures in one texture, so that a whole prop is one mesh and one draw call.

Drawing costs by the geom rather than by the triangle (about 6 microseconds each in software), so
every prop is a single mesh whose faces take their pictures from here.
"""

import functools
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vla_simulation.errors import SimulationError
from vla_simulation.scenes.textures import decals, goods, materials, signs
from vla_simulation.scenes.textures.noise import Array, Painter

_CELL_PX = 64
_INSET_PX = 1.5
"""Keeps the filtered border of a tile clear of its neighbour."""


Content = tuple[tuple[int, int], Painter]
"""Rows and columns in cells, and who paints them."""


@dataclass(frozen=True)
class Tile:
    """Where a picture lies in its atlas; u to the right, v downwards, 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float


class Atlas:
    """A texture that many pictures share.

    They are placed at once, large ones first, but painted only when the texture is needed: what
    is drawn without ever being rendered costs nothing.

    Attributes:
        tiles: where each picture lies, by name.
    """

    def __init__(self, contents: Mapping[str, Content], shape: tuple[int, int, int]) -> None:
        """Place the pictures.

        Args:
            contents: rows and columns in cells, and the painter, of every picture.
            shape: rows, columns and channels (3 for RGB, 4 for RGBA) of the texture.

        Raises:
            SimulationError: they do not fit.
        """
        self._contents = contents
        self._shape = shape
        rows, columns = shape[0] // _CELL_PX, shape[1] // _CELL_PX
        free = np.ones((rows, columns), bool)
        self._places: dict[str, tuple[slice, slice]] = {}
        self.tiles: dict[str, Tile] = {}
        for name in sorted(contents, key=lambda name: (-math.prod(contents[name][0]), name)):
            (height, width), _ = contents[name]
            row, column = _first_fit(free, (height, width))
            free[row : row + height, column : column + width] = False
            top, bottom = row * _CELL_PX, (row + height) * _CELL_PX
            left, right = column * _CELL_PX, (column + width) * _CELL_PX
            self._places[name] = slice(top, bottom), slice(left, right)
            self.tiles[name] = Tile(
                (left + _INSET_PX) / shape[1],
                (top + _INSET_PX) / shape[0],
                (right - _INSET_PX) / shape[1],
                (bottom - _INSET_PX) / shape[0],
            )

    @functools.cached_property
    def image(self) -> Array:
        """The painted texture; (H, W, 3 or 4) uint8."""
        image = np.zeros(self._shape, np.uint8)
        for name, place in self._places.items():
            # A seed of its own for every tile: adding one leaves the others as they are.
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            height, width = image[place].shape[:2]
            picture = self._contents[name][1](rng, (height, width))
            if self._shape[2] == 3:
                picture = picture + rng.normal(0, 2.0, (height, width, 1))
            image[place] = np.clip(picture, 0, 255)
        return image

    def tile(self, name: str) -> Tile:
        """Look a picture up.

        Raises:
            SimulationError: there is none of this name.
        """
        if name not in self.tiles:
            raise SimulationError(
                f"texture tile '{name}' is unknown, expected one of: {', '.join(self.tiles)}"
            )
        return self.tiles[name]


def _first_fit(free: Array, cells: tuple[int, int]) -> tuple[int, int]:
    for row in range(free.shape[0] - cells[0] + 1):
        for column in range(free.shape[1] - cells[1] + 1):
            if free[row : row + cells[0], column : column + cells[1]].all():
                return row, column
    raise SimulationError(
        f"texture atlas of {free.size} cells is full, no {cells[0]} x {cells[1]} free: "
        "use smaller tiles or a larger atlas"
    )


_CARTON = (192, 152, 104)
_CARTON_PALE = (206, 172, 126)
_CARTON_DARK = (158, 118, 76)

_PROP_TILES: dict[str, Content] = {
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

_DECAL_TILES: dict[str, Content] = {
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
    "glare": ((4, 2), decals.glare((255, 252, 240), 0.48)),
    "sun_patch": ((2, 4), decals.sun_patch),
}


PROPS = Atlas(_PROP_TILES, (1024, 1024, 3))
"""Everything that props and stations are made of."""

DECALS = Atlas(_DECAL_TILES, (512, 1024, 4))
"""Shadows, stains and paint, with opacity."""
