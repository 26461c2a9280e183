"""Closed-loop evaluation: many episodes in the simulator, in lock-step and in parallel."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_core.action_chunks import ExecutionMode
from vla_core.bundle import PolicyBundle
from vla_core.errors import VlaError
from vla_simulation.environment import DockingEnv
from vla_simulation.suites import FIRST_HELD_OUT_SEED, is_held_out, load_suite
from vla_training.errors import EvaluationError
from vla_training.evaluation.drivers import Driver, ExpertDriver, PolicyDriver
from vla_training.evaluation.intervals import wilson_interval
from vla_training.evaluation.rollouts import EpisodeResult, run_episode
from vla_training.onnx_session import load_policy
from vla_training.progress import progress_bar

EXPERT = "expert"


@dataclass(frozen=True)
class EvaluationConfig:
    """What is evaluated and how.

    Attributes:
        policy: Folder of a bundle, or "expert".
        suite: Name of a suite.
        mode: How overlapping chunks become one action.
        latency_ticks: Control periods from a frame to the chunk computed from it.
        replan_steps: Control periods between two inferences.
    """

    policy: str
    suite: str = "nominal"
    mode: str = str(ExecutionMode.RECEDING_HORIZON)
    latency_ticks: int = 1
    replan_steps: int = 2


@dataclass(frozen=True)
class EvaluationReport:
    """The result of an evaluation.

    Attributes:
        config: What was evaluated and how.
        results: One per episode, in order of their seeds.
        duration_s: Wall time.
    """

    config: EvaluationConfig
    results: tuple[EpisodeResult, ...]
    duration_s: float

    @property
    def successes(self) -> int:
        """Episodes that ended docked."""
        return sum(result.success for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON can say it; errors are magnitudes over the successful episodes."""
        low, high = wilson_interval(self.successes, len(self.results))
        docked = [result for result in self.results if result.success]
        outcomes = [result.outcome for result in self.results]
        return {
            "policy": self.config.policy,
            "suite": self.config.suite,
            "first_seed": self.results[0].seed,
            "held_out": all(is_held_out(result.seed) for result in self.results),
            "mode": self.config.mode,
            "latency_ticks": self.config.latency_ticks,
            "replan_steps": self.config.replan_steps,
            "episodes": len(self.results),
            "successes": self.successes,
            "success_rate": round(self.successes / len(self.results), 4),
            "wilson_low": round(low, 4),
            "wilson_high": round(high, 4),
            "precise": sum(result.precise for result in self.results),
            "mated": sum(result.mated for result in self.results),
            "longitudinal_error_mm": _spread([abs(r.longitudinal_error_mm) for r in docked]),
            "lateral_error_mm": _spread([abs(r.lateral_error_mm) for r in docked]),
            "yaw_error_deg": _spread([abs(r.yaw_error_deg) for r in docked]),
            "time_to_dock_s": _spread([r.time_s for r in docked]),
            "contact_speed_mps": _spread(
                [r.contact_speed_mps for r in docked if r.contact_speed_mps is not None]
            ),
            "collisions": outcomes.count("collision"),
            "timeouts": outcomes.count("timeout"),
            "wrong_station": sum(result.wrong_station for result in self.results),
            "duration_s": round(self.duration_s, 2),
            "records": [result.to_dict() for result in self.results],
        }

    def write_json(self, path: Path) -> None:
        """Write `to_dict` to a file.

        Raises:
            EvaluationError: If the file cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise EvaluationError(f"report {path} cannot be written: {error}") from error


def evaluate(
    policy: str | Path,
    suite: str = "nominal",
    episodes: int = 100,
    seed: int = FIRST_HELD_OUT_SEED,
    *,
    jobs: int | None = None,
    mode: ExecutionMode | str = ExecutionMode.RECEDING_HORIZON,
    latency_ticks: int = 1,
    replan_steps: int = 2,
    progress: bool = True,
) -> EvaluationReport:
    """Run a policy in episodes with the seeds `seed`, `seed + 1`, ….

    Args:
        policy: Folder of a bundle, or "expert".
        suite: Name of a suite.
        episodes: Number of episodes, at least 1.
        seed: First seed; seeds below the held-out ones have been trained on, and the report says
            so.
        jobs: Processes; None for as many as there are cores, at most one per episode.
        mode: How overlapping chunks become one action.
        latency_ticks: Control periods from a frame to the chunk computed from it, 0 to 9.
        replan_steps: Control periods between two inferences, 1 to 10; the policy node's
            default is 2.
        progress: Whether to show a bar.

    Raises:
        BundleError: If the bundle cannot be loaded.
        SuiteError: If the suite is unknown.
        EvaluationError: If a value is out of range or a process died.
    """
    _check_ranges(episodes, seed, jobs, latency_ticks, replan_steps)
    config = EvaluationConfig(
        str(policy), suite, str(ExecutionMode(mode)), latency_ticks, replan_steps
    )
    # Wrong names and damaged bundles are told before processes start.
    load_suite(suite)
    if config.policy != EXPERT:
        PolicyBundle.load(config.policy)
    seeds = range(seed, seed + episodes)
    jobs = min(jobs or os.cpu_count() or 1, episodes)
    started = time.monotonic()
    results: list[EpisodeResult] = []
    with progress_bar(f"evaluating {suite}", episodes, progress) as bar:
        stream = _run_here(config, seeds) if jobs == 1 else _run_in_pool(config, seeds, jobs)
        for result in stream:
            results.append(result)
            docked = sum(r.success for r in results)
            bar.advance(f"{docked} of {len(results)} docked")
    return EvaluationReport(config, tuple(results), time.monotonic() - started)


def _check_ranges(
    episodes: int, seed: int, jobs: int | None, latency_ticks: int, replan_steps: int
) -> None:
    mistakes = [
        f"{name} is {value}, expected {low} to {high}"
        for name, value, low, high in (
            ("episodes", episodes, 1, 1_000_000),
            ("seed", seed, 0, 2**32 - 1),
            ("jobs", 1 if jobs is None else jobs, 1, 4096),
            ("latency_ticks", latency_ticks, 0, 9),
            ("replan_steps", replan_steps, 1, 10),
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
    if config.policy == EXPERT:
        return ExpertDriver()
    return PolicyDriver(
        load_policy(PolicyBundle.load(config.policy)),
        config.mode,
        config.latency_ticks,
        config.replan_steps,
    )


def _run_here(config: EvaluationConfig, seeds: Sequence[int]) -> Iterator[EpisodeResult]:
    driver = make_driver(config)
    # The expert needs no pictures, and rendering is most of the time.
    env = DockingEnv(config.suite, render=config.policy != EXPERT)
    try:
        for seed in seeds:
            yield run_episode(env, driver, seed)
    finally:
        env.close()


_worker: tuple[DockingEnv, Driver] | VlaError | None = None


def _start_worker(config: EvaluationConfig) -> None:
    global _worker
    try:
        _worker = (DockingEnv(config.suite, render=config.policy != EXPERT), make_driver(config))
    except VlaError as error:
        # Raised here, it would only be known that a process has died.
        _worker = error


def _run_in_worker(seed: int) -> EpisodeResult:
    if not isinstance(_worker, tuple):
        raise _worker or EvaluationError("evaluation process was not started properly")
    env, driver = _worker
    return run_episode(env, driver, seed)


def _run_in_pool(
    config: EvaluationConfig, seeds: Sequence[int], jobs: int
) -> Iterator[EpisodeResult]:
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _start_worker, (config,))
    try:
        yield from pool.map(_run_in_worker, seeds)
    except BrokenProcessPool as error:
        raise EvaluationError(
            "an evaluation process died (out of memory?); try again with less --jobs"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    """Median and 95th percentile; None where there is no value."""
    if not values:
        return {"median": None, "p95": None}
    median, p95 = (float(np.percentile(values, q)) for q in (50, 95))
    return {"median": round(median, 4), "p95": round(p95, 4)}


def summary_table(report: EvaluationReport) -> list[tuple[str, str]]:
    """The figures of a report as rows of name and text, for a terminal."""
    values = report.to_dict()

    def both(name: str, digits: int) -> str:
        spread = values[name]
        if spread["median"] is None:
            return "-"
        return f"{spread['median']:.{digits}f} median, {spread['p95']:.{digits}f} p95"

    rate, low, high = (
        math.floor(1000 * values[name] + 0.5) / 10
        for name in ("success_rate", "wilson_low", "wilson_high")
    )
    return [
        (
            "docked",
            f"{values['successes']} of {values['episodes']} ({rate} %, 95 % {low}-{high} %)",
        ),
        ("precise", f"{values['precise']}"),
        ("collisions, timeouts", f"{values['collisions']}, {values['timeouts']}"),
        ("wrong station", f"{values['wrong_station']}"),
        ("longitudinal error [mm]", both("longitudinal_error_mm", 1)),
        ("lateral error [mm]", both("lateral_error_mm", 1)),
        ("yaw error [deg]", both("yaw_error_deg", 2)),
        ("time to dock [s]", both("time_to_dock_s", 1)),
        ("contact speed [m/s]", both("contact_speed_mps", 3)),
    ]
