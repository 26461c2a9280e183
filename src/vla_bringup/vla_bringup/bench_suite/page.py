"""The page of the figures: tables, and a picture of what they have to reach."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from vla_bringup.bench_suite.campaign import minutes_text
from vla_bringup.bench_suite.plan import PLAN
from vla_bringup.bench_suite.results import BenchSuiteError, Figure, Result
from vla_training.benchmarks.markdown_page import NOTHING, put_between_marks, table
from vla_training.errors import BenchmarkError

PICTURE: Final = "images/benchmarks.svg"

_MET: Final = {True: "yes", False: "**no**", None: NOTHING}


def write_page(docs: Path, results: Iterable[Result], figures: Mapping[str, Figure]) -> None:
    """Put tables and picture into a page.

    Args:
        docs: The page; its folder `images` receives the picture.
        results: Of all benchmarks.
        figures: The headlines in them.

    Raises:
        BenchSuiteError: If the page lacks the marks, or something cannot be written.
    """
    picture = docs.parent / PICTURE
    try:
        link = PICTURE if draw(list(figures.values()), picture) else ""
        put_between_marks(docs, markdown(list(results), figures, link))
    except (BenchmarkError, OSError) as error:
        raise BenchSuiteError(f"the page cannot be written: {error}") from error


def markdown(results: Sequence[Result], figures: Mapping[str, Figure], picture: str = "") -> str:
    """Tables of the headlines and of the runs.

    Args:
        results: Of all benchmarks.
        figures: The headlines in them.
        picture: Link to the picture; empty for none.
    """
    parts = []
    if any(result.quick for result in results):
        parts.append("Measured with `--quick`: for a look, which says nothing about the limits.")
    parts.append(table([_headline_row(figure) for figure in figures.values()]))
    if picture:
        parts.append(f"![How far each figure is on the good side of its limit]({picture})")
    parts += ["The runs:", table([_run_row(result) for result in results])]
    there = {result.benchmark for result in results}
    if missing := [f"`{name}`" for name in PLAN if name not in there]:
        parts.append(f"Not measured yet: {', '.join(missing)}.")
    return "\n\n".join(parts) + "\n"


def ratio_text(value: float) -> str:
    """A ratio with as many digits as are of interest."""
    if value == 0.0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 99.5 else f"{value:#.3g}"


def spread_text(figure: Figure) -> str:
    """A figure with the range of its rounds."""
    text = ratio_text(figure.value)
    if figure.low != figure.high:
        text += f" ({ratio_text(figure.low)} to {ratio_text(figure.high)})"
    return f"{text} {figure.headline.unit}".rstrip()


def limit_text(figure: Figure) -> str:
    """What a figure has to reach."""
    limit = figure.headline.limit
    if limit is None:
        return NOTHING
    return f"{'at least' if figure.headline.better == 'higher' else 'at most'} {limit:g}"


def _headline_row(figure: Figure) -> dict[str, str]:
    headline = figure.headline
    return {
        "figure": f"`{headline.name}`",
        "what": headline.title,
        "over": headline.peer,
        "ratio": spread_text(figure),
        "better": headline.better,
        "limit": limit_text(figure),
        "met": _MET[figure.within_limit],
    }


def _run_row(result: Result) -> dict[str, str]:
    machine = result.machine
    cores = "core" if machine.get("cores") == 1 else "cores"
    return {
        "benchmark": f"`{result.benchmark}`",
        "measured (UTC)": result.measured[:16].replace("T", " ") or NOTHING,
        "took": minutes_text(result.took_s / 60.0) if result.took_s else NOTHING,
        "load average before, after": f"{result.load['before']:.1f}, {result.load['after']:.1f}",
        "machine": f"{machine.get('cores')} {cores}, {machine.get('cpu')}",
    }


def margins(figures: Iterable[Figure]) -> dict[str, tuple[float, float, float]]:
    """How many times better than its limit each figure is, with the range of its rounds.

    Figures without a limit are left out, and so are those where zero is one of the two, and those
    of a look.
    """
    found = {}
    for figure in figures:
        limit, values = figure.headline.limit, (figure.value, figure.low, figure.high)
        if figure.result.quick or not limit or min(values) <= 0.0:
            continue
        if figure.headline.better == "higher":
            value, low, high = (each / limit for each in values)
        else:
            value, high, low = (limit / each for each in values)
        found[figure.name] = (value, low, high)
    return found


def draw(figures: Sequence[Figure], path: Path) -> bool:
    """Draw how far figures are on the good side of their limits.

    Args:
        figures: As measured.
        path: Of the SVG file.

    Returns:
        Whether there is anything to draw, and matplotlib to draw it with.
    """
    found = margins(figures)
    if not found or importlib.util.find_spec("matplotlib") is None:
        return False
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Drawing
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    drawing = Drawing(figsize=(7.2, 1.2 + 0.26 * len(found)), layout="constrained")
    FigureCanvasSVG(drawing)
    axes = drawing.add_subplot()
    axes.axvline(1.0, color="black", linewidth=1.0)
    styles = {True: ("o", "tab:blue", "limit met"), False: ("X", "tab:red", "limit missed")}
    for met, (marker, color, label) in styles.items():
        rows = [row for row, (value, _, _) in enumerate(found.values()) if (value >= 1.0) == met]
        chosen = [list(found.values())[row] for row in rows]
        if not chosen:
            continue
        ends = [[value - low for value, low, _ in chosen], [h - value for value, _, h in chosen]]
        axes.errorbar(
            [value for value, _, _ in chosen],
            rows,
            xerr=ends,
            fmt=marker,
            color=color,
            capsize=2.5,
            label=label,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set_xlabel("times better than the limit; bars: spread of the rounds")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The same figures give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "benchmarks"}):
        drawing.savefig(path, metadata={"Date": None})
    return True
