"""What an evaluation found, as figures, JSON and a table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_core.action_chunks import ExecutionMode
from vla_simulation.seeds import is_held_out
from vla_training.errors import EvaluationError
from vla_training.evaluation.intervals import wilson_interval
from vla_training.evaluation.rollouts import EpisodeResult

OUTCOMES = ("docked", "wrong_station", "collision", "timeout")


@dataclass(frozen=True)
class EvaluationConfig:
    """What is evaluated and how.

    Attributes:
        policy: Folder of a bundle, or the name of a driver, see `evaluate.DRIVERS`.
        suite: Name of a suite.
        mode: How overlapping chunks become one action.
        latency_ticks: Control periods from a frame to the chunk computed from it.
        replan_steps: Control periods between two inferences.
        swap: Run every seed with another station's sentence, too.
        camera_px: Width and height of the image of the driver `fiducial`.
    """

    policy: str
    suite: str = "nominal"
    mode: str = str(ExecutionMode.RECEDING_HORIZON)
    latency_ticks: int = 1
    replan_steps: int = 2
    swap: bool = False
    camera_px: tuple[int, int] = (640, 480)


@dataclass(frozen=True)
class EvaluationReport:
    """The result of an evaluation.

    Attributes:
        config: What was evaluated and how.
        results: One per seed, in order, each with its own sentence.
        duration_s: Wall time.
        swapped: With another station's sentence, one per seed with more than one station.
    """

    config: EvaluationConfig
    results: tuple[EpisodeResult, ...]
    duration_s: float
    swapped: tuple[EpisodeResult, ...] = ()

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
            "suite": self.config.suite,
            "first_seed": self.results[0].seed,
            "held_out": all(is_held_out(result.seed) for result in self.results),
            "mode": self.config.mode,
            "latency_ticks": self.config.latency_ticks,
            "replan_steps": self.config.replan_steps,
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
            "by_naming": _split(self.results, lambda result: result.naming),
            "by_station_count": _split(self.results, lambda result: str(result.station_count)),
            **(swap_figures(self.results, self.swapped) if self.config.swap else {}),
            "duration_s": round(self.duration_s, 2),
            "records": [result.to_dict() for result in self.results],
            **(
                {"swapped_records": [result.to_dict() for result in self.swapped]}
                if self.config.swap
                else {}
            ),
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


def success_figures(results: Sequence[EpisodeResult]) -> dict[str, Any]:
    """How many of some episodes succeeded, with the Wilson interval of the rate."""
    successes = sum(result.success for result in results)
    low, high = wilson_interval(successes, len(results))
    return {
        "episodes": len(results),
        "successes": successes,
        "success_rate": round(successes / len(results), 4),
        "wilson_low": round(low, 4),
        "wilson_high": round(high, 4),
    }


def swap_figures(
    own: Sequence[EpisodeResult], swapped: Sequence[EpisodeResult]
) -> dict[str, int | float | None]:
    """Whether the sentence decides where the robot docks.

    Each seed with more than one station gives a pair: the same start with its own sentence and
    with another station's. Seeds with a lone station give none.

    Args:
        own: Episodes with their own sentence.
        swapped: Episodes of the same seeds with another station's.
    """
    own_by_seed = {result.seed: result for result in own}
    pairs = [(own_by_seed[result.seed], result) for result in swapped]
    both_right = sum(a.success and b.success for a, b in pairs)
    same_station = sum(
        a.docked_station is not None and a.docked_station == b.docked_station for a, b in pairs
    )
    low, high = wilson_interval(both_right, len(pairs)) if pairs else (None, None)
    return {
        "swap_pairs": len(pairs),
        "swap_left_out": len(own) - len(pairs),
        "swapped_successes": sum(result.success for result in swapped),
        "both_right": both_right,
        "both_right_rate": round(both_right / len(pairs), 4) if pairs else None,
        "both_right_wilson_low": None if low is None else round(low, 4),
        "both_right_wilson_high": None if high is None else round(high, 4),
        "same_station_twice": same_station,
        "same_station_twice_rate": round(same_station / len(pairs), 4) if pairs else None,
    }


def _split(
    results: Sequence[EpisodeResult], group_of: Callable[[EpisodeResult], str]
) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[EpisodeResult]] = {}
    for result in results:
        groups.setdefault(group_of(result), []).append(result)
    return {name: success_figures(groups[name]) for name in sorted(groups)}


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
    return rows


def _rate_text(values: dict[str, Any]) -> str:
    rate, low, high = (
        math.floor(1000 * values[name] + 0.5) / 10
        for name in ("success_rate", "wilson_low", "wilson_high")
    )
    return f"{values['successes']} of {values['episodes']} ({rate} %, 95 % {low}-{high} %)"
