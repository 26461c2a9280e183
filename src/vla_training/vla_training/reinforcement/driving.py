"""One exploring episode in the simulator, as macro actions to learn from."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_core import keys
from vla_core.geometry import Pose2D
from vla_simulation.config import CONTROL_PERIOD_S
from vla_simulation.environment import DockingEnv
from vla_simulation.scenes.path_starts import sample_dock_starts
from vla_simulation.scenes.scene import Scene
from vla_simulation.scenes.starts import ExpertPaths, sample_episode
from vla_simulation.seeds import random_stream
from vla_simulation.suite_mix import SuiteMix
from vla_training.checkpoints import load_checkpoint
from vla_training.evaluation.checkpoint_policy import as_bundle, single_threaded
from vla_training.evaluation.drivers import PolicyDriver
from vla_training.evaluation.rollouts import is_over, outcome_of
from vla_training.reinforcement.config import FinetuneConfig
from vla_training.reinforcement.exploring import ExploringPolicy, make_noise
from vla_training.reinforcement.fused_policy import inputs_to_keep
from vla_training.reinforcement.reward import final_reward, potential

PRIVILEGED_SIZE: Final = 7
NOISE: Final = "noise"
"""What a checkpoint's `trainer` holds of the noise."""

_DOCK_LOOKS: Final = 6
_MARGIN_S: Final = 1e-9
_NEAR_M: Final = 0.05


