"""What an evaluation found, as figures, JSON and a table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_core.action_chunks import ExecutionMode
from vla_simulation.seeds import is_held_out
from vla_training.errors import EvaluationError
from vla_training.evaluation.figures import (
    disturbance_figures,
    split_figures,
    start_bins,
    success_figures,
    swap_figures,
)
from vla_training.evaluation.rollouts import EpisodeResult
from vla_training.evaluation.traces import Trace

OUTCOMES = ("docked", "wrong_station", "collision", "timeout")


@dataclass(frozen=True)
class EvaluationConfig:
    """What is evaluated and how.

    Attributes:
        policy: Folder of a bundle, training checkpoint, or name of a driver in `DRIVERS`.
        suite: Name of a suite.
        mode: How overlapping chunks become one action.
        latency_ticks: Control periods from a frame to the chunk computed from it.
        replan_steps: Control periods between two inferences.
        swap: Run every seed with another station's sentence, too.
        camera_px: Width and height of the image of the driver `fiducial`.
        disturb: Disturbances with which every seed runs again, see `disturbance`.
        variant: Of the bundle's graph; empty for the exact one.
        in_flight: Inferences that may be under way at once.
    """

    policy: str
    suite: str = "nominal"
    mode: str = str(ExecutionMode.RECEDING_HORIZON)
    latency_ticks: int = 1
    replan_steps: int = 2
    swap: bool = False
    camera_px: tuple[int, int] = (640, 480)
    disturb: tuple[str, ...] = ()
    variant: str = ""
    in_flight: int = 1


@dataclass(frozen=True)
class EvaluationReport:
    """The result of an evaluation.

    Attributes:
        config: What was evaluated and how.
        results: One per seed, in order, each with its own sentence.
        duration_s: Wall time.
        swapped: With another station's sentence, one per seed with more than one station.
        disturbed: With spoilt observations, one per seed and disturbance.
        traces: Ways driven, one per result, or none.
    """

    config: EvaluationConfig
    results: tuple[EpisodeResult, ...]
    duration_s: float
    swapped: tuple[EpisodeResult, ...] = ()
    disturbed: tuple[EpisodeResult, ...] = ()
    traces: tuple[Trace, ...] = ()

    @property
    def successes(self) -> int:
        """Episodes that ended docked at the commanded station, with their own sentence."""
        return sum(result.success for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON can say it; errors are magnitudes over the successful episodes."""
        docked = [result for result in self.results if result.success]
        outcomes = [result.outcome for result in self.results]
        return {
            "policy": self.config.policy,
            **({"variant": self.config.variant} if self.config.variant else {}),
            "suite": self.config.suite,
            "first_seed": self.results[0].seed,
            "held_out": all(is_held_out(result.seed) for result in self.results),
            "mode": self.config.mode,
            "latency_ticks": self.config.latency_ticks,
            "replan_steps": self.config.replan_steps,
            **({"in_flight": self.config.in_flight} if self.config.in_flight > 1 else {}),
            **success_figures(self.results),
            "precise": sum(result.precise for result in self.results),
            "mated": sum(result.mated for result in self.results),
            "longitudinal_error_mm": _spread([abs(r.longitudinal_error_mm) for r in docked]),
            "lateral_error_mm": _spread([abs(r.lateral_error_mm) for r in docked]),
            "yaw_error_deg": _spread([abs(r.yaw_error_deg) for r in docked]),
            "time_to_dock_s": _spread([r.time_s for r in docked]),
            "contact_speed_mps": _spread(
                [r.contact_speed_mps for r in docked if r.contact_speed_mps is not None]
            ),
            "collisions": outcomes.count("collision"),
            "timeouts": outcomes.count("timeout"),
            "wrong_station": sum(result.wrong_station for result in self.results),
            "by_naming": split_figures(self.results, lambda result: result.naming),
            "by_station_count": split_figures(
                self.results, lambda result: str(result.station_count)
            ),
            "by_start": start_bins(self.results),
            **(swap_figures(self.results, self.swapped) if self.config.swap else {}),
            **({"disturbed": self._disturbed_figures()} if self.config.disturb else {}),
            "duration_s": round(self.duration_s, 2),
            "records": [result.to_dict() for result in self.results],
            **(
                {"swapped_records": [result.to_dict() for result in self.swapped]}
                if self.config.swap
                else {}
            ),
            **(
                {"disturbed_records": [result.to_dict() for result in self.disturbed]}
                if self.config.disturb
                else {}
            ),
        }

    def _disturbed_figures(self) -> dict[str, dict[str, Any]]:
        return {
            name: disturbance_figures(
                self.results, [result for result in self.disturbed if result.disturbance == name]
            )
            for name in self.config.disturb
        }

    def write_json(self, path: Path) -> None:
        """Write `to_dict` to a file.

        Raises:
            EvaluationError: If the file cannot be written.
        """
        write_json(self.to_dict(), path)


def write_json(report: dict[str, Any], path: Path) -> None:
    """Write a report to a file.

    Raises:
        EvaluationError: If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"report {path} cannot be written: {error}") from error


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    """Median and 95th percentile; None where there is no value."""
    if not values:
        return {"median": None, "p95": None}
    median, p95 = (float(np.percentile(values, q)) for q in (50, 95))
    return {"median": round(median, 4), "p95": round(p95, 4)}


def summary_table(report: EvaluationReport) -> list[tuple[str, str]]:
    """The figures of a report as rows of name and text, for a terminal."""
    values = report.to_dict()

    def both(name: str, digits: int) -> str:
        spread = values[name]
        if spread["median"] is None:
            return "-"
        return f"{spread['median']:.{digits}f} median, {spread['p95']:.{digits}f} p95"

    rows = [
        ("docked", _rate_text(values)),
        *(
            (f"  named by {name}" if name != "none" else "  just the charger", _rate_text(part))
            for name, part in values["by_naming"].items()
            if len(values["by_naming"]) > 1
        ),
        ("precise", f"{values['precise']}"),
        ("collisions, timeouts", f"{values['collisions']}, {values['timeouts']}"),
        ("wrong station", f"{values['wrong_station']}"),
        ("longitudinal error [mm]", both("longitudinal_error_mm", 1)),
        ("lateral error [mm]", both("lateral_error_mm", 1)),
        ("yaw error [deg]", both("yaw_error_deg", 2)),
        ("time to dock [s]", both("time_to_dock_s", 1)),
        ("contact speed [m/s]", both("contact_speed_mps", 3)),
    ]
    if report.config.swap:
        pairs = values["swap_pairs"]
        rows += [
            ("both sentences right", f"{values['both_right']} of {pairs} pairs"),
            ("same station twice", f"{values['same_station_twice']} of {pairs} pairs"),
            ("left out (one station)", f"{values['swap_left_out']}"),
        ]
    rows += [
        (name, f"{_rate_text(part)}, costs {part['cost_points']:.1f} points")
        for name, part in values.get("disturbed", {}).items()
    ]
    return rows


def _rate_text(values: dict[str, Any]) -> str:
    rate, low, high = (
        math.floor(1000 * values[name] + 0.5) / 10
        for name in ("success_rate", "wilson_low", "wilson_high")
    )
    return f"{values['successes']} of {values['episodes']} ({rate} %, 95 % {low}-{high} %)"
