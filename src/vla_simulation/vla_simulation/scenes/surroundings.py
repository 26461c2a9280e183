"""Draws what surrounds the stations: clutter, decoration, surfaces and light."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.randomization import SceneRandomization
from vla_simulation.scenes import scenery, textures
from vla_simulation.scenes.footprints import Footprint, Obstacles

_GAP_M = 0.12
_ATTEMPTS_PER_OCCLUDER = 8
_OCCLUDERS_AHEAD_M = (-1.5, -0.3)
_OCCLUDERS_BESIDE_M = (0.25, 0.85)
_OVERHEAD_BESIDE_M = 0.35


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
class Surfaces:
    """Textures of floor and walls, and their tints."""

    floor: str
    floor_tint: tuple[float, float, float]
    walls: tuple[str, str, str, str]
    wall_tint: tuple[float, float, float]


Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Lighting:
    """Two directional lights and an ambient one; colours are intensities, 0 to 1.

    Attributes:
        ambient: from everywhere.
        key: the stronger directional light.
        key_direction: it shines along this.
        fill: the weaker one.
        fill_direction: it shines along this.
        corner_shade: how dark corners of the room are, 0 to 1.
        glow: of windows, open doors and lamps, 0 to 1.
    """

    ambient: Rgb
    key: Rgb
    key_direction: tuple[float, float, float]
    fill: Rgb
    fill_direction: tuple[float, float, float]
    corner_shade: float
    glow: float


def sample_surfaces(rng: np.random.Generator) -> Surfaces:
    """Draw textures and tints."""
    floor = str(rng.choice(list(textures.FLOORS)))
    wall = str(rng.choice(list(textures.WALLS)))
    other_wall = str(rng.choice(list(textures.WALLS)))
    odd_wall = int(rng.integers(8))  # half of the rooms have one wall of another kind
    return Surfaces(
        floor=floor,
        floor_tint=_tint(rng, 0.75, 1.1),
        walls=tuple(other_wall if k == odd_wall else wall for k in range(4)),  # type: ignore[arg-type]
        wall_tint=_tint(rng, 0.8, 1.05),
    )


def sample_clutter(
    rng: np.random.Generator,
    randomization: SceneRandomization,
    room: tuple[float, float],
    keep_clear: tuple[Footprint, ...],
) -> tuple[PlacedProp, ...]:
    """Draw what stands in the room and collides.

    Args:
        rng: of the clutter.
        randomization: bounds.
        room: length and width [m].
        keep_clear: where nothing may stand.
    """
    low, high = randomization.clutter_count
    count = min(int(rng.integers(low, high + 1)), len(scenery.CLUTTER))
    placed: list[PlacedProp] = []
    taken = list(keep_clear)
    for index in rng.permutation(len(scenery.CLUTTER))[:count]:
        prop = scenery.CLUTTER[index]
        obstacles = Obstacles(taken)
        for _ in range(12):
            pose = (
                _pose_at_wall(rng, prop, room) if prop.at_wall else _pose_on_floor(rng, prop, room)
            )
            grown = Footprint(pose, prop.half_length_m + _GAP_M, prop.half_width_m + _GAP_M)
            if not obstacles.touch(grown):
                placed.append(PlacedProp(prop, pose))
                taken.append(placed[-1].footprint)
                break
    return tuple(placed)


def sample_decoration(
    rng: np.random.Generator, randomization: SceneRandomization, room: tuple[float, float]
) -> tuple[PlacedProp, ...]:
    """Draw what hangs on the walls and lies on the floor.

    Args:
        rng: of the decoration.
        randomization: bounds.
        room: length and width [m].
    """
    placed: list[PlacedProp] = []
    low, high = randomization.wall_decoration_count
    count = min(int(rng.integers(low, high + 1)), len(scenery.WALL_DECORATION))
    for index in rng.permutation(len(scenery.WALL_DECORATION))[:count]:
        item = PlacedProp(
            scenery.WALL_DECORATION[index], _pose_at_wall(rng, scenery.WALL_DECORATION[index], room)
        )
        if not any(item.footprint.overlaps(other.footprint) for other in placed):
            placed.append(item)
    low, high = randomization.floor_decoration_count
    count = min(int(rng.integers(low, high + 1)), len(scenery.FLOOR_DECORATION))
    for index in rng.permutation(len(scenery.FLOOR_DECORATION))[:count]:
        prop = scenery.FLOOR_DECORATION[index]
        x, y = rng.uniform(-0.4, 0.4, 2)
        yaw = int(rng.integers(4)) * math.pi / 2
        placed.append(PlacedProp(prop, Pose2D(float(x) * room[0], float(y) * room[1], yaw)))
    return tuple(placed)


def sample_lighting(rng: np.random.Generator, randomization: SceneRandomization) -> Lighting:
    """Draw the lights."""
    azimuth = rng.uniform(-math.pi, math.pi)
    slope = rng.uniform(*randomization.light_slope)
    other = azimuth + rng.uniform(0.6, 1.4) * math.pi
    warmth = rng.uniform(-1.0, 1.0)
    tint = rng.uniform(*randomization.light_tint)

    def colour(intensity: tuple[float, float]) -> Rgb:
        # Along the line of colour temperatures first, then any hue.
        temperature = np.array([1.0 + 0.06 * warmth, 1.0, 1.0 - 0.08 * warmth])
        rgb = rng.uniform(*intensity) * temperature * (1.0 + tint * rng.uniform(-1.0, 1.0, 3))
        return float(rgb[0]), float(rgb[1]), float(rgb[2])

    return Lighting(
        ambient=colour(randomization.light_ambient),
        key=colour(randomization.light_diffuse),
        key_direction=(slope * math.cos(azimuth), slope * math.sin(azimuth), -1.0),
        fill=colour(randomization.light_fill),
        fill_direction=(math.cos(other), math.sin(other), -0.7),
        corner_shade=rng.uniform(*randomization.corner_shade),
        glow=rng.uniform(*randomization.glow),
    )


def sample_occluders(
    rng: np.random.Generator,
    randomization: SceneRandomization,
    world_from_docks: Sequence[Pose2D],
    keep_clear: tuple[Footprint, ...],
    clutter: tuple[PlacedProp, ...],
    attempt: int,
) -> tuple[PlacedProp, ...]:
    """Draw what stands in the bay itself, where it hides parts of the stations.

    Args:
        rng: of the occluders.
        randomization: bounds.
        world_from_docks: docked poses.
        keep_clear: the stations, and the last of the way to them.
        clutter: what stands in the room already.
        attempt: scenes of this seed that had no start; after some of them, fewer occluders block
            narrow bays.
    """
    low, high = randomization.occluder_count
    wanted = int(rng.integers(low, high + 1)) - attempt // _ATTEMPTS_PER_OCCLUDER
    placed: list[PlacedProp] = []
    used = {item.prop.name for item in clutter}
    slender = [prop for prop in scenery.CLUTTER if prop.slender and prop.name not in used]
    taken = [*keep_clear, *(item.footprint for item in clutter)]
    for index in rng.permutation(len(slender)):
        prop = slender[index]
        obstacles = Obstacles(taken)
        for _ in range(8):
            world_from_dock = world_from_docks[rng.integers(len(world_from_docks))]
            x, y = rng.uniform(*_OCCLUDERS_AHEAD_M), rng.uniform(*_OCCLUDERS_BESIDE_M)
            y = math.copysign(y, rng.random() - 0.5)
            pose = world_from_dock @ Pose2D(x, y, rng.uniform(-math.pi, math.pi))
            item = PlacedProp(prop, pose)
            if len(placed) < wanted and not obstacles.touch(item.footprint):
                placed.append(item)
                taken.append(item.footprint)
                break
    return tuple(placed)


def sample_overhead(
    rng: np.random.Generator, randomization: SceneRandomization, world_from_docks: Sequence[Pose2D]
) -> tuple[PlacedProp, ...]:
    """Draw what hangs from the ceiling in front of stations, above the robot."""
    low, high = randomization.overhead_count
    count = min(int(rng.integers(low, high + 1)), len(scenery.OVERHEAD))
    placed = []
    for index in rng.permutation(len(scenery.OVERHEAD))[:count]:
        world_from_dock = world_from_docks[rng.integers(len(world_from_docks))]
        x, y = (
            rng.uniform(*_OCCLUDERS_AHEAD_M),
            rng.uniform(-_OVERHEAD_BESIDE_M, _OVERHEAD_BESIDE_M),
        )
        pose = world_from_dock @ Pose2D(x, y, math.pi + rng.normal(0.0, 0.3))
        placed.append(PlacedProp(scenery.OVERHEAD[index], pose))
    return tuple(placed)


def _pose_at_wall(
    rng: np.random.Generator, prop: scenery.Prop, room: tuple[float, float]
) -> Pose2D:
    """Back to a random wall, facing the room."""
    wall = int(rng.integers(4))
    depth, span = room if wall % 2 == 0 else room[::-1]
    free = max(0.0, span / 2 - prop.half_width_m - 0.05)
    in_wall_frame = Pose2D(depth / 2 - prop.half_length_m - 0.02, rng.uniform(-free, free), math.pi)
    return Pose2D(0.0, 0.0, wall * math.pi / 2) @ in_wall_frame


def _pose_on_floor(
    rng: np.random.Generator, prop: scenery.Prop, room: tuple[float, float]
) -> Pose2D:
    margin = math.hypot(prop.half_length_m, prop.half_width_m) + 0.05
    # Two thirds stand parallel to the walls, as people put things down.
    yaw = rng.integers(4) * math.pi / 2 + (rng.normal(0, 0.4) if rng.random() < 0.35 else 0.0)
    return Pose2D(
        rng.uniform(-1, 1) * (room[0] / 2 - margin),
        rng.uniform(-1, 1) * (room[1] / 2 - margin),
        yaw,
    )


def _tint(rng: np.random.Generator, low: float, high: float) -> tuple[float, float, float]:
    tint = rng.uniform(low, high) * rng.uniform(0.94, 1.06, 3)
    return float(tint[0]), float(tint[1]), float(tint[2])
