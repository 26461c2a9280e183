"""The table of ablations, and that of the numbers of demonstrations, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from vla_training.benchmarks.ablation_variants import REFERENCE, SCALING
from vla_training.benchmarks.markdown_page import (
    NOTHING,
    put_between_marks,
    table,
    write_whole,
)
from vla_training.errors import BenchmarkError

PAGE: Final = "table.md"


def write_page(summary: Mapping[str, Any], folder: Path, docs: Path | None = None) -> None:
    """Write the tables.

    Args:
        summary: What `vla bench ablations` found.
        folder: Receives `table.md`.
        docs: Page that receives them between its marks, instead.

    Raises:
        BenchmarkError: If `docs` lacks the marks or something cannot be written.
    """
    text = markdown(summary)
    try:
        if docs is None:
            write_whole(folder / PAGE, text)
        else:
            put_between_marks(docs, text)
    except OSError as error:
        raise BenchmarkError(f"the table cannot be written: {error}") from error


def markdown(summary: Mapping[str, Any]) -> str:
    """The tables, the largest effect first, those without any at its end."""
    variants = summary["variants"]
    parts = [_caption(summary)]
    single = [name for name in variants if name != REFERENCE and not name.startswith(SCALING)]
    if REFERENCE in variants:
        known = sorted(single, key=lambda name: -abs(_difference(summary, name)))
        parts.append(table([_row(summary, name) for name in (REFERENCE, *known)]))
        sizes = sorted(
            (name for name in variants if name == REFERENCE or name.startswith(SCALING)),
            key=lambda name: int(variants[name]["data"]["training_episodes"]),
        )
        if len(sizes) > 1:
            parts += [
                "By the number of demonstrations, with equal training steps:",
                table([_size_row(summary, name) for name in sizes]),
            ]
    parts += [f"Failed: {name}: {reason}" for name, reason in summary["failed"].items()]
    return "\n\n".join(parts) + "\n"


def _caption(summary: Mapping[str, Any]) -> str:
    budget = summary["budget"]
    trained = f"{budget['steps']} steps each" if budget["steps"] else "the preset's steps each"
    if "minutes" in budget:
        trained += f" (what the reference takes in {budget['minutes']:g} minutes)"
    swapped = ", each also with another station's sentence" if summary["swap"] else ""
    overrides = f" Overrides: `{' '.join(summary['overrides'])}`." if summary["overrides"] else ""
    cores = "core" if summary["cores"] == 1 else "cores"
    return (
        f"{summary['finished']} of {summary['planned']} runs are done. Preset "
        f"`{summary['preset']}`, {trained}.{overrides} Evaluation: {summary['episodes']} held-out "
        f"seeds of suite `{summary['suite']}` from {summary['first_seed']}{swapped}. Machine: "
        f"{summary['cores']} CPU {cores}, {summary['gpu'] or 'no GPU'}. Rates are means of the "
        "trainings, lowest to highest in brackets. An effect is the mean difference from the "
        "reference in percentage points, with its 95 % interval over the trainings (Student) and "
        "over the episodes (bootstrap, for the policies as they are); the conclusion is by the "
        "former, for each row on its own."
    )


def _row(summary: Mapping[str, Any], name: str) -> dict[str, str]:
    figures = summary["variants"][name]
    row = {
        "what is different": figures["says"],
        "demonstrations": str(figures["data"]["training_episodes"]),
        "trainings": str(figures["seeds"]),
        "docked [%]": _spread(figures["success_rate"]),
    }
    if figures["both_right_rate"] is not None:
        row["both sentences right [%]"] = _spread(figures["both_right_rate"])
    if name == REFERENCE:
        return row
    effect = summary["effects"].get(name)
    if effect is None:
        return {**row, "conclusion": "its reference is missing"}
    row["effect [points] (trainings)"] = _effect(effect["success_rate"])
    row["(episodes)"] = _interval(effect["episodes"])
    if "both_right_rate" in effect:
        row["effect on both right [points]"] = _effect(effect["both_right_rate"])
    return {**row, "conclusion": effect["conclusion"]}


def _size_row(summary: Mapping[str, Any], name: str) -> dict[str, str]:
    figures = summary["variants"][name]
    row = {
        "demonstrations": str(figures["data"]["training_episodes"]),
        "frames": str(figures["data"]["training_frames"]),
        "trainings": str(figures["seeds"]),
        "docked [%]": _spread(figures["success_rate"]),
    }
    if figures["both_right_rate"] is not None:
        row["both sentences right [%]"] = _spread(figures["both_right_rate"])
    return row


def _difference(summary: Mapping[str, Any], name: str) -> float:
    effect = summary["effects"].get(name)
    return 0.0 if effect is None else float(effect["success_rate"]["difference"])


def _spread(figures: Mapping[str, float] | None) -> str:
    if figures is None:
        return NOTHING
    mean, low, high = (f"{100 * figures[key]:.1f}" for key in ("mean", "lowest", "highest"))
    return f"{mean} ({low} to {high})" if low != high else mean


def _effect(figures: Mapping[str, Any]) -> str:
    return f"{100 * figures['difference']:+.1f} {_interval(figures)}".strip()


def _interval(figures: Mapping[str, Any]) -> str:
    low, high = figures["low"], figures["high"]
    return "" if low is None else f"({100 * low:+.1f} to {100 * high:+.1f})"
