"""One action for each step, and its distance from the target."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from vla_training.models.heads.base import ActionHead, HeadSizes, small_linear
from vla_training.models.heads.config import HeadConfig


class RegressionHead(ActionHead):
    """A linear map from each answer to its action.

    Where demonstrations go two ways from one observation it predicts their mean (L2) or some value
    between them (L1).

    Args:
        config: Gives distance and beta.
        sizes: What it fits.
    """

    def __init__(self, config: HeadConfig, sizes: HeadSizes) -> None:
        super().__init__(sizes)
        self._distance, self._beta = config.distance, config.beta
        self.linear = small_linear(sizes.width, sizes.action)

    def predict(self, answers: Tensor) -> Tensor:
        """Map answers (B, h, D) to actions (B, h, A)."""
        return self.linear(answers)

    def step_loss(
        self, answers: Tensor, actions: Tensor, padding: Tensor, balance: Tensor
    ) -> Tensor:
        """Mean distance of the components, (B, h)."""
        distances = distance(self.predict(answers), actions, self._distance, self._beta)
        return (distances * balance).mean(-1)


def distance(predicted: Tensor, target: Tensor, kind: str, beta: float) -> Tensor:
    """Distance of each element, of any shape.

    Args:
        predicted: Numbers.
        target: Of the same shape.
        kind: "smooth_l1" (slope 1 outside beta), "huber" (slope beta outside beta), "l1" or "l2"
            (half the square).
        beta: Where the first two turn from quadratic to linear.
    """
    if kind == "smooth_l1":
        return functional.smooth_l1_loss(predicted, target, beta=beta, reduction="none")
    if kind == "huber":
        return functional.huber_loss(predicted, target, delta=beta, reduction="none")
    if kind == "l1":
        return functional.l1_loss(predicted, target, reduction="none")
    return 0.5 * functional.mse_loss(predicted, target, reduction="none")
