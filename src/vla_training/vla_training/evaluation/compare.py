"""Compares two evaluations seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_training.errors import EvaluationError
from vla_training.evaluation.bootstrap import bootstrap_interval, mean_of
from vla_training.evaluation.intervals import wilson_interval
from vla_training.evaluation.paired_tests import (
    difference_interval,
    exact_mcnemar,
    holm,
    pairs_needed,
    smallest_difference,
)
from vla_training.evaluation.results_file import (
    SETTINGS,
    Record,
    SuiteResults,
    by_key,
    read_results,
)

METRICS: Final = {
    "lateral_error_mm": "mm",
    "longitudinal_error_mm": "mm",
    "yaw_error_deg": "deg",
    "time_s": "s",
}
"""Compared over the seeds at which both succeeded, as magnitudes, with their units."""

_START_TOLERANCE: Final = 1e-3
_STARTS: Final = ("start_distance_m", "start_bearing_deg", "start_heading_deg")
_SHOWN_SEEDS: Final = 3


@dataclass(frozen=True)
class SuccessComparison:
    """Successes of A and B at the same seeds.

    Attributes:
        pairs: Seeds.
        both: Seeds at which both succeeded.
        only_a: Seeds at which A alone did.
        only_b: Seeds at which B alone did.
        p: Of the exact McNemar test, two-sided.
        difference: B's success rate minus A's.
        interval: 95 %, of the difference.
        needed: Seeds that it takes to find a difference as seen in four of five comparisons; None
            where there is none.
        findable: Smallest difference that this many seeds find in four of five comparisons; None
            if there is none.
    """

    pairs: int
    both: int
    only_a: int
    only_b: int
    p: float
    difference: float
    interval: tuple[float, float]
    needed: int | None
    findable: float | None

    @classmethod
    def of(cls, successes: Sequence[tuple[bool, bool]]) -> SuccessComparison:
        """Compare pairs of A's and B's success, at least one."""
        pairs = len(successes)
        only_a = sum(a and not b for a, b in successes)
        only_b = sum(b and not a for a, b in successes)
        return cls(
            pairs=pairs,
            both=sum(a and b for a, b in successes),
            only_a=only_a,
            only_b=only_b,
            p=exact_mcnemar(only_a, only_b),
            difference=(only_b - only_a) / pairs,
            interval=difference_interval(only_a, only_b, pairs),
            needed=pairs_needed(only_b / pairs, only_a / pairs),
            findable=smallest_difference(pairs, min(only_a, only_b) / pairs),
        )

    @property
    def successes_a(self) -> int:
        """Of A."""
        return self.both + self.only_a

    @property
    def successes_b(self) -> int:
        """Of B."""
        return self.both + self.only_b

    def to_dict(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {
            "pairs": self.pairs,
            "a": _rate(self.successes_a, self.pairs),
            "b": _rate(self.successes_b, self.pairs),
            "both": self.both,
            "only_a": self.only_a,
            "only_b": self.only_b,
            "neither": self.pairs - self.both - self.only_a - self.only_b,
            "difference": round(self.difference, 6),
            "difference_low": round(self.interval[0], 6),
            "difference_high": round(self.interval[1], 6),
            "mcnemar_p": self.p,
            "pairs_needed": self.needed,
            "smallest_findable_difference": self.findable and round(self.findable, 4),
        }


@dataclass(frozen=True)
class MetricComparison:
    """A figure of A and B over the seeds at which both succeeded.

    Attributes:
        name: As in the records; errors are magnitudes.
        unit: Of it.
        pairs: Seeds.
        median_a: Of A.
        median_b: Of B.
        difference: Mean of B's minus A's.
        interval: 95 %, by bootstrap over the seeds; NaN for less than two.
    """

    name: str
    unit: str
    pairs: int
    median_a: float
    median_b: float
    difference: float
    interval: tuple[float, float]

    @classmethod
    def of(cls, name: str, unit: str, a: np.ndarray, b: np.ndarray) -> MetricComparison:
        """Compare values (n,) of the same seeds, n at least 1."""
        change = np.abs(b) - np.abs(a)
        return cls(
            name=name,
            unit=unit,
            pairs=len(change),
            median_a=float(np.median(np.abs(a))),
            median_b=float(np.median(np.abs(b))),
            difference=float(change.mean()),
            interval=bootstrap_interval(change[:, None], mean_of()),
        )

    @property
    def is_decided(self) -> bool:
        """Whether the interval leaves no doubt about the sign."""
        return self.interval[0] > 0.0 or self.interval[1] < 0.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON can say it."""
        known = self.pairs > 1
        return {
            "unit": self.unit,
            "pairs": self.pairs,
            "median_a": round(self.median_a, 4),
            "median_b": round(self.median_b, 4),
            "mean_difference": round(self.difference, 4),
            "mean_difference_low": round(self.interval[0], 4) if known else None,
            "mean_difference_high": round(self.interval[1], 4) if known else None,
        }


@dataclass(frozen=True)
class SuiteComparison:
    """A and B on one suite.

    Attributes:
        suite: Name.
        policies: Of A and B.
        own: With the episodes' own sentences.
        adjusted_p: p of `own`, adjusted for the number of suites in the comparison.
        other: With another station's sentences; None where neither file has them.
        metrics: Of the episodes with their own sentences.
        remarks: What limits the comparison.
    """

    suite: str
    policies: tuple[str, str]
    own: SuccessComparison
    adjusted_p: float
    other: SuccessComparison | None
    metrics: tuple[MetricComparison, ...]
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {
            "suite": self.suite,
            "policy_a": self.policies[0],
            "policy_b": self.policies[1],
            **self.own.to_dict(),
            "adjusted_p": self.adjusted_p,
            "swapped": self.other and self.other.to_dict(),
            "metrics": {metric.name: metric.to_dict() for metric in self.metrics},
            "remarks": list(self.remarks),
        }


