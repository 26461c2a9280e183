"""What every action head is: answers of the chunk queries in, a chunk of normalised actions out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class HeadSizes:
    """What a head fits.

    Attributes:
        width: Size D of an answer.
        action: Action components A.
        chunk: Steps H of a chunk.
        horizon: Steps h <= H that are predicted.
    """

    width: int
    action: int
    chunk: int
    horizon: int


class ActionHead(nn.Module):
    """From the answers of the chunk queries to a chunk of actions, in normalised units.

    Samples of a batch do not touch each other. `forward` is a function of the answers alone: the
    same input gives the same actions, and the graph can be exported.

    A head implements `predict` and `step_loss` for the h steps of its horizon; what is beyond is
    done here.

    Args:
        sizes: What it fits.

    Attributes:
        sizes: What it fits.
        extra_tokens: Tokens that the head adds to what the chunk queries may read.
    """

    extra_tokens: int = 0

    def __init__(self, sizes: HeadSizes) -> None:
        super().__init__()
        self.sizes = sizes

    def prior_tokens(self, batch_size: int, device: torch.device) -> Tensor:
        """Extra tokens without knowledge of the actions: (B, extra_tokens, D)."""
        return torch.zeros(batch_size, self.extra_tokens, self.sizes.width, device=device)

    def posterior_tokens(self, actions: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """Extra tokens that know the actions, for training.

        Args:
            actions: (B, H, A) float32, normalised.
            padding: (B, H) bool, true where no action is known.

        Returns:
            Tokens (B, extra_tokens, D), and what they tell about the actions: (B,) [nat].
        """
        tokens = self.prior_tokens(len(actions), actions.device)
        return tokens, actions.new_zeros(len(actions))

    def forward(self, answers: Tensor) -> Tensor:
        """Map answers (B, h, D) to actions (B, H, A), normalised; further answers are not read."""
        actions = self.predict(answers[:, : self.sizes.horizon])
        missing = self.sizes.chunk - self.sizes.horizon
        if missing:
            actions = torch.cat([actions, actions[:, -1:].expand(-1, missing, -1)], dim=1)
        return actions

    def loss(
        self,
        answers: Tensor,
        actions: Tensor,
        padding: Tensor | None = None,
        balance: Tensor | None = None,
    ) -> Tensor:
        """What training minimises, for each step.

        Args:
            answers: (B, h, D) float32; further ones are not read.
            actions: (B, H, A) float32, the target, normalised.
            padding: (B, H) bool, true where no action is known; None if all are. What `actions`
                says there has no influence.
            balance: (A,) float32, weights of the components with a mean of 1; None for all 1.

        Returns:
            (B, H) float32; 0 in padding and beyond the horizon.
        """
        horizon, missing = self.sizes.horizon, self.sizes.chunk - self.sizes.horizon
        if padding is None:
            padding = torch.zeros(actions.shape[:2], dtype=torch.bool, device=actions.device)
        if balance is None:
            balance = actions.new_ones(self.sizes.action)
        padding = padding[:, :horizon]
        # A selection, not a product: padding may hold anything, NaN included.
        target = actions[:, :horizon].masked_fill(padding.unsqueeze(-1), 0.0)
        losses = self.step_loss(answers[:, :horizon], target, padding, balance)
        losses = losses.masked_fill(padding, 0.0)
        return torch.cat([losses, losses.new_zeros(len(losses), missing)], dim=1)

    def predict(self, answers: Tensor) -> Tensor:
        """Map answers (B, h, D) to actions (B, h, A), normalised."""
        raise NotImplementedError

    def step_loss(
        self, answers: Tensor, actions: Tensor, padding: Tensor, balance: Tensor
    ) -> Tensor:
        """As `loss`, for the h steps of the horizon; what it gives in padding does not matter.

        Args:
            answers: (B, h, D) float32.
            actions: (B, h, A) float32; 0 in padding.
            padding: (B, h) bool.
            balance: (A,) float32.

        Returns:
            (B, h) float32.
        """
        raise NotImplementedError


def small_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that begins near zero: the first predictions are the data's mean."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer
