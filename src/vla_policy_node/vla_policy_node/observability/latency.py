"""How inference latencies are distributed, in as many numbers as fit on /diagnostics. No ROS."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Final

BOUNDS_MS: Final = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Upper bounds of the bins; one more holds what is beyond."""


class LatencyHistogram:
    """Counts latencies in bins. Adding one costs a search among ten numbers."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_MS) + 1)
        self._sum_ms = 0.0
        self._max_ms = 0.0

    def add(self, latency_s: float) -> None:
        """Count a latency; one that is not finite is none."""
        if not math.isfinite(latency_s):
            return
        latency_ms = 1e3 * latency_s
        self._counts[bisect_left(BOUNDS_MS, latency_ms)] += 1
        self._sum_ms += latency_ms
        self._max_ms = max(self._max_ms, latency_ms)

    @property
    def count(self) -> int:
        """Latencies counted."""
        return sum(self._counts)

    def quantile_ms(self, share: float) -> float:
        """Upper bound of the bin that holds this quantile, the largest latency in the last one.

        NaN without a single latency.
        """
        left = share * self.count
        for bound, count in zip((*BOUNDS_MS, math.inf), self._counts, strict=True):
            left -= count
            if count and left <= 0.0:
                return min(bound, self._max_ms)
        return math.nan

    def values(self) -> dict[str, str]:
        """What /diagnostics shows: count, mean, maximum, quantiles, and each bin."""
        count = self.count
        names = [f"up to {bound} ms" for bound in BOUNDS_MS] + [f"above {BOUNDS_MS[-1]} ms"]
        summary = {
            "chunks": str(count),
            "mean [ms]": f"{self._sum_ms / count:.1f}" if count else "none",
            "maximum [ms]": f"{self._max_ms:.1f}" if count else "none",
            "p50 at most [ms]": f"{self.quantile_ms(0.5):.1f}" if count else "none",
            "p99 at most [ms]": f"{self.quantile_ms(0.99):.1f}" if count else "none",
        }
        return summary | {
            name: str(number) for name, number in zip(names, self._counts, strict=True)
        }
