"""Draws where an episode starts: wherever the expert could drive to each of the stations from."""

import dataclasses
import functools
import math
from typing import Final

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.config import StationConfig
from vla_simulation.controllers.expert import expert_action
from vla_simulation.errors import SimulationError
from vla_simulation.randomization import StartConfig
from vla_simulation.scenes.footprints import Footprint, Obstacles
from vla_simulation.scenes.scene import Scene, sample_scene
from vla_simulation.seeds import random_stream
from vla_simulation.suites import SuiteConfig

_SCENE_ATTEMPTS = 50
_STARTS_PER_SCENE = 30
_STEP_S = 0.1
_STEPS_AT_ONCE = 12  # before the next look for obstacles
_ARRIVED_M = 0.06
# What the robot covers around base_link, charging pins included.
_ROBOT_HALF_LENGTH_M: Final = 0.31
_ROBOT_HALF_WIDTH_M: Final = 0.20
_WALL_HALF_THICKNESS_M = 0.5


@functools.lru_cache(maxsize=4)  # episodes of one scene follow each other
def sample_episode(seed: int, suite: SuiteConfig, station: StationConfig) -> tuple[Scene, Pose2D]:
    """Draw a scene and a start in it; a scene without a feasible start is drawn again.

    Returns:
        The scene and `world_from_base`.

    Raises:
        SimulationError: no scene had a feasible start.
    """
    for attempt in range(_SCENE_ATTEMPTS):
        scene = sample_scene(seed, suite.randomization.scene, suite.language, station, attempt)
        start = sample_start(random_stream(seed, "start", attempt), scene, suite.start, station)
        if start is not None:
            return scene, start
    raise SimulationError(
        f"suite '{suite.name}' seed {seed}: no start from which all stations can be reached, "
        "expected a room with space: less clutter_count, a larger room or nearer starts"
    )


def sample_start(
    rng: np.random.Generator, scene: Scene, start: StartConfig, station: StationConfig
) -> Pose2D | None:
    """Draw where the robot starts, as ``world_from_base``, whatever the goal is.

    The distance to the nearest docked pose, and bearing and heading in the frame of the bay, are
    uniform. A draw counts if the expert's path to every station is free and short enough; else
    bearing and heading are drawn again. The distance is not, or near starts would prevail.

    Returns:
        The start, or None if no draw was accepted.
    """
    paths = ExpertPaths(scene, start, station)
    distance = rng.uniform(start.min_distance_m, start.max_distance_m)
    for _ in range(_STARTS_PER_SCENE):
        world_from_base = _draw(rng, scene, start, distance)
        if paths.feasible(world_from_base):
            return world_from_base
    return None


def sample_start_for(
    rng: np.random.Generator, scene: Scene, goal: int, start: StartConfig, station: StationConfig
) -> Pose2D | None:
    """As `sample_start`, in front of one station, and free on the way to that one alone."""
    paths = ExpertPaths(scene, start, station)
    lone = dataclasses.replace(scene, stations=(scene.stations[goal],), goal=0)
    distance = rng.uniform(start.min_distance_m, start.max_distance_m)
    for _ in range(_STARTS_PER_SCENE):
        world_from_base = _draw(rng, lone, start, distance)
        if paths.reaches(goal, world_from_base):
            return world_from_base
    return None


def _draw(rng: np.random.Generator, scene: Scene, start: StartConfig, distance: float) -> Pose2D:
    bearing = rng.uniform(-start.max_bearing_rad, start.max_bearing_rad)
    heading = rng.uniform(-start.max_heading_rad, start.max_heading_rad)
    world_from_bay = scene.world_from_bay
    ray = Pose2D(-math.cos(bearing), math.sin(bearing))
    reach = max(
        _reach(ray, station.world_from_dock.relative_to(world_from_bay), distance)
        for station in scene.stations
    )
    facing = math.atan2(-ray.y, -ray.x)
    return world_from_bay @ Pose2D(reach * ray.x, reach * ray.y, facing + heading)


def _reach(ray: Pose2D, point: Pose2D, distance: float) -> float:
    """How far along a ray from the origin one leaves the circle around a point; 0 if never in."""
    along = ray.x * point.x + ray.y * point.y
    across = ray.x * point.y - ray.y * point.x
    return along + math.sqrt(max(0.0, distance**2 - across**2)) if abs(across) < distance else 0.0


