"""What `vla bench` wrote: results in a folder, and the headlines in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_bringup.bench_suite.headline import Headline
from vla_bringup.bench_suite.headlines import HEADLINES
from vla_bringup.bench_suite.plan import PLAN
from vla_core.errors import VlaError


class BenchSuiteError(VlaError):
    """Results or stored figures are not there, damaged or of another kind."""


@dataclass(frozen=True)
class Result:
    """What one benchmark wrote.

    Attributes:
        benchmark: Its name.
        quick: Whether it was for a look.
        measured: When it was finished, UTC; empty where the file does not say.
        took_s: How long it took [s].
        machine: `cpu` and `cores` among others.
        load: Load average `before` and `after`.
        figures: All of them.
    """

    benchmark: str
    quick: bool
    measured: str
    took_s: float
    machine: Mapping[str, Any]
    load: Mapping[str, float]
    figures: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read a file that `vla bench NAME --json FILE` wrote.

        Raises:
            BenchSuiteError: If it is none.
        """
        try:
            values = json.loads(path.read_text("utf-8"))
            return cls(
                str(values["benchmark"]),
                bool(values["quick"]),
                str(values.get("measured", "")),
                float(values.get("took_s", 0.0)),
                {**values["machine"]},
                {**values["load"]},
                {**values["figures"]},
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchSuiteError(
                f"{path} is no result of a benchmark ({type(error).__name__}: {error}); expected "
                "what vla bench NAME --json FILE writes; delete it, and measure again"
            ) from error


@dataclass(frozen=True)
class Figure:
    """A headline as it was measured.

    Attributes:
        headline: Which.
        value: The ratio.
        low: Lowest of the rounds; the value itself where there was one alone.
        high: Highest of them.
        result: Of which run.
    """

    headline: Headline
    value: float
    low: float
    high: float
    result: Result

    @property
    def name(self) -> str:
        """Of the headline."""
        return self.headline.name

    @property
    def within_limit(self) -> bool | None:
        """Whether the limit is met; None without one, and after a look, which cannot say it."""
        return None if self.result.quick else self.headline.meets(self.value)


def result_path(folder: Path, benchmark: str) -> Path:
    """Where a benchmark's result is."""
    return folder / f"{benchmark}.json"


def read_results(folder: Path, quick: bool) -> dict[str, Result]:
    """The results that are there, by benchmark, in the order of the plan.

    Args:
        folder: See `result_path`.
        quick: Whether they have to be for a look.

    Raises:
        BenchSuiteError: If one is damaged, of another benchmark, or is quick and should not be or
            the other way round.
    """
    found = {}
    for name in PLAN:
        path = result_path(folder, name)
        if not path.is_file():
            continue
        result = Result.read(path)
        if (result.benchmark, result.quick) != (name, quick):
            kinds = {True: "with --quick", False: "without --quick"}
            raise BenchSuiteError(
                f"{path} is a result of vla bench {result.benchmark} {kinds[result.quick]}, "
                f"expected {name} {kinds[quick]}; move it to where it belongs"
            )
        found[name] = result
    return found


def figures_of(results: Iterable[Result]) -> dict[str, Figure]:
    """The headlines that are in some results, by name."""
    by_benchmark = {result.benchmark: result for result in results}
    found = {}
    for headline in HEADLINES:
        result = by_benchmark.get(headline.benchmark)
        values = headline.read(result.figures) if result else None
        if result and values:
            found[headline.name] = Figure(headline, *values, result)
    return found
