"""Draws where an episode starts."""

import math

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.config import StartConfig, StationConfig, SuiteConfig
from vla_simulation.scenes.footprints import Footprint, corridor
from vla_simulation.scenes.scene import Scene, sample_scene

_STAGING_M = 0.6
_SCENE_ATTEMPTS = 50
# A little more than the robot covers.
_ROBOT_HALF_LENGTH_M = 0.34
_ROBOT_HALF_WIDTH_M = 0.27


def sample_episode(
    scene_rng: np.random.Generator,
    start_rng: np.random.Generator,
    suite: SuiteConfig,
    station: StationConfig,
) -> tuple[Scene, Pose2D] | None:
    """Draw a scene and a start in it; a scene without a free start is drawn again.

    Returns:
        The scene and `world_from_base`, or None if no scene had a free start.
    """
    for _ in range(_SCENE_ATTEMPTS):
        scene = sample_scene(scene_rng, suite.randomization, station)
        start = sample_start(start_rng, scene, suite.start)
        if start is not None:
            return scene, start
    return None


def sample_start(
    rng: np.random.Generator, scene: Scene, start: StartConfig, attempts: int = 60
) -> Pose2D | None:
    """Draw where the robot starts, as ``world_from_base``.

    Distance, bearing and heading are uniform. Draws are rejected that lie outside the room, touch
    clutter, or have clutter in the straight corridor from the start over the staging point
    (0.6 m in front of the docked pose) to the station.

    Returns:
        The start, or None if no draw was accepted.
    """
    staging = scene.world_from_dock @ Pose2D(-_STAGING_M, 0.0, 0.0)
    for _ in range(attempts):
        distance = rng.uniform(start.min_distance_m, start.max_distance_m)
        bearing = rng.uniform(-start.max_bearing_rad, start.max_bearing_rad)
        heading = rng.uniform(-start.max_heading_rad, start.max_heading_rad)
        x, y = -distance * math.cos(bearing), distance * math.sin(bearing)
        facing = math.atan2(-y, -x)
        world_from_base = scene.world_from_dock @ Pose2D(x, y, facing + heading)
        if not _inside_room(scene, world_from_base, start.wall_margin_m):
            continue
        blocked_areas = (
            Footprint(world_from_base, _ROBOT_HALF_LENGTH_M, _ROBOT_HALF_WIDTH_M),
            corridor(world_from_base, staging, start.corridor_half_width_m),
            corridor(staging, scene.world_from_dock, start.corridor_half_width_m),
        )
        if not any(
            item.footprint.overlaps(area) for item in scene.clutter for area in blocked_areas
        ):
            return world_from_base
    return None


def _inside_room(scene: Scene, pose: Pose2D, margin_m: float) -> bool:
    return (
        abs(pose.x) < scene.room_length_m / 2 - margin_m
        and abs(pose.y) < scene.room_width_m / 2 - margin_m
    )
