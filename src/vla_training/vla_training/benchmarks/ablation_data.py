"""The data sets of ablations, driven in simulation as `vla rollout` drives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py

from vla_core.contract import Contract
from vla_simulation.config import SimulationConfig
from vla_simulation.scenes.starts import sample_episode
from vla_simulation.suite_mix import SuiteMix
from vla_simulation.suites import load_suite
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.head import SplitChoice
from vla_training.dataset.layout import EPISODES, describe_data
from vla_training.dataset.merging import merge
from vla_training.rollouts.options import RolloutOptions
from vla_training.rollouts.policies import choose_policy
from vla_training.rollouts.rollout import rollout

DEMONSTRATIONS: Final = "demonstrations"
CLEAN: Final = "clean"
PLAIN: Final = "plain"
RANDOMIZED: Final = "randomized"
ONE_SENTENCE: Final = "one_sentence"
VISITED: Final = "visited"

EXPERT_SHARE: Final = 0.25
"""Of the time in which states are visited: the expert brings a lost policy back."""

_FIRST_VISITED_SEED: Final = 100_000
_SPLIT: Final = SplitChoice(0.05, 0.0)
_DRIVEN: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    DEMONSTRATIONS: ("nominal", {}),
    CLEAN: ("nominal", {"noise": 0.0}),
    PLAIN: ("plain", {}),
    RANDOMIZED: ("randomized", {}),
}
"""Suite and further options of what the expert drives."""


def demonstrations_of(size: int) -> str:
    """Name of a data set of another size."""
    return f"{DEMONSTRATIONS}_{size}"


@dataclass(frozen=True)
class AblationData:
    """Makes data sets that are not there yet, in one folder.

    Attributes:
        folder: Of the data sets.
        contract: Of the simulated robot.
        size: Demonstrations of each, unless its name says another number.
        jobs: Processes; None for one per core.
        sentence: Of the data set with one sentence.
    """

    folder: Path
    contract: Contract
    size: int
    sentence: str
    jobs: int | None = None

    def path(self, name: str) -> Path:
        """Where a data set is, or will be."""
        kind, size = self._kind(name)
        return self.folder / f"{kind}_{size}.h5"

    def described(self, name: str) -> dict[str, Any]:
        """What is in a data set that is there; see `layout.describe_data`, without the bags."""
        path = self.path(name)
        with DatasetFile(path) as file:
            described = describe_data(path.name, file.episodes)
        return {key: value for key, value in described.items() if key != "bags"}

    def make(self, name: str, policy: Path | None = None) -> Path:
        """Make a data set, unless it is there.

        Args:
            name: One of those above, or of `demonstrations_of`.
            policy: Who visits the states of `VISITED`.

        Raises:
            VlaError: If it cannot be made.
        """
        path = self.path(name)
        if path.is_file():
            return path
        kind, size = self._kind(name)
        if kind == ONE_SENTENCE:
            self._one_sentence(path)
        elif kind == VISITED:
            self._visited(path, size, policy)
        else:
            self._driven(path, kind, size)
        return path

    def _kind(self, name: str) -> tuple[str, int]:
        kind, _, number = name.rpartition("_")
        return (kind, int(number)) if number.isdecimal() else (name, self.size)

    def _driven(self, path: Path, kind: str, size: int) -> None:
        """All sizes of one kind share the rows on the disk."""
        suite, options = _DRIVEN[kind]
        everything = self.folder / f"all_{kind}.h5"
        rollout(everything, range(scenes_for(size, suite)), self._options(suite, **options),
                split=_SPLIT, workers=self.jobs)  # fmt: skip
        merge([everything], path)

    def _one_sentence(self, path: Path) -> None:
        """The same rows, whose sentences say nothing."""
        temporary = path.with_name(f"all_{path.name}")
        merge([self.make(DEMONSTRATIONS)], temporary)
        with h5py.File(temporary, "r+") as file:
            table = file[EPISODES]
            count = len(table["instruction"])
            table["instruction"][...] = [self.sentence] * count
            table["paraphrases"][...] = ["[]"] * count
        merge([temporary], path)

    def _visited(self, path: Path, size: int, policy: Path | None) -> None:
        """The demonstrations, and as many episodes that a policy drives and the expert labels."""
        if policy is None:
            raise ValueError("states are visited by a policy")
        driven = self.folder / f"all_{VISITED}.h5"
        options = self._options(
            "nominal", policy=choose_policy(policy, self.contract), expert_share=EXPERT_SHARE
        )
        first = _FIRST_VISITED_SEED
        seeds = range(first, first + scenes_for(size, "nominal", first))
        rollout(driven, seeds, options, split=_SPLIT, workers=self.jobs)
        merge([self.make(DEMONSTRATIONS), driven], path)

    def _options(self, suite: str, **more: Any) -> RolloutOptions:
        mix = SuiteMix.parse(suite)
        return RolloutOptions(contract=self.contract, mix=mix, goals="every", **more)


def scenes_for(episodes: int, suite: str, first: int = 0) -> int:
    """How many scenes have at least so many stations, each of which is docked at once.

    Args:
        episodes: At least 1.
        suite: That the scenes are drawn from.
        first: Seed of the first scene.
    """
    config, station = load_suite(suite), SimulationConfig().station
    stations, seed = 0, first
    while stations < episodes:
        stations += len(sample_episode(seed, config, station)[0].stations)
        seed += 1
    return seed - first
