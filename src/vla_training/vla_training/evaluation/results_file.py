"""Reads what `vla evaluate --json` has written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vla_core.strict_yaml import describe
from vla_training.errors import EvaluationError
from vla_training.evaluation.live import LOCK_STEP

SETTINGS: Final = ("through", "mode", "latency_ticks", "replan_steps")
"""How a policy is run; a comparison of policies keeps them equal."""

_NEEDED: Final = {
    "seed": int,
    "swapped": bool,
    "success": bool,
    "time_s": float,
    "longitudinal_error_mm": float,
    "lateral_error_mm": float,
    "yaw_error_deg": float,
    "start_distance_m": float,
    "start_bearing_deg": float,
    "start_heading_deg": float,
}

_LARGEST: Final = 1e12

Record = Mapping[str, Any]
"""One episode, see docs/formats.md."""


@dataclass(frozen=True)
class SuiteResults:
    """One suite of a file.

    Attributes:
        policy: Folder of the bundle or name of the driver.
        suite: Name.
        held_out: Whether no seed can have been trained on.
        settings: By the names in `SETTINGS`.
        records: Episodes with their own sentence, then those with another station's.
        report: All of it, as it was written.
    """

    policy: str
    suite: str
    held_out: bool
    settings: Mapping[str, Any]
    records: tuple[Record, ...]
    report: Mapping[str, Any]

    @property
    def successes(self) -> int:
        """Of the episodes with their own sentence."""
        return sum(record["success"] for record in self.records if not record["swapped"])


def read_results(path: str | Path) -> dict[str, SuiteResults]:
    """Read an evaluation of one suite or of several.

    Returns:
        By the name of the suite, in the order of the file.

    Raises:
        EvaluationError: If the file cannot be read or is no evaluation with its records.
    """
    try:
        document = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise EvaluationError(f"evaluation {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"evaluation {path} is no JSON: {error}") from error
    if not isinstance(document, dict) or not ("records" in document or "suites" in document):
        raise EvaluationError(
            f"{path} is no evaluation with its records, expected what `vla evaluate --json` wrote"
        )
    reports = document.get("suites") or {str(document.get("suite", "")): document}
    if not isinstance(reports, dict):
        raise EvaluationError(
            f"evaluation {path}: suites is {describe(reports)}, expected a report by name; "
            "evaluate again with `vla evaluate`"
        )
    return {suite: _suite_results(report, f"{path}, {suite}") for suite, report in reports.items()}


def _suite_results(report: Any, source: str) -> SuiteResults:
    if not isinstance(report, dict):
        raise EvaluationError(
            f"evaluation {source}: is {describe(report)}, expected a report with its records"
        )
    try:
        records = (*report["records"], *report.get("swapped_records", ()))
        for position, record in enumerate(records):
            _check_record(record, f"evaluation {source}: record {position}")
        return SuiteResults(
            policy=str(report["policy"]),
            suite=str(report["suite"]),
            held_out=bool(report["held_out"]),
            settings={"through": LOCK_STEP} | {n: report[n] for n in SETTINGS if n in report},
            records=records,
            report=report,
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise EvaluationError(
            f"evaluation {source}: {error} is missing or wrong; evaluate again with `vla evaluate`"
        ) from error


def _check_record(record: Any, source: str) -> None:
    if not isinstance(record, dict):
        raise EvaluationError(f"{source} is {describe(record)}, expected a mapping")
    for name, kind in _NEEDED.items():
        value = record.get(name)
        if kind is float:
            is_right = is_finite_number(value)
        else:
            is_right = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        if not is_right:
            raise EvaluationError(
                f"{source}: {name} is {describe(value)}, expected {kind.__name__}; evaluate again "
                "with this version of `vla evaluate`"
            )


def is_finite_number(value: Any) -> bool:
    """Whether a value of a JSON file is a number that can be computed with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _LARGEST  # also false for NaN


def by_key(records: Sequence[Record]) -> dict[tuple[int, bool], Record]:
    """Records by seed and whether another station's sentence was said."""
    return {(record["seed"], record["swapped"]): record for record in records}
