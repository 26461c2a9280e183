"""What a comparison lets one say, in words."""

from __future__ import annotations

import math
from typing import Final

from vla_training.evaluation.compare import MetricComparison, SuccessComparison, SuiteComparison
from vla_training.evaluation.paired_tests import ALPHA, POWER

_NAMES: Final = {
    "lateral_error_mm": "lateral error",
    "longitudinal_error_mm": "longitudinal error",
    "yaw_error_deg": "yaw error",
    "time_s": "time to dock",
}
SCOPE: Final = (
    "All of this is about these two as they are, on these suites; ways of training are compared "
    "by several training runs of each."
)
"""What no comparison of two policies says, however many episodes it has."""


def conclusions(comparison: SuiteComparison, margin: float) -> list[str]:
    """Sentences about a comparison: what can be concluded, and what cannot.

    Args:
        comparison: Of one suite.
        margin: Difference of success rates below which two policies count as equally good.
    """
    own = comparison.own
    sentences = [_verdict(own, comparison.adjusted_p, margin), _need(own)]
    sentences += [_metric_verdict(metric) for metric in comparison.metrics if metric.is_decided]
    undecided = [_NAMES[m.name] for m in comparison.metrics if not m.is_decided]
    if undecided:
        sentences.append(f"No difference is shown in {_listed(undecided)}.")
    if comparison.other is not None:
        sentences.append(
            f"With the other station's sentence: {_counts(comparison.other)}, "
            f"p = {p_text(comparison.other.p)}."
        )
    return [*sentences, *(f"Careful: {remark}." for remark in comparison.remarks)]


def _verdict(own: SuccessComparison, adjusted_p: float, margin: float) -> str:
    low, high = own.interval
    facts = (
        f"{_counts(own)}: a difference of {_points(own.difference)} points "
        f"(95 % {_points(low)} to {_points(high)}), exact McNemar p = {p_text(own.p)}"
    )
    if adjusted_p != own.p:
        facts += f" ({p_text(adjusted_p)} adjusted for the number of suites)"
    if adjusted_p < ALPHA:
        better, worse = ("B", "A") if own.difference > 0 else ("A", "B")
        verdict = f"{better} docks more often than {worse}; chance would hardly do that"
    elif -margin < low and high < margin:
        verdict = (
            f"they are equally good within {100 * margin:g} points; which is better, if any, is "
            "not shown"
        )
    else:
        verdict = (
            "neither can be called better, nor can they be called equal: everything from "
            f"{_side(low)} to {_side(high)} fits"
        )
    return f"{facts}. Conclusion: {verdict}."


def _need(own: SuccessComparison) -> str:
    often = f"in {POWER:.0%} of such comparisons"
    if own.needed is None:
        claim = "No difference was seen that more episodes could show"
    elif own.needed <= own.pairs:
        claim = f"A difference as large as this is found {often} with {own.needed} episodes"
    else:
        claim = (
            f"To claim a difference of this size, {own.needed} episodes would be needed "
            f"(to find it {often}; here are {own.pairs})"
        )
    if own.findable is None:
        return f"{claim}; {own.pairs} episodes find no difference reliably."
    return f"{claim}; {own.pairs} episodes find one of {100 * own.findable:.1f} points or more."


def _metric_verdict(metric: MetricComparison) -> str:
    smaller = "smaller" if metric.difference < 0 else "larger"
    low, high = sorted(abs(end) for end in metric.interval)
    return (
        f"B's {_NAMES[metric.name]} is {smaller} by {abs(metric.difference):.3g} {metric.unit} on "
        f"average (95 % {low:.3g} to {high:.3g}; medians {metric.median_a:.3g} for A, "
        f"{metric.median_b:.3g} for B), over the {metric.pairs} seeds at which both docked."
    )


def metric_row(metric: MetricComparison) -> tuple[str, str]:
    """A metric for a terminal: its name, and medians, difference and interval."""
    low, high = metric.interval
    interval = "" if math.isnan(low) else f" (95 % {low:+.3g} to {high:+.3g})"
    return (
        f"{_NAMES[metric.name]} [{metric.unit}]",
        f"{metric.median_a:.3g} and {metric.median_b:.3g} median, "
        f"{metric.difference:+.3g}{interval} mean of B - A",
    )


def p_text(p: float) -> str:
    """A p-value for people."""
    return f"{p:.2g}" if p >= 1e-4 else "below 0.0001"


def _counts(own: SuccessComparison) -> str:
    return (
        f"A docks in {own.successes_a} and B in {own.successes_b} of the same {own.pairs} episodes "
        f"(A alone in {own.only_a}, B alone in {own.only_b})"
    )


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _side(share: float) -> str:
    better = "B" if share >= 0 else "A"
    return f"{better} better by {abs(100 * share):.1f} points"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
