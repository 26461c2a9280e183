"""Whether the clocks behind the stamps of a bag ran forward, all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from vla_training.conversion.message_index import Track
from vla_training.errors import ConversionError

CLOCK_JUMP_NS: Final = 30_000_000_000
"""Stamps of one bag may be this far apart in the wrong order, or leap so far ahead of the time at
which they were received."""

REORDER_NS: Final = 1_000_000_000
"""A message may be stamped this much earlier than one of its topic that came before it."""

_S_PER_NS: Final = 1e-9


def check_clocks(bag: str, tracks: Mapping[str, Track], max_ages_ns: Mapping[str, int]) -> None:
    """Refuse a bag whose messages cannot be put in order of time.

    A real pause, in which stamps and times of reception go on alike, is none of these.

    Args:
        bag: Its path, for the message.
        tracks: By key.
        max_ages_ns: By key: a longer one than `REORDER_NS` replaces that.

    Raises:
        ConversionError: If the stamps of a topic are set back, or some leap away from the others.
    """
    for key, track in tracks.items():
        order = np.argsort(track.arrival)
        stamps_ns = track.stamps_ns[order]
        behind_ns = np.maximum.accumulate(stamps_ns) - stamps_ns
        if (behind_ns > CLOCK_JUMP_NS).any():
            continue  # said below, with its direction
        limit_ns = max(REORDER_NS, max_ages_ns.get(key, 0))
        if (late := np.flatnonzero(behind_ns > limit_ns)).size:
            raise ConversionError(
                f"bag {bag}: the clock of {key!r} is set back by "
                f"{behind_ns[late[0]] * _S_PER_NS:.1f} s at its message {late[0]}, at most "
                f"{limit_ns * _S_PER_NS:g} s is accepted; split the bag there"
            )
    names = list(tracks)
    owner = np.repeat(np.arange(len(names)), [len(track.arrival) for track in tracks.values()])
    arrival = np.concatenate([track.arrival for track in tracks.values()])
    order = np.argsort(arrival)
    stamps_ns = np.concatenate([track.stamps_ns for track in tracks.values()])[order]
    received = np.concatenate([track.places["received_ns"] for track in tracks.values()])[order]
    jump_ns = stamps_ns[1:] - np.maximum.accumulate(stamps_ns)[:-1]
    waited_ns = np.diff(received)
    wrong = (jump_ns < -CLOCK_JUMP_NS) | (jump_ns - waited_ns > CLOCK_JUMP_NS)
    if wrong.any():
        index = int(np.argmax(wrong))
        raise ConversionError(
            f"bag {bag}: the clock jumps by {jump_ns[index] * _S_PER_NS:+.1f} s at a message of "
            f"{names[owner[order[index + 1]]]!r}, at most {CLOCK_JUMP_NS * _S_PER_NS:.0f} s is "
            "accepted; check that all publishers use the same clock, and split the bag at the jump"
        )
