"""Small helpers that write MJCF elements."""

from collections.abc import Iterable

SOLID_GROUP = 0
"""Drawn, and seen by the scanner."""
ROBOT_GROUP = 1
"""The robot itself: drawn, but invisible to its own scanner."""
COLLIDER_GROUP = 2
"""Seen by the scanner but not drawn: what a facade stands for."""
DECAL_GROUP = 3
"""Markings and shadows: drawn only, and part of what they lie on."""
FACADE_GROUP = 4
"""The drawn side of colliders."""
HIDDEN_GROUP = 5
"""Neither drawn nor seen by the scanner: the robot's collision bodies, and what is not in the
scene."""
DRAWN_GROUPS = (SOLID_GROUP, ROBOT_GROUP, DECAL_GROUP, FACADE_GROUP)
SCANNED_GROUPS = (SOLID_GROUP, COLLIDER_GROUP)

SURFACE_MATTE, SURFACE_DARK, SURFACE_GLOSSY = 0, 1, 2
"""How a geom returns a laser beam; the first number of its ``user`` attribute."""

# Robot and surroundings collide with each other, never among themselves.
ROBOT_COLLISION = 'contype="1" conaffinity="2"'
WORLD_COLLISION = 'contype="2" conaffinity="1"'
NO_COLLISION = 'contype="0" conaffinity="0"'

FACING_X = 'quat="0.5 0.5 0.5 0.5"'
"""Turns a box so that its local z axis, whose faces carry the texture upright, points along x."""


def numbers(values: Iterable[float]) -> str:
    """Values separated by blanks, as MJCF attributes want them."""
    return " ".join(f"{value:.6g}" for value in values)


def geom(
    kind: str,
    position: Iterable[float],
    size: Iterable[float],
    *,
    material: str | None = None,
    rgba: Iterable[float] | None = None,
    group: int = SOLID_GROUP,
    collision: str = NO_COLLISION,
    name: str | None = None,
    extra: str = "",
) -> str:
    """One ``<geom>``; boxes take half sizes, cylinders radius and half length."""
    parts = [f'<geom type="{kind}" pos="{numbers(position)}" size="{numbers(size)}"']
    parts.append(f'group="{group}" mass="0" {collision}')
    if name is not None:
        parts.append(f'name="{name}"')
    if material is not None:
        parts.append(f'material="{material}"')
    if rgba is not None:
        parts.append(f'rgba="{numbers(rgba)}"')
    return " ".join([*parts, extra]) + "/>"


def solid_box(
    position: Iterable[float], half_size: Iterable[float], material: str, extra: str = ""
) -> str:
    """A box of scenery that collides and that the scanner sees."""
    return geom(
        "box", position, half_size, material=material, collision=WORLD_COLLISION, extra=extra
    )


def decal(
    position: Iterable[float],
    half_size: Iterable[float],
    *,
    material: str | None = None,
    rgba: Iterable[float] | None = None,
    extra: str = "",
) -> str:
    """A thin box that is only drawn."""
    return geom(
        "box", position, half_size, material=material, rgba=rgba, group=DECAL_GROUP, extra=extra
    )


def collider(
    kind: str,
    position: Iterable[float],
    size: Iterable[float],
    *,
    surface: int = SURFACE_MATTE,
    name: str | None = None,
    extra: str = "",
) -> str:
    """A geom that collides and that the scanner sees, drawn by the facade of its body."""
    return geom(
        kind,
        position,
        size,
        rgba=(0.5, 0.5, 0.5, 1),
        group=COLLIDER_GROUP,
        collision=WORLD_COLLISION,
        name=name,
        extra=f'user="{surface}" {extra}',
    )


def facade(mesh: str, material: str, *, group: int = FACADE_GROUP, name: str | None = None) -> str:
    """A mesh that is only drawn."""
    named = "" if name is None else f'name="{name}" '
    return (
        f'<geom type="mesh" mesh="{mesh}" material="{material}" group="{group}" {named}'
        f'mass="0" {NO_COLLISION}/>'
    )


def mocap_body(name: str, geoms: Iterable[str], position: Iterable[float] = (0, 0, -20)) -> str:
    """A body that is moved from episode to episode; unused ones wait far below the floor."""
    inner = "\n      ".join(geoms)
    return (
        f'<body name="{name}" mocap="true" pos="{numbers(position)}">\n      {inner}\n    </body>'
    )
