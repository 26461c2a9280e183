"""A mixture of Gaussians over the whole chunk."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_training.models.heads.base import ActionHead, HeadSizes, small_linear
from vla_training.models.heads.config import MixtureConfig

_UNIT = math.log(math.expm1(1.0))  # softplus of it is 1


class MixtureHead(ActionHead):
    """K ways to go on; each is a chunk with a deviation for every number in it.

    The weights belong to the chunk and not to its steps: a component is one manoeuvre (left around
    or right around), and a chunk whose steps chose for themselves could change its mind half-way.
    The actions are the mean of the likeliest component.

    Bishop, "Mixture Density Networks", Aston University NCRG/94/004, 1994.

    Args:
        config: Number of components and floor.
        sizes: What it fits.
    """

    def __init__(self, config: MixtureConfig, sizes: HeadSizes) -> None:
        super().__init__(sizes)
        self._components, self._floor = config.components, config.floor
        each = config.components * sizes.action
        self.weight = small_linear(sizes.width, config.components)
        self.mean = small_linear(sizes.width, each)
        self.deviation = small_linear(sizes.width, each)
        # Components that begin as one stay one.
        nn.init.normal_(self.mean.bias, std=0.5)
        nn.init.constant_(self.deviation.bias, _UNIT)

    def mixture(self, answers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The distribution of the chunk.

        Args:
            answers: (B, h, D).

        Returns:
            Logarithms of the weights (B, K), means (B, h, K, A) and deviations (B, h, K, A).
        """
        shape = (*answers.shape[:2], self._components, self.sizes.action)
        log_weight = self.weight(answers.mean(dim=1)).log_softmax(dim=-1)
        deviation = self._floor + functional.softplus(self.deviation(answers))
        return log_weight, self.mean(answers).reshape(shape), deviation.reshape(shape)

    def predict(self, answers: Tensor) -> Tensor:
        """Map answers (B, h, D) to the mean of the likeliest component (B, h, A)."""
        log_weight, mean, _ = self.mixture(answers)
        index = log_weight.argmax(dim=-1)[:, None, None, None]
        return mean.gather(2, index.expand(-1, mean.shape[1], 1, mean.shape[3])).squeeze(2)

    def step_loss(
        self, answers: Tensor, actions: Tensor, padding: Tensor, balance: Tensor
    ) -> Tensor:
        """Negative log-likelihood of each step given those before it, (B, h) [nat].

        Over the steps of a chunk they add up to the one of the chunk. It may be negative, and is
        bounded by the floor.
        """
        log_weight, mean, deviation = self.mixture(answers)
        scaled = (actions.unsqueeze(2) - mean) / deviation
        density = -0.5 * scaled.square() - deviation.log() - 0.5 * math.log(2.0 * math.pi)
        density = (density * balance).sum(-1).masked_fill(padding.unsqueeze(-1), 0.0)  # (B, h, K)
        before = functional.pad(density.cumsum(1)[:, :-1], (0, 0, 1, 0))
        # Weights after the steps before: the difference of two joint densities would lose digits.
        belief = (log_weight.unsqueeze(1) + before).log_softmax(dim=-1)
        return -torch.logsumexp(belief + density, dim=-1)
