"""A campaign in figures: per kind of fault, how long it took and how many trials were unsafe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_bringup.faults.results import Result
from vla_training.evaluation.intervals import wilson_interval


@dataclass(frozen=True)
class KindSummary:
    """The trials of one kind.

    Attributes:
        name: of the kind, or of all together.
        trials: that were carried out.
        median_s: time to zero, without the allowance; NaN without a trial that came to rest.
        p99_s: the same, 99th percentile.
        max_s: the same, largest.
        unsafe: trials.
        unsafe_high: upper end of the 95 % Wilson interval of the unsafe share.
        unsafe_seeds: to repeat them.
        failed: trials that could not be carried out.
    """

    name: str
    trials: int
    median_s: float
    p99_s: float
    max_s: float
    unsafe: int
    unsafe_high: float
    unsafe_seeds: tuple[int, ...]
    failed: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON, times in milliseconds; what is not known is None."""
        times = {"median": self.median_s, "p99": self.p99_s, "max": self.max_s}
        return {
            "kind": self.name,
            "trials": self.trials,
            **{
                f"{name}_ms": None if np.isnan(value) else round(1e3 * value, 1)
                for name, value in times.items()
            },
            "unsafe": self.unsafe,
            "unsafe_high": round(self.unsafe_high, 5),
            "unsafe_seeds": list(self.unsafe_seeds),
            "failed": self.failed,
        }


def summarize(results: Iterable[Result], kinds: Sequence[str]) -> tuple[KindSummary, ...]:
    """One summary per kind that had a trial, in the order of `kinds`, and one of all."""
    results = list(results)
    parts = [
        _summary(name, of_kind)
        for name in kinds
        if (of_kind := [result for result in results if result.kind == name])
    ]
    return (*parts, _summary("all", results))


def table(summaries: Sequence[KindSummary]) -> str:
    """For people; as Markdown."""
    lines = [
        "| fault | trials | median | p99 | largest | unsafe | 95 % bound |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in summaries:
        times = (each.median_s, each.p99_s, each.max_s)
        shown = ["-" if np.isnan(value) else f"{1e3 * value:.0f} ms" for value in times]
        bound = f"{100.0 * each.unsafe_high:.2g} %" if each.trials else "-"
        cells = [each.name, str(each.trials), *shown, str(each.unsafe), bound]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _summary(name: str, results: Sequence[Result]) -> KindSummary:
    valid = [result for result in results if result.counts]
    times_s = [t for result in valid if (t := result.time_to_zero_s) is not None]
    median_s, p99_s, max_s = (
        np.percentile(times_s, (50.0, 99.0, 100.0)) if times_s else (np.nan,) * 3
    )
    unsafe = [result for result in valid if result.unsafe]
    high = wilson_interval(len(unsafe), len(valid))[1] if valid else 1.0
    return KindSummary(
        name,
        len(valid),
        float(median_s),
        float(p99_s),
        float(max_s),
        len(unsafe),
        high,
        tuple(result.seed for result in unsafe),
        len(results) - len(valid),
    )
