"""Random numbers of one batch."""

from __future__ import annotations

import torch
from torch import Tensor


class Draws:
    """Random numbers of one batch.

    They are made on the CPU wherever the batch is, so that every device sees the same ones.

    Args:
        generator: Of the CPU.
        samples: Number of samples B.
        frames: Images of a sample (T); they share what is drawn for the sample.
        device: Where the numbers are wanted.
    """

    def __init__(
        self, generator: torch.Generator, samples: int, frames: int, device: torch.device
    ) -> None:
        self._generator = generator
        self._samples, self._frames = samples, frames
        self._device = device

    def spread(self, probability: float, limit: float, columns: int = 1) -> Tensor:
        """(B T, columns): uniform up to ±limit with a probability, otherwise 0."""
        values = (2.0 * self._rand(self._samples, columns) - 1.0) * limit
        values *= self._rand(self._samples, 1) < probability
        return values.repeat_interleave(self._frames, 0).to(self._device)

    def picked(self, probability: float) -> Tensor:
        """(n T,) int64: frames of the samples that a change happens to."""
        samples = torch.nonzero(self._rand(self._samples) < probability)
        return (samples * self._frames + torch.arange(self._frames)).flatten().to(self._device)

    def uniform(self, picked: Tensor, columns: int = 1) -> Tensor:
        """(n T, columns): uniform from 0 to 1 for what was picked, equal for a sample's frames."""
        values = self._rand(len(picked) // self._frames, columns)
        return values.repeat_interleave(self._frames, 0).to(self._device)

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator)
