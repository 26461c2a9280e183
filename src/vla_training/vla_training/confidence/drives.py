"""Episodes in which the measures of confidence are taken down."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np

from vla_core.bundle import PolicyBundle
from vla_core.chunk_policy import ChunkPolicy
from vla_core.confidence import CHUNKS, ConfidenceLimits, ConfidenceMonitor
from vla_simulation.environment import DockingEnv
from vla_training.confidence.anomalies import Anomaly, anomalies
from vla_training.errors import EvaluationError
from vla_training.evaluation.drivers import PolicyDriver
from vla_training.executors import Work
from vla_training.onnx_session import load_policy

CALIBRATING: Final = Work(EvaluationError, "calibrating", "", single_threaded=True)

ONSET_S: Final = 2.0
"""When an anomaly begins that is not there from the start."""
WATCHED_S: Final = 3.0
"""How long an anomaly may last until it is told."""
_REPLAN_STEPS: Final = 2
"""As the policy node's default."""


@dataclass(frozen=True)
class DriveJob:
    """One episode.

    Attributes:
        bundle: Folder of the policy, with its statistics of features.
        suite: Of the scenes.
        seed: Of the episode.
        names: Of the groups of features.
        window_s: Over which measurements are averaged.
        anomaly: Name of what is wrong; empty: nothing.
    """

    bundle: str
    suite: str
    seed: int
    names: tuple[str, ...]
    window_s: float
    anomaly: str = ""


@dataclass(frozen=True)
class Drive:
    """What was measured.

    Attributes:
        job: The episode.
        success: Docked as told; of a drive with an anomaly, that it was docked within the time
            watched.
        duration_s: Of the drive.
        measured: The means over the window at every chunk: time [s] since the anomaly began (the
            start, if there is none), and values by measure.
    """

    job: DriveJob
    success: bool
    duration_s: float
    measured: tuple[tuple[float, dict[str, float]], ...]


def drive(job: DriveJob) -> Drive:
    """Drive one episode, here.

    Raises:
        VlaError: If policy or environment cannot be made.
    """
    policy = _kept.policy(job.bundle)
    contract = policy.bundle.contract
    anomaly = anomalies(contract)[job.anomaly] if job.anomaly else Anomaly()
    names = (*job.names, CHUNKS)
    limits = ConfidenceLimits(job.names, dict.fromkeys(names, 1.0), job.window_s)
    driver = PolicyDriver(
        policy, replan_steps=_REPLAN_STEPS, disturbances={job.anomaly: anomaly.spoiler()}
    )
    driver.confidence = ConfidenceMonitor(limits, contract.action)
    env = _kept.environment()
    suite = {"suite": anomaly.suite or job.suite}
    env.reset(seed=job.seed, options=suite)
    options = anomaly.options(env)
    if options:
        env.reset(seed=job.seed, options={**suite, **options})
    return _drive(job, env, driver, anomaly)


def forget_simulator() -> None:
    """Close what this thread keeps."""
    _kept.close()


class _Kept(threading.local):
    """A thread's simulator and policy: making them takes longer than an episode."""

    _env: DockingEnv | None = None
    _policy: tuple[str, ChunkPolicy] | None = None

    def policy(self, path: str) -> ChunkPolicy:
        if self._policy is None or self._policy[0] != path:
            self._policy = path, load_policy(PolicyBundle.load(path))
        return self._policy[1]

    def environment(self) -> DockingEnv:
        if self._env is None:
            self._env = DockingEnv()
        return self._env

    def close(self) -> None:
        if self._env is not None:
            self._env.close()
        self._env = self._policy = None


_kept = _Kept()


def _drive(job: DriveJob, env: DockingEnv, driver: PolicyDriver, anomaly: Anomaly) -> Drive:
    driver.reset(env)
    onset_s = ONSET_S if job.anomaly and not anomaly.is_scene else 0.0
    end_s = onset_s + WATCHED_S if job.anomaly else env.suite.time_limit_s
    measured: list[tuple[float, dict[str, float]]] = []
    inferences = 0
    truth = env.truth
    with ExitStack() as spoilt:
        begun = False
        while truth.docked_station is None and not truth.collision and truth.time_s < end_s:
            if job.anomaly and not begun and truth.time_s >= onset_s:
                begun = True
                spoilt.enter_context(driver.disturbed(job.anomaly))
                driver.sentence = anomaly.sentence
            command = driver.command(env)
            if driver.inferences > inferences and truth.time_s >= onset_s:
                inferences = driver.inferences
                means = driver.confidence.means()
                if not np.isnan(driver.confidence.score):
                    measured.append((truth.time_s - onset_s, means))
            env.step(np.asarray(command, np.float32))
            truth = env.truth
    return Drive(job, truth.docked, truth.time_s, tuple(measured))