class ExpertPaths:
    """Whether the expert could drive from a start to each of the stations.

    Its law is followed by an ideal unicycle, and the floor that the robot sweeps must be free.
    """

    def __init__(self, scene: Scene, start: StartConfig, station: StationConfig) -> None:
        """Remember what is in the way.

        Args:
            scene: of the episode.
            start: clearance and longest drive.
            station: dimensions of a station.
        """
        self._docks = [s.world_from_dock for s in scene.stations]
        self._half_size = (
            _ROBOT_HALF_LENGTH_M + start.clearance_m,
            _ROBOT_HALF_WIDTH_M + start.clearance_m,
        )
        self._order = list(range(len(self._docks)))
        self._max_steps = round(start.max_drive_s / _STEP_S)
        room = [item.footprint for item in scene.clutter]
        room += [_wall(scene, k) for k in range(4)]
        stations = [s.footprint(station) for s in scene.stations]
        self._anything = Obstacles(room + stations)
        # The commanded station itself is what the robot drives up to.
        self._but_own = [
            Obstacles([*room, *stations[:k], *stations[k + 1 :]]) for k in range(len(stations))
        ]

    def feasible(self, world_from_base: Pose2D) -> bool:
        """Whether the paths to all stations are free and short enough."""
        start = Footprint(world_from_base, *self._half_size)
        if self._anything.touch(start):
            return False
        for position, station in enumerate(self._order):
            if not self.reaches(station, world_from_base):
                # Most likely what blocks this way blocks the next start's, too: try it first.
                self._order.insert(0, self._order.pop(position))
                return False
        return True

    def reaches(self, station: int, world_from_base: Pose2D) -> bool:
        """Whether the path to one station is free and short enough; it may begin in the dock."""
        dock = self._docks[station]
        pose = world_from_base.relative_to(dock)
        for steps in range(0, self._max_steps, _STEPS_AT_ONCE):
            poses, pose = _follow(pose, min(_STEPS_AT_ONCE, self._max_steps - steps))
            world = _to_world(dock, np.array(poses))
            if self._but_own[station].touched(world, *self._half_size).any():
                return False
            if _arrived(pose):
                return True
        return False


def expert_path(dock_from_base: Pose2D, max_steps: int) -> np.ndarray | None:
    """Where an ideal unicycle goes that follows the expert's law, every tenth of a second.

    Returns:
        (N, 3) x [m], y [m], yaw [rad] in the dock frame, up to the last centimetres, or None if
        they are not reached within the steps.
    """
    poses, pose = _follow(dock_from_base, max_steps)
    return np.array(poses) if _arrived(pose) else None


def _follow(
    dock_from_base: Pose2D, max_steps: int
) -> tuple[list[tuple[float, float, float]], Pose2D]:
    """Poses from the present one on, up to arrival, and the one that comes after them."""
    pose, poses = dock_from_base, []
    for _ in range(max_steps):
        poses.append((pose.x, pose.y, pose.yaw))
        if _arrived(pose):
            break
        linear, angular = expert_action(pose)
        turn = angular * _STEP_S
        heading = pose.yaw + turn / 2
        pose = Pose2D(
            pose.x + linear * _STEP_S * math.cos(heading),
            pose.y + linear * _STEP_S * math.sin(heading),
            pose.yaw + turn,
        )
    return poses, pose


def _arrived(dock_from_base: Pose2D) -> bool:
    return math.hypot(dock_from_base.x, dock_from_base.y) < _ARRIVED_M


def _to_world(dock: Pose2D, poses: np.ndarray) -> np.ndarray:
    cos, sin = math.cos(dock.yaw), math.sin(dock.yaw)
    x, y, yaw = poses.T
    return np.stack([dock.x + cos * x - sin * y, dock.y + sin * x + cos * y, dock.yaw + yaw], 1)


def _wall(scene: Scene, index: int) -> Footprint:
    span = scene.room_width_m if index % 2 == 0 else scene.room_length_m
    behind = scene.wall_pose(index) @ Pose2D(-_WALL_HALF_THICKNESS_M, 0.0, 0.0)
    return Footprint(behind, _WALL_HALF_THICKNESS_M, span / 2 + 1.0)
