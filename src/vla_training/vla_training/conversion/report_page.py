"""The conversion report as one HTML file that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from vla_training.conversion.report_charts import histogram, timeline
from vla_training.pages.elements import (
    data_uri,
    document,
    duration,
    milliseconds,
    number,
    percent,
    table,
    tiles,
)

_MAX_COLUMNS: Final = 8
_MENTIONED_S: Final = 0.1  # streams hardly ever begin at the same moment


@dataclass(frozen=True)
class BagFrames:
    """Frames of one bag.

    Attributes:
        moments_s: When each was seen, from the bag's first row [s].
        pictures: JPEG files, as many.
    """

    moments_s: tuple[float, ...]
    pictures: tuple[bytes, ...]


def page(report: Mapping[str, Any], frames: Mapping[str, BagFrames]) -> str:
    """The page.

    Args:
        report: See `report.describe`.
        frames: Of as many bags as are to be pictured, by their paths.
    """
    parts = (
        _head(report),
        _tiles(report["totals"]),
        _findings(report["findings"]),
        _left_out(report["bags"]),
        _splits(report["splits"]),
        _streams(report["streams"]),
        _actions(report["action"]),
        _statistics(report["statistics"]),
        _bags(report["bags"], frames),
    )
    return document(f"Conversion of {Path(report['dataset']).name}", parts)


def _head(report: Mapping[str, Any]) -> str:
    contract = report["contract"]
    return (
        f'<p class="quiet">{escape(report["dataset"])} · contract {escape(contract["name"])} '
        f"<code>{escape(contract['hash'][:12])}</code> · vla_training "
        f"{escape(report['tool_version'])}</p>"
    )


def _tiles(totals: Mapping[str, Any]) -> str:
    values = (
        (f"{totals['used']}", "bags used"),
        (f"{totals['left out']}", "left out"),
        (f"{totals['damaged']}", "damaged"),
        (f"{totals['episodes']}", "episodes"),
        (f"{totals['frames']}", "rows"),
        (duration(totals["duration_s"]), "of driving"),
        (percent(totals["idle_fraction"]), "standing still"),
        (f"{totals['conversion_s']:.1f} s", f"to convert, {totals['reused']} bags reused"),
    )
    return tiles(values)


def _findings(findings: Sequence[str]) -> str:
    if not findings:
        return "<p>Nothing that needs a look.</p>"
    items = "".join(f"<li>{escape(finding)}</li>" for finding in findings)
    return f'<section><h2>Worth a look</h2><ul class="findings">{items}</ul></section>'


def _left_out(bags: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (_bag_name(bag), bag["status"], escape(bag["skipped"]))
        for bag in bags
        if bag["status"] != "used"
    ]
    rows += [
        (_bag_name(bag), "in part", f"{stretch['start_s']:.2f} s: {escape(stretch['reason'])}")
        for bag in bags
        if bag["status"] == "used"
        for stretch in bag["dropped"]
        if stretch["duration_s"] >= _MENTIONED_S
    ]
    if not rows:
        return "<p>Every bag is used, from its first row to its last.</p>"
    return "<section><h2>Not used</h2>" + table(("bag", "", "why"), rows, numbers=0) + "</section>"


def _splits(splits: Mapping[str, Mapping[str, int]]) -> str:
    frames = sum(split["frames"] for split in splits.values()) or 1
    rows = [
        (
            name,
            str(split["episodes"]),
            str(split["groups"]),
            str(split["frames"]),
            percent(split["frames"] / frames),
        )
        for name, split in splits.items()
    ]
    head = ("split", "episodes", "groups", "rows", "share")
    return f"<section><h2>Splits</h2>{table(head, rows, numbers=4)}</section>"


def _streams(streams: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for key, stream in streams.items():
        rate = stream["rate_hz"]
        rows.append(
            (
                escape(key),
                escape(", ".join(stream["topics"])),
                f"{stream['used']} of {stream['messages']}",
                f"{number(rate['median'])} ({number(rate['min'])})",
                number(stream["nominal_rate_hz"]),
                milliseconds(stream["max_gap_s"]),
                f"{milliseconds(stream['age_s']['p95'])} / {milliseconds(stream['age_s']['max'])}",
                milliseconds(stream["delay_s"]["p95"]),
                str(stream["reordered"]),
                percent(stream["valid_fraction"]),
            )
        )
    head = (
        "stream",
        "topic",
        "messages used",
        "rate: median (least) [Hz]",
        "nominal [Hz]",
        "longest gap [ms]",
        "age p95 / max [ms]",
        "delay p95 [ms]",
        "reordered",
        "valid rows",
    )
    note = (
        '<p class="quiet">Gaps, ages and delays are those of the worst bag. Age: from a message\'s '
        "stamp to the row that it is in. Delay: from stamp to reception.</p>"
    )
    return f"<section><h2>Streams</h2>{table(head, rows, numbers=8)}{note}</section>"


def _actions(actions: Mapping[str, Mapping[str, Any]]) -> str:
    charts = "".join(
        f"<figure><figcaption>{escape(field)} [{escape(values['unit'])}]</figcaption>"
        f"{histogram(values['edges'], values['counts'])}</figure>"
        for field, values in actions.items()
    )
    note = (
        '<p class="quiet">Over the limits of the contract; what is beyond them is in the outer '
        "bars. The height is the logarithm of the number of rows.</p>"
    )
    return f'<section><h2>Actions</h2><div class="charts">{charts}</div>{note}</section>'


def _statistics(statistics: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for key, field in statistics.items():
        columns = range(len(field["mean"]))
        shown = columns[:_MAX_COLUMNS]
        for column in shown:
            quantiles = field.get("quantiles", {})
            rows.append(
                (
                    f"{escape(key)}[{column}]",
                    *(number(field[name][column]) for name in ("mean", "std", "min")),
                    *(number(quantiles[share][column]) for share in sorted(quantiles, key=float)),
                    number(field["max"][column]),
                )
            )
    shares = sorted(next(iter(statistics.values()), {}).get("quantiles", {}), key=float)
    head = ("", "mean", "std", "min", *(f"{float(share):.0%}" for share in shares), "max")
    return (
        "<section><h2>Statistics of the training episodes</h2>"
        f"{table(head, rows, numbers=len(head) - 1)}"
        f'<p class="quiet">The first {_MAX_COLUMNS} numbers of each array; all are in the data set '
        "and in the report as JSON.</p></section>"
    )


def _bags(bags: Sequence[Mapping[str, Any]], frames: Mapping[str, BagFrames]) -> str:
    used = [bag for bag in bags if bag["status"] == "used"]
    entries = "".join(_bag(bag, frames.get(bag["bag"])) for bag in used)
    note = ""
    if frames and len(frames) < len(used):
        note = f'<p class="quiet">Frames of the first {len(frames)} bags are shown.</p>'
    return f"<section><h2>Bags</h2>{note}{entries}</section>"


def _bag(bag: Mapping[str, Any], frames: BagFrames | None) -> str:
    facts = [bag["outcome"], bag.get("note"), bag["operator"], bag.get("suite")]
    if bag.get("seed") is not None:
        facts.append(f"seed {bag['seed']}")
    facts.append(", ".join(dict.fromkeys(episode["split"] for episode in bag["episodes"])))
    seconds = sum(episode["duration_s"] for episode in bag["episodes"])
    facts += [f"{bag['rows']} rows", f"{seconds:.1f} s"]
    if bag["idle_fraction"] is not None:
        facts.append(f"{percent(bag['idle_fraction'])} standing still")
    streams = "; ".join(
        f"{key} {number(stream['rate_hz'])} Hz, gap {milliseconds(stream['max_gap_s'])} ms, "
        f"{percent(stream['valid_fraction'])} valid"
        for key, stream in bag["streams"].items()
    )
    sentence = next(
        (episode["instruction"] for episode in bag["episodes"] if episode["instruction"]), ""
    )
    return (
        f'<article><div class="facts"><h3>{_bag_name(bag)}</h3>'
        f"<p>{f'“{escape(sentence)}”' if sentence else 'no instruction'}</p>"
        f'<p class="quiet">{escape(" · ".join(fact for fact in facts if fact))}</p>'
        f'<p class="quiet">{escape(streams)}</p>{timeline(bag["episodes"], bag["dropped"])}</div>'
        f"{_frames(frames)}</article>"
    )


def _frames(frames: BagFrames | None) -> str:
    if frames is None:
        return ""
    pictures = "".join(
        f'<figure><img src="{data_uri("image/jpeg", picture)}" alt="">'
        f"<figcaption>{moment_s:.1f} s</figcaption></figure>"
        for moment_s, picture in zip(frames.moments_s, frames.pictures, strict=True)
    )
    return f'<div class="frames">{pictures}</div>'


def _bag_name(bag: Mapping[str, Any]) -> str:
    path = escape(bag["bag"])
    return f'<span title="{path}">{escape(Path(bag["bag"]).name)}</span>'
