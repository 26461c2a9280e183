"""The conversion report: what became of every bag, as JSON and as a page to read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from vla_core.contract import Contract
from vla_core.contract_specs import ImageDecoder
from vla_core.opencv import cv2
from vla_training import __version__
from vla_training.conversion.report_page import BagFrames, page
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import SPLITS, EpisodeRecord, observation
from vla_training.errors import ConversionError

if TYPE_CHECKING:
    from vla_training.conversion.pipeline import ConversionSummary

FORMAT: Final = "vla-docking-conversion-report"
FORMAT_VERSION: Final = 1

MAX_PICTURED_BAGS: Final = 300
"""Frames of so many bags are shown; the page stays below about 5 MB."""

SLOW: Final = 0.8
"""A stream at less than this share of its nominal rate is worth a look."""

MOSTLY_VALID: Final = 0.95
"""So is one that is valid in a smaller share of the rows."""

_JPEG_QUALITY: Final = 80
_S_PER_NS: Final = 1e-9


def describe(summary: ConversionSummary) -> dict[str, Any]:
    """The report as plain values for JSON, see docs/formats.md.

    Raises:
        DatasetError: If the data set cannot be read.
    """
    with DatasetFile(summary.path) as data:
        by_bag = _episodes_by_bag(data.episodes)
        faulty = {str(skip.bag): skip.damaged for skip in summary.skipped}
        bags = [_describe_bag(record, by_bag, faulty) for record in summary.records]
        used = [bag for bag in bags if bag["status"] == "used"]
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "tool_version": __version__,
            "dataset": str(summary.path),
            "contract": {"name": data.contract.name, "hash": data.contract.hash},
            "options": data.provenance.get("options", {}),
            "totals": {
                "bags": len(bags),
                **{
                    status: sum(bag["status"] == status for bag in bags)
                    for status in ("used", "left out", "damaged")
                },
                "converted": summary.converted,
                "reused": summary.reused,
                "episodes": summary.episodes,
                "frames": summary.frames,
                "duration_s": summary.frames * data.contract.action.period_ns * _S_PER_NS,
                "idle_fraction": _weighted(used, "idle_fraction"),
                "conversion_s": summary.duration_s,
            },
            "splits": _describe_splits(data.episodes),
            "streams": _describe_streams(used),
            "action": _sum_histograms(used),
            "statistics": _statistics(data),
            "findings": _findings(used, data),
            "bags": bags,
        }


def write_report(summary: ConversionSummary, path: Path) -> None:
    """Write the report of a conversion.

    Args:
        summary: What the conversion did.
        path: A .html file, beside which a .json file of the same name is written; or a .json file
            alone.

    Raises:
        ConversionError: If the name ends otherwise or the file cannot be written.
        DatasetError: If the data set cannot be read.
    """
    if path.suffix not in (".html", ".json"):
        raise ConversionError(f"report {path} is to be {path.suffix!r}, expected .html or .json")
    report = describe(summary)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(report, indent=1, ensure_ascii=False)
        path.with_suffix(".json").write_text(text + "\n", "utf-8")
        if path.suffix == ".html":
            path.write_text(page(report, _pictures(summary, report["bags"])), "utf-8")
    except OSError as error:
        raise ConversionError(
            f"report {path} cannot be written: {error}; name another file or free some space"
        ) from error


def _episodes_by_bag(episodes: Iterable[EpisodeRecord]) -> dict[str, list[EpisodeRecord]]:
    found: dict[str, list[EpisodeRecord]] = {}
    for episode in episodes:
        found.setdefault(episode.bag_sha256, []).append(episode)
    return found


def _describe_bag(
    record: Mapping[str, Any],
    by_bag: Mapping[str, Sequence[EpisodeRecord]],
    faulty: Mapping[str, bool],
) -> dict[str, Any]:
    """The record of a bag, with its status and the splits of its episodes."""
    if record.get("skipped"):
        status = "damaged" if faulty.get(record["bag"]) else "left out"
        return {**record, "status": status}
    names = {number: name for name, number in SPLITS.items()}
    episodes = [
        {
            **episode,
            "split": names[row.split],
            "first_row": row.start,
            "instruction": row.instruction,
        }
        for episode, row in zip(record["episodes"], by_bag[record["sha256"]], strict=True)
    ]
    return {**record, "status": "used", "episodes": episodes}


def _describe_splits(episodes: Sequence[EpisodeRecord]) -> dict[str, dict[str, int]]:
    result = {}
    for name, number in SPLITS.items():
        own = [episode for episode in episodes if episode.split == number]
        result[name] = {
            "episodes": len(own),
            "groups": len({episode.group for episode in own}),
            "frames": sum(episode.length for episode in own),
        }
    return result


def _weighted(bags: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Mean of a fraction over the rows of all bags."""
    known = [(bag[name], bag["rows"]) for bag in bags if bag.get(name) is not None]
    rows = sum(count for _, count in known)
    return sum(value * count for value, count in known) / rows if rows else None


