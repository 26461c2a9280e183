"""The page: what was evaluated, how often it docked, where, how well, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vla_training import __version__
from vla_training.errors import EvaluationError
from vla_training.evaluation.gallery import Clip
from vla_training.evaluation.report import EvaluationReport
from vla_training.evaluation.report_page.charts import rate_table
from vla_training.evaluation.report_page.failures import failures
from vla_training.evaluation.report_page.figures import (
    chunk_fans,
    error_figures,
    path_figures,
    start_tables,
)
from vla_training.pages.elements import (
    NOTHING,
    data_uri,
    document,
    figure,
    note,
    number,
    section,
    table,
    tiles,
)

if TYPE_CHECKING:
    from vla_training.attention.pictures import Look

_SENTENCES: Final = {"none": "just the charger"}


def evaluation_page(
    reports: Mapping[str, EvaluationReport],
    clips: Mapping[str, Sequence[Clip]],
    looks: Mapping[str, Sequence[Look]] | None = None,
) -> str:
    """The page of an evaluation.

    Args:
        reports: By suite, with traces.
        clips: Of failures, by suite.
        looks: Where the policy looks, by suite.
    """
    first = next(iter(reports.values()))
    values = {suite: report.to_dict() for suite, report in reports.items()}
    several = len(reports) > 1
    parts = [_head(first, values)]
    if several:
        parts.append(_overview(values))
    for suite, report in reports.items():
        title = [f'<h2 class="suite">{escape(suite)}</h2>'] if several else []
        parts += [*title, *_suite(report, values[suite], clips.get(suite, ()))]
        parts.append(_looks((looks or {}).get(suite, ())))
    return document(f"Evaluation of {Path(first.config.policy).name}", parts)


def write_page(text: str, path: Path) -> None:
    """Write a page.

    Raises:
        EvaluationError: If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"report {path} cannot be written: {error.strerror}") from error


def _head(report: EvaluationReport, values: Mapping[str, Mapping[str, Any]]) -> str:
    config, results = report.config, report.results
    held_out = all(each["held_out"] for each in values.values())
    ticks = "tick" if config.latency_ticks == 1 else "ticks"
    facts = (
        config.policy,
        f"seeds {results[0].seed} to {results[-1].seed}"
        + (", held out from training" if held_out else ", not held out from training"),
        f"{config.mode.replace('_', ' ')}, inference every {config.replan_steps} ticks, "
        + ("live ROS graph" if config.is_live else f"latency {config.latency_ticks} {ticks}"),
        f"vla_training {__version__}",
    )
    return f'<p class="quiet">{escape(" · ".join(facts))}</p>'


def _overview(values: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (
            escape(suite),
            str(each["precise"]),
            number(each["lateral_error_mm"]["p95"]),
            number(each["yaw_error_deg"]["p95"]),
            number(each["time_to_dock_s"]["median"]),
            str(each["collisions"]),
            str(each["wrong_station"]),
            str(each["timeouts"]),
        )
        for suite, each in values.items()
    ]
    head = (
        "suite",
        "precise",
        "lateral p95 [mm]",
        "yaw p95 [deg]",
        "median time [s]",
        "collisions",
        "wrong station",
        "timeouts",
    )
    return section("Suites", rate_table("suite", values), table(head, rows, numbers=7))


def _suite(report: EvaluationReport, values: Mapping[str, Any], clips: Sequence[Clip]) -> list[str]:
    return [
        _headline(values),
        _judgement(values),
        path_figures(report),
        failures(report, clips),
        error_figures(report),
        _groups(values),
        start_tables(values),
        chunk_fans(report),
        _interventions(report),
    ]


def _looks(looks: Sequence[Look]) -> str:
    """Where the policy looks."""
    if not looks:
        return ""
    pictures = "".join(
        figure(f"seed {look.seed}", f'<img src="{data_uri("image/webp", look.picture)}" alt="">')
        for look in looks
    )
    remark = note(
        "The policy's image with the attention of each of its readers, at the start and half way; "
        "the station that the sentence names is outlined in green. The number says how much more "
        "of the attention than of the pixels is on it; `vla attention` measures that."
    )
    return section("Where it looks", f'<div class="looks">{pictures}</div>', remark)


def _headline(values: Mapping[str, Any]) -> str:
    def spread(name: str, unit: str) -> str:
        found = values[name]
        return NOTHING if found["median"] is None else f"{found['median']:.3g} {unit}"

    rate, low, high = (100 * values[n] for n in ("success_rate", "wilson_low", "wilson_high"))
    figures = [
        (f"{rate:.1f} %", f"docked, 95 % {low:.1f} to {high:.1f} %"),
        (f"{values['successes']} of {values['episodes']}", "episodes"),
        (f"{values['precise']}", "precise: 3 mm, 3 mm, 0.5°"),
        (spread("lateral_error_mm", "mm"), "median lateral error"),
        (spread("longitudinal_error_mm", "mm"), "median longitudinal error"),
        (spread("yaw_error_deg", "°"), "median yaw error"),
        (spread("time_to_dock_s", "s"), "median time to dock"),
        (spread("contact_speed_mps", "m/s"), "median contact speed"),
        (str(values["collisions"]), "collisions"),
        (str(values["wrong_station"]), "at the wrong station"),
        (str(values["timeouts"]), "out of time"),
    ]
    if values.get("swap_pairs"):
        pairs = values["swap_pairs"]
        figures += [
            (f"{values['both_right']} of {pairs}", "obeyed both sentences"),
            (f"{values['same_station_twice']} of {pairs}", "same station, whatever the sentence"),
        ]
    return tiles(figures)


def _judgement(values: Mapping[str, Any]) -> str:
    """What the headline lets one say."""
    text = (
        f"With {values['episodes']} episodes, a true success rate below "
        f"{values['wilson_low']:.1%} or above {values['wilson_high']:.1%} is hard to reconcile "
        "with this result (Wilson, 95 %). Errors and times are of the episodes that docked."
    )
    return note(text)


def _groups(values: Mapping[str, Any]) -> str:
    naming = {_SENTENCES.get(name, name): part for name, part in values["by_naming"].items()}
    counts = {
        f"{count} station{'' if count == '1' else 's'}": part
        for count, part in values["by_station_count"].items()
    }
    parts = [rate_table("named by", naming), rate_table("stations in the scene", counts)]
    disturbed = values.get("disturbed", {})
    if disturbed:
        parts.append(rate_table("observations spoilt", disturbed))
    return section("By sentence and scene", *parts)


def _interventions(report: EvaluationReport) -> str:
    """What the safety envelope did."""
    reasons = sorted({reason for each in report.results for reason in each.interventions})
    if not reasons:
        return ""
    rows = []
    for reason in reasons:
        ticks = [each.interventions.get(reason, 0) for each in report.results]
        touched = sum(count > 0 for count in ticks)
        rows.append(
            (escape(reason), str(touched), f"{sum(ticks) / len(ticks):.1f}", str(max(ticks)))
        )
    head = ("reason", "episodes", "ticks per episode", "most in one")
    remark = note("Ticks of 50 ms at which the safety envelope changed the policy's command.")
    return section("Safety envelope", table(head, rows, numbers=3), remark)
