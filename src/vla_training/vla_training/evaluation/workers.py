"""Runs the episodes of an evaluation, wherever the executor puts them.

A thread keeps its simulator and its policy from one seed to the next: making them takes longer than
an episode. OpenGL contexts belong to threads, and workers of a cluster may have several.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vla_core.bundle import PolicyBundle
from vla_core.chunk_policy import ChunkPolicy
from vla_core.keys import IMAGE
from vla_simulation.environment import DockingEnv
from vla_training.errors import EvaluationError
from vla_training.evaluation.classical import FiducialDriver, ScanMatchingDriver
from vla_training.evaluation.disturbance import make_disturbances
from vla_training.evaluation.drivers import Driver, ExpertDriver, PolicyDriver
from vla_training.evaluation.lerobot_policy import is_lerobot, load_lerobot_policy
from vla_training.evaluation.report import EvaluationConfig
from vla_training.evaluation.rollouts import EpisodeResult, run_episode
from vla_training.evaluation.traces import Trace, Tracer
from vla_training.executors import Work
from vla_training.onnx_session import load_policy

DRIVERS: Final[Mapping[str, Callable[[EvaluationConfig], Driver]]] = {
    "expert": lambda config: ExpertDriver(),
    "fiducial": lambda config: FiducialDriver(config.camera_px),
    "scan_matching": lambda config: ScanMatchingDriver(),
}
"""Drivers that are no learned policy, by the name that takes the place of a bundle's folder."""

EVALUATING: Final = Work(EvaluationError, "evaluating", "", single_threaded=True)


@dataclass(frozen=True)
class SeedJob:
    """What to run of one seed.

    Attributes:
        config: What is evaluated and how.
        seed: Of scene, start and noise.
        trace: Keep the way of the episode with its own sentence.
    """

    config: EvaluationConfig
    seed: int
    trace: bool = False


@dataclass(frozen=True)
class SeedRuns:
    """The runs of one seed.

    Attributes:
        own: With its own sentence.
        others: Perhaps with another station's sentence, perhaps disturbed.
        trace: Of `own`, if it was asked for.
    """

    own: EpisodeResult
    others: tuple[EpisodeResult, ...]
    trace: Trace | None


def make_driver(config: EvaluationConfig) -> Driver:
    """The driver that a configuration names.

    Raises:
        BundleError: If the bundle cannot be loaded.
        TrainingError: If the checkpoint cannot be loaded.
        EvaluationError: If the policy does not fit the simulated robot.
    """
    if config.policy in DRIVERS:
        return DRIVERS[config.policy](config)
    policy = load_any_policy(config.policy, config.variant, config.peer)
    always = (config.always,) if config.always else ()
    driver = PolicyDriver(
        policy,
        config.mode,
        config.latency_ticks,
        config.replan_steps,
        make_disturbances((*config.disturb, *always), policy.bundle.contract, config.suite),
        config.in_flight,
        config.always,
    )
    driver.sentence = config.sentence
    return driver


def load_any_policy(path: str, variant: str = "", peer: str = "") -> ChunkPolicy:
    """The policy of a bundle's folder, of a training checkpoint or of LeRobot.

    Args:
        path: Of a bundle or a checkpoint; `lerobot:` and a folder for one of LeRobot's.
        variant: Of a bundle's graph; empty for the exact one.
        peer: Environment with LeRobot; empty for the one that benchmarks install.

    Raises:
        BundleError: If the bundle cannot be loaded.
        TrainingError: If the checkpoint cannot be loaded.
        EvaluationError: If a variant of another policy than a bundle is asked for, or LeRobot's
            cannot be loaded.
        BenchmarkError: If LeRobot is not in its environment.
    """
    if variant and (is_checkpoint(path) or is_lerobot(path)):
        raise EvaluationError(f"{path} is no bundle; variants are of bundles, see `vla export`")
    if is_lerobot(path):
        return load_lerobot_policy(path, peer)
    if not is_checkpoint(path):
        return load_policy(PolicyBundle.load(path, variant=variant))
    from vla_training.evaluation.checkpoint_policy import load_checkpoint_policy

    return load_checkpoint_policy(path)[0]


def is_checkpoint(path: str) -> bool:
    """Whether this is a checkpoint, or the output folder of a training run, by its name."""
    return path.endswith(".pt") or Path(path, "checkpoint.pt").is_file()


def make_environment(suite: str, driver: Driver) -> DockingEnv:
    """The environment that a driver needs: without pictures, rendering costs nothing."""
    return DockingEnv(suite, render=IMAGE in driver.streams, config=driver.hardware)


def run_seed(job: SeedJob) -> SeedRuns:
    """Run the episodes of one seed, here.

    Raises:
        VlaError: If the driver or the environment cannot be made.
    """
    env, driver = _kept.of(job.config)
    tracer = Tracer(env, driver) if job.trace else None
    own = run_episode(env, driver, job.seed, watch=tracer)
    others = []
    if job.config.swap and own.station_count > 1:
        others.append(run_episode(env, driver, job.seed, swapped=True))
    if isinstance(driver, PolicyDriver):
        for name in job.config.disturb:
            with driver.disturbed(name):
                others.append(replace(run_episode(env, driver, job.seed), disturbance=name))
    return SeedRuns(own, tuple(others), None if tracer is None else tracer.trace())


def forget_simulator() -> None:
    """Close what this thread keeps."""
    _kept.close()


class _Kept(threading.local):
    """A thread's simulator and driver, of the configuration that it ran last."""

    config: EvaluationConfig | None = None
    env: DockingEnv
    driver: Driver

    def of(self, config: EvaluationConfig) -> tuple[DockingEnv, Driver]:
        """Those of a configuration."""
        if self.config != config:
            self.close()
            driver = make_driver(config)
            self.env, self.driver, self.config = (
                make_environment(config.suite, driver),
                driver,
                config,
            )
        return self.env, self.driver

    def close(self) -> None:
        """Free the simulator's OpenGL contexts."""
        if self.config is not None:
            self.config = None
            self.env.close()


_kept = _Kept()
