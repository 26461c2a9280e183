"""MJCF of the charging station; its body frame is the dock frame."""

from collections.abc import Iterable

from vla_simulation.config import StationConfig
from vla_simulation.mjcf import (
    FACING_X,
    STATION_GROUP,
    WORLD_COLLISION,
    decal,
    geom,
    mocap_body,
)

MATERIALS = """
    <material name="station_body" rgba="0.20 0.21 0.23 1" specular="0.3" shininess="0.4"/>
    <material name="station_accent" rgba="0.95 0.45 0.05 1" specular="0.2" shininess="0.3"/>
    <material name="station_sign" texture="bolt" rgba="0.95 0.45 0.05 1"/>
    <material name="station_light" rgba="0.95 0.45 0.05 1" emission="0.7"/>
    <material name="station_copper" rgba="0.85 0.60 0.32 1" specular="0.6" shininess="0.6"/>
    <material name="white_paint" rgba="0.92 0.92 0.90 1"/>
"""

COLOURED_MATERIALS = ("station_accent", "station_sign", "station_light")
"""Materials that take the station's colour."""

_PORT_TOP_M = 0.195
_PORT_BOTTOM_M = 0.04
_SIDES = (("left", 1), ("right", -1))


def station_body(
    name: str, config: StationConfig, pin_spacing_m: float, pin_height_m: float
) -> str:
    """The station as a body that is moved from episode to episode.

    Args:
        name: of the body, and the prefix of its geoms.
        config: dimensions.
        pin_spacing_m: distance between the robot's charging pins.
        pin_height_m: their height above the floor.
    """
    geoms = [
        *_cabinet(name, config),
        *_port(name, config),
        *_contacts(name, config, pin_spacing_m, pin_height_m),
        *_floor_marking(config),
    ]
    return mocap_body(name, geoms)


def _solid(
    position: Iterable[float],
    half_size: Iterable[float],
    material: str,
    name: str | None = None,
) -> str:
    return geom(
        "box",
        position,
        half_size,
        material=material,
        group=STATION_GROUP,
        collision=WORLD_COLLISION,
        name=name,
    )


def _cabinet(name: str, config: StationConfig) -> list[str]:
    """Back panel between two pillars that reach forward: a shape that the scanner knows again."""
    panel, depth, top = config.panel_front_m, config.panel_thickness_m / 2, config.height_m
    width, pillar_half = config.panel_half_width_m, config.pillar_width_m / 2
    pillar_depth = (panel + 2 * depth - config.pillar_front_m) / 2
    pillar_x = config.pillar_front_m + pillar_depth
    lamp_width = width - pillar_half - 0.02
    return [
        _solid(
            (panel + depth, 0, top / 2), (depth, width, top / 2), "station_body", f"{name}_panel"
        ),
        *(
            _solid(
                (pillar_x, side * width, top / 2),
                (pillar_depth, pillar_half, top / 2),
                "station_accent",
                f"{name}_{label}_pillar",
            )
            for label, side in _SIDES
        ),
        _solid(
            (pillar_x, 0, top + 0.03), (pillar_depth, width + pillar_half, 0.03), "station_accent"
        ),
        decal(
            (panel - 0.003, 0, 0.53), (0.16, 0.16, 0.003), material="station_sign", extra=FACING_X
        ),
        decal(
            (panel - 0.004, 0, top - 0.045), (0.004, lamp_width, 0.012), material="station_light"
        ),
    ]


def _port(name: str, config: StationConfig) -> list[str]:
    """Block with the contacts; its bright top stays in the camera's view in the dock."""
    depth = (config.panel_front_m - config.port_front_m) / 2
    x, width = config.port_front_m + depth, config.port_half_width_m
    z, half_height = (_PORT_TOP_M + _PORT_BOTTOM_M) / 2, (_PORT_TOP_M - _PORT_BOTTOM_M) / 2
    return [
        _solid((x, 0, z), (depth, width, half_height), "station_body", f"{name}_port"),
        decal((x, 0, _PORT_TOP_M), (depth, width, 0.002), material="station_accent"),
        decal((x, 0, _PORT_TOP_M + 0.002), (depth, 0.014, 0.002), material="white_paint"),
    ]


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
        geoms.append(_solid(plate, plate_half, "station_copper", f"{name}_{label}_plate"))
        geoms.append(_solid(buffer, buffer_half, "rubber", f"{name}_{label}_buffer"))
    return geoms


def _floor_marking(config: StationConfig) -> list[str]:
    """Yellow lines around the place where the docked robot stands, and the station's shadow."""
    back, front, half_width, line = -0.45, 0.33, 0.34, 0.025
    middle, half = (back + front) / 2, (front - back) / 2
    z, thin = 0.0008, 0.0006
    shadow_half = (0.13, config.panel_half_width_m + 0.06, 0.0004)
    return [
        *(
            decal((middle, side * half_width, z), (half, line, thin), material="yellow_paint")
            for _, side in _SIDES
        ),
        decal((back, 0, z), (line, half_width + line, thin), material="yellow_paint"),
        decal((config.panel_front_m + 0.02, 0, 0.0012), shadow_half, material="contact_shadow"),
    ]
