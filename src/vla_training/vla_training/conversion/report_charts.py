"""Charts of the conversion report: SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

_WIDTH: Final = 360
_HEIGHT: Final = 120
_AXIS: Final = 18


def histogram(edges: Sequence[float], counts: Sequence[int]) -> str:
    """Bars over their ranges, each as high as the logarithm of its count.

    Args:
        edges: (n + 1,) ascending.
        counts: (n,).
    """
    low, high = edges[0], edges[-1]
    most = math.log1p(max(counts, default=0)) or 1.0
    bars = []
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        x, end = (_WIDTH * (edge - low) / (high - low) for edge in (left, right))
        height = _HEIGHT * math.log1p(count) / most
        bars.append(
            f'<rect x="{x:.1f}" y="{_HEIGHT - height:.1f}" width="{max(1.0, end - x - 1.0):.1f}" '
            f'height="{height:.1f}"><title>{left:.3g} to {right:.3g}: {count}</title></rect>'
        )
    marks = [
        f'<text x="{_WIDTH * (value - low) / (high - low):.1f}" y="{_HEIGHT + _AXIS - 4}" '
        f'text-anchor="{anchor}">{value:g}</text>'
        for value, anchor in ((low, "start"), (0.0, "middle"), (high, "end"))
        if low <= value <= high and (value or low < 0.0 < high)
    ]
    return (
        f'<svg class="histogram" viewBox="0 0 {_WIDTH} {_HEIGHT + _AXIS}" role="img">'
        f'{"".join(bars)}<line x1="0" x2="{_WIDTH}" y1="{_HEIGHT}" y2="{_HEIGHT}"/>'
        f"{''.join(marks)}</svg>"
    )


def timeline(episodes: Sequence[Mapping[str, Any]], dropped: Sequence[Mapping[str, Any]]) -> str:
    """What of a bag is used, from its first stamp to its last; nothing if all of it is.

    Args:
        episodes: Each with start_s, duration_s.
        dropped: Each with start_s, duration_s and reason.
    """
    if not dropped:
        return ""
    stretches = [(each, "used", f"{each['rows']} rows") for each in episodes]
    stretches += [(each, "dropped", each["reason"]) for each in dropped]
    end_s = max(each["start_s"] + each["duration_s"] for each, *_ in stretches) or 1.0
    bars = "".join(
        f'<rect class="{kind}" x="{_WIDTH * each["start_s"] / end_s:.1f}" y="0" height="10" '
        f'width="{max(0.5, _WIDTH * each["duration_s"] / end_s):.1f}">'
        f"<title>{each['start_s']:.1f} s + {each['duration_s']:.1f} s: {escape(text)}</title>"
        "</rect>"
        for each, kind, text in stretches
    )
    return (
        f'<svg class="timeline" viewBox="0 0 {_WIDTH} 10" preserveAspectRatio="none" role="img">'
        f"{bars}</svg>"
    )
