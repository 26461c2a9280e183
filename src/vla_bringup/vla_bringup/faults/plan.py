"""Which trials a campaign consists of: decided by its seed alone. No ROS."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vla_bringup.faults.kinds import FaultKind, Stack

# Switching from one way of running the node to another takes as long as several trials.
_TRIALS_PER_ROUND: Final = 250
_DELAY_S: Final = (0.1, 0.5)


@dataclass(frozen=True)
class Trial:
    """One fault, once.

    Attributes:
        index: place in the campaign.
        kind: name of the fault.
        seed: with the kind, everything that is drawn; a campaign of one trial with this seed and
            this kind is this trial.
    """

    index: int
    kind: str
    seed: int

    def draw(self) -> Draw:
        """What is drawn for it."""
        generator = random.Random(f"{self.kind} {self.seed}")
        return Draw(generator.uniform(*_DELAY_S), generator.random())


@dataclass(frozen=True)
class Draw:
    """What is left to chance in a trial.

    Attributes:
        delay_s: from the moment at which the robot moves to the fault.
        size: of the fault, 0 to 1, where it has one.
    """

    delay_s: float
    size: float


def plan(count: int, seed: int, kinds: Sequence[FaultKind]) -> tuple[Trial, ...]:
    """The trials in their order.

    Every kind has its share by weight, and at least one trial if there are enough; they come in
    rounds, in which all ways of running the node have their turn and the rest is shuffled.

    Args:
        count: of trials.
        seed: of the campaign.
        kinds: that are drawn from, at least one.
    """
    generator = random.Random(seed)
    names = _shares(count, kinds)
    generator.shuffle(names)
    stacks = {kind.name: kind.stack for kind in kinds}
    order = list(Stack)
    rounds = max(1, round(count / _TRIALS_PER_ROUND))
    sequence: list[str] = []
    for turn in range(rounds):
        # The sort is stable: within a way of running the node the order stays shuffled.
        sequence += sorted(names[turn::rounds], key=lambda name: order.index(stacks[name]))
    return tuple(Trial(index, name, seed + index) for index, name in enumerate(sequence))


def _shares(count: int, kinds: Sequence[FaultKind]) -> list[str]:
    """Names, each as often as its weight says, by largest remainder."""
    total = sum(kind.weight for kind in kinds)
    spare = max(0, count - len(kinds))
    exact = {kind.name: spare * kind.weight / total for kind in kinds}
    least = 1 if count >= len(kinds) else 0
    shares = {name: least + int(share) for name, share in exact.items()}
    rest = sorted(exact, key=lambda name: (int(exact[name]) - exact[name], name))
    for name in (rest * (count // len(kinds) + 1))[: count - sum(shares.values())]:
        shares[name] += 1
    return [name for name, share in shares.items() for _ in range(share)]
