"""Draws starts along the expert's paths: the states between a start and the dock.

An episode that begins at its suite's start spends its time where all earlier ones did. To look at
many scenes from everywhere on the way, short episodes begin on the way.
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
