"""What went wrong: moving pictures of failures, and a list of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Final

from vla_training.evaluation.gallery import LAST_S, Clip
from vla_training.evaluation.report import EvaluationConfig, EvaluationReport
from vla_training.evaluation.rollouts import EpisodeResult
from vla_training.pages.elements import data_uri, note, section, table

_OUTCOMES: Final = {
    "collision": "collided",
    "timeout": "ran out of time",
    "wrong_station": "docked at the wrong station",
}


def failures(report: EvaluationReport, clips: Sequence[Clip]) -> str:
    """The section about failures; says so if there is none.

    Args:
        report: Of one suite.
        clips: Of some of its failures.
    """
    failed = [result for result in report.results if not result.success]
    if not failed:
        return section("Failures", "<p>None.</p>")
    counts = Counter(result.outcome for result in failed)
    summary = ", ".join(f"{count} {_OUTCOMES[outcome]}" for outcome, count in counts.most_common())
    parts = [f"<p>{len(failed)} of {len(report.results)} episodes failed: {escape(summary)}.</p>"]
    if clips:
        parts.append(f'<div class="gallery">{"".join(_clip(clip) for clip in clips)}</div>')
        missing = "" if len(clips) == len(failed) else f"{len(clips)} of the {len(failed)}; "
        parts.append(
            note(f"The last {LAST_S:g} s, {missing}left: behind the robot, and what it sees.")
        )
    parts.append(_list(report.config, failed))
    return section("Failures", *parts)


def _clip(clip: Clip) -> str:
    result = clip.result
    alt = escape(f"seed {result.seed}: {_OUTCOMES.get(result.outcome, result.outcome)}")
    facts = f"{result.time_s:.1f} s · {_where(result)}"
    return (
        f'<figure><img class="moving" loading="lazy" src="{data_uri("image/webp", clip.moving)}" '
        f'alt="{alt}"><img class="still" src="{data_uri("image/jpeg", clip.last)}" alt="{alt}">'
        f"<figcaption><b>seed {result.seed}</b> {escape(_story(result))}<br>“"
        f"{escape(result.instruction)}” · {escape(facts)}</figcaption></figure>"
    )


def _story(result: EpisodeResult) -> str:
    text = _OUTCOMES.get(result.outcome, "docked when it was driven again")
    return f"{text}: {result.collision_with}" if result.collision_with else text


def _where(result: EpisodeResult) -> str:
    return (
        f"ended {abs(result.longitudinal_error_mm):.0f} mm "
        f"{'before' if result.longitudinal_error_mm < 0 else 'behind'} and "
        f"{abs(result.lateral_error_mm):.0f} mm beside the dock, {result.yaw_error_deg:+.1f}°"
    )


def _list(config: EvaluationConfig, failed: Sequence[EpisodeResult]) -> str:
    rows = [
        (
            str(result.seed),
            escape(_story(result)),
            f"“{escape(result.instruction)}”",
            f"{result.time_s:.1f}",
            f"{result.start_distance_m:.2f}",
            f"{result.start_bearing_deg:+.0f}",
            f"{result.start_heading_deg:+.0f}",
            f"{result.longitudinal_error_mm:+.0f}",
            f"{result.lateral_error_mm:+.0f}",
            f"{result.yaw_error_deg:+.1f}",
        )
        for result in failed
    ]
    head = (
        "seed",
        "what happened",
        "sentence",
        "time [s]",
        "start [m]",
        "bearing [°]",
        "heading [°]",
        "end: along [mm]",
        "across [mm]",
        "yaw [°]",
    )
    command = (
        f"vla sim --policy {config.policy} --suite {config.suite} --seed {failed[0].seed} --view"
    )
    return (
        f"<details><summary>All {len(failed)} failures</summary>"
        f"{table(head, rows, numbers=7)}"
        f'<p class="quiet">Watch one: <code>{escape(command)}</code></p></details>'
    )
