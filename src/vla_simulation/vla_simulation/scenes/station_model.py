"""MJCF of the charging stations; their body frame is the dock frame."""

from vla_simulation.config import StationConfig
from vla_simulation.mjcf import (
    COLLIDER_GROUP,
    DECAL_GROUP,
    SOLID_GROUP,
    WORLD_COLLISION,
    facade,
    geom,
    mocap_body,
)
from vla_simulation.scenes.meshes import Mesh, MeshBuilder
from vla_simulation.scenes.props.prop import DECAL_MATERIAL, decal_builder, solid_builder
from vla_simulation.scenes.station_shapes import (
    SHAPES,
    SIGN_BOTTOM_M,
    SIGN_HALF_WIDTH_M,
    SIGN_TOP_M,
    Solid,
    sign_solids,
    station_solids,
)
from vla_simulation.scenes.textures.atlas import Tile

MARKER_SIZE_M = 0.16
"""Side of the fiducial marker without its white border."""
MARKER_HEIGHT_M = 0.45
"""Of the marker's centre above the floor; it lies on the panel's front."""
MARKER_BORDER_M = MARKER_SIZE_M / 6

DIGITS = (1, 2, 3)

MATERIALS = """
    <material name="station_body" texture="props" specular="0.3" shininess="0.4"/>
    <material name="station_copper" rgba="0.85 0.60 0.32 1" specular="0.6" shininess="0.6"/>
    <material name="station_rubber" rgba="0.10 0.10 0.11 1"/>
""" + "".join(
    f'    <material name="digit_{k}" texture="digit_{k}" specular="0.05"/>\n' for k in DIGITS
)

COLOURED_MATERIALS = ("accent", "light")
"""Materials that take the station's colour; each station has its own."""

_PORT_TOP_M = 0.195
_PORT_BOTTOM_M = 0.04
_SIDES = (("left", 1), ("right", -1))
_TILES = {"body": "station_dark", "front": "station_dark", "accent": "accent", "lamp": "lamp"}


def coloured_materials(name: str) -> str:
    """The `<material>` elements of one station."""
    return f"""
    <material name="{name}_accent" texture="props" rgba="0.95 0.45 0.05 1" specular="0.2"/>
    <material name="{name}_light" texture="props" rgba="0.95 0.45 0.05 1" emission="0.7"/>
    <material name="{name}_marker" texture="{name}_marker" specular="0"/>
"""


def station_body(
    name: str, config: StationConfig, pin_spacing_m: float, pin_height_m: float
) -> str:
    """The station as a body that is moved from episode to episode, with every shape in it.

    `show_station` picks the shape that counts.

    Args:
        name: of the body, and the prefix of its geoms.
        config: dimensions.
        pin_spacing_m: distance between the robot's charging pins.
        pin_height_m: their height above the floor.
    """
    geoms = [
        _collider(f"{name}_port", _port(config), name),
        *_contacts(name, config, pin_spacing_m, pin_height_m),
        facade("station_sign", "digit_1", name=f"{name}_sign"),
        facade("station_marker", f"{name}_marker", name=f"{name}_marker"),
        facade("station_light", f"{name}_light"),
        facade("station_decal", DECAL_MATERIAL, group=DECAL_GROUP),
    ]
    for shape in SHAPES:
        geoms += [
            _collider(f"{name}_{shape}_{k}", solid, name)
            for k, solid in enumerate(station_solids(shape, config))
        ]
        geoms.append(facade(f"station_{shape}_body", "station_body", name=f"{name}_{shape}_body"))
        geoms.append(
            facade(f"station_{shape}_accent", f"{name}_accent", name=f"{name}_{shape}_accent")
        )
    return mocap_body(name, geoms)


def station_meshes(config: StationConfig) -> dict[str, Mesh]:
    """The meshes that the stations share, by name."""
    front = config.panel_front_m
    sides = (-SIGN_HALF_WIDTH_M, SIGN_HALF_WIDTH_M)
    half = MARKER_SIZE_M / 2 + MARKER_BORDER_M
    low, high = MARKER_HEIGHT_M - half, MARKER_HEIGHT_M + half
    lamps = solid_builder()
    for solid in sign_solids(config):
        if solid.finish == "lamp":
            _draw(lamps, solid)
    meshes = {
        "station_sign": _facing_robot(front - 0.008, sides, (SIGN_BOTTOM_M, SIGN_TOP_M)),
        "station_marker": _facing_robot(front - 0.001, (-half, half), (low, high)),
        "station_light": lamps.build(),
        "station_decal": _floor_marking(config).build(),
    }
    for shape in SHAPES:
        builders = {"body": solid_builder(), "accent": solid_builder()}
        for solid in (*station_solids(shape, config), *sign_solids(config), _port(config)):
            if solid.finish != "lamp":
                _draw(builders["accent" if solid.finish == "accent" else "body"], solid)
        depth = config.panel_front_m - config.port_front_m
        x, width = config.port_front_m + depth / 2, config.port_half_width_m
        builders["accent"].box((x, 0, _PORT_TOP_M), (depth / 2, width, 0.003), "accent")
        builders["body"].box((x, 0, _PORT_TOP_M + 0.002), (depth / 2, 0.014, 0.003), "white_shell")
        for finish, builder in builders.items():
            meshes[f"station_{shape}_{finish}"] = builder.build()
    return meshes


