"""Augmentation of whole batches: what changes the senses but not the right action.

Everything is computed on batches, on the device that they are on; nothing is done sample by sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from vla_core import keys
from vla_core.contract import Contract
from vla_core.contract_specs import ImageDecoder, OdometryDecoder, ScanDecoder
from vla_core.language import Vocabulary
from vla_training.configuration import bounded
from vla_training.dataset.batch import Batch
from vla_training.dataset.image_augmentation import (
    Draws,
    ImageAugmentation,
    ImageConfig,
    LightConfig,
)
from vla_training.dataset.mirroring import Mirror, check_symmetry


@dataclass(frozen=True)
class ScanConfig:
    """What is done to scans; each with a probability per sample and a largest size.

    Attributes:
        noise_m: Standard deviation of noise on each beam [m].
        beam_dropout: Share of the beams that lose their return.
    """

    noise_probability: float = bounded(0.8, 0.0, 1.0)
    noise_m: float = bounded(0.01, 0.0, 1.0)
    beam_dropout_probability: float = bounded(0.3, 0.0, 1.0)
    beam_dropout: float = bounded(0.1, 0.0, 1.0)


@dataclass(frozen=True)
class StreamDropoutConfig:
    """Probabilities that a sample loses a stream, which then is as if nothing had ever come.

    Attributes:
        image: Of images.
        scan: Of scans.
        odometry: Of odometry.
    """

    image: float = bounded(0.02, 0.0, 1.0)
    scan: float = bounded(0.05, 0.0, 1.0)
    odometry: float = bounded(0.1, 0.0, 1.0)


@dataclass(frozen=True)
class AugmentationConfig:
    """How much is changed.

    Attributes:
        mirror: Probability of swapping left and right, see `mirroring`.
        paraphrase: Probability of another sentence that commands the same, where a data set has
            any; drawn by `DockingDataset`.
        light: Colour and exposure of images.
        image: Shift, blur, crop and cut-out of images.
        scan: Noise and lost beams.
        dropout: Lost streams.
    """

    mirror: float = bounded(0.5, 0.0, 1.0)
    paraphrase: float = bounded(0.8, 0.0, 1.0)
    light: LightConfig = field(default_factory=LightConfig)
    image: ImageConfig = field(default_factory=ImageConfig)
    scan: ScanConfig = field(default_factory=ScanConfig)
    dropout: StreamDropoutConfig = field(default_factory=StreamDropoutConfig)


class Augmentation:
    """Applies a configuration to batches of `DockingDataset`.

    Args:
        config: How much.
        contract: What the streams are.
        vocabulary: Knows the words for left, right and numbers, if the instructions use them.

    Raises:
        ConfigurationError: If mirroring is asked for and a stream is not symmetric.
    """

    def __init__(
        self, config: AugmentationConfig, contract: Contract, vocabulary: Vocabulary
    ) -> None:
        if config.mirror > 0.0:
            check_symmetry(contract)
        self._config = config
        self._contract = contract
        self._mirror = Mirror(contract, vocabulary)
        self._images = {
            stream.key: ImageAugmentation(config.light, config.image, *stream.shape[:2])
            for stream in contract.streams
            if isinstance(stream.decoder, ImageDecoder)
        }
        self._dropout = torch.tensor(
            [_dropout_of(stream.decoder, config.dropout) for stream in contract.streams]
        )

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Change a batch in place, and return it.

        Args:
            batch: As `DockingDataset.batch` gives it, on any device.
            generator: Of the CPU; with equal states, equal changes on every device.
        """
        size = len(batch[keys.VALID])
        chosen = torch.rand(size, generator=generator) < self._config.mirror
        self.mirror(batch, chosen)
        for stream in self._contract.streams:
            values = batch[stream.key]
            if stream.key in self._images:
                frames = values.view(-1, *stream.shape)
                draws = Draws(generator, size, len(frames) // size, values.device)
                batch[stream.key] = self._images[stream.key](frames, draws).view(values.shape)
            elif isinstance(stream.decoder, ScanDecoder):
                batch[stream.key] = self._disturb_scan(values, stream.decoder, generator)
        self._drop_streams(batch, generator)
        return batch

    def mirror(self, batch: Batch, chosen: Tensor) -> None:
        """Swap left and right of those of the chosen samples that allow it, in place.

        Args:
            batch: As for a call.
            chosen: (B,) bool.
        """
        instruction = batch[keys.INSTRUCTION]
        chosen = chosen.to(instruction.device) & self._mirror.allowed(instruction)
        self._mirror.apply(batch, torch.nonzero(chosen).squeeze(1))

    def _disturb_scan(
        self, scan: Tensor, decoder: ScanDecoder, generator: torch.Generator
    ) -> Tensor:
        """Noise on returns, and returns that are lost; (B, beams) or (B, T, beams) [m]."""
        config, size = self._config.scan, len(scan)
        per_sample = (size,) + (1,) * (scan.dim() - 1)

        def amount(probability: float, limit: float) -> Tensor:
            drawn = torch.rand(2, *per_sample, generator=generator)
            return drawn[0] * limit * (drawn[1] < probability)

        deviation = amount(config.noise_probability, config.noise_m)
        share = amount(config.beam_dropout_probability, config.beam_dropout)
        noise = deviation * torch.randn(scan.shape, generator=generator)
        lost = torch.rand(scan.shape, generator=generator) < share
        hit = (scan < decoder.range_max_m) & ~lost.to(scan.device)
        noisy = (scan + noise.to(scan.device)).clamp(decoder.range_min_m, decoder.range_max_m)
        # A beam without a return has the longest range, exactly.
        return torch.where(hit, noisy, decoder.range_max_m)

    def _drop_streams(self, batch: Batch, generator: torch.Generator) -> None:
        """Take whole streams away; a sample that would be left without any keeps all."""
        valid = batch[keys.VALID]  # (B, S) or (B, T, S)
        drawn = torch.rand(len(valid), len(self._dropout), generator=generator) < self._dropout
        dropped = drawn.to(valid.device)
        present = valid.amax(1) if valid.dim() == 3 else valid
        dropped &= ((present > 0.5) & ~dropped).any(1, keepdim=True)
        for index, stream in enumerate(self._contract.streams):
            gone = torch.nonzero(dropped[:, index]).squeeze(1)
            batch[stream.key][gone] = 0
            valid[..., index][gone] = 0.0


def _dropout_of(decoder: object, config: StreamDropoutConfig) -> float:
    if isinstance(decoder, ImageDecoder):
        return config.image
    if isinstance(decoder, ScanDecoder):
        return config.scan
    return config.odometry if isinstance(decoder, OdometryDecoder) else 0.0
