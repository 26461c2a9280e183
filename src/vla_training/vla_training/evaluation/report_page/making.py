"""Makes the page: films failures, draws attention, then writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vla_training.evaluation.gallery import Clip, ClipJob, choose_failures, film
from vla_training.evaluation.report import EvaluationReport
from vla_training.evaluation.report_page.page import evaluation_page, write_page
from vla_training.evaluation.workers import EVALUATING, is_checkpoint
from vla_training.executors import executor
from vla_training.progress import progress_bar

if TYPE_CHECKING:
    # Bundles are evaluated without PyTorch.
    from vla_training.attention.pictures import Look

MOST_CLIPS: Final = 8
"""Failures that are shown of each suite; each takes about 0.3 MB of the page."""


def write_report(
    reports: Mapping[str, EvaluationReport],
    path: Path,
    *,
    jobs: int | None = None,
    scheduler: str | None = None,
    progress: bool = True,
) -> None:
    """Write the page of an evaluation; some of its failures are driven again and filmed.

    Args:
        reports: By suite, evaluated with `trace`.
        path: The HTML file.
        jobs: Processes that film; None for as many as there are cores.
        scheduler: Address of a Dask scheduler whose workers film.
        progress: Whether to show a bar.

    Raises:
        EvaluationError: If the file cannot be written or a process died.
    """
    work = [
        ClipJob(report.config, result)
        for report in reports.values()
        if not report.config.is_live  # driven again, in lock-step, it would be another episode
        for result in choose_failures(report.results, MOST_CLIPS)
    ]
    clips: dict[str, list[Clip]] = {suite: [] for suite in reports}
    if work:
        processes = min(jobs or os.cpu_count() or 1, len(work))
        with progress_bar("filming failures", len(work), progress) as bar:
            for suite, clip in executor(EVALUATING, processes, scheduler)(_film, work):
                clips[suite].append(clip)
                bar.advance(f"seed {clip.result.seed}")
    for each in clips.values():
        each.sort(key=lambda clip: clip.result.seed)
    looks = _look(reports, jobs, scheduler, progress=progress)
    write_page(evaluation_page(reports, clips, looks), path)


def _look(
    reports: Mapping[str, EvaluationReport],
    jobs: int | None,
    scheduler: str | None,
    *,
    progress: bool,
) -> dict[str, list[Look]]:
    """Where the policy looks in one success and one failure of each suite; of checkpoints only."""
    work = []
    for report in reports.values():
        if is_checkpoint(report.config.policy):
            firsts = {result.success: result for result in reversed(report.results)}
            work += [ClipJob(report.config, result) for result in firsts.values()]
    looks: dict[str, list[Look]] = {}
    if work:
        from vla_training.attention.pictures import look_at

        processes = min(jobs or os.cpu_count() or 1, len(work))
        with progress_bar("drawing attention", len(work), progress) as bar:
            for found in executor(EVALUATING, processes, scheduler)(look_at, work):
                looks.setdefault(found[0].suite, []).extend(found)
                bar.advance(f"seed {found[0].seed}")
    return looks


def _film(job: ClipJob) -> tuple[str, Clip]:
    return job.config.suite, film(job)
