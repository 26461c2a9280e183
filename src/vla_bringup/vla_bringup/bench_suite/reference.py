"""Stored figures, and what became of them: better, same or worse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from vla_bringup.bench_suite.headlines import HEADLINES
from vla_bringup.bench_suite.results import BenchSuiteError, Figure

FORMAT: Final = 1
MOST_TOLERANCE: Final = 0.5
"""Relative change that is always called one, however widely the rounds were spread."""

_MACHINE: Final = ("cpu", "cores")

Verdict = Literal["better", "same", "worse", "new", "missing", "other machine"]


@dataclass(frozen=True)
class Stored:
    """A figure as it was stored.

    Attributes:
        value: The ratio.
        low: Lowest of the rounds.
        high: Highest of them.
        measured: When, UTC.
        machine: `cpu` and `cores` of where.
        load: Load average before the measurement.
    """

    value: float
    low: float
    high: float
    measured: str
    machine: Mapping[str, Any]
    load: float

    @classmethod
    def of(cls, figure: Figure) -> Stored:
        """A measured figure."""
        result = figure.result
        machine = {key: result.machine.get(key) for key in _MACHINE}
        return cls(
            round(figure.value, 5),
            round(figure.low, 5),
            round(figure.high, 5),
            result.measured,
            machine,
            result.load["before"],
        )


@dataclass(frozen=True)
class Change:
    """What became of a figure.

    Attributes:
        name: Of the headline.
        verdict: In a word.
        now: As measured; None if it is missing.
        stored: As stored; None if it is new.
        worse_by: Relative to what was stored, positive for worse; None where either is missing.
        tolerance: Up to which it counts as the same; None as above.
    """

    name: str
    verdict: Verdict
    now: Figure | None
    stored: Stored | None
    worse_by: float | None = None
    tolerance: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "value": None if self.now is None else self.now.value,
            "stored": None if self.stored is None else asdict(self.stored),
            "worse_by": None if self.worse_by is None else round(self.worse_by, 4),
            "tolerance": None if self.tolerance is None else round(self.tolerance, 4),
        }


def read_reference(path: Path, quick: bool) -> dict[str, Stored]:
    """Stored figures of one kind, by the name of their headline.

    Args:
        path: What `write_reference` wrote.
        quick: Whether those of quick runs.

    Raises:
        BenchSuiteError: If there is no such file, or it is damaged or of another format.
    """
    values = _read(path)
    try:
        return {name: Stored(**each) for name, each in values[_kind(quick)].items()}
    except (AttributeError, TypeError) as error:
        raise _damaged(path, error) from error


def write_reference(path: Path, figures: Mapping[str, Figure], quick: bool) -> None:
    """Store figures; those that are stored already and not among them are kept.

    Raises:
        BenchSuiteError: If the file that is there is damaged or of another format.
        OSError: If it cannot be written.
    """
    empty: dict[str, Any] = {"format": FORMAT, "full": {}, "quick": {}}
    values = _read(path) if path.exists() else empty
    stored = {name: asdict(Stored.of(figure)) for name, figure in figures.items()}
    merged = {**values[_kind(quick)], **stored}
    values[_kind(quick)] = {
        headline.name: merged[headline.name] for headline in HEADLINES if headline.name in merged
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(json.dumps(values, indent=1) + "\n", "utf-8")
    temporary.replace(path)


def compare(figures: Mapping[str, Figure], stored: Mapping[str, Stored]) -> list[Change]:
    """What became of every figure that is measured or stored, in the order of the headlines."""
    return [
        _compare(headline.name, figures.get(headline.name), stored.get(headline.name))
        for headline in HEADLINES
        if headline.name in figures or headline.name in stored
    ]


def _compare(name: str, now: Figure | None, stored: Stored | None) -> Change:
    if now is None or stored is None:
        return Change(name, "missing" if now is None else "new", now, stored)
    machine = {key: now.result.machine.get(key) for key in _MACHINE}
    if now.headline.of_machine and machine != stored.machine:
        return Change(name, "other machine", now, stored)
    spread = max(_spread(now), _spread(stored))
    tolerance = min(MOST_TOLERANCE, max(now.headline.tolerance, spread))
    worse_by = now.value - stored.value
    if now.headline.better == "higher":
        worse_by = -worse_by
    # Nothing lost is a figure of 0, and any loss is more than that by any measure.
    scale = abs(stored.value) or abs(now.value) or 1.0
    worse_by /= scale
    verdict: Verdict = "same"
    if abs(worse_by) > tolerance:
        verdict = "worse" if worse_by > 0.0 else "better"
    return Change(name, verdict, now, stored, worse_by, tolerance)


def _spread(figure: Figure | Stored) -> float:
    """How far the rounds lie from their median at most, relative to it."""
    if figure.value == 0.0:
        return 0.0
    return max(figure.high - figure.value, figure.value - figure.low) / abs(figure.value)


def _kind(quick: bool) -> str:
    return "quick" if quick else "full"


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BenchSuiteError(
            f"{path} does not exist; call from the sources' folder, name a file with --reference, "
            "or make one of the present figures with --store"
        )
    try:
        values = json.loads(path.read_text("utf-8"))
        if values["format"] != FORMAT:
            raise BenchSuiteError(
                f"{path} has format {values['format']}, expected {FORMAT}; make a new one with "
                "--store"
            )
        return {"format": FORMAT, "full": {**values["full"]}, "quick": {**values["quick"]}}
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> BenchSuiteError:
    return BenchSuiteError(
        f"{path} holds no stored figures ({type(error).__name__}: {error}); delete it, and make a "
        "new one with --store"
    )
