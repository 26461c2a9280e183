"""Augmentation of whole batches: what changes the pixels and beams but not the right action."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vla_core import keys
from vla_core.contract import Contract, StreamSpec
from vla_core.contract_specs import ImageDecoder, OdometryDecoder, ScanDecoder
from vla_core.language import Vocabulary
from vla_training.configuration import bounded
from vla_training.dataset.windows import Batch
from vla_training.errors import ConfigurationError

_SYMMETRY_TOLERANCE = 1e-6


@dataclass(frozen=True)
class AugmentationConfig:
    """How much is changed.

    Attributes:
        mirror: Probability of swapping left and right: image, scan, angular velocity, station
            pose and the words left and right.
        brightness: Largest shift, as a share of 255.
        contrast: Largest relative change of contrast.
        colour: Largest relative change of each colour channel.
        scan_noise_m: Standard deviation of noise on each beam.
        beam_dropout: Probability that a beam loses its return.
        image_dropout: Probability that the image is marked invalid.
        scan_dropout: Probability that the scan is marked invalid.
        odometry_dropout: Probability that odometry is marked invalid.
    """

    mirror: float = bounded(0.5, 0.0, 1.0)
    brightness: float = bounded(0.15, 0.0, 1.0)
    contrast: float = bounded(0.2, 0.0, 0.9)
    colour: float = bounded(0.08, 0.0, 0.9)
    scan_noise_m: float = bounded(0.005, 0.0, 1.0)
    beam_dropout: float = bounded(0.02, 0.0, 1.0)
    image_dropout: float = bounded(0.02, 0.0, 1.0)
    scan_dropout: float = bounded(0.05, 0.0, 1.0)
    odometry_dropout: float = bounded(0.1, 0.0, 1.0)


class Augmentation:
    """Applies a configuration to batches of `DockingDataset`.

    Args:
        config: How much.
        contract: What the streams are.
        vocabulary: Knows the words left and right, if the instructions use them.

    Raises:
        ConfigurationError: If mirroring is asked for and a stream is not symmetric.
    """

    def __init__(
        self, config: AugmentationConfig, contract: Contract, vocabulary: Vocabulary
    ) -> None:
        self._config = config
        self._contract = contract
        if config.mirror > 0.0:
            for stream in contract.streams:
                _check_symmetry(stream)
        self._action_sign = _mirror_sign(contract.action.fields)
        self._swapped_words = _swapped_words(vocabulary)

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Change a batch in place, and return it."""
        size = len(batch[keys.VALID])
        if self._config.mirror > 0.0:
            chosen = torch.rand(size, generator=generator) < self._config.mirror
            self.mirror(batch, chosen)
        for index, stream in enumerate(self._contract.streams):
            dropout = 0.0
            if isinstance(stream.decoder, ImageDecoder):
                batch[stream.key] = self._change_light(batch[stream.key], generator)
                dropout = self._config.image_dropout
            elif isinstance(stream.decoder, ScanDecoder):
                batch[stream.key] = self._disturb_scan(batch[stream.key], stream.decoder, generator)
                dropout = self._config.scan_dropout
            elif isinstance(stream.decoder, OdometryDecoder):
                dropout = self._config.odometry_dropout
            kept = torch.rand(size, generator=generator) >= dropout
            batch[keys.VALID][:, index] *= kept
        return batch

    def mirror(self, batch: Batch, chosen: Tensor) -> None:
        """Swap left and right of the chosen samples, in place; `chosen` is (B,) bool."""
        for stream in self._contract.streams:
            values = batch[stream.key][chosen]
            if isinstance(stream.decoder, ImageDecoder):
                mirrored = values.flip(2)
            elif isinstance(stream.decoder, ScanDecoder):
                mirrored = values.flip(1)
            else:
                mirrored = values * _mirror_sign(stream.decoder.fields)
            batch[stream.key][chosen] = mirrored
        batch[keys.ACTION][chosen] *= self._action_sign
        batch[keys.DOCK_POSE][chosen] *= torch.tensor([1.0, -1.0, -1.0])
        batch[keys.INSTRUCTION][chosen] = self._swapped_words[batch[keys.INSTRUCTION][chosen]]

    def _change_light(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """One gain and one offset per sample and channel: brightness, contrast and colour."""
        config = self._config
        size = len(image)

        def spread(columns: int) -> Tensor:
            return torch.rand(size, 1, 1, columns, generator=generator) * 2.0 - 1.0

        contrast = 1.0 + config.contrast * spread(1)
        gain = contrast * (1.0 + config.colour * spread(3))
        offset = 127.5 * (1.0 - contrast) + 255.0 * config.brightness * spread(1)
        return torch.addcmul(offset, image.float(), gain).clamp_(0.0, 255.0).to(torch.uint8)

    def _disturb_scan(
        self, scan: Tensor, decoder: ScanDecoder, generator: torch.Generator
    ) -> Tensor:
        noise = torch.randn(scan.shape, generator=generator) * self._config.scan_noise_m
        hit = scan < decoder.range_max_m
        lost = torch.rand(scan.shape, generator=generator) < self._config.beam_dropout
        noisy = (scan + noise).clamp(decoder.range_min_m, decoder.range_max_m)
        return torch.where(hit & ~lost, noisy, decoder.range_max_m)


def _mirror_sign(fields: tuple[str, ...]) -> Tensor:
    """-1 for what changes its sign in a mirror: sideways and turning motion."""
    return torch.tensor([-1.0 if f in ("angular.z", "linear.y") else 1.0 for f in fields])


def _swapped_words(vocabulary: Vocabulary) -> Tensor:
    """Word number to word number, left and right swapped."""
    numbers = torch.arange(vocabulary.size)
    left, right = (int(vocabulary.encode(word)[0]) for word in ("left", "right"))
    if vocabulary.unknown_words("left right"):
        return numbers
    numbers[left], numbers[right] = right, left
    return numbers


def _check_symmetry(stream: StreamSpec) -> None:
    decoder = stream.decoder
    skew = 0.0
    if isinstance(decoder, ImageDecoder):
        skew = decoder.crop[2] - decoder.crop[3]
    elif isinstance(decoder, ScanDecoder):
        skew = decoder.angle_min_rad + decoder.angle_max_rad
    if abs(skew) > _SYMMETRY_TOLERANCE:
        raise ConfigurationError(
            f"augmentation.mirror: stream {stream.key!r} is not symmetric about the robot's x axis "
            "(its crop or its angles differ between left and right); set augmentation.mirror=0"
        )
