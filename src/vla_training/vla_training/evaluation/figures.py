"""Rates of success: of episodes, of groups of them, of starts, and of both sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from vla_training.evaluation.intervals import wilson_interval
from vla_training.evaluation.paired_tests import difference_interval
from vla_training.evaluation.rollouts import EpisodeResult

START_BINS: Final[dict[str, tuple[str, float, float]]] = {
    "distance_m": ("start_distance_m", 0.5, 0.0),
    "bearing_deg": ("start_bearing_deg", 10.0, 5.0),
    "heading_deg": ("start_heading_deg", 10.0, 5.0),
}
"""Offsets of the start: field of the record, width of a bin, and where one of them begins. The same
for every evaluation, so that two can be laid side by side; straight ahead is one bin, not two."""


def success_figures(results: Sequence[EpisodeResult]) -> dict[str, Any]:
    """How many of some episodes succeeded, with the Wilson interval of the rate."""
    successes = sum(result.success for result in results)
    low, high = wilson_interval(successes, len(results))
    return {
        "episodes": len(results),
        "successes": successes,
        "success_rate": round(successes / len(results), 4),
        "wilson_low": round(low, 4),
        "wilson_high": round(high, 4),
    }


def intervention_figures(results: Sequence[EpisodeResult]) -> dict[str, dict[str, int]]:
    """By the safety envelope's reason: `episodes` with it, and `ticks` of all of them."""
    reasons = sorted({reason for result in results for reason in result.interventions})
    return {
        reason: {
            "episodes": sum(reason in result.interventions for result in results),
            "ticks": sum(result.interventions.get(reason, 0) for result in results),
        }
        for reason in reasons
    }


def swap_figures(
    own: Sequence[EpisodeResult], swapped: Sequence[EpisodeResult]
) -> dict[str, int | float | None]:
    """Whether the sentence decides where the robot docks.

    Each seed with more than one station gives a pair: the same start with its own sentence and
    with another station's. Seeds with a lone station give none.

    Args:
        own: Episodes with their own sentence.
        swapped: Episodes of the same seeds with another station's.
    """
    own_by_seed = {result.seed: result for result in own}
    pairs = [(own_by_seed[result.seed], result) for result in swapped]
    both_right = sum(a.success and b.success for a, b in pairs)
    same_station = sum(
        a.docked_station is not None and a.docked_station == b.docked_station for a, b in pairs
    )
    low, high = wilson_interval(both_right, len(pairs)) if pairs else (None, None)
    return {
        "swap_pairs": len(pairs),
        "swap_left_out": len(own) - len(pairs),
        "swapped_successes": sum(result.success for result in swapped),
        "both_right": both_right,
        "both_right_rate": round(both_right / len(pairs), 4) if pairs else None,
        "both_right_wilson_low": None if low is None else round(low, 4),
        "both_right_wilson_high": None if high is None else round(high, 4),
        "same_station_twice": same_station,
        "same_station_twice_rate": round(same_station / len(pairs), 4) if pairs else None,
    }


def disturbance_figures(
    own: Sequence[EpisodeResult], disturbed: Sequence[EpisodeResult]
) -> dict[str, Any]:
    """What spoilt observations cost, by the seeds that both ran.

    Args:
        own: Episodes as drawn.
        disturbed: Episodes of the same seeds, in the same order, with one disturbance.

    Returns:
        `success_figures` of the disturbed ones; `lost` and `gained`, the seeds that succeeded
        without and with the disturbance alone; `cost_points`, by how many percentage points the
        success rate falls, with its 95 % interval.
    """
    pairs = list(zip(own, disturbed, strict=True))
    lost = sum(a.success and not b.success for a, b in pairs)
    gained = sum(b.success and not a.success for a, b in pairs)
    low, high = difference_interval(gained, lost, len(pairs))
    return {
        **success_figures(disturbed),
        "lost": lost,
        "gained": gained,
        "cost_points": round(100.0 * (lost - gained) / len(pairs), 2),
        "cost_points_low": round(100.0 * low, 2),
        "cost_points_high": round(100.0 * high, 2),
    }


def split_figures(
    results: Sequence[EpisodeResult], group_of: Callable[[EpisodeResult], str]
) -> dict[str, dict[str, Any]]:
    """`success_figures` of the episodes of each group, by its name."""
    groups: dict[str, list[EpisodeResult]] = {}
    for result in results:
        groups.setdefault(group_of(result), []).append(result)
    return {name: success_figures(groups[name]) for name in sorted(groups)}


def start_bins(results: Sequence[EpisodeResult]) -> dict[str, list[dict[str, Any]]]:
    """Success by where the episodes start, for each offset in `START_BINS`.

    Returns:
        By the name of the offset the bins that hold an episode, in ascending order: `low`, `high`
        (in its unit, the upper end excluded) and `success_figures`.
    """
    bins: dict[str, list[dict[str, Any]]] = {}
    for name, (field, width, origin) in START_BINS.items():
        groups: dict[int, list[EpisodeResult]] = {}
        for result in results:
            number = math.floor((getattr(result, field) - origin) / width)
            groups.setdefault(number, []).append(result)
        bins[name] = [
            {
                "low": origin + width * number,
                "high": origin + width * (number + 1),
                **success_figures(groups[number]),
            }
            for number in sorted(groups)
        ]
    return bins
