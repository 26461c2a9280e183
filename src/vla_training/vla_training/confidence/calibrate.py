"""Limits for a policy's confidence, and what they miss: written into its bundle.

The limit is the one that so many familiar episodes stay below (split conformal prediction, Vovk et
al., 2005): of N episodes like those that it will meet, the k-th highest score is passed by another
one with a probability of at most k / (N + 1). That holds for any distribution of scores.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_core.bundle import (
    CONTRACT_FILE,
    MODEL_FILE,
    STATISTICS_FILE,
    VOCABULARY_FILE,
    PolicyBundle,
    write_bundle,
)
from vla_core.confidence import CHUNKS, NOVELTY_FILE, NoveltyModel
from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_training.confidence.anomalies import anomalies
from vla_training.confidence.drives import (
    CALIBRATING,
    ONSET_S,
    WATCHED_S,
    Drive,
    DriveJob,
    drive,
    forget_simulator,
)
from vla_training.confidence.fitting import fit_novelty
from vla_training.dataset.windows import DockingDataset
from vla_training.errors import EvaluationError
from vla_training.evaluation.intervals import wilson_interval
from vla_training.executors import executor
from vla_training.progress import progress_bar

FIRST_SEED: Final = 900_000
"""Seeds from here on are for choosing: neither trained on nor evaluated with."""

_UNIT_QUANTILE: Final = 0.9
"""Of the highest values of the calibration episodes: what makes the measures comparable."""
_WRITTEN: Final = ("format_version", "contract_hash", "files")


@dataclass(frozen=True)
class CalibrationOptions:
    """How a bundle is calibrated.

    Attributes:
        frames: Training frames to fit the statistics of features on, at most.
        episodes: Familiar episodes that the limits are set by.
        check_episodes: Further ones, to count false alarms in.
        anomaly_episodes: Episodes with each anomaly, to count misses in.
        false_alarms: Share of familiar episodes that may have an alarm.
        suite: Of the familiar episodes.
        window_s: Over which measurements are averaged.
        release: A doubt ends below this share of the limit.
        jobs: Processes; None for one per core.
    """

    frames: int = 10_000
    episodes: int = 100
    check_episodes: int = 60
    anomaly_episodes: int = 12
    false_alarms: float = 0.02
    suite: str = "nominal"
    window_s: float = 0.5
    release: float = 0.9
    jobs: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.false_alarms < 1.0 or self.rank < 1:
            raise EvaluationError(
                f"calibration: false_alarms is {self.false_alarms:g} with {self.episodes} "
                f"episodes, expected at least 1 / (episodes + 1) = {1 / (self.episodes + 1):.3g} "
                "and less than 1; give more episodes or accept more alarms"
            )
        total = self.episodes + self.check_episodes
        if FIRST_SEED + max(total, self.anomaly_episodes) > FIRST_HELD_OUT_SEED:
            raise EvaluationError(
                f"calibration: {total} episodes, expected {FIRST_HELD_OUT_SEED - FIRST_SEED} at "
                "most: further seeds are for evaluation"
            )

    @property
    def rank(self) -> int:
        """Which of the highest scores, counted from the top, becomes the limit."""
        # A share such as 2 / 101 must not become 1.99….
        return int(np.floor(self.false_alarms * (self.episodes + 1) + 1e-9))


def calibrate(
    bundle: str | Path,
    dataset: str | Path,
    options: CalibrationOptions | None = None,
    *,
    progress: bool = True,
) -> PolicyBundle:
    """Calibrate a bundle in place.

    Args:
        bundle: Folder of a bundle whose graph gives features.
        dataset: That it was trained on.
        options: How.
        progress: Whether to show bars.

    Returns:
        The bundle, read back: limits and rates are `confidence` of its manifest.

    Raises:
        BundleError: If the bundle cannot be loaded or written.
        ExportError: If its graph gives no features, or the data set does not fit it.
        DatasetError: If the data set cannot be used.
        EvaluationError: If the episodes cannot run, or an option is out of range.
    """
    options = options or CalibrationOptions()
    before = PolicyBundle.load(bundle)
    data = DockingDataset(dataset, "training", before.vocabulary, storage="mapped")
    model = fit_novelty(before, data, options.frames, progress=progress)
    with tempfile.TemporaryDirectory() as folder:
        # Episodes run with the new statistics; the bundle stays as it is until all is known.
        draft = _rewrite(before, Path(folder, "draft"), model, {})
        drives = _drive_all(draft, model.names, options, progress)
        limits = find_limits(drives, model.names, options)
        return _rewrite(before, Path(bundle), model, _figures(drives, limits, options))


def find_limits(
    drives: Sequence[Drive], names: tuple[str, ...], options: CalibrationOptions
) -> dict[str, float]:
    """The limit of each measure: the score of the `rank`-th highest calibration episode is 1.

    Args:
        drives: Familiar ones first; the first `options.episodes` of them are used.
        names: Of the groups of features.
        options: How many, and which share may have an alarm.
    """
    maxima = [_maxima(each) for each in familiar(drives)[: options.episodes]]
    units = {
        name: float(np.quantile([each.get(name, 0.0) for each in maxima], _UNIT_QUANTILE))
        for name in (*names, CHUNKS)
    }
    useful = {name: unit for name, unit in units.items() if unit > 0.0}
    scores = [max(each.get(name, 0.0) / unit for name, unit in useful.items()) for each in maxima]
    limit = float(np.sort(scores)[-options.rank])
    return {name: unit * limit for name, unit in useful.items()}


def familiar(drives: Sequence[Drive]) -> list[Drive]:
    """Those without an anomaly, in the order of their seeds."""
    plain = [each for each in drives if not each.job.anomaly]
    return sorted(plain, key=lambda each: each.job.seed)


def alarm_s(each: Drive, limits: Mapping[str, float]) -> tuple[float, str] | None:
    """When a drive has its first alarm [s], and of which measure; None if it has none."""
    for time_s, means in each.measured:
        scores = {name: means[name] / limits[name] for name in means if name in limits}
        worst = max(scores, key=lambda name: scores[name], default="")
        if worst and scores[worst] > 1.0:
            return time_s, worst
    return None


def _maxima(each: Drive) -> dict[str, float]:
    highest: dict[str, float] = {}
    for _, means in each.measured:
        for name, value in means.items():
            highest[name] = max(value, highest.get(name, value))
    return highest


def _drive_all(
    bundle: PolicyBundle, names: tuple[str, ...], options: CalibrationOptions, progress: bool
) -> list[Drive]:
    kinds = anomalies(bundle.contract) if options.anomaly_episodes else {}
    seeds = range(FIRST_SEED, FIRST_SEED + options.episodes + options.check_episodes)
    wanted = [(seed, "") for seed in seeds]
    wanted += [(FIRST_SEED + i, name) for name in kinds for i in range(options.anomaly_episodes)]
    jobs = [
        DriveJob(str(bundle.path), options.suite, seed, names, options.window_s, anomaly)
        for seed, anomaly in wanted
    ]
    processes = min(options.jobs or os.cpu_count() or 1, len(jobs))
    drives: list[Drive] = []
    try:
        with progress_bar("episodes", len(jobs), progress) as bar:
            for each in executor(CALIBRATING, processes)(drive, jobs):
                drives.append(each)
                bar.advance(each.job.anomaly or each.job.suite)
    finally:
        forget_simulator()
    return drives


def _figures(
    drives: Sequence[Drive], limits: Mapping[str, float], options: CalibrationOptions
) -> dict[str, Any]:
    plain = familiar(drives)
    kinds: dict[str, list[Drive]] = {}
    for each in drives:
        if each.job.anomaly:
            kinds.setdefault(each.job.anomaly, []).append(each)
    return {
        "limits": {name: round(value, 6) for name, value in limits.items()},
        "window_s": options.window_s,
        "release": options.release,
        "suite": options.suite,
        "first_seed": FIRST_SEED,
        "frames": options.frames,
        "false_alarms_wanted": options.false_alarms,
        "calibration": _familiar_figures(plain[: options.episodes], limits),
        "check": _familiar_figures(plain[options.episodes :], limits),
        "onset_s": ONSET_S,
        "watched_s": WATCHED_S,
        "anomalies": {name: _anomaly_figures(found, limits) for name, found in kinds.items()},
    }


def _familiar_figures(drives: Sequence[Drive], limits: Mapping[str, float]) -> dict[str, Any]:
    if not drives:
        return {"episodes": 0}
    alarms = [each for each in drives if alarm_s(each, limits) is not None]
    driven_h = sum(each.duration_s for each in drives) / 3600.0
    low, high = wilson_interval(len(alarms), len(drives))
    return {
        "episodes": len(drives),
        "docked": sum(each.success for each in drives),
        "with_alarm": len(alarms),
        "wilson_low": round(low, 4),
        "wilson_high": round(high, 4),
        "with_alarm_and_docked": sum(each.success for each in alarms),
        "driven_h": round(driven_h, 3),
        "alarms_per_hour": round(len(alarms) / driven_h, 2),
    }


def _anomaly_figures(drives: Sequence[Drive], limits: Mapping[str, float]) -> dict[str, Any]:
    alarms = [alarm for each in drives if (alarm := alarm_s(each, limits)) is not None]
    told = [name for _, name in alarms]
    low, high = wilson_interval(len(drives) - len(alarms), len(drives))
    return {
        "episodes": len(drives),
        "missed": len(drives) - len(alarms),
        "miss_rate": round(1.0 - len(alarms) / len(drives), 4),
        "wilson_low": round(low, 4),
        "wilson_high": round(high, 4),
        "delay_s": round(float(np.median([time_s for time_s, _ in alarms])), 2) if alarms else None,
        "told_by": max(set(told), key=told.count) if told else "",
    }


def _rewrite(
    bundle: PolicyBundle, out: Path, model: NoveltyModel, figures: Mapping[str, Any]
) -> PolicyBundle:
    """The bundle with its statistics and figures; all else as it was."""
    manifest = bundle.manifest
    fields = {
        spec.name: getattr(manifest, spec.name)
        for spec in dataclasses.fields(manifest)
        if spec.name not in _WRITTEN
    }
    fields["confidence"] = {"features": manifest.confidence["features"], **figures}
    own = (MODEL_FILE, CONTRACT_FILE, STATISTICS_FILE, VOCABULARY_FILE)
    files = {name: bundle.path / name for name in manifest.files if name not in own}
    with tempfile.TemporaryDirectory() as folder:
        novelty = Path(folder, NOVELTY_FILE)
        novelty.write_bytes(model.to_bytes())
        return write_bundle(
            out,
            bundle.path / MODEL_FILE,
            bundle.contract,
            bundle.statistics,
            bundle.vocabulary,
            fields,
            {**files, NOVELTY_FILE: novelty},
        )
