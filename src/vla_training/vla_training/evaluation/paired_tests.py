"""Tests of paired successes: was it chance, how sure, and how many episodes would it take?

Two policies run the same seeds. What both did, or neither, says nothing about which is better; only
the seeds at which one succeeded and the other did not count.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np

from vla_training.evaluation.intervals import Z_95

POWER: Final = 0.8
"""Of a comparison that is large enough: the difference is found in four of five of them."""

ALPHA: Final = 0.05
"""A p below this is called more than chance."""

_Z_POWER: Final = 0.8416212335729143
_EXACT_UP_TO: Final = 20_000
_TAIL_STD: Final = 8.0


def exact_mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact p of McNemar's test.

    Under chance each seed at which one of them alone succeeded is a fair coin. McNemar, "Note on
    the Sampling Error of the Difference Between Correlated Proportions", Psychometrika 1947, with
    the binomial in place of its normal approximation.

    Args:
        only_a: Seeds at which A alone succeeded.
        only_b: Seeds at which B alone succeeded.
    """
    count, fewer = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(count, k) for k in range(fewer + 1))
    # Integers of any size divide exactly; floats would overflow at a thousand seeds.
    return min(1.0, 2 * tail / 2**count)


def difference_interval(only_a: int, only_b: int, pairs: int) -> tuple[float, float]:
    """95 % interval of B's success rate minus A's.

    Bonett and Price, "Adjusted Wald Confidence Interval for a Difference of Binomial Proportions
    Based on Paired Data", JEBS 2012; keeps its level for few seeds and rates near 0 and 1.

    Args:
        only_a: Seeds at which A alone succeeded.
        only_b: Seeds at which B alone succeeded.
        pairs: All seeds, at least 1.

    Returns:
        Lower and upper end, each from -1 to 1.
    """
    share_a, share_b = (only_a + 1) / (pairs + 2), (only_b + 1) / (pairs + 2)
    difference = share_b - share_a
    half = Z_95 * math.sqrt((share_a + share_b - difference**2) / (pairs + 2))
    return max(-1.0, difference - half), min(1.0, difference + half)


def mcnemar_power(pairs: int, better: float, worse: float) -> float:
    """Probability that the exact test finds a difference at `ALPHA`, whatever its sign.

    Args:
        pairs: Seeds.
        better: Probability that B alone succeeds at a seed.
        worse: Probability that A alone does; above 0 together, at most 1.
    """
    disagreeing = better + worse
    center = pairs * disagreeing
    reach = _TAIL_STD * math.sqrt(center) + _TAIL_STD
    first, last = max(0, int(center - reach)), min(pairs, math.ceil(center + reach))
    counts = np.arange(first, last + 1)
    weights = _binomial(pairs, disagreeing, counts)
    critical = _critical_values(last)
    share = better / disagreeing
    found = [
        0.0 if critical[count] < 0 else _outside(int(count), share, int(critical[count]))
        for count in counts
    ]
    return float(np.clip(weights @ np.array(found), 0.0, 1.0))


def pairs_needed(better: float, worse: float) -> int | None:
    """Seeds that it takes to find a difference with probability `POWER`; None if there is none.

    Exact up to 20,000 seeds; above that Connor's formula ("Sample Size for Testing Differences in
    Proportions for the Paired-Sample Design", Biometrics 1987).

    Args:
        better: Probability that B alone succeeds at a seed.
        worse: Probability that A alone does.
    """
    difference, disagreeing = abs(better - worse), better + worse
    if difference < 1e-12:
        return None
    spread = math.sqrt(max(0.0, disagreeing - difference**2))
    formula = (Z_95 * math.sqrt(disagreeing) + _Z_POWER * spread) ** 2 / difference**2
    if formula > _EXACT_UP_TO:
        return math.ceil(formula)
    low, high = 0, math.ceil(1.5 * formula) + 20
    while mcnemar_power(high, better, worse) < POWER:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if mcnemar_power(middle, better, worse) < POWER:
            low = middle
        else:
            high = middle
    return high


def smallest_difference(pairs: int, both_ways: float) -> float | None:
    """Difference of success rates that so many seeds find with probability `POWER`.

    Args:
        pairs: Seeds.
        both_ways: Probability that the worse of the two alone succeeds, as the seeds showed it.

    Returns:
        From 0 to 1; None if not even the largest possible difference would be found.
    """
    low, high = 0.0, 1.0 - 2.0 * both_ways
    if high <= 0.0 or mcnemar_power(pairs, both_ways + high, both_ways) < POWER:
        return None
    while high - low > 1e-4:
        middle = (low + high) / 2
        if mcnemar_power(pairs, both_ways + middle, both_ways) < POWER:
            low = middle
        else:
            high = middle
    return high


def holm(p_values: list[float]) -> list[float]:
    """p-values that keep their meaning for several tests at once.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scand. J. Statist. 1979.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


@lru_cache(maxsize=4)
def _log_factorials(count: int) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])


def _binomial(trials: int, share: float, successes: np.ndarray) -> np.ndarray:
    """Probabilities of so many successes."""
    if share <= 0.0 or share >= 1.0:
        return (successes == (trials if share >= 1.0 else 0)).astype(float)
    logs = _log_factorials(1 << max(1, trials).bit_length())
    ways = logs[trials] - logs[successes] - logs[trials - successes]
    return np.exp(ways + successes * math.log(share) + (trials - successes) * math.log1p(-share))


def _outside(count: int, share: float, critical: int) -> float:
    """Probability that a test of `count` disagreements is below or above its critical values."""
    inside = np.arange(critical + 1, count - critical)
    return 1.0 - float(_binomial(count, share, inside).sum())


@lru_cache(maxsize=4)
def _critical_values(most: int) -> np.ndarray:
    """For each number of disagreements the most of the rarer kind that is no chance; -1 for none.

    P(Bin(k, 1/2) <= c) is carried from k to k + 1: it loses half of P(Bin(k, 1/2) = c).
    """
    critical = np.full(most + 1, -1)
    c, below, at = -1, 0.0, 0.0  # P(Bin(k) <= c), P(Bin(k) = c)
    for k in range(most):
        if c >= 0:
            below, at = below - at / 2, at * (k + 1) / (2 * (k + 1 - c))
        following = 0.5 ** (k + 1) if c < 0 else at * (k + 1 - c) / (c + 1)
        if below + following <= ALPHA / 2:
            c, below, at = c + 1, below + following, following
        critical[k + 1] = c
    return critical
