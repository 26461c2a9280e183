"""Times of short calls, in turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Timing:
    """How long one of several calls took.

    Attributes:
        ms: (rounds, calls) [ms].
    """

    ms: np.ndarray

    @property
    def round_medians_ms(self) -> np.ndarray:
        """(rounds,) the median of each round."""
        return np.median(self.ms, axis=1)

    def to_dict(self) -> dict[str, float]:
        """Median and 99th percentile of all calls, lowest and highest median of a round [ms]."""
        medians = self.round_medians_ms
        figures = {
            "p50": np.median(self.ms),
            "p99": np.percentile(self.ms, 99),
            "lowest_round": medians.min(),
            "highest_round": medians.max(),
        }
        return {name: round(float(value), 4) for name, value in figures.items()}

    def ratio_to(self, other: Timing) -> dict[str, float]:
        """Median, lowest and highest ratio of the rounds' medians to those of another call."""
        ratios = self.round_medians_ms / other.round_medians_ms
        figures = {"median": np.median(ratios), "lowest": ratios.min(), "highest": ratios.max()}
        return {name: round(float(value), 4) for name, value in figures.items()}


def time_in_turns(
    calls: Mapping[str, Callable[[int], Any]], rounds: int, per_round: int, warm_up: int = 3
) -> dict[str, Timing]:
    """Time calls in turns: one round of the first, one of the second, and so on, many times.

    Args:
        calls: By name; each is called with the number of the call in its round.
        rounds: At least 1.
        per_round: Calls of a round that count.
        warm_up: Calls before them that do not.
    """
    spent = {name: np.empty((rounds, per_round)) for name in calls}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for turn in range(rounds):
            for name, call in calls.items():
                for index in range(warm_up):
                    call(index)
                for index in range(per_round):
                    begun = time.perf_counter()
                    call(index)
                    spent[name][turn, index] = time.perf_counter() - begun
    finally:
        if collecting:
            gc.enable()
    return {name: Timing(1e3 * seconds) for name, seconds in spent.items()}
