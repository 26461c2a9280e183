"""Does a policy know from the first frame which station is meant? Of simulated episodes.

All stations of an episode are drawn again from its seed; the one that the predicted pose is nearest
to is the one that the policy means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vla_core import keys
from vla_core.geometry import Pose2D
from vla_simulation.config import SimulationConfig
from vla_simulation.errors import SuiteError
from vla_simulation.scenes.scene import Scene
from vla_simulation.scenes.starts import sample_episode
from vla_simulation.suites import load_suite
from vla_training.dataset.layout import NO_GOAL, NO_SEED, EpisodeRecord
from vla_training.dataset.windows import DOCK_POSE_KNOWN, DockingDataset
from vla_training.evaluation.intervals import wilson_interval


@dataclass(frozen=True)
class FirstFrames:
    """The first frame of each episode with several stations.

    Attributes:
        samples: (n,) int64, indices of the data set's samples.
        stations: (count, 2) positions of all docks in the base frame [m], per frame.
        goals: Index of the commanded one.
        namings: How the sentence names it.
        left_out: Episodes with several stations of which the scene is not known: recorded on a
            robot, or drawn by another version of the simulator.
    """

    samples: Tensor
    stations: tuple[np.ndarray, ...]
    goals: tuple[int, ...]
    namings: tuple[str, ...]
    left_out: int

    def __len__(self) -> int:
        return len(self.goals)

    @classmethod
    def of(cls, data: DockingDataset) -> FirstFrames:
        """Those of a data set."""
        samples, stations, goals, namings, left_out = [], [], [], [], 0
        for record, own in zip(data.episodes, data.samples_of_episodes(), strict=True):
            if not own:
                continue
            scene = _scene_of(record)
            if scene is None:
                left_out += 1
                continue
            batch = data.batch(torch.tensor([own[0]]))
            if len(scene.stations) < 2 or not bool(batch[DOCK_POSE_KNOWN][0]):
                continue
            base_from_goal = Pose2D(*batch[keys.DOCK_POSE][0].tolist())
            samples.append(own[0])
            stations.append(_docks_from(base_from_goal, scene))
            goals.append(scene.goal)
            namings.append(scene.naming)
        return cls(
            torch.tensor(samples, dtype=torch.int64),
            tuple(stations),
            tuple(goals),
            tuple(namings),
            left_out,
        )


def right_station_figures(frames: FirstFrames, poses: np.ndarray) -> dict[str, dict[str, Any]]:
    """How often the predicted pose is nearest to the commanded station.

    Args:
        frames: At least one.
        poses: (n, 3) predicted, x [m] and y [m] first.

    Returns:
        Under "all" and under each naming: episodes, successes, success_rate, wilson_low,
        wilson_high.
    """
    right = [
        int(np.argmin(np.hypot(*(stations - pose[:2]).T))) == goal
        for stations, goal, pose in zip(frames.stations, frames.goals, poses, strict=True)
    ]
    groups = {"all": right}
    for naming in sorted(set(frames.namings)):
        groups[naming] = [
            each for each, own in zip(right, frames.namings, strict=True) if own == naming
        ]
    return {name: _rate(each) for name, each in groups.items()}


def _rate(right: Sequence[bool]) -> dict[str, Any]:
    low, high = wilson_interval(sum(right), len(right))
    return {
        "episodes": len(right),
        "successes": sum(right),
        "success_rate": round(sum(right) / len(right), 4),
        "wilson_low": round(low, 4),
        "wilson_high": round(high, 4),
    }


def _scene_of(record: EpisodeRecord) -> Scene | None:
    """The scene of a simulated episode; None if it is not what is drawn today."""
    if record.seed == NO_SEED or record.goal == NO_GOAL:
        return None
    try:
        suite = load_suite(record.suite)
    except SuiteError:
        return None
    scene, _ = sample_episode(record.seed, suite, SimulationConfig().station)
    if record.goal >= len(scene.stations):
        return None
    commanded = scene.with_goal(record.goal)
    return commanded if commanded.instruction == record.instruction else None


def _docks_from(base_from_goal: Pose2D, scene: Scene) -> np.ndarray:
    """Positions (count, 2) of all docks in the base frame."""
    docks = [
        base_from_goal @ station.world_from_dock.relative_to(scene.world_from_dock)
        for station in scene.stations
    ]
    return np.array([(dock.x, dock.y) for dock in docks])
