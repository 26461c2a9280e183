"""Confidence intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Final

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


_STUDENT: Final = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Two-sided 95 % quantiles of Student's distribution with 1 to 9 degrees of freedom."""


def student_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean of which these are draws, by Student's distribution.

    Args:
        values: Such as one figure per training; None is returned for fewer than two.
    """
    freedom = len(values) - 1
    if freedom < 1:
        return None
    if freedom <= len(_STUDENT):
        quantile = _STUDENT[freedom - 1]
    else:  # Cornish and Fisher's expansion, right to 0.001 from here on
        z = Z_95
        quantile = z + (z**3 + z) / (4 * freedom)
        quantile += (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    mean = statistics.fmean(values)
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Interval of a success rate that holds for few trials and rates near 0 and 1.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927.

    Args:
        successes: 0 to `trials`.
        trials: At least 1.
        z: Quantile of the normal distribution.

    Returns:
        Lower and upper end, each from 0 to 1.

    Raises:
        ValueError: If the counts are impossible.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes of {trials} trials, expected 0 <= s <= n, n >= 1")
    rate = successes / trials
    scale = 1.0 + z * z / trials
    center = (rate + z * z / (2.0 * trials)) / scale
    half = z / scale * math.sqrt(rate * (1.0 - rate) / trials + (z / (2.0 * trials)) ** 2)
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes == 0 else max(0.0, center - half)
    high = 1.0 if successes == trials else min(1.0, center + half)
    return low, high
