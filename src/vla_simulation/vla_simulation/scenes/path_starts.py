"""Draws starts along the expert's paths and about the docks: states of which episodes see few.

An episode that begins at its suite's start spends its time where all earlier ones did. To look at
many scenes from everywhere on the way, short episodes begin on the way. And whoever has only seen
the expert arrive takes every robot in the dock for one that stands well in it: others begin there
aside and crooked.
"""

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.config import StationConfig
from vla_simulation.scenes.scene import Scene
from vla_simulation.scenes.starts import ExpertPaths, expert_path, sample_start
from vla_simulation.suites import SuiteConfig

_ATTEMPTS = 8
_MAX_PATH_STEPS = 400
_PROGRESS_POWER = 1.5
"""Above 1, more of the draws are early on the path, where it is still open which station it is."""
_FULL_DEVIATION_M = 0.4
_LONGITUDINAL_STD_M = 0.03
_LATERAL_STD_M = 0.05
_YAW_STD_RAD = 0.12
"""Deviations from the path from `_FULL_DEVIATION_M` on; nearer to the dock less in proportion."""

_NEAR_M = 0.8
_NEAR_POWER = 1.5
"""Above 1, more of the draws are close to the dock."""
_IN_DOCK_BEYOND_M = 0.003
_IN_DOCK_LATERAL_M = 0.045
_LATERAL_PER_M = 0.35
_IN_DOCK_YAW_RAD = 0.16
_YAW_PER_M_RAD = 0.4
"""Largest deviations from the approach line in the dock, and their growth with the distance."""


def sample_path_starts(
    rng: np.random.Generator,
    scene: Scene,
    suite: SuiteConfig,
    config: StationConfig,
    drawn: Pose2D,
    count: int,
) -> list[Pose2D]:
    """Draw places on the expert's ways to stations of a scene, whichever is commanded.

    Args:
        rng: decides what is drawn.
        scene: of the episodes.
        suite: where the ways begin.
        config: dimensions of a station.
        drawn: start of the scene's own episode, `world_from_base`, where the first way begins.
        count: how many.

    Returns:
        `world_from_base` of each, all of them places from which the expert reaches the station
        whose way it is.
    """
    paths = ExpertPaths(scene, suite.start, config)
    starts = []
    for k in range(count):
        origin = sample_start(rng, scene, suite.start, config) if k % 2 else None
        starts.append(_on_the_way(rng, scene, paths, origin or drawn))
    return starts


def sample_dock_starts(
    rng: np.random.Generator,
    scene: Scene,
    suite: SuiteConfig,
    config: StationConfig,
    drawn: Pose2D,
    count: int,
) -> list[Pose2D]:
    """Draw places in front of and in the stations of a scene, aside and crooked.

    Args:
        rng: decides what is drawn.
        scene: of the episodes.
        suite: longest drive.
        config: dimensions of a station.
        drawn: start of the scene's own episode, `world_from_base`, where nothing else is found.
        count: how many.

    Returns:
        `world_from_base` of each, all of them places from which the expert reaches the station
        that is next.
    """
    paths = ExpertPaths(scene, suite.start, config)
    return [_about_a_dock(rng, scene, paths) or drawn for _ in range(count)]


def _about_a_dock(rng: np.random.Generator, scene: Scene, paths: ExpertPaths) -> Pose2D | None:
    station = int(rng.integers(len(scene.stations)))
    for _ in range(_ATTEMPTS):
        away = _NEAR_M * rng.uniform() ** _NEAR_POWER
        aside, turned = rng.uniform(-1.0, 1.0, 2)
        pose = scene.stations[station].world_from_dock @ Pose2D(
            _IN_DOCK_BEYOND_M - away,
            aside * (_IN_DOCK_LATERAL_M + _LATERAL_PER_M * away),
            turned * (_IN_DOCK_YAW_RAD + _YAW_PER_M_RAD * away),
        )
        if paths.reaches(station, pose):
            return pose
    return None


def _on_the_way(
    rng: np.random.Generator, scene: Scene, paths: ExpertPaths, origin: Pose2D
) -> Pose2D:
    station = int(rng.integers(len(scene.stations)))
    dock = scene.stations[station].world_from_dock
    path = expert_path(origin.relative_to(dock), _MAX_PATH_STEPS)
    if path is None:
        return origin
    for _ in range(_ATTEMPTS):
        x, y, yaw = path[int(len(path) * rng.uniform() ** _PROGRESS_POWER)].tolist()
        share = min(1.0, abs(x) / _FULL_DEVIATION_M)
        ahead, aside, turned = share * rng.standard_normal(3)
        pose = dock @ Pose2D(
            x + _LONGITUDINAL_STD_M * ahead,
            y + _LATERAL_STD_M * aside,
            yaw + _YAW_STD_RAD * turned,
        )
        if paths.reaches(station, pose):
            return pose
    return origin
