"""Draws a scene: room, station, clutter, surfaces and light, independently of the start."""

import math
from dataclasses import dataclass

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.config import RandomizationConfig, StationConfig
from vla_simulation.scenes import scenery, textures
from vla_simulation.scenes.footprints import Footprint
from vla_simulation.scenes.instructions import STATION_COLOURS, sample_instruction

_GAP_M = 0.12


@dataclass(frozen=True)
class PlacedProp:
    """A piece of clutter or decoration and where it stands."""

    prop: scenery.Prop
    pose: Pose2D

    @property
    def footprint(self) -> Footprint:
        """The floor that it covers."""
        return Footprint(self.pose, self.prop.half_length_m, self.prop.half_width_m)


@dataclass(frozen=True)
class Lighting:
    """Two directional lights and an ambient one; intensities 0 to 1."""

    ambient: float
    key: float
    key_direction: tuple[float, float, float]
    fill: float
    fill_direction: tuple[float, float, float]
    warmth: float
    """-1 bluish to 1 yellowish."""


@dataclass(frozen=True)
class Scene:
    """Everything that stands still during an episode. The world's origin is the room's centre."""

    room_length_m: float
    room_width_m: float
    world_from_dock: Pose2D
    colour: str
    station_rgb: tuple[float, float, float]
    instruction: str
    clutter: tuple[PlacedProp, ...]
    decoration: tuple[PlacedProp, ...]
    floor: str
    floor_tint: tuple[float, float, float]
    walls: tuple[str, str, str, str]
    wall_tint: tuple[float, float, float]
    lighting: Lighting

    def wall_pose(self, index: int) -> Pose2D:
        """Pose of a wall's inner face: 0 at +x, 1 at +y, 2 at -x, 3 at -y; x into the room."""
        yaw = index * math.pi / 2
        half = self.room_length_m / 2 if index % 2 == 0 else self.room_width_m / 2
        return Pose2D(half * math.cos(yaw), half * math.sin(yaw), yaw + math.pi)


def sample_scene(
    rng: np.random.Generator, randomization: RandomizationConfig, station: StationConfig
) -> Scene:
    """Draw a scene; nothing in it depends on where the robot will start."""
    length = rng.uniform(*randomization.room_length_m)
    width = rng.uniform(*randomization.room_width_m)
    world_from_dock = _sample_dock(rng, randomization, station, length, width)
    colour = str(rng.choice(list(STATION_COLOURS)))
    rgb = np.clip(np.array(STATION_COLOURS[colour]) * rng.uniform(0.85, 1.1), 0.02, 1.0)
    floor = str(rng.choice(list(textures.FLOORS)))
    wall = str(rng.choice(list(textures.WALLS)))
    other_wall = str(rng.choice(list(textures.WALLS)))
    odd_wall = int(rng.integers(8))  # half of the rooms have one wall of another kind
    keep_clear = Footprint(
        world_from_dock @ Pose2D(-0.2, 0.0, 0.0), 0.85, station.panel_half_width_m + 0.35
    )
    clutter = _place_clutter(rng, randomization, length, width, keep_clear)
    decoration = tuple(
        PlacedProp(prop, _pose_at_wall(rng, prop, length, width))
        for prop in scenery.WALL_DECORATION
        if rng.random() < 0.7
    )
    return Scene(
        room_length_m=length,
        room_width_m=width,
        world_from_dock=world_from_dock,
        colour=colour,
        station_rgb=(float(rgb[0]), float(rgb[1]), float(rgb[2])),
        instruction=sample_instruction(rng, colour),
        clutter=clutter,
        decoration=decoration,
        floor=floor,
        floor_tint=_tint(rng, 0.75, 1.1),
        walls=tuple(other_wall if k == odd_wall else wall for k in range(4)),  # type: ignore[arg-type]
        wall_tint=_tint(rng, 0.8, 1.05),
        lighting=_sample_lighting(rng, randomization),
    )


