"""What a DAgger run depends on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vla_core.contract import Contract
from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_simulation.suite_mix import SuiteMix
from vla_training.errors import RolloutError
from vla_training.rollouts.options import PolicyChoice, RolloutOptions
from vla_training.selection import FIRST_SELECTION_SEED
from vla_training.training_config import DEFAULT_PRESET

FIRST_VALIDATION_SEED = 950_000
"""Apart from the seeds that choose among the checkpoints of one training run."""


@dataclass(frozen=True)
class VisitConfig:
    """What is driven in a round.

    Attributes:
        scenes: Seeds of a round.
        seed: First seed of the first round; each round takes the ones after the last's.
        mix: Suites that scenes are drawn from.
        goals: "one" or "every", see `RolloutOptions`.
        starts: "suite", "path" or "dock", see `RolloutOptions`.
        looks: Starts per scene with "path" and "dock".
        duration_s: Of an episode; None until it is over.
        expert_share: Share of the time in which the expert drives in the first round.
        decay: Of that share from round to round.
        segment_s: Time between two draws of who drives.
        noise: Scale of the disturbance of what the expert executes.
        max_distance_m: An episode ends where the robot is further from the commanded dock.
    """

    scenes: int = 200
    seed: int = 200_000
    mix: SuiteMix = field(default_factory=lambda: SuiteMix.parse("nominal"))
    goals: str = "every"
    starts: str = "suite"
    looks: int = 1
    duration_s: float | None = None
    expert_share: float = 0.5
    decay: float = 0.5
    segment_s: float = 1.0
    noise: float = 1.0
    max_distance_m: float = 4.0

    def options(self, contract: Contract, policy: PolicyChoice, number: int) -> RolloutOptions:
        """What the rollouts of a round (from 1) depend on.

        Raises:
            RolloutError: Naming every mistake.
        """
        return RolloutOptions(
            contract=contract,
            mix=self.mix,
            goals=self.goals,
            starts=self.starts,
            looks=self.looks,
            duration_s=self.duration_s,
            noise=self.noise,
            policy=policy,
            expert_share=self.expert_share * self.decay ** (number - 1),
            segment_s=self.segment_s,
            max_distance_m=self.max_distance_m,
        )

    def seeds(self, number: int) -> range:
        """Seeds of a round (from 1)."""
        first = self.seed + (number - 1) * self.scenes
        return range(first, first + self.scenes)


@dataclass(frozen=True)
class CheckConfig:
    """How a round's policy is judged, and when it is good enough.

    Attributes:
        suite: Of the episodes.
        episodes: How many; with two or more stations each runs again with another's sentence.
        seed: Of the first one: neither trained on nor held out for the final evaluation.
        target: Share of successful runs at which the run ends.
        patience: Rounds without more successes after which it ends; 0 for never.
    """

    suite: str = "nominal"
    episodes: int = 50
    seed: int = FIRST_VALIDATION_SEED
    target: float = 1.0
    patience: int = 0


@dataclass(frozen=True)
class FitConfig:
    """How a round trains.

    Attributes:
        preset: Where there is no policy to begin with.
        overrides: `section.key=value` texts, of every training.
        first_steps: Of the first policy, where there is none; None for the preset's.
        steps: Of each round.
        learning_rate: Largest one of each round: lower than that of the first policy.
        seed: Of the first training; each round's is one more.
    """

    preset: str = DEFAULT_PRESET
    overrides: tuple[str, ...] = ()
    first_steps: int | None = None
    steps: int = 600
    learning_rate: float = 5e-4
    seed: int = 0


@dataclass(frozen=True)
class DaggerConfig:
    """Everything a run depends on.

    Attributes:
        output: Folder of everything that it makes.
        datasets: What the first policy was, or is, trained on.
        initial: Checkpoint or training folder of the first policy; None to train it.
        corrections: Data sets in which a person took over from a policy.
        rounds: At most so many.
        visit: What is driven.
        fit: How it is trained on.
        check: How it is judged.
        workers: Processes; None for as many as there are cores.

    Raises:
        RolloutError: Naming every mistake.
    """

    output: Path
    datasets: tuple[Path, ...]
    initial: Path | None = None
    corrections: tuple[Path, ...] = ()
    rounds: int = 5
    visit: VisitConfig = field(default_factory=VisitConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    check: CheckConfig = field(default_factory=CheckConfig)
    workers: int | None = None

    def __post_init__(self) -> None:
        visit, check = self.visit, self.check
        mistakes = [
            f"{name} is {value}, expected {low:g} to {high:g}"
            for name, value, low, high in (
                ("rounds", self.rounds, 1, 1000),
                ("scenes", visit.scenes, 1, FIRST_SELECTION_SEED),
                ("seed", visit.seed, 0, FIRST_SELECTION_SEED - self.rounds * visit.scenes),
                ("decay", visit.decay, 0.0, 1.0),
                ("validation episodes", check.episodes, 1, FIRST_SELECTION_SEED),
                (
                    "first validation seed",
                    check.seed,
                    FIRST_SELECTION_SEED,
                    FIRST_HELD_OUT_SEED - check.episodes,
                ),
                ("target", check.target, 0.0, 1.0),
                ("patience", check.patience, 0, 1000),
            )
            if not low <= value <= high
        ]
        if not self.datasets:
            mistakes.append("there is no data set, expected what the first policy is trained on")
        if mistakes:
            raise RolloutError(f"dagger: {'; '.join(mistakes)}")

    def settings(self) -> dict[str, Any]:
        """What must not change between the parts of an interrupted run, as JSON can say it."""
        visit = {**self.visit.__dict__, "mix": str(self.visit.mix)}
        check = {k: v for k, v in self.check.__dict__.items() if k not in ("target", "patience")}
        return {
            "datasets": [str(path) for path in self.datasets],
            "initial": str(self.initial or ""),
            "corrections": [str(path) for path in self.corrections],
            **visit,
            **{f"fit.{k}": v for k, v in self.fit.__dict__.items()},
            "fit.overrides": list(self.fit.overrides),
            **{f"check.{k}": v for k, v in check.items()},
        }