@dataclass(frozen=True)
class EpisodeJob:
    """One episode to drive.

    Attributes:
        config: Of the run.
        checkpoint: Of the policy that drives.
        iteration: Number of its state; another one has other weights.
        number: Of the episode in the iteration.
        seed: Of its scene.
        at_dock: Whether it begins in the last metre before the commanded dock.
    """

    config: FinetuneConfig
    checkpoint: Path
    iteration: int
    number: int
    seed: int
    at_dock: bool


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The K states of an episode in which the policy was asked.

    Attributes:
        number: Of the episode in the iteration.
        seed: Of its scene.
        inputs: What the policy needs to be asked again, (K, …) each.
        chunks: (K, H, A) float32, normalised: what it was told to do.
        scales: (K, H, A) float32: deviations of the noise.
        privileged: (K, PRIVILEGED_SIZE) float32.
        rewards: (K,) until the next one, shaping left out.
        ticks: (K,) control periods until the next one.
        potentials: (K,) of the true pose.
        outcome: See `evaluation.rollouts.EpisodeResult`; "left" where it was ended by its duration.
        precise: Whether it was docked within the tight tolerance.
        duration_s: Of the episode.
    """

    number: int
    seed: int
    inputs: dict[str, np.ndarray]
    chunks: np.ndarray
    scales: np.ndarray
    privileged: np.ndarray
    rewards: np.ndarray
    ticks: np.ndarray
    potentials: np.ndarray
    outcome: str
    precise: bool
    duration_s: float

    @property
    def terminal(self) -> bool:
        """Whether the task ended; else the last state is only where the episode was left."""
        return self.outcome != "left"

    @property
    def actions(self) -> int:
        """Number of macro actions to learn from."""
        return len(self.chunks) - (not self.terminal)


def drive_episode(job: EpisodeJob) -> Trajectory:
    """Drive an episode, here; the same job gives the same bits in every process of a machine.

    Raises:
        VlaError: If the policy or the simulator cannot be used.
    """
    with single_threaded():
        env, driver, explorer = _kept.of(job)
        return _drive(job, env, driver, explorer)


def forget_simulator() -> None:
    """Close what this thread keeps."""
    _kept.close()


def _drive(
    job: EpisodeJob, env: DockingEnv, driver: PolicyDriver, explorer: ExploringPolicy
) -> Trajectory:
    config = job.config
    env.reset(seed=job.seed, options=_options(job, env))
    driver.reset(env)
    explorer.begin(config.seed, job.iteration, job.number, job.seed)
    longest_s = config.drive.duration_s or math.inf
    states: list[tuple[float, np.ndarray]] = []
    rewards: list[float] = []
    ticks: list[int] = []
    truth = env.truth
    while not (over := is_over(truth, env.suite.time_limit_s)):
        if truth.time_s >= longest_s - _MARGIN_S:
            break
        command = np.asarray(driver.command(env), np.float32)
        if len(explorer.asked) > len(states):
            states.append((potential(truth.dock_from_base, config.reward), privileged_of(env)))
            rewards.append(0.0)
            ticks.append(0)
        env.step(command)
        truth = env.truth
        rewards[-1] -= config.reward.time_per_s * CONTROL_PERIOD_S
        ticks[-1] += 1
    rewards[-1] += final_reward(truth, config.reward)
    asked = explorer.asked
    return Trajectory(
        number=job.number,
        seed=job.seed,
        inputs={name: np.stack([each.inputs[name] for each in asked]) for name in asked[0].inputs},
        chunks=np.stack([each.chunk for each in asked]),
        scales=np.stack([each.scale for each in asked]),
        privileged=np.stack([known for _, known in states]),
        rewards=np.array(rewards),
        ticks=np.array(ticks),
        potentials=np.array([value for value, _ in states]),
        outcome=outcome_of(truth) if over else "left",
        precise=truth.precise,
        duration_s=truth.time_s,
    )


def privileged_of(env: DockingEnv) -> np.ndarray:
    """(PRIVILEGED_SIZE,) float32: the true pose at two scales, speed, and share of the time."""
    truth = env.truth
    pose = truth.dock_from_base
    return np.array(
        [
            pose.x,
            pose.y,
            np.sin(pose.yaw),
            np.tanh(pose.x / _NEAR_M),
            np.tanh(pose.y / _NEAR_M),
            truth.speed_mps,
            truth.time_s / env.suite.time_limit_s,
        ],
        np.float32,
    )


def _options(job: EpisodeJob, env: DockingEnv) -> dict[str, Any]:
    """Of `DockingEnv.reset`."""
    suite = SuiteMix.parse(job.config.drive.suite).suite_of(job.seed)
    wishes: dict[str, Any] = {"suite": suite.name}
    if not job.at_dock:
        return wishes
    station = env.config.station
    scene, drawn = sample_episode(job.seed, suite, station)
    paths = ExpertPaths(scene, suite.start, station)
    # Drawn anew in every iteration: a scene that is repeated is not the same start again.
    rng = random_stream(job.seed, f"dock starts {job.iteration}")
    for start in sample_dock_starts(rng, scene, suite, station, drawn, _DOCK_LOOKS):
        if _nearest(scene, start) == scene.goal and paths.reaches(scene.goal, start):
            return {**wishes, "start": start}
    return wishes


def _nearest(scene: Scene, world_from_base: Pose2D) -> int:
    """Number of the station whose dock is next."""
    return int(
        np.argmin(
            [
                world_from_base.relative_to(station.world_from_dock).distance
                for station in scene.stations
            ]
        )
    )


class _Kept(threading.local):
    """A thread's simulator and policy, of the state that drove last."""

    env: DockingEnv | None = None
    cameras: bool = False
    state: tuple[Path, int, FinetuneConfig] | None = None
    driver: PolicyDriver
    explorer: ExploringPolicy

    def of(self, job: EpisodeJob) -> tuple[DockingEnv, PolicyDriver, ExploringPolicy]:
        """Those of a job."""
        if self.state != (job.checkpoint, job.iteration, job.config):
            self._load(job)
        assert self.env is not None
        return self.env, self.driver, self.explorer

    def _load(self, job: EpisodeJob) -> None:
        config, drive = job.config, job.config.drive
        state = load_checkpoint(job.checkpoint)
        policy = state.policy()
        noise = make_noise(config, state.contract, policy)
        noise.load_state_dict(state.trainer[NOISE])
        kept = inputs_to_keep(config.groups, state.contract.keys)
        self.explorer = ExploringPolicy(as_bundle(state, job.checkpoint), policy, noise, kept)
        self.driver = PolicyDriver(
            self.explorer, drive.mode, drive.latency_ticks, drive.replan_steps
        )
        cameras = keys.IMAGE in state.contract.keys
        if self.env is None or self.cameras != cameras:
            self.close()
            self.env = DockingEnv(render=cameras, config=self.driver.hardware)
            self.cameras = cameras
        self.state = (job.checkpoint, job.iteration, job.config)

    def close(self) -> None:
        """Free the simulator's OpenGL contexts."""
        self.state = None
        if self.env is not None:
            self.env.close()
            self.env = None


_kept = _Kept()
