"""Closed-loop evaluation: many episodes in the simulator, in lock-step and in parallel."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from vla_core.action_chunks import DEFAULT_EXECUTION_MODE, ExecutionMode
from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_simulation.suites import load_suite
from vla_training.errors import EvaluationError
from vla_training.evaluation.disturbance import check_disturbances
from vla_training.evaluation.report import EvaluationConfig, EvaluationReport
from vla_training.evaluation.workers import (
    DRIVERS,
    EVALUATING,
    SeedJob,
    SeedRuns,
    forget_simulator,
    load_any_policy,
    make_driver,
    make_environment,
    run_seed,
)
from vla_training.executors import executor
from vla_training.progress import progress_bar

__all__ = ["DRIVERS", "EvaluationConfig", "evaluate", "make_driver", "make_environment"]


def evaluate(
    policy: str | Path,
    suite: str = "nominal",
    episodes: int = 100,
    seed: int = FIRST_HELD_OUT_SEED,
    *,
    swap: bool = False,
    jobs: int | None = None,
    scheduler: str | None = None,
    mode: ExecutionMode | str = DEFAULT_EXECUTION_MODE,
    latency_ticks: int = 1,
    replan_steps: int = 2,
    camera_px: tuple[int, int] = (640, 480),
    disturb: Sequence[str] = (),
    variant: str = "",
    in_flight: int = 1,
    peer: str = "",
    always: str = "",
    sentence: str = "",
    trace: bool = False,
    progress: bool = True,
) -> EvaluationReport:
    """Run a driver in episodes with the seeds `seed`, `seed + 1`, ….

    Args:
        policy: Folder of a bundle, training checkpoint, `lerobot:` and a folder of LeRobot's, or
            the name of a driver in `DRIVERS`.
        suite: Name of a suite.
        episodes: Number of seeds, at least 1.
        seed: First seed; seeds below the held-out ones have been trained on, and the report says
            so.
        swap: Run every seed with more than one station a second time, with another station's
            sentence and all else equal.
        jobs: Processes; None for as many as there are cores, at most one per seed.
        scheduler: Address of a Dask scheduler whose workers run the episodes, in place of
            processes here; they need the bundle at the same path.
        mode: How overlapping chunks become one action.
        latency_ticks: Control periods from a frame to the chunk computed from it, 0 to 9.
        replan_steps: Control periods between two inferences, 1 to 10; the policy node's
            default is 2.
        camera_px: Width and height of the image of the driver "fiducial".
        disturb: Run every seed again for each of these, with the policy's observations spoilt so;
            see `disturbance.disturbance_names`.
        variant: Of the bundle's graph, as its manifest names them; empty for the exact one.
        in_flight: Inferences that may be under way at once, 1 to 16, as the policy node's parameter
            inference_workers.
        peer: Environment with LeRobot, for a policy of it; empty for the one that benchmarks
            install.
        always: Disturbance of all runs, for a policy that was trained without a stream.
        sentence: What the policy is told in place of every sentence; empty for the sentences.
        trace: Keep the way of every episode, for `evaluation_page`.
        progress: Whether to show a bar.

    Raises:
        BundleError: If the bundle cannot be loaded.
        SuiteError: If the suite is unknown.
        EvaluationError: If a value is out of range, a disturbance is unknown or a process died.
    """
    _check_ranges(episodes, seed, jobs, latency_ticks, replan_steps, in_flight, camera_px)
    config = EvaluationConfig(
        str(policy),
        suite,
        str(ExecutionMode(mode)),
        latency_ticks,
        replan_steps,
        swap,
        camera_px,
        tuple(disturb),
        variant,
        in_flight,
        peer=peer,
        always=always,
        sentence=sentence,
    )
    # Wrong names and damaged bundles are told before processes start.
    load_suite(suite)
    if config.policy not in DRIVERS:
        names = [*disturb, *([always] if always else [])]
        check_disturbances(names, load_any_policy(config.policy, variant, peer).bundle.contract)
    elif disturb or variant or always or sentence:
        raise EvaluationError(
            f"driver {config.policy} is no bundle; disturbances, variants and sentences are of "
            "policies only"
        )
    seeds = range(seed, seed + episodes)
    jobs = min(jobs or os.cpu_count() or 1, episodes)
    started = time.monotonic()
    runs: list[SeedRuns] = []
    work = [SeedJob(config, each, trace) for each in seeds]
    try:
        with progress_bar(f"evaluating {suite}", episodes, progress) as bar:
            for result in executor(EVALUATING, jobs, scheduler)(run_seed, work):
                runs.append(result)
                docked = sum(run.own.success for run in runs)
                bar.advance(f"{docked} of {len(runs)} docked")
    finally:
        forget_simulator()
    runs.sort(key=lambda run: run.own.seed)
    others = [other for run in runs for other in run.others]
    return EvaluationReport(
        config,
        tuple(run.own for run in runs),
        time.monotonic() - started,
        tuple(other for other in others if other.swapped),
        tuple(other for other in others if other.disturbance),
        tuple(run.trace for run in runs if run.trace is not None),
    )


def _check_ranges(
    episodes: int,
    seed: int,
    jobs: int | None,
    latency_ticks: int,
    replan_steps: int,
    in_flight: int,
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
            ("in_flight", in_flight, 1, 16),
            ("width of the camera's image", camera_px[0], 32, 4096),
            ("height of the camera's image", camera_px[1], 32, 4096),
        )
        if not low <= value <= high
    ]
    if mistakes:
        raise EvaluationError(f"evaluation: {'; '.join(mistakes)}")
