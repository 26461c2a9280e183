"""Statistics as LeRobot has them: of all frames, pictures from 0 to 1 per channel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from vla_core.normalization import FieldStatistics
from vla_training.dataset.statistics import KeyStatistics

_QUANTILES: Final = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
NAMES: Final = ("min", "max", "mean", "std", "count", *_QUANTILES)


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """Of one feature over some frames; adds up.

    Attributes:
        values: Moments, exact, and histograms.
        frames: How many.
    """

    values: KeyStatistics
    frames: int

    @classmethod
    def of(cls, array: np.ndarray) -> FeatureStatistics:
        """Of (n, ...) values, finite and not empty; of pictures at most 2^24 pixels."""
        if array.ndim == 4:
            return cls(KeyStatistics.of(array), len(array))
        rows = array.reshape(len(array), -1)
        exact = FieldStatistics.from_array(rows.astype(np.float64))
        return cls(replace(KeyStatistics.of(rows.astype(np.float32)), moments=exact), len(array))

    def merged(self, other: FeatureStatistics) -> FeatureStatistics:
        """Of both sets of frames."""
        return FeatureStatistics(self.values.merged(other.values), self.frames + other.frames)

    def to_json(self) -> dict[str, Any]:
        """As stats.json has them, by name of the statistic: lists, for pictures (3, 1, 1)."""
        moments = self.values.moments
        found = {"min": moments.min, "max": moments.max, "mean": moments.mean, "std": moments.std}
        quantiles = self.values.quantiles(list(_QUANTILES.values()))
        found.update(zip(_QUANTILES, quantiles, strict=True))
        if self.values.is_bytes:
            found = {name: value.reshape(-1, 1, 1) / 255.0 for name, value in found.items()}
        lists: dict[str, Any] = {name: value.tolist() for name, value in found.items()}
        return {name: lists.get(name, [self.frames]) for name in NAMES}
