"""What `vla bench all` measures, how much of it, and how long that takes.

A benchmark has its place here if it gives a ratio and needs nothing but the workspace: those that
compare trainings take hours, and a data set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PEER: Final = "{peer}"
"""Stands for the folder of LeRobot's environment in an argument."""


@dataclass(frozen=True)
class Effort:
    """Arguments of `vla bench NAME`, and the time it takes with them on two cores.

    Attributes:
        arguments: Besides those that say where to write.
        minutes: Expected.
    """

    arguments: tuple[str, ...]
    minutes: float


@dataclass(frozen=True)
class Entry:
    """How a benchmark is run.

    Attributes:
        full: For figures that one goes by.
        quick: For a look, and for a guard that runs often.
        with_peer: On top of `full` where LeRobot is installed.
        without_peer: Arguments on top where it is not, and with `quick`.
    """

    full: Effort
    quick: Effort
    with_peer: Effort = Effort((), 0.0)
    without_peer: tuple[str, ...] = ()

    def effort(self, quick: bool, peer: Path | None) -> Effort:
        """What is run.

        Args:
            quick: For a look.
            peer: Environment with LeRobot; None for none.
        """
        chosen = self.quick if quick else self.full
        if quick or peer is None:
            return Effort((*chosen.arguments, *self.without_peer), chosen.minutes)
        added = tuple(word.replace(PEER, str(peer)) for word in self.with_peer.arguments)
        return Effort((*chosen.arguments, *added), chosen.minutes + self.with_peer.minutes)


def _quick(*arguments: str) -> tuple[str, ...]:
    return ("--quick", *arguments)


PLAN: Final[Mapping[str, Entry]] = {
    "sim": Entry(Effort((), 2.0), Effort(_quick(), 0.2)),
    "leak": Entry(Effort((), 2.0), Effort(_quick(), 0.8)),
    "convert": Entry(Effort((), 11.0), Effort(_quick(), 0.3)),
    "load": Entry(
        Effort((), 1.5),
        Effort(_quick(), 0.2),
        with_peer=Effort(("--peer", PEER), 4.0),
    ),
    "infer": Entry(
        Effort((), 7.5),
        Effort(_quick("--presets", "docking", "act", "mini_vla"), 0.7),
    ),
    "train": Entry(
        Effort((), 6.0),
        Effort(_quick(), 0.7),
        with_peer=Effort(("--peer", PEER), 0.5),
        without_peer=("--no-peer",),
    ),
    "record": Entry(Effort(("--duration", "120"), 3.0), Effort(_quick(), 0.6)),
    "loop": Entry(Effort(("--minutes", "10"), 11.0), Effort(_quick(), 0.6)),
    "seams": Entry(
        Effort(("--modes", "receding_horizon", "real_time_chunking", "--episodes", "40"), 4.0),
        Effort(_quick("--modes", "real_time_chunking"), 0.4),
    ),
}
"""By name, in the order of their run. Times are those of two cores without other work."""
