"""Success over labels: what more data of one's own states are worth."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vla_training.evaluation.report import write_json

if TYPE_CHECKING:
    from vla_training.rollouts.dagger import Round

CURVE_FILE: Final = "learning_curve.json"
PICTURE_FILE: Final = "learning_curve.png"


def write_curve(rounds: Sequence[Round], folder: Path) -> None:
    """Write the curve as JSON, and as a picture where matplotlib is installed.

    Args:
        rounds: In order.
        folder: Receives `learning_curve.json` and `learning_curve.png`.
    """
    write_json({"rounds": [asdict(each) for each in rounds]}, folder / CURVE_FILE)
    if importlib.util.find_spec("matplotlib") is not None:
        _draw(rounds, folder / PICTURE_FILE)


def _draw(rounds: Sequence[Round], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    labels = [each.labels / 1000.0 for each in rounds]
    rates = [100.0 * each.success_rate for each in rounds]
    below = [max(0.0, 100.0 * (each.success_rate - each.wilson_low)) for each in rounds]
    above = [max(0.0, 100.0 * (each.wilson_high - each.success_rate)) for each in rounds]
    axes.errorbar(labels, rates, yerr=[below, above], fmt="o-", capsize=3, color="#2563a8")
    for each, x, y in zip(rounds, labels, rates, strict=True):
        axes.annotate(str(each.number), (x, y), xytext=(5, 5), textcoords="offset points")
    axes.set_xlabel("training labels, thousands")
    axes.set_ylabel(f"docked where told, % of {rounds[0].runs} runs")
    axes.set_ylim(-3.0, 103.0)
    axes.grid(alpha=0.3)
    axes.set_title("Success by round of DAgger, with 95 % intervals", fontsize=10)
    figure.savefig(path, dpi=150)
