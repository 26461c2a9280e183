"""The configuration of a pre-training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vla_training.configuration import bounded, load
from vla_training.models import PolicyConfig
from vla_training.training_config import DEFAULT_PRESET, OptimizerConfig


@dataclass(frozen=True)
class PretrainingConfig:
    """Everything a pre-training depends on.

    Attributes:
        dataset: Data set file.
        output: Folder for checkpoint and metrics.
        name: Of the preset, whose model it is.
        seed: Of weights, order of frames and hidden patches.
        steps: Optimizer steps.
        batch_size: Frames of each camera in a step.
        patch: Side of a patch [px].
        mask: Share of the patches that are hidden.
        precision: "bf16" (autocast) or "float32".
        threads: CPU threads; 0 for torch's choice.
        prefetch: Batches that are made ahead, beside the step.
        validate_every: Steps between two validations.
        optimizer: How the weights move; the average of the weights is not used.
        model: The policy that they are for.
    """

    dataset: str
    output: str
    name: str = DEFAULT_PRESET
    seed: int = bounded(0, 0, 2**31 - 1)
    steps: int = bounded(2000, 1, 100_000_000)
    batch_size: int = bounded(128, 1, 65536)
    patch: int = bounded(16, 2, 256)
    mask: float = bounded(0.6, 0.05, 0.95)
    precision: str = bounded("bf16", choices=("bf16", "float32"))
    threads: int = bounded(0, 0, 1024)
    prefetch: int = bounded(2, 0, 64)
    validate_every: int = bounded(250, 1, 100_000_000)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(schedule="cosine"))
    model: PolicyConfig = field(default_factory=PolicyConfig)


def load_pretraining_config(
    dataset: str | Path,
    output: str | Path,
    *,
    preset: str | Path = DEFAULT_PRESET,
    overrides: Sequence[str] = (),
    steps: int | None = None,
    seed: int | None = None,
) -> PretrainingConfig:
    """The model of a preset, with overrides.

    Args:
        dataset: Data set file.
        output: Folder for the results.
        preset: Name of a preset of `vla train` or path of a YAML file; its model is taken.
        overrides: `section.key=value` texts.
        steps: Replaces the default.
        seed: Replaces the default.

    Raises:
        ConfigurationError: Naming every mistake.
    """
    values = {"dataset": str(dataset), "output": str(output), "steps": steps, "seed": seed}
    return load(PretrainingConfig, preset, overrides, values, sections=("name", "model"))


def without_instruction(model: PolicyConfig) -> PolicyConfig:
    """The same vision with nothing to hear, and a feature map to guess from."""
    vit = dataclasses.replace(model.vision.vit, output="patches")
    return dataclasses.replace(model, vision=dataclasses.replace(model.vision, film=False, vit=vit))
