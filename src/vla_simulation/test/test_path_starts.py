"""Starts on the expert's ways, and episodes that begin where a caller says."""

import math

import numpy as np
import pytest

from vla_core.geometry import Pose2D, wrap_angle
from vla_simulation.config import StationConfig
from vla_simulation.controllers.expert import expert_action
from vla_simulation.environment import DockingEnv
from vla_simulation.scenes.path_starts import sample_dock_starts, sample_path_starts
from vla_simulation.scenes.starts import ExpertPaths, sample_episode
from vla_simulation.seeds import random_stream
from vla_simulation.suites import load_suite

SEEDS = range(12)


def starts_of(seed: int, count: int = 6, sample=sample_path_starts) -> list[Pose2D]:
    suite = load_suite("nominal")
    scene, drawn = sample_episode(seed, suite, StationConfig())
    rng = random_stream(seed, "path starts")
    return sample(rng, scene, suite, StationConfig(), drawn, count)


@pytest.mark.parametrize("sample", [sample_path_starts, sample_dock_starts])
def test_the_expert_reaches_a_station_from_every_start(sample):
    suite = load_suite("nominal")
    for seed in SEEDS:
        scene, _ = sample_episode(seed, suite, StationConfig())
        paths = ExpertPaths(scene, suite.start, StationConfig())
        for start in starts_of(seed, sample=sample):
            assert any(paths.reaches(station, start) for station in range(len(scene.stations)))


def test_starts_are_on_the_whole_way_and_towards_all_stations():
    nearest, distances = [], []
    for seed in SEEDS:
        scene, _ = sample_episode(seed, load_suite("nominal"), StationConfig())
        for start in starts_of(seed):
            errors = [start.relative_to(s.world_from_dock).distance for s in scene.stations]
            distances.append(min(errors))
            if len(errors) > 1 and min(errors) < 0.3:
                nearest.append(int(np.argmin(errors)))
    assert min(distances) < 0.15
    assert max(distances) > 1.2
    assert 0.15 < np.mean(np.array(distances) < 0.6) < 0.7
    assert len(set(nearest)) >= 2


def test_starts_about_the_docks_are_those_that_the_expert_backs_off_from_and_others():
    nearest, speeds = [], []
    for seed in SEEDS:
        scene, _ = sample_episode(seed, load_suite("nominal"), StationConfig())
        for start in starts_of(seed, sample=sample_dock_starts):
            poses = [start.relative_to(s.world_from_dock) for s in scene.stations]
            nearest.append(min(poses, key=lambda pose: pose.distance))
            speeds.append(expert_action(nearest[-1])[0])
    assert max(pose.distance for pose in nearest) < 1.0
    in_dock = [pose for pose in nearest if pose.x > -0.1]
    assert len(in_dock) > len(nearest) / 8
    assert max(abs(pose.y) for pose in in_dock) > 0.03
    assert max(abs(pose.yaw) for pose in in_dock) > 0.1
    assert 0.2 < np.mean(np.array(speeds) < 0.0) < 0.7


@pytest.mark.parametrize("sample", [sample_path_starts, sample_dock_starts])
def test_starts_are_a_function_of_the_seed(sample):
    assert starts_of(3, sample=sample) == starts_of(3, sample=sample)
    assert starts_of(3, 2, sample) == starts_of(3, sample=sample)[:2]
    assert starts_of(3, sample=sample) != starts_of(4, sample=sample)


@pytest.fixture(scope="module")
def env():
    env = DockingEnv("nominal", render=False)
    yield env
    env.close()


def test_an_episode_begins_where_it_is_told(env):
    env.reset(seed=5)
    scene, drawn = env.scene, env.truth.world_from_base
    wanted = drawn @ Pose2D(0.2, 0.05, 0.3)
    env.reset(seed=5, options={"start": wanted})
    found = env.truth.world_from_base
    assert math.hypot(found.x - wanted.x, found.y - wanted.y) < 2e-3
    assert abs(wrap_angle(found.yaw - wanted.yaw)) < 2e-3
    assert env.scene == scene
    assert env.truth.speed_mps < 1e-3
    assert {sample.key for sample in env.samples()} == {"scan", "odometry"}
    assert all(sample.stamp_ns <= 0 for sample in env.samples())


def test_an_episode_that_begins_beside_the_dock_ends_in_it(env):
    """Being docked ends it, unlike where it is told to begin in the dock."""
    env.reset(seed=5)
    start = env.scene.world_from_dock @ Pose2D(-0.001, 0.0, 0.0)
    env.reset(seed=5, options={"start": start})
    for _ in range(40):
        _, _, terminated, _, info = env.step(np.zeros(2, np.float32))
        if terminated:
            break
    assert terminated
    assert info["docked"]
