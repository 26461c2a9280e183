"""What a prop is: a footprint, colliders, one textured mesh, and a shadow."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from vla_simulation.mjcf import DECAL_GROUP, facade
from vla_simulation.scenes.meshes import Mesh, MeshBuilder
from vla_simulation.scenes.textures.atlas import DECALS, PROPS

PROP_MATERIAL = "prop"
DECAL_MATERIAL = "decal"
GLOW_MATERIAL = "glow"
"""Its emission is drawn per episode."""
SHADE_MATERIAL = "shade"
"""For the darkness in corners; its opacity is drawn per episode."""

MATERIALS = f"""
    <material name="{PROP_MATERIAL}" texture="props" specular="0.1" shininess="0.3"/>
    <material name="{GLOW_MATERIAL}" texture="props" specular="0" emission="0.8"/>
    <material name="{DECAL_MATERIAL}" texture="decals" rgba="1 1 1 0.99" specular="0"/>
    <material name="{SHADE_MATERIAL}" texture="decals" rgba="1 1 1 0.6" specular="0"/>
"""

SHADOW_HEIGHT_M = 0.0016
MARKING_HEIGHT_M = 0.0010
_SHADOW_GROWTH = 1.0 / 0.78  # the shadow's tile fades out beyond this share of it


@dataclass(frozen=True)
class Prop:
    """One movable piece of clutter or decoration.

    Attributes:
        name: of its body.
        half_length_m: of its footprint along its x axis.
        half_width_m: of its footprint along its y axis.
        at_wall: stands with its back (-x) to a wall rather than anywhere on the floor.
        slender: may stand in a bay, where it hides parts of the stations.
        geoms: MJCF of its geoms.
        meshes: by name, what the geoms refer to.
    """

    name: str
    half_length_m: float
    half_width_m: float
    at_wall: bool
    slender: bool
    geoms: tuple[str, ...]
    meshes: dict[str, Mesh] = field(compare=False)


def solid_builder() -> MeshBuilder:
    """For what is opaque."""
    return MeshBuilder(PROPS.tile)


def decal_builder() -> MeshBuilder:
    """For what lies on floors and walls, half transparent."""
    return MeshBuilder(DECALS.tile)


def make_prop(
    name: str,
    footprint: tuple[float, float],
    solid: MeshBuilder | None = None,
    *,
    colliders: Iterable[str] = (),
    decal: MeshBuilder | None = None,
    glow: MeshBuilder | None = None,
    at_wall: bool = False,
    slender: bool = False,
) -> Prop:
    """Put a prop together.

    Args:
        name: of its body.
        footprint: half length and half width [m].
        solid: what is opaque.
        colliders: MJCF of what collides.
        decal: what is half transparent.
        glow: what shines by itself.
        at_wall: see `Prop`.
        slender: see `Prop`.
    """
    geoms, meshes = list(colliders), {}
    for builder, suffix, material, group in (
        (solid, "", PROP_MATERIAL, None),
        (glow, "_glow", GLOW_MATERIAL, None),
        (decal, "_decal", DECAL_MATERIAL, DECAL_GROUP),
    ):
        if builder is not None:
            meshes[name + suffix] = builder.build()
            geoms.append(
                facade(name + suffix, material)
                if group is None
                else facade(name + suffix, material, group=group)
            )
    return Prop(name, *footprint, at_wall, slender, tuple(geoms), meshes)


def shadow(half_length: float, half_width: float, x: float = 0.0, y: float = 0.0) -> MeshBuilder:
    """Contact shadow of something square."""
    length, width = half_length * _SHADOW_GROWTH + 0.04, half_width * _SHADOW_GROWTH + 0.04
    return decal_builder().patch(
        (x - length, x + length), (y - width, y + width), "soft_box", SHADOW_HEIGHT_M
    )


def round_shadow(radius: float) -> MeshBuilder:
    """Contact shadow of something round."""
    half = radius * 1.45 + 0.03
    return decal_builder().patch((-half, half), (-half, half), "soft_disc", SHADOW_HEIGHT_M)
