"""Where the episodes of a bag are: pure functions of when what was said.

A bag of our recorder is one episode. Any other bag (`ros2 bag record`) is cut where a stream or
the commands were silent for too long; of what is left, the time in which the robot was told to
stand still and did is cut off, but for a moment: a policy has to learn to stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from vla_core import bag_metadata, keys
from vla_training.errors import ConversionError

Stamps = npt.NDArray[np.int64]

_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True)
class SegmentLimits:
    """Where to cut a bag that is no recorded episode.

    Attributes:
        max_gap_s: A stream or the commands may be silent for this long within an episode.
        max_idle_s: The robot may stand still for this long within an episode.
        keep_before_s: Standing still that is kept before a motion, if there was more.
        keep_after_s: Standing still that is kept after a motion, if there was more.
        min_duration_s: A shorter episode is dropped.
        rest_linear_mps: Slower is standing still.
        rest_angular_radps: Slower is standing still.
    """

    max_gap_s: float = 1.0
    max_idle_s: float = 3.0
    keep_before_s: float = 0.5
    keep_after_s: float = 1.5
    min_duration_s: float = 2.0
    rest_linear_mps: float = 0.01
    rest_angular_radps: float = 0.02

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0.0 <= value < 1e6:  # also true for NaN
                raise ConversionError(f"{field.name} is {value}, expected 0 or more")
        if self.keep_before_s + self.keep_after_s > self.max_idle_s:
            raise ConversionError(
                f"keep_before_s and keep_after_s add up to "
                f"{self.keep_before_s + self.keep_after_s:g} s, expected at most max_idle_s, "
                f"which is {self.max_idle_s:g} s"
            )


@dataclass(frozen=True)
class BagTimeline:
    """When a bag says what, on the clock of the header stamps; in any order.

    Attributes:
        stamps_ns: (n,) int64 of every required stream and of the commands, by key (`keys.ACTION`).
        commands: (n, A) float, values of the commands, in the order of their stamps above [m/s
            and rad/s].
        velocities: (m, F) float, values of the odometry, in the order of its stamps; None if
            the contract has none.
        command_fields: A names, "linear.x" or "angular.z".
        velocity_fields: F names.
    """

    stamps_ns: Mapping[str, Stamps]
    commands: np.ndarray
    velocities: np.ndarray | None = None
    command_fields: tuple[str, ...] = ("linear.x", "angular.z")
    velocity_fields: tuple[str, ...] = ("linear.x", "angular.z")


@dataclass(frozen=True)
class Segment:
    """A stretch of a bag.

    Attributes:
        start_ns: First moment in it.
        end_ns: Last moment in it, which may be the same.
        dropped: Why it is no episode; empty if it is one.
    """

    start_ns: int
    end_ns: int
    dropped: str = ""

    @property
    def duration_s(self) -> float:
        """Length [s]."""
        return (self.end_ns - self.start_ns) / _NS_PER_S


def is_recorded_episode(custom: Mapping[str, str]) -> bool:
    """Whether a bag's custom metadata say that our recorder made it, which is one episode."""
    return bag_metadata.OUTCOME in custom or bag_metadata.CONTRACT_HASH in custom


def whole(timeline: BagTimeline) -> list[Segment]:
    """A recorded episode: from the first moment at which everything was there, uncut."""
    if not timeline.stamps_ns or any(not len(s) for s in timeline.stamps_ns.values()):
        return []
    start_ns = max(int(stamps.min()) for stamps in timeline.stamps_ns.values())
    end_ns = max(int(stamps.max()) for stamps in timeline.stamps_ns.values())
    return [Segment(start_ns, end_ns)]


def segments(timeline: BagTimeline, limits: SegmentLimits) -> list[Segment]:
    """Cut a bag that is no recorded episode.

    Args:
        timeline: When it says what.
        limits: Where to cut.

    Returns:
        Episodes and dropped stretches in order of time. They do not overlap; together they reach
        from the first stamp to the last. Empty if a stream or the commands say nothing at all.
    """
    stamps = {key: np.sort(np.asarray(s, np.int64)) for key, s in timeline.stamps_ns.items()}
    if not stamps or any(not len(s) for s in stamps.values()):
        return []
    first_ns = min(int(s[0]) for s in stamps.values())
    last_ns = max(int(s[-1]) for s in stamps.values())
    motions_ns = _motions_ns(timeline, limits)
    found: list[Segment] = []
    for piece in _cut_at_silence(stamps, first_ns, last_ns, limits):
        found += [piece] if piece.dropped else _cut_at_idleness(piece, motions_ns, limits)
    return [_drop_if_short(segment, limits) for segment in found]


