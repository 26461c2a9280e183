"""Charts of the evaluation report: SVG that takes its colours from the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from vla_training.pages.elements import number, table

_WIDTH: Final = 360
_HEIGHT: Final = 110
_TOP: Final = 16
_AXIS: Final = 18
_BARS: Final = 30


def distribution(values: Sequence[float], limits: Mapping[str, float], unit: str) -> str:
    """How many episodes have which value, with limits, median and 95th percentile.

    Args:
        values: Not negative, at least one.
        limits: Values that are to be kept, by their names.
        unit: Of all of them.
    """
    highest = max(max(values), *limits.values()) if limits else max(values)
    end = 1.02 * highest or 1.0
    counts, edges = np.histogram(values, _BARS, (0.0, end))
    most = int(counts.max())
    scale = _WIDTH / end
    bars = "".join(
        f'<rect x="{scale * low:.1f}" y="{_TOP + _HEIGHT * (1 - count / most):.1f}" '
        f'width="{scale * (high - low) - 1:.1f}" height="{_HEIGHT * count / most:.1f}">'
        f"<title>{low:.3g} to {high:.3g} {escape(unit)}: {count}</title></rect>"
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        if count
    )
    median, p95 = (float(np.percentile(values, q)) for q in (50, 95))
    marks = "".join(_mark(scale * value, name, "limit") for name, value in limits.items())
    marks += _mark(scale * median, "", "median") + _mark(scale * p95, "", "p95")
    bottom = _TOP + _HEIGHT
    return (
        f'<svg class="histogram" viewBox="0 0 {_WIDTH} {bottom + _AXIS}" role="img">{bars}'
        f'<line x1="0" x2="{_WIDTH}" y1="{bottom}" y2="{bottom}"/>{marks}'
        f'<text x="0" y="{bottom + 14}">0</text>'
        f'<text x="{_WIDTH}" y="{bottom + 14}" text-anchor="end">{end:.3g}</text>'
        f'<text x="{_WIDTH / 2}" y="{bottom + 14}" text-anchor="middle">'
        f"median {number(median)}, 95 % below {number(p95)} {escape(unit)}</text></svg>"
    )


def _mark(x: float, text: str, kind: str) -> str:
    anchor = "end" if x > _WIDTH / 2 else "start"
    label = f'<text x="{x:.1f}" y="10" text-anchor="{anchor}">{escape(text)}</text>' if text else ""
    return (
        f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + _HEIGHT}"/>{label}'
    )


def rate_table(name: str, groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Success of groups of episodes: a bar with its interval, the rate, the counts.

    Args:
        name: What the groups differ in; plain text.
        groups: `figures.success_figures` by the name of the group; plain text.
    """
    rows = [
        (
            escape(group),
            rate_bar(figures),
            f"{figures['success_rate']:.1%}",
            f"{100 * figures['wilson_low']:.1f}–{figures['wilson_high']:.1%}",
            f"{figures['successes']} of {figures['episodes']}",
        )
        for group, figures in groups.items()
    ]
    return table((escape(name), "", "docked", "95 % interval", "episodes"), rows, numbers=3)


def rate_bar(figures: Mapping[str, Any]) -> str:
    """A success rate from 0 to 1 as a bar, with a line over its interval."""
    rate, low, high = (
        100 * figures[name] for name in ("success_rate", "wilson_low", "wilson_high")
    )
    return (
        '<svg class="rate" viewBox="0 0 100 10" preserveAspectRatio="none" role="img">'
        f'<rect class="track" width="100" height="10"/><rect width="{rate:.2f}" height="10"/>'
        f'<line x1="{low:.2f}" x2="{high:.2f}" y1="5" y2="5"/></svg>'
    )
