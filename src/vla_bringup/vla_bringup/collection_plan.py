"""Which episodes a collection consists of: their suites, seeds and goals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vla_bringup.collection_types import EpisodeOrder
from vla_simulation.config import StationConfig
from vla_simulation.scenes.starts import sample_episode
from vla_simulation.suite_mix import SuiteMix, seed_mistakes

__all__ = ["GOALS", "SuiteMix", "plan", "seed_mistakes"]

GOALS: Final = ("one", "every")
_AS_DRAWN: Final = -1


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