def _cut_at_silence(
    stamps: Mapping[str, Stamps], first_ns: int, last_ns: int, limits: SegmentLimits
) -> list[Segment]:
    """Stretches in which nothing is silent for too long, and between them those in which some is.

    A silence begins with the last message before it and ends with the first one after it; the bag
    begins and ends with one for the streams that are not there yet or any more.
    """
    limit_ns = round(limits.max_gap_s * _NS_PER_S)
    silences: list[tuple[int, int, str]] = []
    for key, own_ns in stamps.items():
        if own_ns[0] > first_ns:
            silences.append((first_ns, int(own_ns[0]), key))
        gaps = np.flatnonzero(np.diff(own_ns) > limit_ns)
        silences += [(int(own_ns[i]), int(own_ns[i + 1]), key) for i in gaps]
        if last_ns - own_ns[-1] > limit_ns:
            silences.append((int(own_ns[-1]), last_ns, key))
    pieces: list[Segment] = []
    covered_ns = first_ns
    for start_ns, end_ns, names in _merged(silences):
        if start_ns > covered_ns:
            pieces.append(Segment(covered_ns, start_ns))
        seconds = (end_ns - start_ns) / _NS_PER_S
        pieces.append(Segment(start_ns, end_ns, f"{seconds:.2f} s without {', '.join(names)}"))
        covered_ns = end_ns
    if last_ns > covered_ns or not pieces:
        pieces.append(Segment(covered_ns, last_ns))
    return pieces


def _merged(silences: list[tuple[int, int, str]]) -> list[tuple[int, int, list[str]]]:
    """Silences that overlap or touch as one, with the names of all that were silent."""
    merged: list[tuple[int, int, list[str]]] = []
    for start_ns, end_ns, key in sorted(silences):
        if merged and start_ns <= merged[-1][1]:
            before_ns, until_ns, names = merged.pop()
            names = names if key in names else [*names, key]
            merged.append((before_ns, max(until_ns, end_ns), names))
        else:
            merged.append((start_ns, end_ns, [key]))
    return merged


def _motions_ns(timeline: BagTimeline, limits: SegmentLimits) -> Stamps:
    """Sorted stamps of the commands and velocities that mean motion."""
    rest = {"linear.x": limits.rest_linear_mps, "angular.z": limits.rest_angular_radps}
    found = []
    for key, values, names in (
        (keys.ACTION, timeline.commands, timeline.command_fields),
        (keys.ODOMETRY, timeline.velocities, timeline.velocity_fields),
    ):
        if values is None or key not in timeline.stamps_ns:
            continue
        limit = np.array([rest[name] for name in names])
        # A value that is no number is no rest either: nothing is cut off because of it.
        moving = ~(np.abs(np.asarray(values, float)) <= limit).all(axis=1)
        found.append(np.asarray(timeline.stamps_ns[key], np.int64)[moving])
    return np.sort(np.concatenate(found)) if found else np.zeros(0, np.int64)


def _cut_at_idleness(piece: Segment, motions_ns: Stamps, limits: SegmentLimits) -> list[Segment]:
    """Split a stretch where the robot stands still for too long, and keep a moment either side."""
    limit_ns, before_ns, after_ns = (
        round(seconds * _NS_PER_S)
        for seconds in (limits.max_idle_s, limits.keep_before_s, limits.keep_after_s)
    )
    inside = motions_ns[(motions_ns >= piece.start_ns) & (motions_ns <= piece.end_ns)]
    if not len(inside):
        if piece.end_ns - piece.start_ns <= limit_ns:
            return [piece]
        return [Segment(piece.start_ns, piece.end_ns, _idle(piece.start_ns, piece.end_ns))]
    idle = []
    if inside[0] - piece.start_ns > limit_ns:
        idle.append((piece.start_ns, int(inside[0]) - before_ns))
    idle += [
        (int(inside[i]) + after_ns, int(inside[i + 1]) - before_ns)
        for i in np.flatnonzero(np.diff(inside) > limit_ns)
    ]
    if piece.end_ns - inside[-1] > limit_ns:
        idle.append((int(inside[-1]) + after_ns, piece.end_ns))
    found: list[Segment] = []
    covered_ns = piece.start_ns
    for start_ns, end_ns in idle:
        if start_ns > covered_ns:
            found.append(Segment(covered_ns, start_ns))
        found.append(Segment(start_ns, end_ns, _idle(start_ns, end_ns)))
        covered_ns = end_ns
    if piece.end_ns > covered_ns:
        found.append(Segment(covered_ns, piece.end_ns))
    return found


def _idle(start_ns: int, end_ns: int) -> str:
    return f"{(end_ns - start_ns) / _NS_PER_S:.2f} s of standing still"


def _drop_if_short(segment: Segment, limits: SegmentLimits) -> Segment:
    if segment.dropped or segment.duration_s >= limits.min_duration_s:
        return segment
    return Segment(
        segment.start_ns,
        segment.end_ns,
        f"{segment.duration_s:.2f} s long, an episode has at least {limits.min_duration_s:g} s",
    )
