"""What a comparison of presets found: spread over training seeds, and paired with a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_core.bundle import PolicyBundle
from vla_core.frames import Frame
from vla_training.benchmarks.preset_runs import EVALUATION_RECORD, PresetRun, Trials
from vla_training.benchmarks.untrained import random_batch
from vla_training.evaluation.bootstrap import bootstrap_interval, mean_of
from vla_training.evaluation.compare import compare
from vla_training.evaluation.paired_tests import ALPHA, holm
from vla_training.evaluation.results_file import read_results
from vla_training.latency import Timing, time_in_turns
from vla_training.onnx_session import load_policy, make_runner

ERRORS: Final = ("longitudinal_error_mm", "lateral_error_mm", "yaw_error_deg")
_SPREAD: Final = (
    "success_rate",
    "both_right_rate",
    "same_station_twice_rate",
    "training_s",
    "samples_per_s",
    "peak_memory_mb",
)
_FRAMES: Final = 32
_SENTENCE: Final = "dock at the red charging station"


def run_figures(run: PresetRun, trials: Trials) -> dict[str, Any] | None:
    """Figures of one run; None if it is not finished.

    Returns:
        `successes`, `episodes`, `success_rate` and its Wilson interval, with `swap` the figures of
        both sentences; medians over the docked episodes of each of `ERRORS`; `steps`,
        `training_s`, `samples_per_s`, `peak_memory_mb`, `parameters`, `bundle_mb` and `load`.

    Raises:
        BenchmarkError: If another training is in the folder.
    """
    training, evaluation = run.training(), run.evaluation(trials)
    if training is None or evaluation is None:
        return None
    files = (file for file in run.bundle.rglob("*") if file.is_file())
    measured = ("steps", "training_s", "samples_per_s", "peak_memory_mb", "parameters", "load")
    return {
        **{
            name: value
            for name, value in evaluation.items()
            if name in ("episodes", "successes", "success_rate", "swap_pairs")
            or name.startswith(("wilson_", "both_right", "same_station_twice"))
        },
        **{name: evaluation[name]["median"] for name in ERRORS},
        **{name: training[name] for name in measured},
        "bundle_mb": round(sum(file.stat().st_size for file in files) / 1e6, 2),
    }


def preset_figures(
    runs: Sequence[PresetRun], found: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Figures of a preset over its finished runs.

    Args:
        runs: Finished ones of one preset, at least one.
        found: `run_figures` by name of the run.

    Returns:
        `seeds`; mean, lowest and highest of the seeds of rates, training time, throughput and
        memory; medians of each of `ERRORS` over the docked episodes of all seeds; `parameters`,
        `bundle_mb` and `steps`.
    """
    figures = [found[run.name] for run in runs]
    return {
        "seeds": len(runs),
        **{name: _spread([each.get(name) for each in figures]) for name in _SPREAD},
        **_pooled_errors(runs),
        **{name: figures[0][name] for name in ("parameters", "bundle_mb", "steps")},
    }


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    figures = {"mean": sum(known) / len(known), "lowest": min(known), "highest": max(known)}
    return {name: round(value, 4) for name, value in figures.items()}


def _pooled_errors(runs: Sequence[PresetRun]) -> dict[str, float | None]:
    docked = [
        record
        for run in runs
        for results in read_results(run.folder / EVALUATION_RECORD).values()
        for record in results.records
        if record["success"] and not record["swapped"]
    ]
    return {
        name: round(float(np.median([abs(record[name]) for record in docked])), 4)
        if docked
        else None
        for name in ERRORS
    }


