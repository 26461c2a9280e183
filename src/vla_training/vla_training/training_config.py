"""The configuration of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vla_training.configuration import bounded, load
from vla_training.dataset.augmentation import AugmentationConfig
from vla_training.dataset.storage import STORAGES
from vla_training.losses import LossConfig
from vla_training.models import DockingCnnConfig

DEFAULT_PRESET = "docking_cnn"


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with a one-cycle learning rate.

    Attributes:
        learning_rate: Largest rate of the cycle.
        warmup: Share of the steps in which it rises.
        weight_decay: Of weight matrices and convolutions only.
        clip_norm: Largest norm of the gradient.
        ema_decay: Of the exponential moving average of the weights; that average is the policy.
    """

    learning_rate: float = bounded(1.5e-3, 1e-7, 1.0)
    warmup: float = bounded(0.15, 0.01, 0.9)
    weight_decay: float = bounded(0.01, 0.0, 1.0)
    clip_norm: float = bounded(1.0, 1e-3, 1e3)
    ema_decay: float = bounded(0.998, 0.0, 0.99999)


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
        batch_size: Samples of a step.
        precision: "bf16" (autocast of the convolutions) or "float32".
        threads: CPU threads; 0 for torch's choice.
        storage: Where the data are while training reads them: "device", "memory", "mapped" from
            the file, or "auto" for the fastest of these that has room.
        prefetch: Batches that are made ahead, beside the step; 0 to make each in turn.
        validate_every: Steps between two validations and checkpoints.
        validation_samples: Largest number of samples of a validation.
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
    precision: str = bounded("bf16", choices=("bf16", "float32"))
    threads: int = bounded(0, 0, 1024)
    storage: str = bounded("auto", choices=STORAGES)
    prefetch: int = bounded(2, 0, 64)
    validate_every: int = bounded(250, 1, 100_000_000)
    validation_samples: int = bounded(2048, 1, 10_000_000)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    model: DockingCnnConfig = field(default_factory=DockingCnnConfig)


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
    return load(TrainingConfig, preset, overrides, values)
