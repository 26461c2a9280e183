"""A figure that `vla bench all` goes by: where it is in a result, and what it has to reach.

A headline is a ratio to a limit or to a peer that was measured in the same run, so that a busy or
another machine changes it less than a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Keys = tuple[str, ...]
"""Where something is in the `figures` of a result."""

LEAST_TOLERANCE: Final = 0.15
"""Relative change that is never called one."""


@dataclass(frozen=True)
class Headline:
    """One figure of a benchmark.

    Attributes:
        name: Benchmark, a dot, and a name of its own.
        title: What it is.
        peer: What it is a ratio to.
        value: Of the figure: a number, or `median`, `lowest` and `highest`.
        better: Which way is better.
        limit: What it has to reach; None where nothing is asked for.
        unit: Empty for a plain ratio.
        over: What the value is divided by: a figure of the same run (the median of several rounds)
            or a number.
        over_plus: Added to it.
        spread: Lowest and highest, or two quartiles, where they are not beside the value.
        tolerance: Relative change that is not called one, where its spread is smaller.
        of_machine: Whether it is compared with figures of the same machine alone.
    """

    name: str
    title: str
    peer: str
    value: Keys
    better: Literal["higher", "lower"]
    limit: float | None = None
    unit: str = ""
    over: Keys | float = 1.0
    over_plus: float = 0.0
    spread: Keys = ()
    tolerance: float = LEAST_TOLERANCE
    of_machine: bool = False

    @property
    def benchmark(self) -> str:
        """Whose figure it is."""
        return self.name.partition(".")[0]

    def meets(self, value: float) -> bool | None:
        """Whether a value reaches the limit; None without one."""
        if self.limit is None:
            return None
        return value >= self.limit if self.better == "higher" else value <= self.limit

    def read(self, figures: Mapping[str, Any]) -> tuple[float, float, float] | None:
        """Value, lowest and highest in the figures of a result; None if it is not there.

        Where there is but one value all three are that one.
        """
        found = _at(figures, self.value)
        divisor = self.over if isinstance(self.over, float) else _at(figures, self.over)
        if found is None or divisor is None:
            return None
        if isinstance(found, Mapping):
            values = [found["median"], found["lowest"], found["highest"]]
        else:
            values = [found, *(_at(figures, self.spread) or (found, found))]
        divisor = divisor["median"] if isinstance(divisor, Mapping) else divisor
        if divisor + self.over_plus == 0.0:
            return None
        value, low, high = (float(each) / (divisor + self.over_plus) for each in values)
        return value, low, high


def _at(figures: Mapping[str, Any], keys: Keys) -> Any:
    found: Any = figures
    for key in keys:
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return None if found is figures else found
