"""ACT's conditional variational autoencoder: a latent tells apart what observation cannot."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_training.models.heads.attention import StepsBlock
from vla_training.models.heads.base import HeadSizes
from vla_training.models.heads.config import HeadConfig
from vla_training.models.heads.regression import RegressionHead

_LARGEST_LOG_VARIANCE = 10.0


class CvaeHead(RegressionHead):
    """Regression, with a token that in training says which of several ways was taken.

    An encoder reads the demonstrated chunk and gives the token's distribution, which the loss holds
    close to a unit Gaussian; without a demonstration, the token is that of its mean, zero. Unlike
    ACT's, the encoder reads the actions alone and not the state of the joints: the odometry is in
    the observation anyhow.

    Zhao et al., "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware", RSS 2023.

    Args:
        config: Distance, size of the latent and of the encoder.
        sizes: What it fits.

    Raises:
        ValueError: If the width is not divisible by the attention heads.
    """

    extra_tokens = 1

    def __init__(self, config: HeadConfig, sizes: HeadSizes) -> None:
        super().__init__(config, sizes)
        width, cvae = sizes.width, config.cvae
        self._latent = cvae.latent
        self.embed = nn.Linear(sizes.action, width)
        self.places = nn.Parameter(torch.randn(sizes.horizon + 1, width) * 0.02)
        self.layers = nn.ModuleList(StepsBlock(width, cvae.heads) for _ in range(cvae.layers))
        self.norm = nn.LayerNorm(width)
        self.posterior = nn.Linear(width, 2 * cvae.latent)
        self.token = nn.Linear(cvae.latent, width)

    def prior_tokens(self, batch_size: int, device: torch.device) -> Tensor:
        """The token of a zero latent: (B, 1, D)."""
        return self.token(torch.zeros(batch_size, 1, self._latent, device=device))

    def posterior_tokens(self, actions: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """The token that knows the actions; see `ActionHead.posterior_tokens`.

        In training the latent is drawn; in evaluation it is the mean of its distribution.
        """
        mean, log_variance = self.encode(actions, padding)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(-1)
        latent = mean
        if self.training:
            latent = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return self.token(latent).unsqueeze(1), kl

    def encode(self, actions: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of the latent, (B, latent) each.

        Args:
            actions: (B, H, A) float32, normalised.
            padding: (B, H) bool.
        """
        horizon = self.sizes.horizon
        padding = padding[:, :horizon]
        known = actions[:, :horizon].masked_fill(padding.unsqueeze(-1), 0.0)
        steps = torch.cat([known.new_zeros(len(known), 1, self.sizes.width), self.embed(known)], 1)
        steps = steps + self.places
        hidden = torch.cat([torch.zeros_like(padding[:, :1]), padding], dim=1)
        for layer in self.layers:
            steps = layer(steps, hidden)
        mean, log_variance = self.posterior(self.norm(steps[:, 0])).float().chunk(2, dim=-1)
        return mean, log_variance.clamp(-_LARGEST_LOG_VARIANCE, _LARGEST_LOG_VARIANCE)
