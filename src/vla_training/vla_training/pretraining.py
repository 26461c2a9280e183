"""Pre-training of the vision backbones on frames without labels: guess what is hidden.

Patches of an image are hidden, and a linear decoder predicts their pixels from the backbone's
coarsest feature map, as in SimMIM (Xie et al., CVPR 2022). Hiding happens to pixels, not to tokens,
so that convolutions and transformers learn in the same way. The result begins a training as its
`initial` checkpoint does, of which it has the backbones only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from vla_training.checkpoints import Checkpoint, save_checkpoint
from vla_training.dataset.prefetching import Prefetcher
from vla_training.errors import TrainingError
from vla_training.frames import Frames
from vla_training.models import build_model
from vla_training.optimization import keep_freed_memory, make_optimizer, make_schedule
from vla_training.pretraining_config import PretrainingConfig, without_instruction
from vla_training.progress import progress_bar
from vla_training.run_keeper import CHECKPOINT_FILE
from vla_training.run_log import RunLog
from vla_training.training_config import TrainingConfig
from vla_training.training_data import shard_seed
from vla_training.training_step import HALF

if TYPE_CHECKING:
    from vla_training.models.vision import ImageEncoder

VALIDATION_FRAMES: Final = 512


class MaskedImages(nn.Module):
    """A backbone that is to guess the hidden patches of images.

    Args:
        encoder: Whose backbone it is; its other parts are not used.
        condition: Size C of the instruction's vector, which is zero here.
        patch: Side of a patch [px].
        share: Of the patches that are hidden.
    """

    def __init__(self, encoder: ImageEncoder, condition: int, patch: int, share: float) -> None:
        super().__init__()
        self.backbone = encoder.backbone
        self.standardize = encoder.standardize  # moves to the device with this module
        self._pixels = encoder._pixels
        self._condition = condition
        self._patch, self._share = patch, share
        level = encoder.backbone.levels[-1]
        self._stride = level.stride
        self.decoder = nn.Conv2d(level.channels, 3 * level.stride**2, 1)

    def forward(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Hide, guess and compare.

        Args:
            images: (B, H, W, 3) uint8.
            generator: Of the CPU; chooses the patches.

        Returns:
            Mean absolute errors over the hidden pixels, in standardised units: of the guess, and of
            the mean colour of what is visible, the least that a guess has to beat.
        """
        with torch.autocast(images.device.type, enabled=False):
            pixels = self._pixels(images)  # (B, 3, H, W)
        height, width = pixels.shape[2:]
        hidden = hidden_patches(len(images), height, width, self._patch, self._share, generator)
        hidden = hidden.to(pixels.device)
        visible = pixels.masked_fill(hidden, 0.0)
        condition = pixels.new_zeros(len(images), self._condition)
        features = self.backbone(visible, condition)[-1]
        guess = functional.pixel_shuffle(self.decoder(features), self._stride).float()
        # A map may reach beyond the image, or end before it: transformers see whole patches only.
        rows, columns = min(height, guess.shape[2]), min(width, guess.shape[3])
        pixels, hidden = pixels[:, :, :rows, :columns], hidden[:, :, :rows, :columns]
        mean = visible[:, :, :rows, :columns].sum((2, 3), keepdim=True) / (~hidden).sum(
            (2, 3), keepdim=True
        ).clamp(min=1)
        weights = hidden / (hidden.sum() * 3).clamp(min=1)
        error = (guess[:, :, :rows, :columns] - pixels).abs()
        return (error * weights).sum(), ((mean - pixels).abs() * weights).sum()


