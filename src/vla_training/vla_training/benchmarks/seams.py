"""What latency costs in each execution mode, and how smooth commands are where chunks meet.

The same seeds are driven in lock-step in every mode, with and without added latency. A *seam* is a
control period whose command is the first with a say of a newer chunk, also after a gap in which
there was no action; *within* a chunk are the other periods with an action before and now. The step
is the absolute change of a command from the period before: `commanded` as published, behind the
safety envelope, and `asked` in front of it (periods after a gap have none).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_core.action_chunks import EXECUTION_MODES
from vla_simulation.config import CONTROL_PERIOD_S
from vla_simulation.environment import DockingEnv
from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_simulation.suites import load_suite
from vla_training.benchmarks.seam_steps import Steps
from vla_training.errors import BenchmarkError
from vla_training.evaluation.drivers import PolicyDriver
from vla_training.evaluation.figures import disturbance_figures, success_figures
from vla_training.evaluation.rollouts import EpisodeResult, run_episode
from vla_training.evaluation.workers import load_any_policy
from vla_training.executors import Work, executor
from vla_training.progress import progress_bar

BASE_LATENCY_TICKS: Final = 1
"""Control periods from a frame to its chunk without added latency, as in the policy node."""

MOST_LATENCY_TICKS: Final = 9
_MEASURING: Final = Work(BenchmarkError, "measuring seams", "", single_threaded=True)

Way = tuple[str, int]
"""Execution mode and added latency [ms]."""


class SeamDriver(PolicyDriver):
    """A policy whose commands are kept, with the chunk that each of them comes from."""

    def _forget(self) -> None:
        super()._forget()
        self.sources: list[int | None] = []
        self.asked: list[np.ndarray | None] = []
        self.commanded: list[np.ndarray] = []

    def command(self, env: DockingEnv) -> np.ndarray:
        """The command (2,) [m/s, rad/s] for what the environment shows now."""
        command = super().command(env)
        buffer = self._pipeline.buffer
        self.sources.append(buffer.source_ns(env.stamp_ns))
        self.asked.append(buffer.action_at(env.stamp_ns))
        self.commanded.append(command)
        return command


@dataclass(frozen=True)
class SeedJob:
    """One seed, to be driven in every way.

    Attributes:
        policy: Bundle or checkpoint.
        suite: Of the episodes.
        seed: Of the episode.
        ways: How to drive.
        replan_steps: Control periods between two inferences.
        in_flight: Inferences that may be under way at once.
    """

    policy: str
    suite: str
    seed: int
    ways: tuple[Way, ...]
    replan_steps: int
    in_flight: int


@dataclass(frozen=True)
class EpisodeSteps:
    """How one episode went.

    Attributes:
        result: Of the episode.
        commanded: Steps of what was published.
        asked: Steps in front of the safety envelope.
        starved: Control periods without an action after the first chunk.
        ticks: All control periods after the first chunk.
    """

    result: EpisodeResult
    commanded: Steps
    asked: Steps
    starved: int
    ticks: int


def drive_seed(job: SeedJob) -> tuple[int, dict[Way, EpisodeSteps]]:
    """Drive a seed in every way, here."""
    env, drivers = _kept.of(job)
    return job.seed, {way: _episode(env, drivers[way], job.seed) for way in job.ways}


def _episode(env: DockingEnv, driver: SeamDriver, seed: int) -> EpisodeSteps:
    result = run_episode(env, driver, seed)
    first = next((i for i, s in enumerate(driver.sources) if s is not None), len(driver.sources))
    sources = driver.sources[first:]
    return EpisodeSteps(
        result,
        Steps.between(driver.commanded[first:], sources),
        Steps.between(driver.asked[first:], sources),
        sources.count(None),
        len(sources),
    )


class _Kept(threading.local):
    """A thread's simulator and drivers: making them takes longer than an episode."""

    key: tuple[Any, ...] | None = None
    env: DockingEnv
    drivers: dict[Way, SeamDriver]

    def of(self, job: SeedJob) -> tuple[DockingEnv, dict[Way, SeamDriver]]:
        """Those of a job."""
        key = (job.policy, job.suite, job.ways, job.replan_steps, job.in_flight)
        if key != self.key:
            self.close()
            policy = load_any_policy(job.policy)
            self.drivers = {
                (mode, ms): SeamDriver(
                    policy, mode, latency_ticks(ms), job.replan_steps, in_flight=job.in_flight
                )
                for mode, ms in job.ways
            }
            self.env, self.key = DockingEnv(job.suite), key
        return self.env, self.drivers

    def close(self) -> None:
        """Free the simulator's OpenGL contexts."""
        if self.key is not None:
            self.key = None
            self.env.close()