def _sample_dock(
    rng: np.random.Generator,
    randomization: RandomizationConfig,
    station: StationConfig,
    length: float,
    width: float,
) -> Pose2D:
    """Docked pose in the world: the station's back is near one of the walls."""
    wall = int(rng.integers(4))
    depth, span = (length, width) if wall % 2 == 0 else (width, length)
    to_wall = station.panel_front_m + station.panel_thickness_m
    to_wall += rng.uniform(*randomization.station_gap_to_wall_m)
    along = rng.uniform(-1.0, 1.0) * max(0.0, span / 2 - 1.1)
    in_wall_frame = Pose2D(depth / 2 - to_wall, along, rng.uniform(*randomization.station_yaw_rad))
    return Pose2D(0.0, 0.0, wall * math.pi / 2) @ in_wall_frame


def _place_clutter(
    rng: np.random.Generator,
    randomization: RandomizationConfig,
    length: float,
    width: float,
    keep_clear: Footprint,
) -> tuple[PlacedProp, ...]:
    low, high = randomization.clutter_count
    count = min(int(rng.integers(low, high + 1)), len(scenery.CLUTTER))
    placed: list[PlacedProp] = []
    for index in rng.permutation(len(scenery.CLUTTER))[:count]:
        prop = scenery.CLUTTER[index]
        for _ in range(12):
            pose = (
                _pose_at_wall(rng, prop, length, width)
                if prop.at_wall
                else _pose_anywhere(rng, prop, length, width)
            )
            candidate = PlacedProp(prop, pose)
            grown = Footprint(pose, prop.half_length_m + _GAP_M, prop.half_width_m + _GAP_M)
            if not grown.overlaps(keep_clear) and not any(
                grown.overlaps(other.footprint) for other in placed
            ):
                placed.append(candidate)
                break
    return tuple(placed)


def _pose_at_wall(
    rng: np.random.Generator, prop: scenery.Prop, length: float, width: float
) -> Pose2D:
    """Back to a random wall, facing the room."""
    wall = int(rng.integers(4))
    depth, span = (length, width) if wall % 2 == 0 else (width, length)
    free = max(0.0, span / 2 - prop.half_width_m - 0.05)
    in_wall_frame = Pose2D(depth / 2 - prop.half_length_m - 0.02, rng.uniform(-free, free), math.pi)
    return Pose2D(0.0, 0.0, wall * math.pi / 2) @ in_wall_frame


def _pose_anywhere(
    rng: np.random.Generator, prop: scenery.Prop, length: float, width: float
) -> Pose2D:
    margin = math.hypot(prop.half_length_m, prop.half_width_m) + 0.05
    # Two thirds stand parallel to the walls, as people put things down.
    yaw = rng.integers(4) * math.pi / 2 + (rng.normal(0, 0.4) if rng.random() < 0.35 else 0.0)
    return Pose2D(
        rng.uniform(-1, 1) * (length / 2 - margin), rng.uniform(-1, 1) * (width / 2 - margin), yaw
    )


def _tint(rng: np.random.Generator, low: float, high: float) -> tuple[float, float, float]:
    tint = rng.uniform(low, high) * rng.uniform(0.94, 1.06, 3)
    return float(tint[0]), float(tint[1]), float(tint[2])


def _sample_lighting(rng: np.random.Generator, randomization: RandomizationConfig) -> Lighting:
    azimuth = rng.uniform(-math.pi, math.pi)
    slope = rng.uniform(0.3, 0.8)
    other = azimuth + rng.uniform(0.6, 1.4) * math.pi
    return Lighting(
        ambient=rng.uniform(*randomization.light_ambient),
        key=rng.uniform(*randomization.light_diffuse),
        key_direction=(slope * math.cos(azimuth), slope * math.sin(azimuth), -1.0),
        fill=rng.uniform(0.1, 0.25),
        fill_direction=(math.cos(other), math.sin(other), -0.7),
        warmth=rng.uniform(-1.0, 1.0),
    )
