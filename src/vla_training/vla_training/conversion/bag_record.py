"""What became of one bag, as plain values: the raw material of the conversion report."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from vla_core import bag_metadata
from vla_core.contract import Contract
from vla_training.conversion.alignment import BagAlignment, Selection
from vla_training.conversion.bags import BagMetadata
from vla_training.conversion.episodes import SegmentLimits
from vla_training.conversion.message_index import Track
from vla_training.conversion.messages import BagMessages

HISTOGRAM_BINS: Final = 41
_S_PER_NS: Final = 1e-9


def describe_metadata(metadata: BagMetadata) -> dict[str, Any]:
    """What the recorder wrote; known even of bags that are left out."""
    return {
        "bag": str(metadata.path),
        "instruction": metadata.instruction,
        "outcome": metadata.outcome,
        "operator": metadata.operator,
        "robot": metadata.custom.get(bag_metadata.ROBOT, ""),
        "note": metadata.custom.get(bag_metadata.NOTE, ""),
        "suite": metadata.suite,
        "seed": metadata.seed,
    }


def describe_bag(
    bag: BagMessages, alignment: BagAlignment, contract: Contract, actions: np.ndarray
) -> dict[str, Any]:
    """What was used of a bag, what was dropped and why.

    Args:
        bag: The open bag.
        alignment: Its rows.
        contract: What was read.
        actions: (n, A) float32 [m/s, rad/s]: the known actions of the rows.

    Returns:
        Plain values for JSON: `messages`; `topics` (type, messages, used_as by topic); `streams`
        by key (see `_describe_track`); `episodes` and `dropped` (start_s from the bag's first
        stamp, duration_s, and rows or reason); `rows`; `action` (histogram by field, over the
        contract's limits, what is beyond them in the outer bins); `idle_fraction` of the rows.
    """
    tracks = alignment.tracks
    first_ns = min(int(track.stamps_ns[0]) for track in tracks.values())
    used = {track.channel: key for key, track in tracks.items()}
    return {
        **describe_metadata(bag.metadata),
        "sha256": bag.sha256,
        "messages": bag.count,
        "topics": {
            channel.topic: {
                "type": channel.type,
                "messages": count,
                "used_as": used.get(channel),
            }
            for channel, count in bag.counts().items()
        },
        "streams": {
            key: _describe_track(key, bag, track, alignment.selections[key], contract)
            for key, track in tracks.items()
        },
        "episodes": [
            {
                "start_s": (int(episode.ticks_ns[0]) - first_ns) * _S_PER_NS,
                "duration_s": (int(episode.ticks_ns[-1]) - int(episode.ticks_ns[0])) * _S_PER_NS,
                "rows": len(episode.ticks_ns),
            }
            for episode in alignment.episodes
        ],
        "dropped": [
            {
                "start_s": (segment.start_ns - first_ns) * _S_PER_NS,
                "duration_s": segment.duration_s,
                "reason": segment.dropped,
            }
            for segment in alignment.dropped
        ],
        "rows": alignment.rows,
        "action": _describe_actions(actions, contract),
        "idle_fraction": _idle_fraction(actions, contract),
    }


def _describe_track(
    key: str, bag: BagMessages, track: Track, selection: Selection, contract: Contract
) -> dict[str, Any]:
    """Counts, rates and ages of one stream.

    Returns:
        topic, type, frame_id, messages, used (messages that became rows), reordered (that came
        after a newer one), is_stamped; nominal_rate_hz, rate_hz, max_gap_s of the stamps;
        delay_s from stamp to reception; age_s at the ticks (median, p95, max); valid_fraction of
        the rows.
    """
    stream = next((s for s in contract.streams if s.key == key), None)
    stamps_ns, known = track.stamps_ns, selection.index >= 0
    gaps_s = np.diff(stamps_ns) * _S_PER_NS
    span_s = float(stamps_ns[-1] - stamps_ns[0]) * _S_PER_NS
    limit_ns = stream.max_age_ns if stream else 500_000_000
    return {
        "topic": track.channel.topic,
        "type": track.channel.type,
        "frame_id": _frame_id(bag, track),
        "messages": len(stamps_ns),
        "used": len(np.unique(selection.index[known])),
        "reordered": int((np.diff(track.arrival) < 0).sum()),
        "is_stamped": track.is_stamped,
        "nominal_rate_hz": stream.rate_hz if stream else contract.action.rate_hz,
        "rate_hz": (len(stamps_ns) - 1) / span_s if span_s > 0.0 else None,
        "max_gap_s": float(gaps_s.max()) if gaps_s.size else None,
        "delay_s": _spread((track.places["received_ns"] - stamps_ns) * _S_PER_NS),
        "age_s": _spread(selection.age_ns[known] * _S_PER_NS),
        "valid_fraction": float((selection.age_ns <= limit_ns).mean()),
    }


def _spread(values: np.ndarray) -> dict[str, float] | None:
    if not values.size:
        return None
    median, p95 = np.quantile(values, (0.5, 0.95)).tolist()
    return {"median": median, "p95": p95, "max": float(values.max())}


def _frame_id(bag: BagMessages, track: Track) -> str | None:
    """Frame of the first message; None where messages have no header."""
    if not track.is_stamped:
        return None
    data = bag.data(track, 0)
    length = int.from_bytes(data[12:16], "little" if data[1] else "big")
    return bytes(data[16 : 16 + max(0, length - 1)]).decode("utf-8", "replace")


def _describe_actions(actions: np.ndarray, contract: Contract) -> dict[str, Any]:
    action = contract.action
    fields = zip(action.fields, action.units, action.low, action.high, actions.T, strict=True)
    histograms = {}
    for name, unit, low, high, values in fields:
        edges = np.linspace(low, high, HISTOGRAM_BINS + 1) if high > low else [low, low + 1.0]
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        histograms[name] = {
            "unit": unit,
            "edges": np.asarray(edges).tolist(),
            "counts": counts.tolist(),
        }
    return histograms


def _idle_fraction(actions: np.ndarray, contract: Contract) -> float | None:
    """Share of the rows whose action means standing still."""
    if not len(actions):
        return None
    limits = SegmentLimits()
    rest = {"linear.x": limits.rest_linear_mps, "angular.z": limits.rest_angular_radps}
    limit = np.array([rest[name] for name in contract.action.fields])
    return float((np.abs(actions) <= limit).all(axis=1).mean())


def describe_skipped(metadata: BagMetadata, reason: str) -> dict[str, Any]:
    """A bag that is left out."""
    return {**describe_metadata(metadata), "skipped": reason}