_kept = _Kept()


def latency_ticks(added_ms: int) -> int:
    """Control periods from a frame to its chunk with some added latency."""
    return BASE_LATENCY_TICKS + round(added_ms / (1e3 * CONTROL_PERIOD_S))


def run(
    quick: bool = False,
    out: Path | None = None,
    *,
    policy: str,
    suite: str = "nominal",
    episodes: int | None = None,
    seed: int = FIRST_HELD_OUT_SEED,
    modes: Sequence[str] = EXECUTION_MODES,
    added_ms: Sequence[int] = (0, 300),
    replan_steps: int = 2,
    in_flight: int = 4,
    jobs: int | None = None,
) -> dict[str, Any]:
    """`vla bench seams`.

    Args:
        quick: 4 episodes in place of 100.
        out: Not used: nothing is kept.
        policy: Bundle or checkpoint.
        suite: Of the episodes.
        episodes: Seeds; each is driven in every mode with every latency.
        seed: The first one.
        modes: Execution modes.
        added_ms: Latencies beyond that of the policy node; success is compared with the first.
        replan_steps: Control periods between two inferences.
        in_flight: Inferences that may be under way at once, as the policy node's parameter
            inference_workers; without latency there is only one.
        jobs: Processes; None for as many as there are cores.

    Raises:
        VlaError: If the policy or the suite cannot be loaded.
        BenchmarkError: If a value is out of range.
    """
    del out
    episodes = episodes or (4 if quick else 100)
    most_ms = round((MOST_LATENCY_TICKS - BASE_LATENCY_TICKS) * 1e3 * CONTROL_PERIOD_S)
    wrong = [ms for ms in added_ms if not 0 <= ms <= most_ms]
    if wrong or episodes < 1 or not 1 <= replan_steps <= 10 or not 1 <= in_flight <= 16:
        raise BenchmarkError(
            f"seams: added latency {', '.join(map(str, added_ms))} ms, {episodes} episodes, "
            f"{replan_steps} replan steps, {in_flight} in flight; expected 0 to {most_ms} ms, 1 or "
            "more, 1 to 10, and 1 to 16"
        )
    load_suite(suite)
    load_any_policy(policy)
    ways = tuple((mode, ms) for mode in modes for ms in added_ms)
    work = [
        SeedJob(policy, suite, each, ways, replan_steps, in_flight)
        for each in range(seed, seed + episodes)
    ]
    found: dict[int, dict[Way, EpisodeSteps]] = {}
    processes = min(jobs or os.cpu_count() or 1, episodes)
    try:
        with progress_bar("seams", episodes) as bar:
            for number, results in executor(_MEASURING, processes)(drive_seed, work):
                found[number] = results
                bar.advance()
    finally:
        _kept.close()
    by_way = {way: [found[each][way] for each in sorted(found)] for way in ways}
    figures: dict[str, Any] = {"policy": policy, "suite": suite, "episodes": episodes, "seed": seed}
    for mode in modes:
        first = by_way[mode, added_ms[0]]
        figures[mode] = {
            f"{ms} ms added": _figures(by_way[mode, ms], first if ms != added_ms[0] else None)
            for ms in added_ms
        }
    return figures


def _figures(
    runs: Sequence[EpisodeSteps], without: Sequence[EpisodeSteps] | None
) -> dict[str, Any]:
    results = [run.result for run in runs]
    commanded = Steps.joined([run.commanded for run in runs])
    ticks = max(1, sum(run.ticks for run in runs))
    return {
        **(
            success_figures(results)
            if without is None
            else disturbance_figures([run.result for run in without], results)
        ),
        **_quality(results),
        "seams": len(commanded.seam),
        "starved_share": round(sum(run.starved for run in runs) / ticks, 4),
        "commanded": commanded.figures(),
        "asked": Steps.joined([run.asked for run in runs]).figures(),
    }


def _quality(results: Sequence[EpisodeResult]) -> dict[str, Any]:
    """How well the episodes that succeeded did."""
    docked = [result for result in results if result.success]
    found: dict[str, Any] = {"precise": sum(result.precise for result in docked)}
    for name in ("time_s", "longitudinal_error_mm", "lateral_error_mm", "yaw_error_deg"):
        values = np.abs([getattr(result, name) for result in docked])
        percentiles = np.percentile(values, (50, 95)).round(3).tolist() if docked else [None, None]
        found[name] = dict(zip(("median", "p95"), percentiles, strict=True))
    return found
