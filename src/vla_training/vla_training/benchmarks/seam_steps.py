"""How large the steps of a command are where chunks meet, and within them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_training.evaluation.drivers import ENVIRONMENT_FIELDS


@dataclass(frozen=True)
class Steps:
    """Absolute changes from one control period to the next.

    Attributes:
        seam: (n, 2) at seams [m/s, rad/s].
        within: (m, 2) within chunks [m/s, rad/s].
    """

    seam: np.ndarray
    within: np.ndarray

    @classmethod
    def between(cls, values: Sequence[np.ndarray | None], sources: Sequence[int | None]) -> Steps:
        """Steps of one episode.

        Args:
            values: (2,) per control period [m/s, rad/s]; None for none.
            sources: Stamp of the newest chunk with a say; None where there was no action.
        """
        found: dict[bool, list[np.ndarray]] = {True: [], False: []}
        newest: int | None = None
        for index, source in enumerate(sources):
            seam = source is not None and newest is not None and source != newest
            before, now = values[index - 1] if index else None, values[index]
            if before is not None and now is not None:
                if seam:
                    found[True].append(np.abs(now - before))
                elif source is not None and sources[index - 1] is not None:
                    found[False].append(np.abs(now - before))
            newest = newest if source is None else source
        return cls(*(np.array(found[kind]).reshape(-1, 2) for kind in (True, False)))

    @classmethod
    def joined(cls, parts: Sequence[Steps]) -> Steps:
        """Those of several episodes."""
        return cls(
            np.concatenate([part.seam for part in parts]),
            np.concatenate([part.within for part in parts]),
        )

    def figures(self) -> dict[str, Any]:
        """The 99th percentiles by field [m/s, rad/s], and their ratio."""
        result: dict[str, Any] = {}
        for column, name in enumerate(ENVIRONMENT_FIELDS):
            seam, within = _p99(self.seam[:, column]), _p99(self.within[:, column])
            ratio = round(seam / within, 3) if seam is not None and within else None
            result[name] = {"seam_p99": seam, "within_p99": within, "seam_over_within": ratio}
        return result


def _p99(values: np.ndarray) -> float | None:
    return round(float(np.percentile(values, 99)), 5) if len(values) else None
