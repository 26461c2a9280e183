"""What an ablation costs or gains: differences over training seeds, and over episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from vla_training.benchmarks.preset_figures import paired_figures
from vla_training.benchmarks.preset_runs import PresetRun
from vla_training.evaluation.intervals import student_interval

MEASURES: Final = ("success_rate", "both_right_rate")
"""Rates of which the effect is told, where runs have them."""


def effects(
    runs: Sequence[PresetRun], found: Mapping[str, Mapping[str, Any]], reference: str
) -> dict[str, dict[str, Any]]:
    """Every variant against the reference.

    Args:
        runs: Finished ones.
        found: `run_figures` by name of the run.
        reference: Name of the variant that has everything.

    Returns:
        By variant: `seeds`, how many trainings both have; by name in `MEASURES` `difference`, the
        mean over the trainings, with `low` and `high`, its 95 % interval by Student's distribution
        over the trainings (None for one), and `differences`, one per training; `episodes`, the
        same difference of success with the interval over the episodes, see `paired_figures`;
        `conclusion`.
    """
    paired = paired_figures(runs, reference)
    effects: dict[str, dict[str, Any]] = {}
    for name, by_episodes in paired.items():
        own = {run.seed: found[run.name] for run in runs if run.preset == name}
        others = {run.seed: found[run.name] for run in runs if run.preset == reference}
        seeds = sorted(own.keys() & others.keys())
        measured = {}
        for measure in MEASURES:
            values = [(own[seed].get(measure), others[seed].get(measure)) for seed in seeds]
            known = [(a, b) for a, b in values if a is not None and b is not None]
            if known:
                measured[measure] = effect([a - b for a, b in known])
        effects[name] = {
            "seeds": len(seeds),
            **measured,
            "episodes": by_episodes,
            "conclusion": conclusion(measured["success_rate"]),
        }
    return effects


def effect(differences: Sequence[float]) -> dict[str, Any]:
    """Mean and interval of differences, one per training."""
    interval = student_interval(differences)
    low, high = (None, None) if interval is None else (round(end, 4) for end in interval)
    return {
        "difference": round(float(np.mean(differences)), 4),
        "low": low,
        "high": high,
        "differences": [round(each, 4) for each in differences],
    }


def conclusion(figures: Mapping[str, Any]) -> str:
    """What the interval over the trainings says; no effect shown is said, too."""
    low, high = figures["low"], figures["high"]
    if low is None or high is None:
        return "one training each: nothing about the way of training"
    if low > 0.0:
        return "docks more often"
    if high < 0.0:
        return "docks less often"
    return "no effect is shown"
