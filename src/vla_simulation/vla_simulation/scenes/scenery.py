"""MJCF of the room and of what stands in it.

Every piece is a body that is moved from episode to episode, so that the model is compiled once.
"""

from vla_simulation.mjcf import DECAL_GROUP, FACING_X, WORLD_COLLISION, facade, geom, mocap_body
from vla_simulation.scenes import props, textures
from vla_simulation.scenes.meshes import Mesh
from vla_simulation.scenes.props.prop import SHADE_MATERIAL, Prop, decal_builder

__all__ = ["CLUTTER", "FLOOR_DECORATION", "MATERIALS", "OVERHEAD", "WALL_DECORATION", "Prop"]

CLUTTER = props.CLUTTER
WALL_DECORATION = props.WALL_DECORATION
FLOOR_DECORATION = props.FLOOR_DECORATION
OVERHEAD = props.OVERHEAD
PROPS: tuple[Prop, ...] = (*CLUTTER, *WALL_DECORATION, *FLOOR_DECORATION, *OVERHEAD)
MATERIALS = props.MATERIALS

WALL_HEIGHT_M = textures.WALL_SIZE_M[1]
WALL_LENGTH_M = 2 * textures.WALL_SIZE_M[0]
WALL_NAMES = ("wall_0", "wall_1", "wall_2", "wall_3")
CORNER_NAMES = ("corner_0", "corner_1", "corner_2", "corner_3")

_FLOOR_SHADE_M = 0.45
_CORNER_SHADE_M = 0.7


def wall_body(name: str) -> str:
    """A wall; its body lies on the inner face, x into the room."""
    half_length, half_height = WALL_LENGTH_M / 2, WALL_HEIGHT_M / 2
    return mocap_body(
        name,
        [
            geom(
                "box",
                (-0.10, 0, half_height),
                (half_length, half_height, 0.10),
                material="wall_painted",
                collision=WORLD_COLLISION,
                name=name,
                extra=FACING_X,
            ),
            facade("floor_shade", SHADE_MATERIAL, group=DECAL_GROUP),
        ],
    )


def corner_body(name: str) -> str:
    """The darkness in a corner of the room; x and y run along the two walls."""
    return mocap_body(name, [facade("corner_shade", SHADE_MATERIAL, group=DECAL_GROUP)])


def room_meshes() -> dict[str, Mesh]:
    """Ambient occlusion where floor and walls meet, by name."""
    half, z = WALL_LENGTH_M / 2, 0.0005
    floor = decal_builder().patch((0.0, _FLOOR_SHADE_M), (-half, half), "fade_down", z)
    far, top, off = _CORNER_SHADE_M, WALL_HEIGHT_M, 0.002
    corner = decal_builder()
    corner.quad([(0, off, 0), (0, off, top), (far, off, top), (far, off, 0)], "fade_down")
    corner.quad([(off, 0, top), (off, 0, 0), (off, far, 0), (off, far, top)], "fade_down")
    return {"floor_shade": floor.build(), "corner_shade": corner.build()}