def compare(
    path_a: str | Path, path_b: str | Path, *, common: bool = False
) -> tuple[SuiteComparison, ...]:
    """Compare two evaluations seed by seed, suite by suite.

    Args:
        path_a: File of `vla evaluate --json`.
        path_b: Another one, of the same suites and seeds.
        common: Use the suites and seeds that both have, where they have others, too.

    Raises:
        EvaluationError: If a file cannot be used, or the two do not belong together.
    """
    a, b = read_results(path_a), read_results(path_b)
    suites = [suite for suite in a if suite in b]
    if not suites or (not common and set(a) != set(b)):
        raise EvaluationError(
            f"{path_a} has the suites {', '.join(a)}, {path_b} has {', '.join(b)}; only equal "
            "suites can be compared" + ("; --common uses those that both have" if suites else "")
        )
    paired = [_pair(a[suite], b[suite], (path_a, path_b), common=common) for suite in suites]
    outcomes = [_outcomes(pairs, swapped=False) for pairs in paired]
    adjusted = holm([own.p for own in outcomes if own is not None])
    return tuple(
        _compare_suite(a[suite], b[suite], pairs, p)
        for suite, pairs, p in zip(suites, paired, adjusted, strict=True)
    )


Pair = tuple[Record, Record]


def _pair(
    a: SuiteResults, b: SuiteResults, paths: tuple[str | Path, str | Path], *, common: bool
) -> list[Pair]:
    records_a, records_b = by_key(a.records), by_key(b.records)
    missing = [
        f"{path} lacks {_describe(lacking)}"
        for path, lacking in (
            (paths[0], records_b.keys() - records_a.keys()),
            (paths[1], records_a.keys() - records_b.keys()),
        )
        if lacking
    ]
    pairs = [(records_a[key], records_b[key]) for key in sorted(records_a.keys() & records_b)]
    where = f"suite {a.suite}: "
    if not any(not one["swapped"] for one, _ in pairs):
        raise EvaluationError(
            f"{where}no seed is in both files; evaluate both from the same --seed"
        )
    if missing and not common:
        raise EvaluationError(
            f"{where}{'; '.join(missing)}; evaluate both with equal --seed, --episodes and --swap, "
            "or compare the seeds that both have with --common"
        )
    for one, other in pairs:
        if any(abs(one[name] - other[name]) > _START_TOLERANCE for name in _STARTS):
            raise EvaluationError(
                f"{where}seed {one['seed']} starts {one['start_distance_m']} m from the dock in "
                f"{paths[0]} and {other['start_distance_m']} m in {paths[1]}: the simulator or the "
                "suite was changed in between; evaluate both again"
            )
    return pairs


def _describe(lacking: set[tuple[int, bool]]) -> str:
    seeds = [f"{seed}{' (swapped)' if swapped else ''}" for seed, swapped in sorted(lacking)]
    more = f", … ({len(seeds)} in all)" if len(seeds) > _SHOWN_SEEDS else ""
    return f"seed {', '.join(seeds[:_SHOWN_SEEDS])}{more}"


def _outcomes(pairs: Sequence[Pair], *, swapped: bool) -> SuccessComparison | None:
    found = [(a["success"], b["success"]) for a, b in pairs if a["swapped"] == swapped]
    return SuccessComparison.of(found) if found else None


def _compare_suite(
    a: SuiteResults, b: SuiteResults, pairs: Sequence[Pair], adjusted_p: float
) -> SuiteComparison:
    own = _outcomes(pairs, swapped=False)
    assert own is not None  # _pair has seen to it
    docked = [
        (one, other)
        for one, other in pairs
        if not one["swapped"] and one["success"] and other["success"]
    ]
    metrics = tuple(
        MetricComparison.of(
            name,
            unit,
            np.array([one[name] for one, _ in docked]),
            np.array([other[name] for _, other in docked]),
        )
        for name, unit in METRICS.items()
        if docked
    )
    return SuiteComparison(
        suite=a.suite,
        policies=(a.policy, b.policy),
        own=own,
        adjusted_p=adjusted_p,
        other=_outcomes(pairs, swapped=True),
        metrics=metrics,
        remarks=tuple(_remarks(a, b)),
    )


def _remarks(a: SuiteResults, b: SuiteResults) -> list[str]:
    # Through the graph there is no set latency to compare with one.
    known = [
        (name, a.settings[name], b.settings[name])
        for name in SETTINGS
        if a.settings.get(name) is not None and b.settings.get(name) is not None
    ]
    remarks = [
        f"{name} differs: {one} for A, {other} for B" for name, one, other in known if one != other
    ]
    if not (a.held_out and b.held_out):
        remarks.append("seeds below the held-out ones: the policies may have been trained on them")
    return remarks


def _rate(successes: int, pairs: int) -> Mapping[str, float | int]:
    low, high = wilson_interval(successes, pairs)
    return {
        "successes": successes,
        "success_rate": round(successes / pairs, 6),
        "wilson_low": round(low, 6),
        "wilson_high": round(high, 6),
    }
