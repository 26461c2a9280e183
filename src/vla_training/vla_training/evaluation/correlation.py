"""Do offline metrics tell how often a policy docks? Rank correlation over several policies."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_core.strict_yaml import describe
from vla_training.errors import EvaluationError
from vla_training.evaluation.intervals import Z_95
from vla_training.evaluation.results_file import is_finite_number, read_results

LEAST_POLICIES: Final = 4
_EXACT_UP_TO: Final = 7
_DRAWS: Final = 20_000


def correlate(
    offline: Sequence[str | Path], closed_loop: Sequence[str | Path], suite: str = "nominal"
) -> dict[str, Any]:
    """Correlate the offline metrics of several policies with their success in closed loop.

    Args:
        offline: Files of `vla evaluate --offline`.
        closed_loop: Files of `vla evaluate --json` of the same policies in the same order.
        suite: Whose success counts.

    Returns:
        suite, policies, success_rate of each; by metric its values, `rho` (Spearman's), its 95 %
        interval and `p`.

    Raises:
        EvaluationError: If files cannot be used or do not belong together.
    """
    if len(offline) != len(closed_loop) or len(offline) < LEAST_POLICIES:
        raise EvaluationError(
            f"{len(offline)} offline and {len(closed_loop)} closed-loop evaluations, expected "
            f"equally many, in the same order, and at least {LEAST_POLICIES}"
        )
    metrics: list[Mapping[str, float]] = []
    rates: list[float] = []
    policies: list[str] = []
    for offline_path, closed_path in zip(offline, closed_loop, strict=True):
        policy, values = _read_offline(offline_path)
        suites = read_results(closed_path)
        if suite not in suites:
            raise EvaluationError(
                f"{closed_path} has the suites {', '.join(suites)}, expected {suite}"
            )
        report = suites[suite].report
        policies.append(policy)
        metrics.append(values)
        rates.append(_success_rate(report, str(closed_path)))
    shared = [name for name in metrics[0] if all(name in each for each in metrics)]
    return {
        "suite": suite,
        "policies": policies,
        "success_rate": [round(rate, 4) for rate in rates],
        "metrics": {
            name: _entry(np.array([each[name] for each in metrics]), np.array(rates))
            for name in shared
        },
    }


def _success_rate(report: Mapping[str, Any], source: str) -> float:
    successes, episodes = report.get("successes"), report.get("episodes")
    if not (isinstance(successes, int) and isinstance(episodes, int)):
        raise EvaluationError(f"{source} does not say how many episodes succeeded")
    if not 0 <= successes <= episodes or episodes == 0:
        raise EvaluationError(
            f"{source} has {describe(successes)} successes in {describe(episodes)} episodes"
        )
    return successes / episodes


def _read_offline(path: str | Path) -> tuple[str, Mapping[str, float]]:
    try:
        report = json.loads(Path(path).read_text("utf-8"))
        policy, headline = str(report["policy"]), dict(report["headline"])
        if not all(is_finite_number(value) for value in headline.values()):
            raise ValueError("a value of its headline is no number")
        return policy, headline
    except OSError as error:
        raise EvaluationError(f"offline metrics {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EvaluationError(
            f"{path} is no report of offline metrics, expected what `vla evaluate --offline` wrote "
            f"with --json ({error})"
        ) from error


def _entry(values: np.ndarray, rates: np.ndarray) -> dict[str, Any]:
    rho = spearman(values, rates)
    low, high = spearman_interval(rho, len(rates))
    known = math.isfinite(rho)
    return {
        "values": [round(float(value), 6) for value in values],
        "rho": round(rho, 4) if known else None,
        "low": round(low, 4) if known else None,
        "high": round(high, 4) if known else None,
        "p": permutation_p(values, rates) if known else None,
    }


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two (n,); NaN if one of them is constant."""
    a, b = _ranks(first), _ranks(second)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0.0 else math.nan


def spearman_interval(rho: float, count: int) -> tuple[float, float]:
    """95 % interval of Spearman's correlation.

    Fisher's transformation with the variance of Bonett and Wright, "Sample Size Requirements for
    Estimating Pearson, Kendall and Spearman Correlations", Psychometrika 2000.

    Args:
        rho: The correlation.
        count: Of pairs, at least 4.
    """
    if not -1.0 < rho < 1.0:
        return rho, rho
    half = Z_95 * math.sqrt((1.0 + rho**2 / 2.0) / (count - 3))
    center = math.atanh(rho)
    return math.tanh(center - half), math.tanh(center + half)


def permutation_p(first: np.ndarray, second: np.ndarray, seed: int = 0) -> float:
    """Two-sided p of no association: exact for few pairs, by random permutations for more."""
    observed = abs(spearman(first, second)) - 1e-12
    a, b = _ranks(first), _ranks(second)
    if len(a) <= _EXACT_UP_TO:
        orders = np.array(list(permutations(range(len(a)))))
        found = _correlations(a, b[orders])
        return float((np.abs(found) >= observed).mean())
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.tile(b, (_DRAWS, 1)), axis=1)
    return float((1 + (np.abs(_correlations(a, drawn)) >= observed).sum()) / (1 + _DRAWS))


def _correlations(a: np.ndarray, several: np.ndarray) -> np.ndarray:
    """Of (n,) with each row of (m, n)."""
    a = (a - a.mean()) / a.std()
    rows = (several - several.mean(1, keepdims=True)) / several.std(1, keepdims=True)
    return rows @ a / len(a)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[inverse]


def correlation_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A report for a terminal, the strongest association first."""
    entries = sorted(report["metrics"].items(), key=lambda item: -abs(item[1]["rho"] or 0.0))
    return [
        (
            name,
            "constant"
            if entry["rho"] is None
            else f"rho {entry['rho']:+.2f} (95 % {entry['low']:+.2f} to {entry['high']:+.2f}), "
            f"p = {entry['p']:.2g}",
        )
        for name, entry in entries
    ]
