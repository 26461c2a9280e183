"""Many episodes through the live graph, one after the other, as a report of an evaluation."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vla_bringup.live_evaluation.episodes import LiveEpisodes
from vla_bringup.live_evaluation.kept_episodes import KeptEpisode, KeptEpisodes, Key
from vla_bringup.live_evaluation.live_graph import LiveGraph
from vla_bringup.live_evaluation.options import LiveEvaluationError, LiveOptions
from vla_bringup.preflight import check_rendering, find_free_domain
from vla_core.bundle import MANIFEST_FILE
from vla_core.errors import VlaError
from vla_training.evaluation.live import ROS
from vla_training.evaluation.report import EvaluationConfig, EvaluationReport
from vla_training.progress import ProgressBar, progress_bar

ATTEMPTS: Final = 3
"""Times that an episode is begun, each on a graph of its own, until it is complete."""


def evaluate_live(
    options: LiveOptions, kept_in: Path | None = None, *, progress: bool = True
) -> dict[str, EvaluationReport]:
    """Run the episodes that are not there yet.

    Args:
        options: what to run.
        kept_in: file that keeps every finished episode until the caller is done with the reports;
            with what it has from before, the evaluation goes on. None keeps nothing.
        progress: whether to show a bar.

    Returns:
        By suite the report, with traces.

    Raises:
        VlaError: something that the graph needs is missing, or an episode could not be completed
            on `ATTEMPTS` graphs.
    """
    options.check()
    kept = KeptEpisodes(kept_in, _settings(options))
    runs = _Runs(options, kept)
    missing = [key for key in runs.keys() if key not in kept.found]  # noqa: SIM118 (computed)
    if missing:
        check_rendering()
        # Another robot's graph on this machine must not hear, or drive, this one.
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        os.environ["ROS_DOMAIN_ID"] = str(find_free_domain())
    total = len(missing) + len(kept.found)
    with progress_bar("through the live graph", total, progress) as bar:
        bar.advance("", len(kept.found))
        try:
            runs.carry_out(missing, bar)
        except KeyboardInterrupt:
            if kept.path is not None:
                _say(f"{len(kept.found)} episodes are in {kept.path}: the same command goes on")
            raise
    return {suite: runs.report(suite) for suite in options.suites}


def _settings(options: LiveOptions) -> dict[str, Any]:
    manifest = (options.policy / MANIFEST_FILE).read_bytes()
    return {
        "policy": str(options.policy),
        "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
        "execution": options.execution,
        "replan_steps": options.replan_steps,
        "in_flight": options.in_flight,
        "variant": options.variant,
        "retries": options.retries,
    }


class _Runs:
    """The episodes of an evaluation, those done and those to be done."""

    def __init__(self, options: LiveOptions, kept: KeptEpisodes) -> None:
        self._options, self._kept = options, kept

    def keys(self) -> Iterator[Key]:
        """All episodes, each seed's own sentence first."""
        first = self._options.seed
        with LiveEpisodes() as episodes:
            for suite in self._options.suites:
                for seed in range(first, first + self._options.episodes):
                    yield suite, seed, False
                    if self._options.swap and episodes.station_count(suite, seed) > 1:
                        yield suite, seed, True

    def carry_out(self, missing: list[Key], bar: ProgressBar) -> None:
        """Run episodes; the graph is started anew whenever it fails."""
        logs = Path(tempfile.mkdtemp(prefix="vla_evaluate_"))
        waiting = list(missing)
        failures = Counter[Key]()
        with LiveEpisodes() as episodes:
            while waiting:
                try:
                    self._on_one_graph(episodes, waiting, logs, failures, bar)
                except KeyboardInterrupt:
                    shutil.rmtree(logs, ignore_errors=True)
                    raise
                except VlaError as error:
                    # Episodes that were completed on this graph are no longer waiting.
                    suite, seed, _ = key = waiting[0]
                    failures[key] += 1
                    if failures[key] >= ATTEMPTS:
                        raise LiveEvaluationError(
                            f"suite {suite}, seed {seed} could not be completed on {ATTEMPTS} "
                            f"graphs: {error} (what the nodes printed: {logs})"
                        ) from error
                    _say(f"suite {suite}, seed {seed}: {error}; starting the graph anew")
        shutil.rmtree(logs, ignore_errors=True)

    def _on_one_graph(
        self,
        episodes: LiveEpisodes,
        waiting: list[Key],
        logs: Path,
        failures: Counter[Key],
        bar: ProgressBar,
    ) -> None:
        with LiveGraph(self._options.node_specs(), logs) as graph:
            while waiting:
                suite, seed, swapped = key = waiting[0]
                started_s = time.monotonic()
                result, trace = episodes.run(
                    graph, suite, seed, swapped=swapped, restarts=failures[key]
                )
                self._kept.add(KeptEpisode(suite, result, trace, time.monotonic() - started_s))
                waiting.pop(0)
                own = [each.result for each in self._kept.found.values()]
                docked = sum(each.success for each in own if not each.swapped)
                bar.advance(f"{docked} of {sum(not each.swapped for each in own)} docked")

    def report(self, suite: str) -> EvaluationReport:
        """What the episodes of a suite gave."""
        options = self._options
        seeds = range(options.seed, options.seed + options.episodes)
        chosen = {
            key: each
            for key, each in self._kept.found.items()
            if key[0] == suite and key[1] in seeds and (options.swap or not key[2])
        }
        own = [chosen[suite, seed, False] for seed in seeds]
        config = EvaluationConfig(
            policy=str(options.policy),
            suite=suite,
            mode=options.execution,
            replan_steps=options.replan_steps,
            swap=options.swap,
            variant=options.variant,
            in_flight=options.in_flight,
            through=ROS,
        )
        return EvaluationReport(
            config,
            tuple(each.result for each in own),
            sum(each.wall_s for each in chosen.values()),
            swapped=tuple(
                chosen[suite, seed, True].result for seed in seeds if (suite, seed, True) in chosen
            ),
            traces=tuple(each.trace for each in own),
        )


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
