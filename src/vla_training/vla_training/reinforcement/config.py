"""The configuration of a fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vla_core.action_chunks import DEFAULT_EXECUTION_MODE, EXECUTION_MODES
from vla_core.errors import VlaError
from vla_core.keys import IMAGE
from vla_simulation.suite_mix import SuiteMix, seed_mistakes
from vla_simulation.suites import load_suite
from vla_training.checkpoints import Checkpoint
from vla_training.configuration import bounded, load
from vla_training.distribution import process_count
from vla_training.errors import ConfigurationError
from vla_training.reinforcement.exploration import NoiseConfig, steps_used
from vla_training.reinforcement.fused_policy import GROUPS, CriticConfig
from vla_training.reinforcement.objective import PpoConfig
from vla_training.reinforcement.reward import RewardConfig
from vla_training.run_log import missing_package
from vla_training.selection import FIRST_SELECTION_SEED

FIRST_CHECK_SEED: Final = 960_000
"""Seeds from here on choose among the iterations; training data never has them."""

FIRST_VERDICT_SEED: Final = 970_000
"""Seeds from here to the held-out ones decide whether the result is kept, and nothing else."""

_MOST_CHECKED: Final = FIRST_VERDICT_SEED - FIRST_CHECK_SEED
_MOST_JUDGED: Final = 1_000_000 - FIRST_VERDICT_SEED

STATE_FILE: Final = "state.pt"
"""Of the output folder: what a run goes on from."""

FIGURES: Final = ("success", "precise")


@dataclass(frozen=True)
class DriveConfig:
    """What is driven in an iteration, and how chunks are executed.

    Attributes:
        suite: Suite that scenes are drawn from, or several with shares: "nominal:2,wide_start:1".
        first_seed: Of the first scene; every iteration takes the ones after the last's.
        episodes: Of an iteration.
        dock_share: Share of them that begin in the last metre before the commanded dock.
        failure_share: Share of them that repeat scenes at which the policy has failed, as far as
            there are any.
        failures: Newest scenes of that kind that are remembered.
        duration_s: Ends an episode after this time [s]; 0 for when it is over.
        mode: How overlapping chunks become one action.
        latency_ticks: Control periods from a frame to the chunk computed from it.
        replan_steps: Control periods of a macro action: between two inferences.
    """

    suite: str = "nominal"
    first_seed: int = bounded(500_000, 0, FIRST_SELECTION_SEED - 1)
    episodes: int = bounded(48, 1, 100_000)
    dock_share: float = bounded(0.5, 0.0, 1.0)
    failure_share: float = bounded(0.25, 0.0, 1.0)
    failures: int = bounded(256, 0, 100_000)
    duration_s: float = bounded(0.0, 0.0, 3600.0)
    mode: str = bounded(str(DEFAULT_EXECUTION_MODE), choices=EXECUTION_MODES)
    latency_ticks: int = bounded(1, 0, 9)
    replan_steps: int = bounded(2, 1, 10)


@dataclass(frozen=True)
class CheckConfig:
    """Evaluations that choose among the iterations, without exploration.

    Attributes:
        suite: Of the episodes.
        episodes: Of one evaluation.
        every: Iterations between two; 0 for none: the last iteration is the result.
    """

    suite: str = "nominal"
    episodes: int = bounded(40, 1, _MOST_CHECKED)
    every: int = bounded(5, 0, 1_000_000)


@dataclass(frozen=True)
class VerdictConfig:
    """The paired comparison that decides whether the result is kept.

    Attributes:
        suite: Of the episodes.
        episodes: How many, each driven by both policies.
        swap: Run each with more than one station with another one's sentence, too.
        figure: What has to become better: "success" or "precise".
        significance: Largest p of McNemar's test of that figure.
    """

    suite: str = "nominal"
    episodes: int = bounded(200, 1, _MOST_JUDGED)
    swap: bool = True
    figure: str = bounded("success", choices=FIGURES)
    significance: float = bounded(0.05, 1e-6, 0.5)


@dataclass(frozen=True)
class FinetuneConfig:
    """Everything a fine-tuning depends on.

    Attributes:
        initial: Checkpoint or training folder of the policy to begin with.
        output: Folder for everything that it makes.
        seed: Of the noise, of what is drawn of the scenes, and of the order of samples.
        iterations: Of driving and learning from it.
        groups: Parameters that are trained, of `GROUPS`. With none but "head" and "fusion", what
            the encoders made of an observation is kept in place of the observation.
        threads: CPU threads of an update; 0 for torch's choice.
        log: Where metrics go besides `metrics.jsonl`: "none", "tensorboard" or "mlflow".
        drive: What is driven.
        noise: How it explores.
        reward: What is how good.
        critic: The value.
        ppo: How the weights move.
        check: What chooses among the iterations.
        verdict: What decides whether the result is kept.
    """

    initial: str
    output: str
    seed: int = bounded(0, 0, 2**31 - 1)
    iterations: int = bounded(40, 1, 1_000_000)
    groups: tuple[str, ...] = bounded(("head", "fusion"), choices=GROUPS)
    threads: int = bounded(0, 0, 1024)
    log: str = bounded("none", choices=("none", "tensorboard", "mlflow"))
    drive: DriveConfig = field(default_factory=DriveConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)
    ppo: PpoConfig = field(default_factory=PpoConfig)
    check: CheckConfig = field(default_factory=CheckConfig)
    verdict: VerdictConfig = field(default_factory=VerdictConfig)


def load_finetune_config(
    initial: str | Path,
    output: str | Path,
    *,
    file: str | Path | None = None,
    overrides: Sequence[str] = (),
    iterations: int | None = None,
    seed: int | None = None,
) -> FinetuneConfig:
    """The defaults, a file's values in their place, and overrides in theirs.

    Args:
        initial: Checkpoint or training folder of the policy to begin with.
        output: Folder for the results.
        file: YAML file; None for none.
        overrides: `section.key=value` texts.
        iterations: Replaces the file's.
        seed: Replaces the file's.

    Raises:
        ConfigurationError: Naming every mistake.
    """
    values = {
        "initial": str(initial),
        "output": str(output),
        "iterations": iterations,
        "seed": seed,
    }
    return load(FinetuneConfig, file, overrides, values)


def check_finetuning(config: FinetuneConfig, initial: Checkpoint) -> None:
    """Look for mistakes that only the policy, the suites and the machine show.

    Args:
        config: Valid in itself.
        initial: The policy to begin with.

    Raises:
        ConfigurationError: Naming every mistake.
    """
    mistakes = [
        *_drive_mistakes(config),
        *_suite_mistakes(config),
        *_policy_mistakes(config, initial),
    ]
    if package := missing_package(config.log):
        mistakes.append(f"log is {config.log!r}, which is not installed; pip install {package}")
    if process_count() > 1:
        mistakes.append(
            f"{process_count()} processes were started to train together, expected one; episodes "
            "are spread over --workers"
        )
    folder = Path(config.output)
    if folder.exists() and not folder.is_dir():
        mistakes.append(f"output {folder} is a file; name a folder")
    if (folder / "checkpoint.pt").is_file() and not (folder / STATE_FILE).is_file():
        mistakes.append(f"output {folder} holds the checkpoint of another run; name another folder")
    if mistakes:
        raise ConfigurationError(
            f"configuration of {config.output}: {'; '.join(mistakes)} "
            f"({len(mistakes)} {'mistake' if len(mistakes) == 1 else 'mistakes'})",
            mistakes,
        )


def _drive_mistakes(config: FinetuneConfig) -> Iterator[str]:
    drive = config.drive
    scenes = config.iterations * drive.episodes
    yield from (f"drive: {mistake}" for mistake in seed_mistakes(drive.first_seed, scenes))
    if drive.first_seed + scenes > FIRST_SELECTION_SEED:
        yield (
            f"drive: seeds {drive.first_seed} to {drive.first_seed + scenes - 1} reach into those "
            f"that choose among policies (from {FIRST_SELECTION_SEED} on); take fewer iterations, "
            "fewer episodes or a smaller first_seed"
        )
    try:
        SuiteMix.parse(drive.suite)
    except VlaError as error:
        yield f"drive.suite: {error}"


def _suite_mistakes(config: FinetuneConfig) -> Iterator[str]:
    for name, suite in (("check", config.check.suite), ("verdict", config.verdict.suite)):
        try:
            if load_suite(suite).evaluation_only:
                yield (
                    f"{name}.suite {suite!r} is for evaluation only: a policy chosen by it would "
                    "no longer be new to it; choose by another suite"
                )
        except VlaError as error:
            yield f"{name}.suite: {error}"


def _policy_mistakes(config: FinetuneConfig, initial: Checkpoint) -> Iterator[str]:
    drive, model, action = config.drive, initial.config.model, initial.contract.action
    if not config.groups:
        yield "groups is empty, expected at least one, such as head"
    if not model.head.has_gradient:
        yield (
            f"{config.initial}: its head's tokens are decoded by argmax, through which no gradient "
            "comes; train it with model.head.tokens.decode=expectation"
        )
    if "vision" in config.groups and IMAGE not in initial.contract.keys:
        yield f"groups names vision, but {config.initial} has no camera"
    used = steps_used(drive.mode, drive.latency_ticks, drive.replan_steps, action.chunk_length)
    if used.start >= used.stop or drive.latency_ticks + drive.replan_steps > action.chunk_length:
        yield (
            f"drive: a chunk of {action.chunk_length} steps does not last for latency_ticks "
            f"{drive.latency_ticks} and replan_steps {drive.replan_steps}"
        )
