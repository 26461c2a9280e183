"""The configuration of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vla_training.configuration import bounded, load
from vla_training.dataset.augmentation import AugmentationConfig
from vla_training.dataset.storage import STORAGES
from vla_training.errors import ConfigurationError
from vla_training.losses import LossConfig
from vla_training.models import PolicyConfig

DEFAULT_PRESET = "docking"


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW, its learning rate, and the average of the weights.

    Attributes:
        learning_rate: Largest rate of the run.
        schedule: "onecycle" (Smith and Topin, 2019: cosines up and down, from 1/25 of the largest
            rate to 4e-6 of it) or "cosine" (a straight line up from 0, a cosine down to 0).
        warmup: Share of the steps in which the rate rises.
        embedding_rate: Factor of the rate of word vectors.
        weight_decay: Of weight matrices and convolutions only.
        clip_norm: Largest norm of the gradient.
        ema_decay: Of the exponential moving average of the weights; that average is the policy.
    """

    learning_rate: float = bounded(1.5e-3, 1e-7, 1.0)
    schedule: str = bounded("onecycle", choices=("onecycle", "cosine"))
    warmup: float = bounded(0.15, 0.01, 0.9)
    embedding_rate: float = bounded(5.0, 0.01, 1000.0)
    weight_decay: float = bounded(0.01, 0.0, 1.0)
    clip_norm: float = bounded(1.0, 1e-3, 1e3)
    ema_decay: float = bounded(0.998, 0.0, 0.99999)


@dataclass(frozen=True)
class SelectionConfig:
    """Closed-loop evaluation while training: keeps the best policy, and may end the run.

    Attributes:
        suite: Of the simulated episodes; empty for no evaluation.
        episodes: Of one evaluation.
        every: Steps between two evaluations.
        patience: Evaluations without more successes after which the run ends; 0 for never.
    """

    suite: str = ""
    episodes: int = bounded(50, 1, 50_000)
    every: int = bounded(1000, 1, 100_000_000)
    patience: int = bounded(0, 0, 1_000_000)


@dataclass(frozen=True)
class TrainingConfig:
    """Everything a run depends on.

    Attributes:
        name: Of the preset.
        dataset: Data set file.
        output: Folder for checkpoint, configuration and metrics.
        initial: Checkpoint whose weights to begin with, as far as they fit; empty for none.
        seed: Of weights, order of samples and augmentation.
        steps: Optimizer steps.
        batch_size: Samples of a step, over all processes and micro-batches.
        near_share: Share of a batch that is drawn from the last part of the way in alone, besides
            what of it comes with the rest.
        near_m: Distance of the docked pose from which on that is.
        accumulate: Micro-batches whose mean gradient makes a step, in each process.
        shards: Parts of a batch whose augmentation is drawn apart, a multiple of processes times
            micro-batches; 0 for one each. With an equal number, any division of a batch over
            processes and micro-batches trains on the same samples.
        precision: "bf16" or "fp16" (autocast of the vision, the latter with scaled gradients) or
            "float32".
        checkpoint_activations: Compute the activations of blocks again in the backward pass
            instead of keeping them: less memory for a third more computing.
        compile: Compile policy and loss with `torch.compile`.
        strategy: What several processes hold: "ddp" (each the whole state) or "fsdp" (each a part
            of weights, gradients and moments).
        threads: CPU threads; 0 for torch's choice.
        storage: Where the data are while training reads them: "device", "memory", "mapped" from
            the file, or "auto" for the fastest of these that has room.
        prefetch: Batches that are made ahead, beside the step; 0 to make each in turn.
        validate_every: Steps between two validations and checkpoints.
        validation_samples: Largest number of samples of a validation.
        log: Where metrics go besides `metrics.jsonl`: "none", "tensorboard" or "mlflow".
        select: Choice of the best policy by its success in simulation.
        optimizer: How the weights move.
        loss: What is minimised.
        augmentation: What is varied.
        model: Sizes of the policy.
    """

    dataset: str
    output: str
    name: str = DEFAULT_PRESET
    initial: str = ""
    seed: int = bounded(0, 0, 2**31 - 1)
    steps: int = bounded(1500, 1, 100_000_000)
    batch_size: int = bounded(128, 1, 65536)
    near_share: float = bounded(0.0, 0.0, 0.9)
    near_m: float = bounded(0.2, 0.0, 100.0)
    accumulate: int = bounded(1, 1, 65536)
    shards: int = bounded(0, 0, 65536)
    precision: str = bounded("bf16", choices=("bf16", "fp16", "float32"))
    checkpoint_activations: bool = False
    compile: bool = False
    strategy: str = bounded("ddp", choices=("ddp", "fsdp"))
    threads: int = bounded(0, 0, 1024)
    storage: str = bounded("auto", choices=STORAGES)
    prefetch: int = bounded(2, 0, 64)
    validate_every: int = bounded(250, 1, 100_000_000)
    validation_samples: int = bounded(2048, 1, 10_000_000)
    log: str = bounded("none", choices=("none", "tensorboard", "mlflow"))
    select: SelectionConfig = field(default_factory=SelectionConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    model: PolicyConfig = field(default_factory=PolicyConfig)

    def __post_init__(self) -> None:
        self.loss.check(self.model.head)


def load_training_config(
    dataset: str | Path,
    output: str | Path,
    *,
    preset: str | Path = DEFAULT_PRESET,
    overrides: Sequence[str] = (),
    steps: int | None = None,
    seed: int | None = None,
) -> TrainingConfig:
    """A preset with overrides.

    Args:
        dataset: Data set file.
        output: Folder for the results.
        preset: Name of a preset or path of a YAML file.
        overrides: `section.key=value` texts.
        steps: Replaces the preset's.
        seed: Replaces the preset's.

    Raises:
        ConfigurationError: Naming every mistake.
    """
    values = {"dataset": str(dataset), "output": str(output), "steps": steps, "seed": seed}
    try:
        return load(TrainingConfig, preset, overrides, values)
    except ConfigurationError as error:
        if Path(dataset).is_file():
            raise
        # So that one run tells this, too; a valid configuration is checked when it is used.
        missing = f"dataset {dataset} does not exist; make it with `vla convert`"
        raise ConfigurationError(f"{error}; {missing}", [*error.mistakes, missing]) from error
