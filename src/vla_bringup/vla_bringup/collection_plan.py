"""Which episodes a collection consists of: their suites, seeds and goals."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vla_bringup.collection_types import CollectionError, EpisodeOrder
from vla_simulation.config import StationConfig
from vla_simulation.scenes.starts import sample_episode
from vla_simulation.scenes.stations import pick
from vla_simulation.seeds import FIRST_HELD_OUT_SEED, random_stream
from vla_simulation.suites import SuiteConfig, load_suite

GOALS: Final = ("one", "every")
_AS_DRAWN: Final = -1


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
            SuiteError: a suite is unknown.
            CollectionError: a share or a suite cannot be used; names every mistake.
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
            raise CollectionError("; ".join(mistakes))
        return cls(suites, tuple(shares))

    def __str__(self) -> str:
        if len(self.suites) == 1:
            return self.suites[0].name
        pairs = zip(self.suites, self.shares, strict=True)
        return ",".join(f"{suite.name}:{share:g}" for suite, share in pairs)

    def suite_of(self, seed: int) -> SuiteConfig:
        """The suite of an episode: a draw that its seed decides."""
        return self.suites[pick(random_stream(seed, "suite"), self.shares)]


def plan(mix: SuiteMix, seeds: Iterable[int], goals: str) -> list[EpisodeOrder]:
    """The episodes of a collection.

    Args:
        mix: suites to draw from.
        seeds: one for each scene and start.
        goals: "one": each start is demonstrated once, for the goal that is drawn; "every": once
            for each of the scene's stations.
    """
    orders = []
    for seed in seeds:
        suite = mix.suite_of(seed)
        name = f"episode_{seed:06d}"
        names = {name: _AS_DRAWN}
        if goals == "every":
            scene, _ = sample_episode(seed, suite, StationConfig())
            names = {f"{name}_goal{k}": k for k in range(len(scene.stations))}
        orders += [
            EpisodeOrder(name, seed, suite.name, goal, suite.time_limit_s)
            for name, goal in names.items()
        ]
    return orders


def seed_mistakes(first: int, count: int) -> list[str]:
    """Why seeds cannot be collected; empty if they can."""
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
