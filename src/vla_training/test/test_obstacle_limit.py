"""The safety envelope brakes in lock-step evaluation as it does on a robot."""

import numpy as np
import pytest

from vla_core.bundle import PolicyBundle
from vla_core.chunk_policy import ChunkPolicy
from vla_core.frames import Frame
from vla_core.geometry import Pose2D
from vla_simulation.environment import DockingEnv
from vla_training.evaluation.drivers import PolicyDriver, obstacles_of


class StraightOn(ChunkPolicy):
    """A policy that looks at nothing and drives."""

    def __init__(self, bundle: PolicyBundle) -> None:
        super().__init__(bundle, lambda _: np.zeros((1, 10, 2), np.float32))

    def __call__(self, frame: Frame, instruction: str) -> np.ndarray:
        return np.tile(np.float32([0.4, 0.0]), (10, 1))


@pytest.fixture(scope="module")
def env():
    env = DockingEnv("nominal")
    yield env
    env.close()


def drive(env, bundle, dock_from_base, seed, ticks=100):
    """Drive straight on from a pose before the station; gives commands and poses."""
    env.reset(seed=seed)
    start = env.scene.world_from_dock @ dock_from_base
    env.reset(seed=seed, options={"start": start})
    driver = PolicyDriver(StraightOn(bundle))
    driver.reset(env)
    commands, poses = [], []
    for _ in range(ticks):
        command = driver.command(env)
        *_, terminated, truncated, _ = env.step(command.astype(np.float32))
        commands.append(float(command[0]))
        poses.append(env.truth.dock_from_base)
        if terminated or truncated:
            break
    return driver, commands, poses


@pytest.mark.parametrize("aside_m", [0.25, -0.25])
def test_aside_of_its_corridor_the_station_is_an_obstacle(env, bundle, aside_m):
    driver, commands, poses = drive(env, bundle, Pose2D(-0.9, aside_m, 0.0), seed=3)
    assert max(commands) == pytest.approx(0.4)
    assert driver.interventions["obstacle"] > 10
    assert not env.truth.collision
    assert commands[-1] == pytest.approx(0.0, abs=0.005)
    assert poses[-1].x < 0.03, "short of the body of this station, which the scanner sees"


def test_in_its_corridor_the_robot_creeps_onto_the_station(env, bundle):
    driver, commands, poses = drive(env, bundle, Pose2D(-0.7, 0.0, 0.0), seed=1)
    assert driver.interventions["obstacle"] > 10
    assert poses[-1].x > -0.02, "it arrives"
    creep_mps = obstacles_of(env.config).corridor.creep_mps
    arriving = [
        command for command, before in zip(commands[1:], poses, strict=False) if before.x > -0.03
    ]
    assert arriving
    assert max(arriving) <= creep_mps + 1e-6
