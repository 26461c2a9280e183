"""Actions as tokens: the bin of each component, chosen like a word."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from vla_training.models.heads.base import ActionHead, HeadSizes, small_linear
from vla_training.models.heads.config import TokensConfig

_SMALLEST_RANGE = 1e-3


class TokensHead(ActionHead):
    """Equal bins between the limits of each action component; a distribution over them.

    Brohan et al., "RT-1: Robotics Transformer for Real-World Control at Scale", RSS 2023. With
    smoothing, the label is a Gaussian's share of each bin: Farebrother et al., "Stop Regressing",
    ICML 2024.

    Args:
        config: Bins, smoothing and decoding.
        sizes: What it fits.
        limits: (2, A) float32, lower and upper edge of the bins, normalised.
    """

    low: Tensor
    bin_width: Tensor

    def __init__(self, config: TokensConfig, sizes: HeadSizes, limits: Tensor) -> None:
        super().__init__(sizes)
        self._bins, self._smoothing = config.bins, config.smoothing
        self._decode = config.decode
        low, high = limits.float()
        self.register_buffer("low", low.clone())
        self.register_buffer("bin_width", (high - low).clamp(min=_SMALLEST_RANGE) / config.bins)
        self.linear = small_linear(sizes.width, sizes.action * config.bins)

    def logits(self, answers: Tensor) -> Tensor:
        """Map answers (B, h, D) to logits of the bins (B, h, A, bins)."""
        return self.linear(answers).reshape(*answers.shape[:2], self.sizes.action, self._bins)

    def encode(self, actions: Tensor) -> Tensor:
        """Map actions (..., A) to bins (..., A) int64; the outer bins hold what is beyond."""
        return ((actions - self.low) / self.bin_width).floor().clamp(0, self._bins - 1).long()

    def decode(self, tokens: Tensor) -> Tensor:
        """Map bins (..., A), whole or fractional, to the actions in their middle (..., A)."""
        return self.low + (tokens + 0.5) * self.bin_width

    def predict(self, answers: Tensor) -> Tensor:
        """Map answers (B, h, D) to actions (B, h, A)."""
        logits = self.logits(answers)
        if self._decode == "argmax":
            return self.decode(logits.argmax(dim=-1).float())
        numbers = torch.arange(self._bins, dtype=torch.float32, device=logits.device)
        return self.decode((logits.softmax(dim=-1) * numbers).sum(-1))

    def step_loss(
        self, answers: Tensor, actions: Tensor, padding: Tensor, balance: Tensor
    ) -> Tensor:
        """Cross-entropy of the bins, mean over the components, (B, h) [nat]."""
        log_probability = self.logits(answers).log_softmax(dim=-1)
        if self._smoothing:
            entropy = -(self._smoothed(actions) * log_probability).sum(-1)
        else:
            right = self.encode(actions).unsqueeze(-1)
            entropy = -log_probability.gather(-1, right).squeeze(-1)
        return (entropy * balance).mean(-1)

    def _smoothed(self, actions: Tensor) -> Tensor:
        """Share of each bin in a Gaussian around the action, (..., A, bins); adds up to 1."""
        place = ((actions - self.low) / self.bin_width).clamp(0.0, self._bins).unsqueeze(-1)
        edges = torch.arange(self._bins + 1, dtype=torch.float32, device=actions.device)
        below = torch.erf((edges - place) / (self._smoothing * math.sqrt(2.0)))
        return functional.normalize(below.diff(dim=-1), p=1.0, dim=-1)
