"""MJCF of the room and of what stands in it.

Every piece is a body that is moved from episode to episode, so that the model is compiled once.
"""

from dataclasses import dataclass

from vla_simulation.mjcf import (
    DECAL_GROUP,
    FACING_X,
    WORLD_COLLISION,
    decal,
    geom,
    mocap_body,
    solid_box,
)

WALL_HEIGHT_M = 3.5
WALL_LENGTH_M = 14.0
WALL_NAMES = ("wall_0", "wall_1", "wall_2", "wall_3")

MATERIALS = """
    <material name="yellow_paint" rgba="0.90 0.74 0.12 1"/>
    <material name="cardboard" texture="cardboard"/>
    <material name="cardboard_pale" texture="cardboard" rgba="1 0.94 0.86 1"/>
    <material name="wood" texture="wood"/>
    <material name="hazard" texture="hazard" texrepeat="1 2"/>
    <material name="rack_blue" rgba="0.13 0.26 0.52 1"/>
    <material name="rack_beam" rgba="0.80 0.36 0.12 1"/>
    <material name="column_concrete" rgba="0.66 0.65 0.62 1"/>
    <material name="drum_blue" rgba="0.10 0.24 0.46 1" specular="0.4" shininess="0.5"/>
    <material name="drum_lid" rgba="0.16 0.32 0.56 1"/>
    <material name="bin_grey" rgba="0.34 0.37 0.40 1"/>
    <material name="roller_door" texture="roller_door"/>
    <material name="poster" texture="poster"/>
    <material name="contact_shadow" rgba="0 0 0 0.30"/>
"""


@dataclass(frozen=True)
class Prop:
    """One movable piece of clutter.

    Attributes:
        name: of its body.
        half_length_m: of its footprint along its x axis.
        half_width_m: of its footprint along its y axis.
        at_wall: stands with its back (-x) to a wall rather than anywhere on the floor.
        geoms: MJCF of its geoms.
    """

    name: str
    half_length_m: float
    half_width_m: float
    at_wall: bool
    geoms: tuple[str, ...]


def _shadow(half_length: float, half_width: float) -> str:
    return decal(
        (0, 0, 0.0012), (half_length + 0.03, half_width + 0.03, 0.0004), material="contact_shadow"
    )


def _round_shadow(radius: float) -> str:
    return geom(
        "cylinder",
        (0, 0, 0.0012),
        (radius + 0.03, 0.0004),
        material="contact_shadow",
        group=DECAL_GROUP,
    )


def _carton(x: float, y: float, bottom: float, half: tuple[float, float, float]) -> str:
    material = "cardboard_pale" if half[2] > 0.16 else "cardboard"
    # A box carries its texture upright on the two faces across its local z axis.
    turned = (half[1], half[2], half[0])
    return solid_box((x, y, bottom + half[2]), turned, material, FACING_X)


def _shelf(name: str, seed: int) -> Prop:
    length, depth, height = 1.8, 0.56, 2.1
    geoms = [_shadow(depth / 2, length / 2)]
    for sx in (-1, 1):
        for sy in (-1, 1):
            geoms.append(
                solid_box(
                    (sx * (depth / 2 - 0.03), sy * (length / 2 - 0.03), height / 2),
                    (0.03, 0.03, height / 2),
                    "rack_blue",
                )
            )
    for level, z in enumerate((0.16, 0.80, 1.44)):
        for sx in (-1, 1):
            geoms.append(
                solid_box((sx * (depth / 2 - 0.02), 0, z), (0.02, length / 2, 0.045), "rack_beam")
            )
        geoms.append(solid_box((0, 0, z + 0.035), (depth / 2 - 0.04, length / 2, 0.008), "wood"))
        y = -length / 2 + 0.24
        k = 0
        while y < length / 2 - 0.2:
            pick = (seed * 7 + level * 3 + k * 5) % 6
            half = (0.22, 0.15 + 0.02 * (pick % 3), 0.12 + 0.035 * (pick % 4))
            if pick != 5:
                geoms.append(_carton(0.02, y, z + 0.043, half))
            y += 2 * half[1] + 0.06
            k += 1
    return Prop(name, depth / 2, length / 2, True, tuple(geoms))


def _pallet(name: str, layers: int, seed: int) -> Prop:
    half_length, half_width = 0.60, 0.40
    geoms = [_shadow(half_length, half_width)]
    geoms.append(solid_box((0, 0, 0.125), (half_length, half_width, 0.012), "wood"))
    for sy in (-1, 0, 1):
        geoms.append(solid_box((0, sy * 0.34, 0.056), (half_length, 0.05, 0.056), "wood"))
    bottom = 0.137
    for layer in range(layers):
        half_height = 0.13 + 0.02 * ((seed + layer) % 3)
        for sx in (-1, 1):
            for sy in (-1, 1):
                if layer == layers - 1 and (sx + 3 * sy + seed) % 4 == 0:
                    continue
                geoms.append(
                    _carton(sx * 0.29, sy * 0.19, bottom, (0.28, 0.185, half_height - 0.004))
                )
        bottom += 2 * half_height
    return Prop(name, half_length, half_width, False, tuple(geoms))


