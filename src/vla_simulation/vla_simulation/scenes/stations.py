"""Draws the stations of a scene: how many, where along a wall, and what they look like."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.config import StationConfig
from vla_simulation.randomization import SceneRandomization
from vla_simulation.scenes.footprints import Footprint
from vla_simulation.scenes.instructions import NUMBERS, STATION_COLOURS, Naming, Side

STATION_SHAPES: Final = ("cabinet", "pillar", "arch", "low")
"""Bodies of training stations; port, plates and buffers are the same in all."""

MAX_STATIONS: Final = 3

_BAY_END_TO_WALL_M = 1.1
_BRIGHTNESS = (0.85, 1.1)


@dataclass(frozen=True)
class StationLook:
    """What a station looks like.

    Attributes:
        colour: its name in English.
        rgb: 0 to 1.
        shape: of its body.
        number: on its sign.
    """

    colour: str
    rgb: tuple[float, float, float]
    shape: str
    number: int


@dataclass(frozen=True)
class Station:
    """A charging station.

    Attributes:
        world_from_dock: pose of the robot when docked there.
        look: what it looks like.
        side: where it stands, for a robot that faces the stations.
    """

    world_from_dock: Pose2D
    look: StationLook
    side: Side

    def footprint(self, config: StationConfig) -> Footprint:
        """The floor that it covers."""
        half_length = (config.panel_front_m + config.panel_thickness_m - config.port_front_m) / 2
        centre = Pose2D(config.port_front_m + half_length, 0.0, 0.0)
        half_width = config.panel_half_width_m + config.pillar_width_m / 2
        return Footprint(self.world_from_dock @ centre, half_length, half_width)


def sample_station_count(rng: np.random.Generator, randomization: SceneRandomization) -> int:
    """How many stations a scene has."""
    return 1 + pick(rng, randomization.station_count_shares)


def sample_stations(
    rng: np.random.Generator,
    looks_rng: np.random.Generator,
    randomization: SceneRandomization,
    config: StationConfig,
    room: tuple[float, float],
    count: int,
    naming: Naming,
) -> tuple[Station, ...]:
    """Draw the stations, left to right as a robot sees them that faces them.

    Args:
        rng: decides where they stand.
        looks_rng: decides what they look like.
        randomization: bounds.
        config: dimensions of a station.
        room: length and width [m].
        count: how many.
        naming: how the sentence will tell them apart. Only where it does not name a colour, two of
            them may have the same one.
    """
    poses = _sample_poses(rng, randomization, config, room, count)
    looks = _sample_looks(looks_rng, randomization, count, naming)
    sides: tuple[Side, ...] = (("only",), ("left", "right"), ("left", "middle", "right"))[count - 1]
    return tuple(Station(*station) for station in zip(poses, looks, sides, strict=True))


def bay_frame(stations: tuple[Station, ...]) -> Pose2D:
    """The mean of the docked poses, as `world_from_bay`."""
    poses = [station.world_from_dock for station in stations]
    count = len(poses)
    # All of them face the same wall, so their headings are close to the first one's.
    yaw = poses[0].yaw
    turn = sum(math.remainder(pose.yaw - yaw, math.tau) for pose in poses) / count
    return Pose2D(
        sum(pose.x for pose in poses) / count, sum(pose.y for pose in poses) / count, yaw + turn
    )


def pick(rng: np.random.Generator, shares: tuple[float, ...]) -> int:
    """Draw an index in proportion to shares."""
    return int(np.searchsorted(np.cumsum(shares), rng.random() * sum(shares), side="right"))


def _sample_poses(
    rng: np.random.Generator,
    randomization: SceneRandomization,
    config: StationConfig,
    room: tuple[float, float],
    count: int,
) -> list[Pose2D]:
    wall = int(rng.integers(4))
    depth, span = room if wall % 2 == 0 else room[::-1]
    to_wall = config.panel_front_m + config.panel_thickness_m
    to_wall += rng.uniform(*randomization.station_gap_to_wall_m)
    spacings = rng.uniform(*randomization.station_spacing_m, MAX_STATIONS - 1)[: count - 1]
    offsets = np.concatenate([[0.0], np.cumsum(spacings)])
    offsets = offsets[-1] / 2 - offsets  # left is +y
    free = max(0.0, span / 2 - _BAY_END_TO_WALL_M - offsets[0])
    along = rng.uniform(-1.0, 1.0) * free
    depths = rng.uniform(*randomization.station_depth_m, MAX_STATIONS)
    yaws = rng.uniform(*randomization.station_yaw_rad, MAX_STATIONS)
    world_from_wall = Pose2D(0.0, 0.0, wall * math.pi / 2)
    return [
        world_from_wall
        @ Pose2D(depth / 2 - to_wall - depths[k], along + float(offsets[k]), float(yaws[k]))
        for k in range(count)
    ]


def _sample_looks(
    rng: np.random.Generator, randomization: SceneRandomization, count: int, naming: Naming
) -> list[StationLook]:
    palette, shapes = _palette(randomization)
    repeat = naming != "colour" and rng.random() < randomization.equal_colour_share
    colours = rng.choice(sorted(palette), count, replace=repeat)
    numbers = rng.permutation(NUMBERS)[:count]
    looks = []
    for colour, number in zip(colours, numbers, strict=True):
        rgb = np.clip(np.array(palette[colour]) * rng.uniform(*_BRIGHTNESS), 0.02, 1.0)
        shape = str(rng.choice(shapes))
        looks.append(
            StationLook(
                str(colour), (float(rgb[0]), float(rgb[1]), float(rgb[2])), shape, int(number)
            )
        )
    return looks


def _palette(
    randomization: SceneRandomization,
) -> tuple[dict[str, tuple[float, float, float]], tuple[str, ...]]:
    """Colours and shapes to draw from."""
    if not randomization.held_out_looks:
        return STATION_COLOURS, STATION_SHAPES
    from vla_simulation.held_out import held_out_colours, held_out_shapes

    return {name: c.rgb for name, c in held_out_colours().items()}, held_out_shapes()