def _describe_streams(bags: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Every stream over all bags; the worst where a bag counts, the mean where a row does."""
    result: dict[str, dict[str, Any]] = {}
    for key in dict.fromkeys(key for bag in bags for key in bag["streams"]):
        own = [(bag["streams"][key], bag["rows"]) for bag in bags if key in bag["streams"]]
        streams = [stream for stream, _ in own]
        rows = sum(count for _, count in own)
        rates = [stream["rate_hz"] for stream in streams if stream["rate_hz"] is not None]
        result[key] = {
            "topics": sorted({stream["topic"] for stream in streams}),
            "type": streams[0]["type"],
            "bags": len(streams),
            "messages": sum(stream["messages"] for stream in streams),
            "used": sum(stream["used"] for stream in streams),
            "reordered": sum(stream["reordered"] for stream in streams),
            "nominal_rate_hz": streams[0]["nominal_rate_hz"],
            "rate_hz": {
                "median": float(np.median(rates)) if rates else None,
                "min": min(rates, default=None),
            },
            "max_gap_s": _most(stream["max_gap_s"] for stream in streams),
            "age_s": {
                "p95": _most((stream["age_s"] or {}).get("p95") for stream in streams),
                "max": _most((stream["age_s"] or {}).get("max") for stream in streams),
            },
            "delay_s": {"p95": _most((s["delay_s"] or {}).get("p95") for s in streams)},
            "valid_fraction": sum(s["valid_fraction"] * count for s, count in own) / rows,
        }
    return result


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _sum_histograms(bags: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    total: dict[str, dict[str, Any]] = {}
    for bag in bags:
        for field, histogram in bag["action"].items():
            if field in total:
                counts = np.add(total[field]["counts"], histogram["counts"]).tolist()
                total[field] = {**total[field], "counts": counts}
            else:
                total[field] = dict(histogram)
    return total


def _statistics(data: DatasetFile) -> dict[str, dict[str, Any]]:
    """Of the training episodes, as in the data set, with their quantiles."""
    fields: dict[str, dict[str, Any]] = json.loads(data.statistics.to_json())["fields"]
    for key, shares in data.quantiles.items():
        fields[key]["quantiles"] = {share: list(values) for share, values in shares.items()}
    return fields


def _findings(bags: Sequence[Mapping[str, Any]], data: DatasetFile) -> list[str]:
    """What a person should look at before training, one sentence each."""
    found = []
    contract = data.contract
    for stream in contract.streams:
        own = [(bag["bag"], bag["streams"][stream.key]) for bag in bags]
        slow = [b for b, s in own if (s["rate_hz"] or 0.0) < SLOW * stream.rate_hz]
        if slow:
            found.append(
                f"{stream.key} is slower than {SLOW:.0%} of its nominal {stream.rate_hz:g} Hz "
                f"{_in_bags(slow)}"
            )
        gone = [b for b, s in own if s["valid_fraction"] < MOSTLY_VALID]
        if gone:
            found.append(f"{stream.key} is too old in more than 5 % of the rows {_in_bags(gone)}")
        ahead = [b for b, s in own if s["delay_s"] and s["delay_s"]["median"] < -0.005]
        if ahead:
            found.append(
                f"{stream.key} is stamped later than it was received {_in_bags(ahead)}: the "
                "clocks of sender and recorder differ"
            )
    without = [e.bag for e in data.episodes if not e.instruction]
    if without:
        found.append(f"there is no instruction {_in_bags(without)}")
    if contract.dock_pose_topic:
        blind = [b["bag"] for b in bags if "dock_pose" not in b["streams"]]
        if blind:
            found.append(f"the pose of the station is not known {_in_bags(blind)}")
    for name, split in _describe_splits(data.episodes).items():
        if not split["episodes"]:
            found.append(f"no episode is for {name}")
    return found


def _in_bags(bags: Sequence[str]) -> str:
    names = list(dict.fromkeys(Path(bag).name for bag in bags))
    shown = ", ".join(names[:3])
    return f"in {len(names)} bag{'s' * (len(names) > 1)} ({shown}{', …' * (len(names) > 3)})"


def _pictures(
    summary: ConversionSummary, bags: Sequence[Mapping[str, Any]]
) -> dict[str, BagFrames]:
    """First, middle and last frame of each bag, by its path."""
    result: dict[str, BagFrames] = {}
    with DatasetFile(summary.path) as data:
        key = _image_key(data.contract)
        if key is None:
            return {}
        for bag in [bag for bag in bags if bag["status"] == "used"][:MAX_PICTURED_BAGS]:
            # The rows of a bag's episodes follow each other.
            first = bag["episodes"][0]["first_row"]
            rows = (first, first + bag["rows"] // 2, first + bag["rows"] - 1)
            ticks_ns = [int(data.read("tick_ns", slice(row, row + 1))[0]) for row in rows]
            images = [data.read(observation(key), slice(row, row + 1))[0] for row in rows]
            result[bag["bag"]] = BagFrames(
                tuple((tick - ticks_ns[0]) * _S_PER_NS for tick in ticks_ns),
                tuple(_jpeg(image) for image in images),
            )
    return result


def _image_key(contract: Contract) -> str | None:
    return next((s.key for s in contract.streams if isinstance(s.decoder, ImageDecoder)), None)


def _jpeg(rgb: np.ndarray) -> bytes:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