def _carton_stack(name: str, sizes: tuple[tuple[float, float, float], ...]) -> Prop:
    bottom = 0.0
    geoms = [_shadow(sizes[0][0], sizes[0][1])]
    for half in sizes:
        geoms.append(_carton(0, 0, bottom, half))
        bottom += 2 * half[2]
    return Prop(name, sizes[0][0], sizes[0][1], False, tuple(geoms))


def _column(name: str) -> Prop:
    half = 0.16
    return Prop(
        name,
        half,
        half,
        False,
        (
            _shadow(half, half),
            solid_box((0, 0, 1.75), (half, half, 1.75), "column_concrete"),
            *(
                decal(
                    (sx * (half + 0.002), sy * (half + 0.002), 0.45),
                    (half, 0.45, 0.002),
                    material="hazard",
                    extra=quat,
                )
                for sx, sy, quat in (
                    (1, 0, FACING_X),
                    (-1, 0, FACING_X),
                    (0, 1, 'quat="0 0 0.70710678 0.70710678"'),
                    (0, -1, 'quat="0 0 0.70710678 0.70710678"'),
                )
            ),
        ),
    )


def _cylinder(z: float, radius: float, half: float, material: str) -> str:
    return geom("cylinder", (0, 0, z), (radius, half), material=material, collision=WORLD_COLLISION)


def _drum(name: str) -> Prop:
    rings = tuple(
        geom("cylinder", (0, 0, z), (0.300, 0.012), material="drum_lid", group=DECAL_GROUP)
        for z in (0.03, 0.30, 0.58, 0.85)
    )
    return Prop(
        name,
        0.29,
        0.29,
        False,
        (_round_shadow(0.29), _cylinder(0.44, 0.29, 0.44, "drum_blue"), *rings),
    )


def _bollard(name: str) -> Prop:
    stripes = tuple(
        geom("cylinder", (0, 0, z), (0.058, 0.06), material="rubber", group=DECAL_GROUP)
        for z in (0.35, 0.65)
    )
    return Prop(
        name,
        0.06,
        0.06,
        False,
        (_round_shadow(0.06), _cylinder(0.45, 0.055, 0.45, "yellow_paint"), *stripes),
    )


def _bin(name: str) -> Prop:
    return Prop(
        name,
        0.26,
        0.36,
        True,
        (
            _shadow(0.26, 0.36),
            solid_box((0, 0, 0.42), (0.25, 0.34, 0.42), "bin_grey"),
            solid_box((0, 0, 0.87), (0.27, 0.36, 0.03), "rubber"),
        ),
    )


def _roller_door(name: str) -> Prop:
    return Prop(
        name,
        0.02,
        1.35,
        True,
        (
            decal((0.012, 0, 1.35), (1.30, 1.35, 0.006), material="roller_door", extra=FACING_X),
            decal((0.012, 0, 2.78), (0.02, 1.40, 0.09), rgba=(0.32, 0.34, 0.36, 1)),
        ),
    )


def _poster(name: str) -> Prop:
    return Prop(
        name,
        0.02,
        0.3,
        True,
        (decal((0.008, 0, 1.35), (0.30, 0.36, 0.004), material="poster", extra=FACING_X),),
    )


CLUTTER: tuple[Prop, ...] = (
    *(_shelf(f"shelf_{k}", k) for k in range(3)),
    _pallet("pallet_0", 3, 0),
    _pallet("pallet_1", 2, 1),
    _pallet("pallet_2", 1, 2),
    _carton_stack("cartons_0", ((0.30, 0.20, 0.20),)),
    _carton_stack("cartons_1", ((0.25, 0.25, 0.15), (0.20, 0.16, 0.12))),
    _carton_stack("cartons_2", ((0.20, 0.30, 0.25), (0.18, 0.24, 0.10), (0.15, 0.15, 0.1))),
    _column("column_0"),
    _column("column_1"),
    _drum("drum_0"),
    _drum("drum_1"),
    _bollard("bollard_0"),
    _bollard("bollard_1"),
    _bin("bin_0"),
)
"""What may stand in the room and collides."""

WALL_DECORATION: tuple[Prop, ...] = (
    _roller_door("roller_door_0"),
    _poster("poster_0"),
    _poster("poster_1"),
)
"""What is only drawn on the walls."""


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
            )
        ],
    )
