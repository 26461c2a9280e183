"""What training minimises."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vla_core import keys
from vla_training.configuration import bounded
from vla_training.dataset.windows import DOCK_POSE_KNOWN, Batch
from vla_training.models import PolicyOutput


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss.

    Attributes:
        beta: Where smooth L1 turns from quadratic to linear, in normalised units.
        dock_pose: Weight of the auxiliary station pose.
    """

    beta: float = bounded(0.05, 1e-4, 10.0)
    dock_pose: float = bounded(0.3, 0.0, 100.0)


def policy_loss(
    output: PolicyOutput, batch: Batch, action_spread: Tensor, config: LossConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Smooth L1 of the actions that are no padding, plus that of the station's pose.

    Args:
        output: Of the policy.
        batch: Of `DockingDataset.batch`.
        action_spread: (A,) what counts as one unit of each action component [m/s, rad/s].
        config: Weights.

    Returns:
        The loss, and its parts by name, detached.
    """
    error = (output.actions.float() - batch[keys.ACTION]) / action_spread
    per_step = functional.smooth_l1_loss(
        error, torch.zeros_like(error), beta=config.beta, reduction="none"
    ).mean(-1)
    action = masked_mean(per_step, ~batch[keys.ACTION_PAD])
    target = pose_target(batch[keys.DOCK_POSE])
    per_sample = functional.smooth_l1_loss(
        output.dock_pose.float(), target, beta=config.beta, reduction="none"
    ).mean(-1)
    pose = masked_mean(per_sample, batch[DOCK_POSE_KNOWN])
    loss = action + config.dock_pose * pose
    return loss, {"action": action.detach(), "dock_pose": pose.detach()}


def pose_target(dock_pose: Tensor) -> Tensor:
    """Map x [m], y [m], yaw [rad] (B, 3) to x, y, sin yaw, cos yaw (B, 4)."""
    yaw = dock_pose[:, 2]
    return torch.stack([dock_pose[:, 0], dock_pose[:, 1], yaw.sin(), yaw.cos()], dim=1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values where the mask is true; 0 if it is true nowhere."""
    weights = mask.to(values.dtype)
    return (values * weights).sum() / weights.sum().clamp(min=1.0)
