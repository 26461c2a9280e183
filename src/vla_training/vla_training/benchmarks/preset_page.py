"""The comparison of presets as Markdown and as a picture."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from vla_training.benchmarks.markdown_page import (
    NOTHING,
    put_between_marks,
    table,
    write_whole,
)
from vla_training.errors import BenchmarkError
from vla_training.evaluation.conclusions import p_text

PAGE: Final = "table.md"
PICTURE: Final = "presets.svg"
DOCS_PICTURE: Final = f"images/{PICTURE}"


def write_page(summary: Mapping[str, Any], folder: Path, docs: Path | None = None) -> None:
    """Write the table, and the picture where matplotlib is installed.

    Args:
        summary: What `vla bench presets` found.
        folder: Receives `table.md` and `presets.svg`; with `docs` its folder `images` receives the
            picture, and the rest is left.
        docs: File that receives the table between its marks.

    Raises:
        BenchmarkError: If `docs` lacks the marks or something cannot be written.
    """
    picture = folder / (PICTURE if docs is None else DOCS_PICTURE)
    try:
        drawn = draw(summary, picture)
        link = picture.relative_to(folder).as_posix() if drawn else ""
        text = markdown(summary, link)
        if docs is None:
            write_whole(folder / PAGE, text)
        else:
            put_between_marks(docs, text)
    except OSError as error:
        raise BenchmarkError(f"the table cannot be written: {error}") from error


def markdown(summary: Mapping[str, Any], picture: str = "") -> str:
    """The tables, the best preset first.

    Args:
        summary: What `vla bench presets` found.
        picture: Link to the picture; empty for none.
    """
    presets = dict(
        sorted(
            summary["presets"].items(), key=lambda item: (-item[1]["success_rate"]["mean"], item[0])
        )
    )
    parts = [_caption(summary)]
    if presets:
        parts += [
            table([_preset_row(name, figures) for name, figures in presets.items()]),
            *([f"![Success against the time of an inference]({picture})"] if picture else []),
            *_against(summary),
            "Every run, with Wilson's 95 % intervals over the episodes:",
            table([_run_row(name, figures) for name, figures in summary["runs"].items()]),
        ]
    parts += [f"Failed: {name}: {reason}" for name, reason in summary["failed"].items()]
    return "\n\n".join(parts) + "\n"


def _caption(summary: Mapping[str, Any]) -> str:
    data, budget = summary["data"], summary["budget"]
    if "minutes" in budget:
        trained = f"{budget['minutes']:g} minutes of training steps each"
    elif budget["steps"]:
        trained = f"{budget['steps']} training steps each"
    else:
        trained = "the presets' own numbers of training steps"
    swapped = ", each also with another station's sentence" if summary["swap"] else ""
    overrides = f" Overrides: `{' '.join(summary['overrides'])}`." if summary["overrides"] else ""
    loads = [load for run in summary["runs"].values() for load in run["load"]]
    load = f", load average {min(loads):.1f} to {max(loads):.1f}" if loads else ""
    cores = "core" if summary["cores"] == 1 else "cores"
    return (
        f"{summary['finished']} of {summary['planned']} runs are done. Data: `{data['name']}`, "
        f"{data['training_episodes']} training episodes with {data['training_frames']} frames; "
        f"{trained}.{overrides} Evaluation: {summary['episodes']} held-out seeds of suite "
        f"`{summary['suite']}` from {summary['first_seed']}{swapped}. Machine: {summary['cores']} "
        f"CPU {cores}, {summary['gpu'] or 'no GPU'}{load}. Mean of the training seeds, lowest to "
        "highest in brackets; errors are medians over all docked episodes; memory is the largest "
        "resident size of the training process; the time of an inference is the median with ONNX "
        "Runtime on one thread."
    )


def _preset_row(name: str, figures: Mapping[str, Any]) -> dict[str, str]:
    latency = figures["latency_ms"]
    return {
        "preset": f"`{name}`",
        "seeds": str(figures["seeds"]),
        "docked [%]": _spread(figures["success_rate"], 100.0, 1),
        **_sentences(figures, lambda value: _spread(value, 100.0, 1)),
        **_errors(figures),
        "training [min]": _spread(figures["training_s"], 1.0 / 60.0, 1),
        "steps": str(figures["steps"]),
        "samples/s": _spread(figures["samples_per_s"], 1.0, 0),
        "memory [GB]": _spread(figures["peak_memory_mb"], 1e-3, 2),
        "parameters [M]": f"{figures['parameters'] / 1e6:.2f}",
        "bundle [MB]": f"{figures['bundle_mb']:.1f}",
        "inference [ms]": f"{latency['p50']:.2f}" if latency else NOTHING,
    }


def _run_row(name: str, figures: Mapping[str, Any]) -> dict[str, str]:
    def share(prefix: str, count: str, of: int, low: str, high: str) -> str:
        interval = f"{100 * figures[low]:.1f} to {100 * figures[high]:.1f}"
        return f"{figures[f'{prefix}{count}']} of {of} ({interval} %)"

    pairs = figures.get("swap_pairs")
    row = {
        "run": name,
        "docked": share("", "successes", figures["episodes"], "wilson_low", "wilson_high"),
    }
    if pairs:
        row["both sentences right"] = share(
            "", "both_right", pairs, "both_right_wilson_low", "both_right_wilson_high"
        )
        row["same station twice"] = f"{figures['same_station_twice']} of {pairs}"
    return {
        **row,
        **_errors(figures),
        "training [min]": f"{figures['training_s'] / 60.0:.1f}",
        "steps": str(figures["steps"]),
    }


def _sentences(figures: Mapping[str, Any], shown: Any) -> dict[str, str]:
    if figures["both_right_rate"] is None:
        return {}
    return {
        "both sentences right [%]": shown(figures["both_right_rate"]),
        "same station twice [%]": shown(figures["same_station_twice_rate"]),
    }


def _errors(figures: Mapping[str, Any]) -> dict[str, str]:
    names = {
        "longitudinal [mm]": ("longitudinal_error_mm", 1),
        "lateral [mm]": ("lateral_error_mm", 1),
        "yaw [deg]": ("yaw_error_deg", 2),
    }
    return {
        title: NOTHING if figures[key] is None else f"{figures[key]:.{digits}f}"
        for title, (key, digits) in names.items()
    }


def _spread(figures: Mapping[str, float] | None, factor: float, digits: int) -> str:
    if figures is None:
        return NOTHING
    mean, low, high = (f"{factor * figures[key]:.{digits}f}" for key in figures)
    return f"{mean} ({low} to {high})" if low != high else mean


def _against(summary: Mapping[str, Any]) -> list[str]:
    if not summary["against_reference"]:
        return []
    reference = summary["reference"]
    lines = [
        f"Against `{reference}`, on the same episodes and from the same training seeds: difference "
        "of the success rates in points, its mean over the training seeds with a 95 % interval "
        "over the episodes, and p of the exact McNemar test by training seed, adjusted for all of "
        "these tests (Holm)."
    ]
    rows = []
    for name, figures in summary["against_reference"].items():
        low, high = figures["low"], figures["high"]
        interval = "" if low is None else f" ({100 * low:+.1f} to {100 * high:+.1f})"
        tests = [
            f"{seed}: {100 * each['difference']:+.1f} (p: {p_text(each['adjusted_p'])})"
            for seed, each in figures["seeds"].items()
        ]
        rows.append(
            {
                "preset": f"`{name}`",
                "difference": f"{100 * figures['difference']:+.1f}{interval}",
                "by training seed": "; ".join(tests),
                "conclusion": figures["verdict"],
            }
        )
    return [*lines, table(rows)]


def draw(summary: Mapping[str, Any], path: Path) -> bool:
    """Draw success over the time of an inference.

    Args:
        summary: What `vla bench presets` found.
        path: Of the SVG file.

    Returns:
        Whether there is anything to draw, and matplotlib to draw it with.
    """
    points = {
        name: (figures["latency_ms"]["p50"], figures["success_rate"])
        for name, figures in summary["presets"].items()
        if figures["latency_ms"]
    }
    if not points or importlib.util.find_spec("matplotlib") is None:
        return False
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    for name, (latency_ms, rate) in points.items():
        mean, low, high = (100.0 * rate[key] for key in ("mean", "lowest", "highest"))
        ends = [[max(0.0, mean - low)], [max(0.0, high - mean)]]
        axes.errorbar([latency_ms], [mean], yerr=ends, fmt="o", capsize=3)
        axes.annotate(name, (latency_ms, mean), xytext=(6, 4), textcoords="offset points")
    axes.set_xlabel("one inference, ONNX Runtime on one thread, median [ms]")
    axes.set_ylabel(f"docked, % of {summary['episodes']} episodes")
    axes.set_xlim(left=0.0)
    axes.margins(x=0.15)
    axes.set_ylim(-3.0, 103.0)
    axes.grid(alpha=0.3)
    axes.set_title(f"Suite {summary['suite']}; bars: lowest to highest training seed", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The same figures give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "presets"}):
        figure.savefig(path, metadata={"Date": None})
    return True
