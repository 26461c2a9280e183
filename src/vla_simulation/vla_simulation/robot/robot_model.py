"""MJCF of the robot: chassis, drive wheels, casters, spring-loaded charging pins, camera."""

import math
from collections.abc import Iterable

from vla_simulation.config import SimulationConfig
from vla_simulation.mjcf import (
    HIDDEN_GROUP,
    NO_COLLISION,
    ROBOT_COLLISION,
    ROBOT_GROUP,
    geom,
    numbers,
)

MATERIALS = """
    <material name="robot_shell" rgba="0.93 0.94 0.95 1" specular="0.3" shininess="0.4"/>
    <material name="robot_dark" rgba="0.16 0.17 0.19 1" specular="0.2" shininess="0.3"/>
    <material name="robot_accent" rgba="0.05 0.50 0.62 1" specular="0.2" shininess="0.3"/>
    <material name="robot_tote" rgba="0.24 0.37 0.58 1"/>
    <material name="rubber" rgba="0.10 0.10 0.11 1"/>
    <material name="brass" rgba="0.86 0.68 0.28 1" specular="0.6" shininess="0.6"/>
    <material name="lamp_white" rgba="1 1 0.96 1" emission="0.6"/>
"""

_CASTER_RADIUS_M = 0.03
_PIN_RADIUS_M = 0.006
_CORNER_RADIUS_M = 0.05
_REAR_CASTER_CLEARANCE_M = 0.0005
_SIDES = (("left", 1), ("right", -1))
PAYLOAD_BODY = "payload"
"""What lies in the load box; its mass is drawn per episode."""
_PAYLOAD_CENTRE_M = (-0.165, 0.0, 0.30)
_PAYLOAD_SIZE_M = (0.18, 0.30, 0.15)


def robot_body(config: SimulationConfig) -> str:
    """The `<body name="base_link">` element."""
    robot, scanner = config.robot, config.scanner
    mass = robot.chassis_mass_kg + robot.load_mass_kg
    inertia = _box_inertia(mass, robot.length_m, robot.width_m, 0.28)
    scanner_origin = numbers((scanner.x_m, 0, scanner.z_m))
    parts = [
        '<freejoint name="base"/>',
        # The battery sits in front of the axle, so that the front casters always carry load.
        f'<inertial pos="0.05 0 0.14" mass="{mass:g}" diaginertia="{numbers(inertia)}"/>',
        *_chassis(config),
        *_load(config),
        *_bumper_and_lamps(config),
        _part("cylinder", (scanner.x_m, 0, scanner.z_m - 0.005), (0.036, 0.026), "robot_dark"),
        f'<site name="scanner" pos="{scanner_origin}" group="{HIDDEN_GROUP}"/>',
        *(_caster(f"front_{name}", 0.20, side * 0.13, 0.0) for name, side in _SIDES),
        # Free of the floor, so that the drive wheels keep their load; it stops a tilt backwards.
        *(
            _caster(f"rear_{name}", -0.20, side * 0.13, _REAR_CASTER_CLEARANCE_M)
            for name, side in _SIDES
        ),
        _camera(config),
        *(_wheel(config, name, side) for name, side in _SIDES),
        *(_pin(config, name, side) for name, side in _SIDES),
        f'<body name="{PAYLOAD_BODY}" pos="{numbers(_PAYLOAD_CENTRE_M)}">'
        f'<inertial pos="0 0 0" mass="1" diaginertia="{numbers(payload_inertia(1.0))}"/></body>',
    ]
    inner = "\n      ".join(parts)
    return f'<body name="base_link" pos="0 0 0">\n      {inner}\n    </body>'


def _part(
    kind: str, position: Iterable[float], size: Iterable[float], material: str, extra: str = ""
) -> str:
    """A geom that is only drawn."""
    return geom(kind, position, size, material=material, group=ROBOT_GROUP, extra=extra)


def _collider(
    name: str, kind: str, position: Iterable[float], size: Iterable[float], extra: str = ""
) -> str:
    """An invisible geom that collides."""
    return geom(
        kind,
        position,
        size,
        rgba=(0, 0, 0, 0),
        group=HIDDEN_GROUP,
        collision=ROBOT_COLLISION,
        name=name,
        extra=extra,
    )


def _contact_part(
    name: str,
    kind: str,
    position: Iterable[float],
    size: Iterable[float],
    material: str,
    extra: str = "",
) -> str:
    """A geom that is drawn and collides."""
    return geom(
        kind,
        position,
        size,
        material=material,
        group=ROBOT_GROUP,
        collision=ROBOT_COLLISION,
        name=name,
        extra=extra,
    )


def _box_inertia(mass: float, length: float, width: float, height: float) -> tuple[float, ...]:
    return (
        mass / 12 * (width**2 + height**2),
        mass / 12 * (length**2 + height**2),
        mass / 12 * (length**2 + width**2),
    )


def payload_inertia(mass_kg: float) -> tuple[float, ...]:
    """Principal moments of inertia of a payload about its centre [kg m²]."""
    return _box_inertia(mass_kg, *_PAYLOAD_SIZE_M)


