"""Sections of the page that are mostly pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vla_core.docking import DOCKED, PRECISE
from vla_training.evaluation.report import EvaluationReport
from vla_training.evaluation.report_page.charts import distribution, rate_table
from vla_training.evaluation.report_page.plans import CLOSE, Window, fan, final_errors, paths
from vla_training.evaluation.rollouts import EpisodeResult
from vla_training.evaluation.traces import PLAN_TICKS, Trace
from vla_training.pages.elements import figure, note, section

_FANS: Final = 4
_TICK_S: Final = 0.05
_OUTCOMES: Final = {
    "docked": "docked",
    "collision": "collision",
    "timeout": "out of time",
    "wrong_station": "wrong station",
}
_OFFSETS: Final = {
    "distance_m": ("start distance", "m"),
    "bearing_deg": ("start bearing", "°"),
    "heading_deg": ("start heading", "°"),
}


def path_figures(report: EvaluationReport) -> str:
    """All ways driven, from above."""
    if not report.traces:
        return ""
    seen = {result.outcome for result in report.results}
    legend = "".join(
        f'<span class="key {outcome}">{text}</span>'
        for outcome, text in _OUTCOMES.items()
        if outcome in seen
    )
    wide = figure(
        "Every episode, from its start to its end [m]",
        paths(report.results, report.traces, Window.around(report.traces)),
    )
    close = figure("The last centimetres [m]", paths(report.results, report.traces, CLOSE))
    remark = note(
        "Centre of the base, laid over each other at the station that the sentence names, which is "
        "at the top. What else stands in the room differs from episode to episode. A cross ends an "
        "episode that failed."
    )
    return section(
        "Paths from above",
        f'<p class="legend">{legend}</p><div class="charts">{wide}{close}</div>',
        remark,
    )


def error_figures(report: EvaluationReport) -> str:
    """Where the robot stands in the end, and how errors and times are distributed."""
    docked = [result for result in report.results if result.success]
    if not docked:
        return ""
    caption = "Where the base ended [mm]; frames: docked, and precise"
    ended = figure(caption, final_errors(report.results))
    charts = [f'<div class="tall">{ended}</div>']
    contact = [r.contact_speed_mps for r in docked if r.contact_speed_mps is not None]
    several: Sequence[tuple[str, list[float], dict[str, float], str]] = (
        (
            "Lateral error",
            [abs(r.lateral_error_mm) for r in docked],
            {"precise": 1e3 * PRECISE.lateral_m, "docked": 1e3 * DOCKED.lateral_m},
            "mm",
        ),
        (
            "Longitudinal error",
            [abs(r.longitudinal_error_mm) for r in docked],
            {"precise": 1e3 * PRECISE.longitudinal_m, "docked": 1e3 * DOCKED.longitudinal_m},
            "mm",
        ),
        ("Yaw error", [abs(r.yaw_error_deg) for r in docked], {"precise": 0.5, "docked": 2.0}, "°"),
        ("Time to dock", [r.time_s for r in docked], {}, "s"),
        ("Speed at the first contact", contact, {}, "m/s"),
    )
    charts += [
        figure(f"{name} [{unit}]", distribution(values, limits, unit))
        for name, values, limits, unit in several
        if values
    ]
    return section(
        f"Errors of the {len(docked)} that docked", f'<div class="charts">{"".join(charts)}</div>'
    )


def start_tables(values: Mapping[str, Any]) -> str:
    """Success by where the episodes started."""
    tables = []
    for name, (text, unit) in _OFFSETS.items():
        groups = {
            f"{part['low']:g} to {part['high']:g} {unit}".replace("-", "−"): part
            for part in values["by_start"][name]
        }
        tables.append(rate_table(text, groups))
    remark = note(
        "Bearing: of the start, off the approach axis, left positive. Heading: of the robot, off "
        "that axis."
    )
    return section("By start", *tables, remark)


def chunk_fans(report: EvaluationReport) -> str:
    """What the policy intended along the way of a few episodes."""
    chosen = [
        (result, trace)
        for result, trace in zip(report.results, report.traces, strict=False)
        if trace.plans
    ]
    if not chosen:
        return ""
    charts = "".join(
        figure(f"seed {result.seed}, {result.outcome.replace('_', ' ')}", fan(result, trace))
        for result, trace in _examples(chosen)
    )
    remark = note(
        f"Every {PLAN_TICKS * _TICK_S:g} s the commands that the policy had committed to, as the "
        "way that they would take. Ways that leave the path driven were corrected later."
    )
    return section("Chunk fans", f'<div class="charts">{charts}</div>', remark)


def _examples(
    pairs: Sequence[tuple[EpisodeResult, Trace]],
) -> list[tuple[EpisodeResult, Trace]]:
    """Failures for a half; successes that took typically long, longest and shortest."""
    failed = [pair for pair in pairs if not pair[0].success]
    docked = sorted((pair for pair in pairs if pair[0].success), key=lambda pair: pair[0].time_s)
    typical = [docked[i] for i in (len(docked) // 2, -1, 0)][: len(docked)] if docked else []
    shown = failed[: max(_FANS // 2, _FANS - len(typical))]
    return [*shown, *typical][:_FANS]