def paired_figures(runs: Sequence[PresetRun], reference: str) -> dict[str, dict[str, Any]]:
    """Each preset against a reference, on the same episodes and with the same training seeds.

    Args:
        runs: Finished ones.
        reference: Name of a preset.

    Returns:
        By preset: `difference` of the success rates, the mean over the training seeds, and its
        95 % interval by bootstrap over the episodes, `low` and `high` (None for one episode), for
        the trained policies as they are; `seeds`, by training seed the comparison as
        `SuccessComparison.to_dict` gives it, with `adjusted_p` for all of these comparisons
        together; `verdict`.

    Raises:
        EvaluationError: If evaluations do not belong together.
    """
    references = {run.seed: run for run in runs if run.preset == reference}
    pairs = [
        (run, references[run.seed])
        for run in runs
        if run.preset != reference and run.seed in references
    ]
    compared = [compare(b.folder / EVALUATION_RECORD, a.folder / EVALUATION_RECORD)[0].own
                for a, b in pairs]  # fmt: skip
    adjusted = holm([own.p for own in compared])
    seeds: dict[str, dict[str, Any]] = {}
    for (run, _), own, p in zip(pairs, compared, adjusted, strict=True):
        seeds.setdefault(run.preset, {})[str(run.seed)] = {**own.to_dict(), "adjusted_p": p}
    return {
        preset: {
            **_difference([pair for pair in pairs if pair[0].preset == preset]),
            "seeds": by_seed,
            "verdict": _verdict(list(by_seed.values())),
        }
        for preset, by_seed in seeds.items()
    }


def _difference(pairs: Sequence[tuple[PresetRun, PresetRun]]) -> dict[str, float | None]:
    """Mean over the training seeds; an episode is one row, however many policies drove it."""
    change = np.mean([_successes(run) - _successes(other) for run, other in pairs], axis=0)
    low, high = bootstrap_interval(change[:, None], mean_of())
    known = len(change) > 1
    return {
        "difference": round(float(change.mean()), 4),
        "low": round(low, 4) if known else None,
        "high": round(high, 4) if known else None,
    }


def _successes(run: PresetRun) -> np.ndarray:
    (results,) = read_results(run.folder / EVALUATION_RECORD).values()
    own = sorted((r for r in results.records if not r["swapped"]), key=lambda r: r["seed"])
    return np.array([float(record["success"]) for record in own])


def _verdict(seeds: Sequence[Mapping[str, Any]]) -> str:
    """With the same sign from every training seed, or not shown."""
    sure = [each["difference"] for each in seeds if each["adjusted_p"] < ALPHA]
    if not sure:
        return "no difference is shown"
    word = "more" if sure[0] > 0 else "less"
    if len({value > 0 for value in sure}) > 1:
        return "better or worse, by the training seed"
    if len(sure) == len(seeds):
        return f"docks {word} often" + (", from every training seed" if len(seeds) > 1 else "")
    return f"docks {word} often from {len(sure)} of {len(seeds)} training seeds, else not shown"


def latencies(bundles: Mapping[str, Path], rounds: int, per_round: int) -> dict[str, Timing]:
    """Times of one inference with ONNX Runtime on one thread; the policies take turns.

    Args:
        bundles: Folders by name.
        rounds: Of all of them.
        per_round: Inferences of each in a round.

    Raises:
        BundleError: If a bundle cannot be loaded.
        EvaluationError: If ONNX Runtime cannot load a graph.
    """
    calls = {}
    for name, folder in bundles.items():
        bundle = PolicyBundle.load(folder)
        streams = [stream.key for stream in bundle.contract.streams]
        batch = random_batch(bundle.contract, _FRAMES)
        valid, ages = np.ones(len(streams), bool), np.zeros(len(streams), np.int64)
        policy = load_policy(bundle)
        feeds = [
            policy.feeds(
                Frame(0, {key: batch[key][i].numpy() for key in streams}, valid, ages), _SENTENCE
            )
            for i in range(_FRAMES)
        ]
        run = make_runner(bundle.model_path)
        calls[name] = lambda index, run=run, feeds=feeds: run(feeds[index % _FRAMES])
    return time_in_turns(calls, rounds, per_round)
