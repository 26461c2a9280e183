"""What may be trained on: mixtures of suites, and seeds that are not held out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vla_simulation.errors import SuiteError
from vla_simulation.scenes.stations import pick
from vla_simulation.seeds import FIRST_HELD_OUT_SEED, random_stream
from vla_simulation.suites import SuiteConfig, load_suite


@dataclass(frozen=True)
class SuiteMix:
    """One or more suites, and how often an episode is drawn from each.

    Attributes:
        suites: each once.
        shares: relative, one for each suite.
    """

    suites: tuple[SuiteConfig, ...]
    shares: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> SuiteMix:
        """Read `nominal` or `nominal:0.7,wide_start:0.3`; a suite without a share has share 1.

        Raises:
            SuiteError: a suite is unknown, or a share or a suite cannot be used; names every
                mistake of the latter kind.
        """
        names, shares, mistakes = [], [], []
        for part in text.split(","):
            name, colon, written = (piece.strip() for piece in part.partition(":"))
            share = _number(written) if colon else 1.0
            if not 0.0 < share < math.inf:
                mistakes.append(f"share '{written}' of suite '{name}', expected a number above 0")
            if name in names:
                mistakes.append(f"suite '{name}' is there twice, expected each once")
            names.append(name)
            shares.append(share)
        suites = tuple(load_suite(name) for name in names)
        mistakes += [
            f"suite '{suite.name}' is for evaluation only, which must never be trained on; take "
            "another"
            for suite in suites
            if suite.evaluation_only
        ]
        if mistakes:
            raise SuiteError("; ".join(mistakes))
        return cls(suites, tuple(shares))

    def __str__(self) -> str:
        if len(self.suites) == 1:
            return self.suites[0].name
        pairs = zip(self.suites, self.shares, strict=True)
        return ",".join(f"{suite.name}:{share:g}" for suite, share in pairs)

    def suite_of(self, seed: int) -> SuiteConfig:
        """The suite of an episode: a draw that its seed decides."""
        return self.suites[pick(random_stream(seed, "suite"), self.shares)]


def seed_mistakes(first: int, count: int) -> list[str]:
    """Why seeds cannot be trained on; empty if they can."""
    mistakes = []
    if first < 0:
        mistakes.append(f"seed is {first}, expected 0 or more")
    if first + count > FIRST_HELD_OUT_SEED:
        mistakes.append(
            f"seeds {first} to {first + count - 1} reach into those held out for evaluation (from "
            f"{FIRST_HELD_OUT_SEED} on), which must never be trained on; take smaller ones"
        )
    return mistakes


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
