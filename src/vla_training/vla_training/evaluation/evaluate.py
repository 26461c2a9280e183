"""Closed-loop evaluation: many episodes in the simulator, in lock-step and in parallel."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from vla_core.action_chunks import ExecutionMode
from vla_core.bundle import PolicyBundle
from vla_core.errors import VlaError
from vla_core.keys import IMAGE
from vla_simulation.environment import DockingEnv
from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_simulation.suites import load_suite
from vla_training.errors import EvaluationError
from vla_training.evaluation.classical import FiducialDriver, ScanMatchingDriver
from vla_training.evaluation.drivers import Driver, ExpertDriver, PolicyDriver
from vla_training.evaluation.report import EvaluationConfig, EvaluationReport
from vla_training.evaluation.rollouts import EpisodeResult, run_episode
from vla_training.onnx_session import load_policy
from vla_training.progress import progress_bar

DRIVERS: Mapping[str, Callable[[EvaluationConfig], Driver]] = {
    "expert": lambda config: ExpertDriver(),
    "fiducial": lambda config: FiducialDriver(config.camera_px),
    "scan_matching": lambda config: ScanMatchingDriver(),
}
"""Drivers that are no learned policy, by the name that takes the place of a bundle's folder."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def evaluate(
    policy: str | Path,
    suite: str = "nominal",
    episodes: int = 100,
    seed: int = FIRST_HELD_OUT_SEED,
    *,
    swap: bool = False,
    jobs: int | None = None,
    mode: ExecutionMode | str = ExecutionMode.RECEDING_HORIZON,
    latency_ticks: int = 1,
    replan_steps: int = 2,
    camera_px: tuple[int, int] = (640, 480),
    progress: bool = True,
) -> EvaluationReport:
    """Run a driver in episodes with the seeds `seed`, `seed + 1`, ….

    Args:
        policy: Folder of a bundle, or the name of a driver in `DRIVERS`.
        suite: Name of a suite.
        episodes: Number of seeds, at least 1.
        seed: First seed; seeds below the held-out ones have been trained on, and the report says
            so.
        swap: Run every seed with more than one station a second time, with another station's
            sentence and all else equal.
        jobs: Processes; None for as many as there are cores, at most one per seed.
        mode: How overlapping chunks become one action.
        latency_ticks: Control periods from a frame to the chunk computed from it, 0 to 9.
        replan_steps: Control periods between two inferences, 1 to 10; the policy node's
            default is 2.
        camera_px: Width and height of the image of the driver "fiducial".
        progress: Whether to show a bar.

    Raises:
        BundleError: If the bundle cannot be loaded.
        SuiteError: If the suite is unknown.
        EvaluationError: If a value is out of range or a process died.
    """
    _check_ranges(episodes, seed, jobs, latency_ticks, replan_steps, camera_px)
    config = EvaluationConfig(
        str(policy), suite, str(ExecutionMode(mode)), latency_ticks, replan_steps, swap, camera_px
    )
    # Wrong names and damaged bundles are told before processes start.
    load_suite(suite)
    if config.policy not in DRIVERS:
        PolicyBundle.load(config.policy)
    seeds = range(seed, seed + episodes)
    jobs = min(jobs or os.cpu_count() or 1, episodes)
    started = time.monotonic()
    own: list[EpisodeResult] = []
    swapped: list[EpisodeResult] = []
    with progress_bar(f"evaluating {suite}", episodes, progress) as bar:
        stream = _run_here(config, seeds) if jobs == 1 else _run_in_pool(config, seeds, jobs)
        for results in stream:
            own.append(results[0])
            swapped.extend(results[1:])
            docked = sum(result.success for result in own)
            bar.advance(f"{docked} of {len(own)} docked")
    return EvaluationReport(config, tuple(own), time.monotonic() - started, tuple(swapped))


def _check_ranges(
    episodes: int,
    seed: int,
    jobs: int | None,
    latency_ticks: int,
    replan_steps: int,
    camera_px: tuple[int, int],
) -> None:
    mistakes = [
        f"{name} is {value}, expected {low} to {high}"
        for name, value, low, high in (
            ("episodes", episodes, 1, 1_000_000),
            ("seed", seed, 0, 2**32 - 1),
            ("jobs", 1 if jobs is None else jobs, 1, 4096),
            ("latency_ticks", latency_ticks, 0, 9),
            ("replan_steps", replan_steps, 1, 10),
            ("width of the camera's image", camera_px[0], 32, 4096),
            ("height of the camera's image", camera_px[1], 32, 4096),
        )
        if not low <= value <= high
    ]
    if mistakes:
        raise EvaluationError(f"evaluation: {'; '.join(mistakes)}")


def make_driver(config: EvaluationConfig) -> Driver:
    """The driver that a configuration names.

    Raises:
        BundleError: If the bundle cannot be loaded.
        EvaluationError: If the policy does not fit the simulated robot.
    """
    if config.policy in DRIVERS:
        return DRIVERS[config.policy](config)
    return PolicyDriver(
        load_policy(PolicyBundle.load(config.policy)),
        config.mode,
        config.latency_ticks,
        config.replan_steps,
    )


def make_environment(suite: str, driver: Driver) -> DockingEnv:
    """The environment that a driver needs: without pictures, rendering costs nothing."""
    return DockingEnv(suite, render=IMAGE in driver.streams, config=driver.hardware)


Runs = tuple[EpisodeResult, ...]
"""The runs of one seed: with its own sentence, and perhaps with another station's."""


def _run_seed(config: EvaluationConfig, env: DockingEnv, driver: Driver, seed: int) -> Runs:
    own = run_episode(env, driver, seed)
    if not config.swap or own.station_count == 1:
        return (own,)
    return own, run_episode(env, driver, seed, swapped=True)


def _run_here(config: EvaluationConfig, seeds: Sequence[int]) -> Iterator[Runs]:
    driver = make_driver(config)
    env = make_environment(config.suite, driver)
    try:
        for seed in seeds:
            yield _run_seed(config, env, driver, seed)
    finally:
        env.close()


_worker: tuple[EvaluationConfig, DockingEnv, Driver] | VlaError | None = None


def _start_worker(config: EvaluationConfig) -> None:
    global _worker
    try:
        driver = make_driver(config)
        _worker = (config, make_environment(config.suite, driver), driver)
    except VlaError as error:
        # Raised here, it would only be known that a process has died.
        _worker = error


def _run_in_worker(seed: int) -> Runs:
    if not isinstance(_worker, tuple):
        raise _worker or EvaluationError("evaluation process was not started properly")
    return _run_seed(*_worker, seed)


@contextlib.contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Processes started meanwhile compute on one thread: there is one of them per core."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name in _THREAD_VARIABLES:
            os.environ.pop(name)
            if name in before:
                os.environ[name] = before[name]


def _run_in_pool(config: EvaluationConfig, seeds: Sequence[int], jobs: int) -> Iterator[Runs]:
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _start_worker, (config,))
    try:
        with _single_threaded_children():
            results = pool.map(_run_in_worker, seeds)
        yield from results
    except BrokenProcessPool as error:
        raise EvaluationError(
            "an evaluation process died (out of memory?); try again with less --jobs"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
