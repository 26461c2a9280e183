"""Draws where several robots start in one scene: so that the expert's paths stay apart."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.config import StationConfig
from vla_simulation.errors import SimulationError
from vla_simulation.scenes.footprints import Footprint, Obstacles
from vla_simulation.scenes.scene import Scene
from vla_simulation.scenes.starts import expert_path, sample_episode, sample_start_for
from vla_simulation.seeds import random_stream
from vla_simulation.suites import SuiteConfig

_ATTEMPTS: Final = 100
_MAX_STEPS: Final = 250  # of a tenth of a second
_EVERY: Final = 3  # pose of a path: 0.15 m at full speed, half a robot's length
# Half of what one robot keeps from the path of another, around what a robot covers.
_HALF_LENGTH_M: Final = 0.31 + 0.05
_HALF_WIDTH_M: Final = 0.20 + 0.05


@dataclass(frozen=True)
class SharedStart:
    """What one of several robots begins with.

    Attributes:
        goal: index of its station.
        world_from_base: where it starts.
    """

    goal: int
    world_from_base: Pose2D


def sample_shared_starts(
    seed: int, suite: SuiteConfig, station: StationConfig, robots: int, goal: int | None = None
) -> tuple[SharedStart, ...]:
    """Draw a start for each robot, none of which is in the way of another one.

    Args:
        seed: of the episode, which decides the scene as it does for one robot.
        suite: with as many stations as robots at least.
        station: dimensions of a station.
        robots: how many.
        goal: station of the first robot, the others have those that follow; None: as drawn.

    Raises:
        SimulationError: nothing was found, or there is no such station.
    """
    scene, first = sample_episode(seed, suite, station)
    count = len(scene.stations)
    if goal is not None and not 0 <= goal < count:
        raise SimulationError(
            f"goal {goal} in a scene with {count} stations, expected 0 to {count - 1}"
        )
    goals = [((scene.goal if goal is None else goal) + k) % count for k in range(robots)]
    for starts in _draws(seed, scene, suite, station, goals, first):
        tasks = tuple(map(SharedStart, goals, starts))
        if _apart(scene, tasks):
            return tasks
    raise SimulationError(
        f"suite '{suite.name}' seed {seed}: no starts from which {robots} robots reach their "
        "stations without crossing each other's path, expected another seed"
    )


def _draws(
    seed: int,
    scene: Scene,
    suite: SuiteConfig,
    station: StationConfig,
    goals: list[int],
    first: Pose2D,
) -> Iterator[list[Pose2D]]:
    """Starts of all robots; in the first draws the first robot starts where it would alone."""
    rng = random_stream(seed, "shared starts")
    for attempt in range(_ATTEMPTS):
        alone = attempt < _ATTEMPTS // 2
        drawn = [
            first
            if number == 0 and alone
            else sample_start_for(rng, scene, goal, suite.start, station)
            for number, goal in enumerate(goals)
        ]
        starts = [start for start in drawn if start is not None]
        if len(starts) == len(goals):
            yield starts


def _apart(scene: Scene, tasks: tuple[SharedStart, ...]) -> bool:
    """Whether no robot ever covers floor that another one covers on its way."""
    swept: list[Footprint] = []
    for task in tasks:
        poses = _path(scene, task)
        if poses is None:
            return False
        if swept and Obstacles(swept).touched(poses, _HALF_LENGTH_M, _HALF_WIDTH_M).any():
            return False
        swept += [Footprint(Pose2D(*pose), _HALF_LENGTH_M, _HALF_WIDTH_M) for pose in poses]
    return True


def _path(scene: Scene, task: SharedStart) -> np.ndarray | None:
    """(N, 3) x [m], y [m], yaw [rad] of the expert's way in the world, its end included."""
    world_from_dock = scene.stations[task.goal].world_from_dock
    path = expert_path(task.world_from_base.relative_to(world_from_dock), _MAX_STEPS)
    if path is None:
        return None
    poses = [world_from_dock @ Pose2D(*row) for row in path[::_EVERY].tolist()]
    return np.array([(pose.x, pose.y, pose.yaw) for pose in (*poses, world_from_dock)])
