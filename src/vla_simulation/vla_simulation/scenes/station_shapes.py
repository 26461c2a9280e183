"""The bodies that stations come in: boxes and cylinders in the dock frame.

Bodies differ to camera and scanner. What the robot docks at is the same for all of them: port,
plates, buffers, and a panel front at `StationConfig.panel_front_m` for sign and marker. No body
reaches beyond the floor that a cabinet covers, apart from `round`, which goes deeper.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vla_simulation.config import StationConfig

Vector = tuple[float, float, float]

SIGN_BOTTOM_M, SIGN_TOP_M = 0.585, 1.035
SIGN_HALF_WIDTH_M = 0.17
_FRAME_M = 0.024
_BACKING_HALF_WIDTH_M = 0.115


@dataclass(frozen=True)
class Solid:
    """One solid of a station's body.

    Attributes:
        kind: `box` or an upright `cylinder`.
        centre: in the dock frame [m].
        size: half lengths of a box; radius and half height of a cylinder, and 0 [m].
        finish: `body`, `front` (with doors and vents on its face), `accent` (the station's
            colour), or `lamp`.
        yaw: of a box, about its vertical axis [rad].
    """

    kind: Literal["box", "cylinder"]
    centre: Vector
    size: Vector
    finish: Literal["body", "front", "accent", "lamp"]
    yaw: float = 0.0


def _between(
    x: tuple[float, float],
    y: tuple[float, float],
    z: tuple[float, float],
    finish: Literal["body", "front", "accent", "lamp"],
) -> Solid:
    low, high = zip(x, y, z, strict=True)
    centre = tuple((a + b) / 2 for a, b in zip(low, high, strict=True))
    half = tuple((b - a) / 2 for a, b in zip(low, high, strict=True))
    return Solid("box", centre, half, finish)  # type: ignore[arg-type]


def _mirrored(
    x: tuple[float, float],
    y: tuple[float, float],
    z: tuple[float, float],
    finish: Literal["body", "front", "accent", "lamp"],
) -> list[Solid]:
    return [_between(x, y, z, finish), _between(x, (-y[1], -y[0]), z, finish)]


def _cabinet(c: StationConfig) -> list[Solid]:
    """Back panel between two pillars that reach forward."""
    front, back = c.panel_front_m, c.panel_front_m + c.panel_thickness_m
    inner = c.panel_half_width_m - c.pillar_width_m / 2
    outer = c.panel_half_width_m + c.pillar_width_m / 2
    pillars = (c.pillar_front_m, back)
    return [
        _between((front, back), (-inner, inner), (0, c.height_m), "front"),
        *_mirrored(pillars, (inner, outer), (0, c.height_m), "accent"),
        # Behind the sign, which would lose its digit's middle otherwise.
        _between((front + 0.012, back), (-outer, outer), (c.height_m, c.height_m + 0.06), "accent"),
    ]


def _pillar(c: StationConfig) -> list[Solid]:
    """Slim tower with coloured edges."""
    front, back = c.panel_front_m, c.panel_front_m + c.panel_thickness_m
    return [
        _between((front, back), (-0.125, 0.125), (0, 1.10), "front"),
        *_mirrored((front - 0.02, back), (0.125, 0.155), (0, 1.10), "accent"),
        _between((front - 0.02, back), (-0.155, 0.155), (1.10, 1.16), "accent"),
        _between((front, back), (-0.22, 0.22), (0, 0.05), "body"),
    ]


def _arch(c: StationConfig) -> list[Solid]:
    """Gate of two legs and a beam, a narrow board hanging in it."""
    front, back = c.panel_front_m, c.panel_front_m + c.panel_thickness_m
    return [
        *_mirrored((front - 0.02, back), (0.215, 0.285), (0, 1.12), "accent"),
        _between((front - 0.02, back), (-0.285, 0.285), (1.12, 1.19), "accent"),
        _between((front, front + 0.04), (-0.115, 0.115), (0, 1.12), "front"),
        _between((front, back), (-0.215, 0.215), (0, 0.04), "body"),
    ]


def _low(c: StationConfig) -> list[Solid]:
    """Wide bench with a slim board above it."""
    front, back = c.panel_front_m, c.panel_front_m + c.panel_thickness_m
    return [
        _between((front, back), (-0.285, 0.285), (0, 0.31), "body"),
        _between((front - 0.012, back), (-0.285, 0.285), (0.31, 0.35), "accent"),
        *_mirrored((front - 0.012, back), (0.262, 0.285), (0, 0.31), "accent"),
        _between((front, front + 0.04), (-0.115, 0.115), (0.35, SIGN_TOP_M), "body"),
    ]


def _round(c: StationConfig) -> list[Solid]:
    """Thick upright tube with coloured bands."""
    radius = 0.21
    x = c.panel_front_m + radius
    return [
        Solid("cylinder", (x, 0, 0.50), (radius - 0.004, 0.50, 0), "body"),
        Solid("cylinder", (x, 0, 1.02), (radius, 0.06, 0), "accent"),
        Solid("cylinder", (x, 0, 0.30), (radius, 0.045, 0), "accent"),
        _between((c.panel_front_m, x), (-0.115, 0.115), (0.34, 0.60), "body"),
    ]


def _wing(c: StationConfig) -> list[Solid]:
    """Narrow spine with two wings that fold forward."""
    front, back = c.panel_front_m, c.panel_front_m + c.panel_thickness_m
    start, end = (front + 0.025, 0.125), (c.pillar_front_m + 0.005, 0.265)
    length = math.dist(start, end)
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    angle = math.atan2(end[1] - start[1], end[0] - start[0])
    wings = [
        Solid(
            "box",
            (middle[0], side * middle[1], 0.46),
            (length / 2 + 0.01, 0.018, 0.46),
            "accent",
            side * angle,
        )
        for side in (1, -1)
    ]
    return [_between((front, back), (-0.135, 0.135), (0, 0.98), "front"), *wings]


_BODIES: dict[str, Callable[[StationConfig], list[Solid]]] = {
    "cabinet": _cabinet,
    "pillar": _pillar,
    "arch": _arch,
    "low": _low,
    "round": _round,
    "wing": _wing,
}
SHAPES = tuple(_BODIES)
"""Names of all bodies, of training and of held-out suites."""


def station_solids(shape: str, config: StationConfig) -> list[Solid]:
    """What a body collides with and shows to the scanner, without its port."""
    return _BODIES[shape](config)


def sign_solids(config: StationConfig) -> list[Solid]:
    """Frame and backing of the sign board, and the status lamp above the port; only drawn."""
    front = config.panel_front_m
    outer = SIGN_HALF_WIDTH_M + _FRAME_M
    low, high = SIGN_BOTTOM_M - _FRAME_M, SIGN_TOP_M + _FRAME_M
    return [
        _between((front - 0.006, front + 0.015), (-outer, outer), (low, high), "accent"),
        _between(
            (front + 0.001, front + 0.012),
            (-_BACKING_HALF_WIDTH_M, _BACKING_HALF_WIDTH_M),
            (0.30, low),
            "body",
        ),
        _between((front - 0.008, front), (-0.10, 0.10), (0.285, 0.305), "lamp"),
    ]