def hidden_patches(
    count: int, height: int, width: int, patch: int, share: float, generator: torch.Generator
) -> Tensor:
    """(count, 1, height, width) bool: true in an equal number of random patches of each image."""
    rows, columns = -(-height // patch), -(-width // patch)
    number = min(max(1, round(share * rows * columns)), rows * columns - 1)
    order = torch.rand(count, rows * columns, generator=generator).argsort(1)
    grid = (order < number).view(count, 1, rows, columns)
    return grid.repeat_interleave(patch, 2).repeat_interleave(patch, 3)[:, :, :height, :width]


@dataclass(frozen=True)
class PretrainingResult:
    """What a pre-training made.

    Attributes:
        checkpoint: The backbones.
        steps: Of the optimizer.
        frames: To learn from, over all cameras.
        duration_s: Wall time.
        metrics: On frames of other episodes: `masked_error`, and `masked_error_of_mean` of the mean
            visible colour.
    """

    checkpoint: Path
    steps: int
    frames: int
    duration_s: float
    metrics: dict[str, float]


def pretrain(config: PretrainingConfig, *, progress: bool = True) -> PretrainingResult:
    """Pre-train the backbone of every camera.

    Args:
        config: See `load_pretraining_config`.
        progress: Whether to show a bar.

    Raises:
        ConfigurationError: If configuration and contract contradict each other.
        DatasetError: If the data set cannot be used or has no image.
        TrainingError: If the loss is no longer finite or a file cannot be written.
    """
    begun = time.monotonic()
    if config.threads:
        torch.set_num_threads(config.threads)
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training = Frames(config.dataset, "training", device)
    validation = Frames(config.dataset, "validation", device)
    modules = _modules(config, training).to(device)
    optimizer = make_optimizer(modules, config.optimizer)
    schedule = make_schedule(optimizer, config.optimizer, config.steps)
    folder = Path(config.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"output {folder} cannot be written: {error}") from error
    log = RunLog(folder, "none", 0, {})
    metrics: dict[str, float] = {}

    def batch(step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(shard_seed(config.seed, step, 0))
        return training.batch(config.batch_size, generator)

    with (
        progress_bar("pre-training", config.steps, progress) as bar,
        Prefetcher(batch, 0, config.steps, config.prefetch) as batches,
    ):
        for step in range(1, config.steps + 1):
            modules.train()
            generator = torch.Generator().manual_seed(shard_seed(config.seed, step - 1, 1))
            loss, _ = _errors(modules, batches.take(), generator, config)
            loss.backward()
            clip_grad_norm_(modules.parameters(), config.optimizer.clip_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            value = loss.item()
            if value != value:
                raise TrainingError(
                    f"the loss is {value} at step {step}; lower optimizer.learning_rate"
                )
            bar.advance(f"masked error {value:.4f}")
            if step % config.validate_every == 0 or step == config.steps:
                metrics = _validate(modules, validation, config)
                log.append({"step": step, "training": {"loss": value}, "validation": metrics})
                bar.say(f"step {step} of {config.steps}: {_shown(metrics)}")
    path = folder / CHECKPOINT_FILE
    save_checkpoint(_checkpoint(config, training, modules, metrics, time.monotonic() - begun), path)
    return PretrainingResult(path, config.steps, training.count, time.monotonic() - begun, metrics)


def _modules(config: PretrainingConfig, frames: Frames) -> nn.ModuleDict:
    """By camera, its backbone and decoder."""
    torch.manual_seed(config.seed)
    policy = build_model(
        without_instruction(config.model), frames.contract, frames.statistics, frames.vocabulary
    )
    return nn.ModuleDict(
        {
            key: MaskedImages(
                policy.encoders[key],  # type: ignore[arg-type]
                config.model.condition,
                config.patch,
                config.mask,
            )
            for key in frames.keys
        }
    )


def _errors(
    modules: nn.ModuleDict,
    batch: dict[str, Tensor],
    generator: torch.Generator,
    config: PretrainingConfig,
) -> tuple[Tensor, Tensor]:
    """Mean over the cameras of what `MaskedImages` gives."""
    half = HALF.get(config.precision)
    with torch.autocast(next(iter(batch.values())).device.type, half, enabled=half is not None):
        pairs = [modules[key](images, generator) for key, images in batch.items()]
    guess, mean = (torch.stack(values).mean() for values in zip(*pairs, strict=True))
    return guess, mean


@torch.no_grad()
def _validate(
    modules: nn.ModuleDict, frames: Frames, config: PretrainingConfig
) -> dict[str, float]:
    """On the same frames with the same patches hidden, whenever it is called."""
    modules.eval()
    generator = torch.Generator().manual_seed(0)
    rounds = -(-VALIDATION_FRAMES // config.batch_size)
    pairs = [
        _errors(modules, frames.batch(config.batch_size, generator), generator, config)
        for _ in range(rounds)
    ]
    guess, mean = (float(torch.stack(values).mean()) for values in zip(*pairs, strict=True))
    return {"masked_error": guess, "masked_error_of_mean": mean}


def _checkpoint(
    config: PretrainingConfig,
    frames: Frames,
    modules: nn.ModuleDict,
    metrics: dict[str, float],
    duration_s: float,
) -> Checkpoint:
    weights = {
        f"encoders.{key}.backbone.{name}": value.detach().cpu().clone()
        for key, module in modules.items()
        for name, value in module.backbone.state_dict().items()  # type: ignore[union-attr]
    }
    return Checkpoint(
        config=TrainingConfig(
            dataset=config.dataset, output=config.output, name=config.name, model=config.model
        ),
        contract=frames.contract,
        statistics=frames.statistics,
        vocabulary=frames.vocabulary,
        dataset=frames.provenance,
        step=config.steps,
        training_s=duration_s,
        weights=weights,
        metrics=metrics,
    )


def _shown(figures: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in figures.items())
