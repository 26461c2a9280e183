"""Bootstrap intervals of figures over episodes."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import Final

import numpy as np

RESAMPLES: Final = 5_000
_BLOCK_VALUES: Final = 4_000_000
_LEVEL: Final = 0.95

Statistic = Callable[[np.ndarray], np.ndarray]
"""From samples (m, n, k) to one figure each, (m,)."""


def bootstrap_interval(
    rows: np.ndarray, statistic: Statistic, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of a figure that rows give, by resampling whole rows.

    Bias-corrected and accelerated: Efron, "Better Bootstrap Confidence Intervals", JASA 1987. What
    belongs together (the same seed of two policies, all frames of an episode) is one row.

    Args:
        rows: (n, k) float, n at least 2.
        statistic: The figure.
        resamples: How many samples are drawn.
        seed: Of the drawing.

    Returns:
        Lower and upper end; NaN for less than two rows.
    """
    rows = np.asarray(rows, float).reshape(len(rows), -1)
    count = len(rows)
    if count < 2:
        return float("nan"), float("nan")
    figure = float(statistic(rows[None])[0])
    drawn = _draw(rows, statistic, resamples, seed)
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(figure) or len(drawn) < 2 or np.ptp(drawn) == 0.0:
        return (figure, figure) if np.isfinite(figure) else (float("nan"), float("nan"))
    normal = NormalDist()
    # Half of the ties: a figure with few values is not biased for it.
    share = ((drawn < figure).mean() + (drawn <= figure).mean()) / 2
    bias = normal.inv_cdf(float(np.clip(share, 1 / len(drawn), 1 - 1 / len(drawn))))
    without = _leave_one_out(rows, statistic)
    away = without.mean() - without
    scale = float((away**2).sum()) ** 1.5
    acceleration = float((away**3).sum()) / (6.0 * scale) if scale > 0.0 else 0.0
    ends = []
    for tail in ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2):
        z = bias + normal.inv_cdf(tail)
        ends.append(normal.cdf(bias + z / (1.0 - acceleration * z)))
    low, high = np.quantile(drawn, ends)
    return float(low), float(high)


def mean_of(column: int = 0) -> Statistic:
    """The mean of a column."""
    return lambda samples: samples[..., column].mean(-1)


def ratio_of_sums(numerator: int = 0, denominator: int = 1) -> Statistic:
    """The sum of one column over the sum of another."""
    return lambda samples: samples[..., numerator].sum(-1) / samples[..., denominator].sum(-1)


def _draw(rows: np.ndarray, statistic: Statistic, resamples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_VALUES // rows.size)
    figures = []
    for first in range(0, resamples, block):
        size = (min(block, resamples - first), len(rows))
        figures.append(statistic(rows[rng.integers(len(rows), size=size)]))
    return np.concatenate(figures)


def _leave_one_out(rows: np.ndarray, statistic: Statistic) -> np.ndarray:
    return np.array([statistic(np.delete(rows, i, axis=0)[None])[0] for i in range(len(rows))])
