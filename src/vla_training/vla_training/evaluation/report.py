"""What an evaluation found, as figures, JSON and a table."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_core.action_chunks import DEFAULT_EXECUTION_MODE
from vla_simulation.seeds import is_held_out
from vla_training.errors import EvaluationError
from vla_training.evaluation.figures import (
    disturbance_figures,
    intervention_figures,
    split_figures,
    start_bins,
    success_figures,
    swap_figures,
)
from vla_training.evaluation.live import LOCK_STEP, live_figures, spread
from vla_training.evaluation.rollouts import EpisodeResult
from vla_training.evaluation.traces import Trace

OUTCOMES = ("docked", "wrong_station", "collision", "timeout")


@dataclass(frozen=True)
class EvaluationConfig:
    """What is evaluated and how.

    Attributes:
        policy: Folder of a bundle, training checkpoint, folder of LeRobot's, or name of a driver
            in `DRIVERS`.
        suite: Name of a suite.
        mode: How overlapping chunks become one action.
        latency_ticks: Control periods from a frame to the chunk computed from it.
        replan_steps: Control periods between two inferences.
        swap: Run every seed with another station's sentence, too.
        camera_px: Width and height of the image of the driver `fiducial`.
        disturb: Disturbances with which every seed runs again, see `disturbance`.
        variant: Of the bundle's graph; empty for the exact one.
        in_flight: Inferences that may be under way at once.
        through: One of `live.THROUGH`.
        peer: Environment with LeRobot; empty for the one that benchmarks install.
        always: Disturbance of all runs, for a policy that was trained without a stream; empty for
            none.
        sentence: What the policy is told in place of every sentence; empty for the sentences.
    """

    policy: str
    suite: str = "nominal"
    mode: str = str(DEFAULT_EXECUTION_MODE)
    latency_ticks: int = 1
    replan_steps: int = 2
    swap: bool = False
    camera_px: tuple[int, int] = (640, 480)
    disturb: tuple[str, ...] = ()
    variant: str = ""
    in_flight: int = 1
    through: str = LOCK_STEP
    peer: str = ""
    always: str = ""
    sentence: str = ""

    @property
    def is_live(self) -> bool:
        """Whether latency is that of the running graph, and the docking action says more."""
        return self.through != LOCK_STEP


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
            **({"through": self.config.through} if self.config.is_live else {}),
            # Through the graph an inference takes as long as it takes.
            "latency_ticks": None if self.config.is_live else self.config.latency_ticks,
            "replan_steps": self.config.replan_steps,
            **({"in_flight": self.config.in_flight} if self.config.in_flight > 1 else {}),
            **({"always": self.config.always} if self.config.always else {}),
            **({"sentence": self.config.sentence} if self.config.sentence else {}),
            **success_figures(self.results),
            "precise": sum(result.precise for result in self.results),
            "mated": sum(result.mated for result in self.results),
            "longitudinal_error_mm": spread([abs(r.longitudinal_error_mm) for r in docked]),
            "lateral_error_mm": spread([abs(r.lateral_error_mm) for r in docked]),
            "yaw_error_deg": spread([abs(r.yaw_error_deg) for r in docked]),
            "time_to_dock_s": spread([r.time_s for r in docked]),
            "contact_speed_mps": spread(
                [r.contact_speed_mps for r in docked if r.contact_speed_mps is not None]
            ),
            "collisions": outcomes.count("collision"),
            "timeouts": outcomes.count("timeout"),
            "wrong_station": sum(result.wrong_station for result in self.results),
            "interventions": intervention_figures(self.results),
            "by_naming": split_figures(self.results, lambda result: result.naming),
            "by_station_count": split_figures(
                self.results, lambda result: str(result.station_count)
            ),
            "by_start": start_bins(self.results),
            **(swap_figures(self.results, self.swapped) if self.config.swap else {}),
            **({"disturbed": self._disturbed_figures()} if self.config.disturb else {}),
            **({"live": live_figures(self.results)} if self.config.is_live else {}),
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


def summary_table(report: EvaluationReport) -> list[tuple[str, str]]:
    """The figures of a report as rows of name and text, for a terminal."""
    values = report.to_dict()

    def both(name: str, digits: int) -> str:
        found = values[name]
        if found["median"] is None:
            return "-"
        return f"{found['median']:.{digits}f} median, {found['p95']:.{digits}f} p95"

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
    if report.config.is_live:
        live = values["live"]
        codes = ", ".join(f"{count} x {code}" for code, count in live["error_codes"].items())
        rows += [
            ("the action reports docked", f"{live['reported_successes']}"),
            (
                "  against the simulator",
                f"{live['reported_not_docked']} reported but not docked, "
                f"{live['docked_not_reported']} docked but not reported",
            ),
            ("  result codes", codes),
            ("retries, graph restarts", f"{live['retries']}, {live['graph_restarts']}"),
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