def _chassis(config: SimulationConfig) -> list[str]:
    robot, radius = config.robot, _CORNER_RADIUS_M
    length, width = robot.length_m / 2, robot.width_m / 2
    low, deck = robot.ground_clearance_m, robot.deck_height_m
    middle, half_height = (low + deck) / 2, (deck - low) / 2
    shell_z, shell_half = middle + 0.02, half_height - 0.02
    corners = [
        _part(
            "cylinder",
            (sx * (length - radius), sy * (width - radius), shell_z),
            (radius, shell_half),
            "robot_shell",
        )
        for sx in (1, -1)
        for sy in (1, -1)
    ]
    return [
        # One plain box carries the contacts; what is drawn is rounder.
        _collider("chassis", "box", (0, 0, middle), (length, width, half_height)),
        _part("box", (0, 0, shell_z), (length - radius, width, shell_half), "robot_shell"),
        _part("box", (0, 0, shell_z), (length, width - radius, shell_half), "robot_shell"),
        *corners,
        _part("box", (0, 0, low + 0.03), (length - 0.015, width - 0.01, 0.03), "robot_dark"),
        _part("box", (0.10, 0, deck), (0.165, 0.15, 0.003), "robot_dark"),
        _part("box", (0.24, 0, deck + 0.001), (0.035, 0.012, 0.003), "robot_accent"),
        _part("box", (0, 0, deck - 0.045), (length - radius, width + 0.002, 0.008), "robot_accent"),
    ]


def _load(config: SimulationConfig) -> list[str]:
    width = config.robot.width_m / 2
    camera_z = config.camera.z_m
    return [
        _collider("load", "box", (-0.165, 0, 0.29), (0.106, width - 0.02, 0.11)),
        _part("box", (-0.165, 0, 0.20), (0.105, width - 0.02, 0.025), "robot_dark"),
        _part("box", (-0.165, 0, 0.30), (0.100, width - 0.03, 0.085), "robot_tote"),
        _part("box", (-0.165, 0, 0.385), (0.106, width - 0.024, 0.010), "robot_tote"),
        _part("box", (-0.045, 0, camera_z - 0.15), (0.014, 0.024, 0.135), "robot_shell"),
        _part("box", (-0.022, 0, camera_z), (0.016, 0.05, 0.022), "robot_dark"),
    ]


def _bumper_and_lamps(config: SimulationConfig) -> list[str]:
    robot = config.robot
    front = robot.length_m / 2
    half_depth = (robot.bumper_front_m - front) / 2
    return [
        _contact_part(
            "robot_bumper",
            "box",
            (front + half_depth, 0, 0.115),
            (half_depth, robot.width_m / 2 - 0.03, 0.018),
            "rubber",
        ),
        *(
            _part("box", (front + 0.001, side * 0.155, 0.158), (0.002, 0.03, 0.008), "lamp_white")
            for _, side in _SIDES
        ),
    ]


def _caster(name: str, x: float, y: float, clearance: float) -> str:
    position = (x, y, _CASTER_RADIUS_M + clearance)
    frictionless = 'condim="1" priority="1"'
    size = (_CASTER_RADIUS_M,)
    return _contact_part(f"caster_{name}", "sphere", position, size, "rubber", frictionless)


def _camera(config: SimulationConfig) -> str:
    camera = config.camera
    sin, cos = math.sin(camera.pitch_down_rad), math.cos(camera.pitch_down_rad)
    return (
        f'<camera name="camera" pos="{numbers((camera.x_m, 0, camera.z_m))}" '
        f'xyaxes="0 -1 0 {numbers((sin, 0, cos))}" '
        f'fovy="{math.degrees(camera.vertical_fov_rad):.6g}"/>'
    )


def _wheel(config: SimulationConfig, name: str, side: int) -> str:
    robot = config.robot
    radius, half_width = robot.wheel_radius_m, robot.wheel_width_m / 2
    along_y = 'quat="0.70710678 0.70710678 0 0"'
    rolling = f'{along_y} condim="3" priority="1" friction="0.9 0.005 0.0001"'
    # A crowned tyre touches the floor in the middle of its width. A cylinder would stand on its
    # outer edge in a turn, which widens the track by the width of a tyre.
    crowned = (radius, radius, half_width)
    tyre = _collider(f"{name}_wheel", "ellipsoid", (0, 0, 0), crowned, rolling)
    tread = _part("cylinder", (0, 0, 0), (radius, half_width), "rubber", along_y)
    hub_size = (radius * 0.55, half_width + 0.002)
    hub = _part("cylinder", (0, 0, 0), hub_size, "robot_shell", along_y)
    position = (0, side * robot.track_width_m / 2, radius)
    return f"""<body name="{name}_wheel" pos="{numbers(position)}">
        <joint name="{name}_wheel" type="hinge" axis="0 1 0" damping="0.05" armature="0.02"
          frictionloss="{robot.gear_friction_nm:g}" solimpfriction="0.999 0.9999 0.001"/>
        <inertial pos="0 0 0" mass="1.2" diaginertia="0.002 0.0034 0.002"/>
        {tyre}
        {tread}
        {hub}
      </body>"""


def _pin(config: SimulationConfig, name: str, side: int) -> str:
    robot, radius = config.robot, _PIN_RADIUS_M
    frictionless = 'condim="1" priority="2"'
    tip = _contact_part(f"{name}_pin", "sphere", (-radius, 0, 0), (radius,), "brass", frictionless)
    along_x = 'quat="0.70710678 0 0.70710678 0"'
    shaft = geom(
        "cylinder",
        (-0.018, 0, 0),
        (0.004, 0.012),
        material="brass",
        group=ROBOT_GROUP,
        collision=NO_COLLISION,
        extra=along_x,
    )
    position = (robot.pin_tip_m, side * robot.pin_spacing_m / 2, robot.pin_height_m)
    return f"""<body name="{name}_pin" pos="{numbers(position)}">
        <joint name="{name}_pin" type="slide" axis="1 0 0" limited="true"
          range="{-robot.pin_travel_m:g} 0" stiffness="{robot.pin_stiffness_npm:g}"
          springref="{robot.pin_preload_n / robot.pin_stiffness_npm:g}" damping="4"
          armature="0.05"/>
        <inertial pos="-0.01 0 0" mass="0.05" diaginertia="1e-5 1e-5 1e-5"/>
        {tip}
        {shaft}
      </body>"""
