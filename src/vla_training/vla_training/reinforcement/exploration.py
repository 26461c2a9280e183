"""Noise on chunks of actions that a robot can follow, and how likely a chunk was.

A chunk is one macro action: all of its steps are drawn at once, from a Gaussian about the policy's
answer whose steps are correlated. Independent noise at 20 Hz would be filtered out by the drive,
and what explores nothing cannot be learned from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vla_training.configuration import bounded


@dataclass(frozen=True)
class NoiseConfig:
    """How far an executed chunk is from the policy's.

    Attributes:
        linear_mps: Standard deviation of linear components [m/s] that is always there.
        angular_radps: The same of angular components [rad/s].
        relative: What is added to it, as a share of the policy's own command: much while it drives,
            little where it has to stand still.
        smooth_s: Time in which the correlation of two steps of a chunk falls to 1/e [s].
        learned: Whether a factor of each component is learned.
    """

    linear_mps: float = bounded(0.01, 1e-5, 1.0)
    angular_radps: float = bounded(0.03, 1e-5, 3.0)
    relative: float = bounded(0.1, 0.0, 1.0)
    smooth_s: float = bounded(0.3, 0.001, 10.0)
    learned: bool = False


class SmoothNoise(nn.Module):
    """A Gaussian over chunks with the covariance diag(s) K diag(s) of each component.

    K_ij = exp(-|i - j| period / smooth_s), the covariance of an Ornstein-Uhlenbeck process, has an
    inverse that stays well conditioned. Deviations s are a function of the state and no part of
    what is learned, but for a factor for each component. A chunk's density is that of the steps
    that may be executed: the others are integrated out, since they change nothing.

    Args:
        config: Sizes.
        fields: Names of the action's components, such as "linear.x".
        spread: (A,) what a normalised action of 1 is [m/s, rad/s].
        steps: H of a chunk.
        used: Steps that may be executed.
        period_s: Between two steps.

    Attributes:
        log_factor: (A,) learned logarithm of the factor of s.
    """

    floor: Tensor
    spread: Tensor
    root: Tensor
    used_root: Tensor

    def __init__(
        self,
        config: NoiseConfig,
        fields: Sequence[str],
        spread: Tensor,
        steps: int,
        used: slice,
        period_s: float,
    ) -> None:
        super().__init__()
        self.used = used
        self._relative = config.relative
        floor = [
            config.angular_radps if field.startswith("angular") else config.linear_mps
            for field in fields
        ]
        apart = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
        kernel = np.exp(-apart * period_s / config.smooth_s)
        self.register_buffer("floor", torch.tensor(floor))
        self.register_buffer("spread", spread.detach().clone())
        self.register_buffer("root", torch.from_numpy(np.linalg.cholesky(kernel)).float())
        used_root = np.linalg.cholesky(kernel[used, used])
        self.register_buffer("used_root", torch.from_numpy(used_root).float())
        self.log_factor = nn.Parameter(torch.zeros(len(floor)), requires_grad=config.learned)

    def scale(self, mean: Tensor, center: Tensor) -> Tensor:
        """Deviations s (B, H, A), normalised, where the policy answers `mean` (B, H, A).

        Args:
            mean: Normalised.
            center: (A,) the action that a normalised 0 is [m/s, rad/s].
        """
        command = (mean.detach() * self.spread + center).abs()
        return (self.floor + self._relative * command) / self.spread

    def draw(self, mean: Tensor, scale: Tensor, generator: torch.Generator) -> Tensor:
        """Chunks (B, H, A) about `mean`."""
        white = torch.randn(mean.shape, generator=generator)
        return mean + scale * self.log_factor.exp().detach() * (self.root @ white)

    def log_likelihood(self, chunk: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """Logarithm of the density (B,) of chunks (B, H, A), over the steps that are used."""
        deviations = (scale * self.log_factor.exp())[:, self.used]
        white = self._whitened(chunk - mean, deviations)
        size = white.shape[1] * white.shape[2]
        volume = deviations.log().sum((1, 2))
        volume = volume + white.shape[2] * self.used_root.diagonal().log().sum()
        return -0.5 * white.square().sum((1, 2)) - volume - 0.5 * size * math.log(2.0 * math.pi)

    def divergence(self, mean: Tensor, other: Tensor, scale: Tensor) -> Tensor:
        """Kullback-Leibler divergence (B,) [nat] between Gaussians about two means (B, H, A)."""
        deviations = (scale * self.log_factor.exp().detach())[:, self.used]
        return 0.5 * self._whitened(mean - other, deviations).square().sum((1, 2))

    def _whitened(self, difference: Tensor, deviations: Tensor) -> Tensor:
        """(B, h, A) of independent components of deviation 1."""
        relative = difference[:, self.used] / deviations
        return torch.linalg.solve_triangular(self.used_root, relative, upper=False)


def steps_used(mode: str, latency_ticks: int, replan_steps: int, steps: int) -> slice:
    """Steps of a chunk that may be executed.

    Args:
        mode: How overlapping chunks become one action.
        latency_ticks: Steps that have passed when the chunk arrives.
        replan_steps: Steps until the next inference.
        steps: H of a chunk.
    """
    if mode == "receding_horizon":  # the next chunk replaces the rest
        return slice(latency_ticks, min(latency_ticks + replan_steps, steps))
    return slice(latency_ticks, steps)