def _port(config: StationConfig) -> Solid:
    """Block with the contacts; its bright top stays in the camera's view in the dock."""
    depth = (config.panel_front_m - config.port_front_m) / 2
    z, half_height = (_PORT_TOP_M + _PORT_BOTTOM_M) / 2, (_PORT_TOP_M - _PORT_BOTTOM_M) / 2
    centre = (config.port_front_m + depth, 0.0, z)
    return Solid("box", centre, (depth, config.port_half_width_m, half_height), "body")


def _collider(name: str, solid: Solid, station: str) -> str:
    turned = ""
    if solid.yaw:
        turned = f'axisangle="0 0 1 {solid.yaw:.8g}"'
    size = solid.size if solid.kind == "box" else solid.size[:2]
    material = f"{station}_accent" if solid.finish == "accent" else "station_body"
    return geom(
        solid.kind,
        solid.centre,
        size,
        material=material,
        group=COLLIDER_GROUP,
        collision=WORLD_COLLISION,
        name=name,
        extra=turned,
    )


def _draw(builder: MeshBuilder, solid: Solid) -> None:
    tile = _TILES[solid.finish]
    if solid.kind == "cylinder":
        radius, half_height = solid.size[:2]
        builder.prism(solid.centre, (radius, radius), half_height, tile, tile, sides=18)
        return
    builder.box(solid.centre, solid.size, tile, yaw=solid.yaw)
    if solid.finish == "front":
        (x, y, z), (hx, hy, hz) = solid.centre, solid.size
        left, right, bottom, top = y + hy, y - hy, z - hz, z + hz
        face = x - hx - 0.0005  # the robot comes from -x
        builder.quad(
            [(face, left, bottom), (face, right, bottom), (face, right, top), (face, left, top)],
            "station_front",
        )


def _facing_robot(x: float, y: tuple[float, float], z: tuple[float, float]) -> Mesh:
    """An upright picture that faces -x and fills its texture."""
    builder = MeshBuilder(lambda _: Tile(0.0, 0.0, 1.0, 1.0))
    return builder.quad(
        [(x, y[1], z[0]), (x, y[0], z[0]), (x, y[0], z[1]), (x, y[1], z[1])], "all"
    ).build()


def _contacts(
    name: str, config: StationConfig, pin_spacing_m: float, pin_height_m: float
) -> list[str]:
    """Charging plates, and rubber buffers outside of them that stop the robot."""
    plate_half = (0.004, config.plate_half_width_m, config.plate_half_height_m)
    buffer_half = (0.006, 0.018, 0.02)
    geoms = []
    for label, side in _SIDES:
        plate = (config.plate_front_m + plate_half[0], side * pin_spacing_m / 2, pin_height_m)
        buffer = (config.buffer_front_m + buffer_half[0], side * 0.115, pin_height_m)
        for part, centre, half, material in (
            ("plate", plate, plate_half, "station_copper"),
            ("buffer", buffer, buffer_half, "station_rubber"),
        ):
            geoms.append(
                geom(
                    "box",
                    centre,
                    half,
                    material=material,
                    group=SOLID_GROUP,
                    collision=WORLD_COLLISION,
                    name=f"{name}_{label}_{part}",
                )
            )
    return geoms


def _floor_marking(config: StationConfig) -> MeshBuilder:
    """Yellow lines around the place where the docked robot stands, and the station's shadow."""
    back, front, half_width, line = -0.45, 0.33, 0.34, 0.025
    z = 0.0013
    half = config.panel_half_width_m * 1.4
    decal = decal_builder().patch((config.port_front_m - 0.10, 0.68), (-half, half), "soft_box", z)
    for _, side in _SIDES:
        y = side * half_width
        decal.patch((back, front), (y - line, y + line), "paint_yellow", z)
    return decal.patch(
        (back - line, back + line), (-half_width - line, half_width + line), "paint_yellow", z
    )
