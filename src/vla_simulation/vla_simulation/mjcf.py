"""Small helpers that write MJCF elements."""

from collections.abc import Iterable

SOLID_GROUP = 0
"""Scenery that the scanner sees."""
ROBOT_GROUP = 1
"""The robot itself: drawn, but invisible to its own scanner."""
STATION_GROUP = 2
"""Station bodies, which the scanner sees."""
DECAL_GROUP = 3
"""Markings and shadows: drawn only."""
HIDDEN_GROUP = 5
"""Neither drawn nor seen by the scanner: collision bodies, and what is not in the scene."""
DRAWN_GROUPS = (SOLID_GROUP, ROBOT_GROUP, STATION_GROUP, DECAL_GROUP)
SCANNED_GROUPS = (SOLID_GROUP, STATION_GROUP)

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


def mocap_body(name: str, geoms: Iterable[str], position: Iterable[float] = (0, 0, -20)) -> str:
    """A body that is moved from episode to episode; unused ones wait far below the floor."""
    inner = "\n      ".join(geoms)
    return (
        f'<body name="{name}" mocap="true" pos="{numbers(position)}">\n      {inner}\n    </body>'
    )
