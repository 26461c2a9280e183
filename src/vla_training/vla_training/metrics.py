"""Offline metrics: how far predictions are from the labels of held-out episodes."""

from __future__ import annotations

import torch
from torch import Tensor

from vla_core import keys
from vla_training.dataset.windows import DOCK_POSE_KNOWN, Batch, DockingDataset
from vla_training.losses import LossConfig, policy_loss
from vla_training.models import Policy
from vla_training.weighted_means import masked_mean

TERMINAL_DISTANCE_M = 0.4
"""Within this distance of the docked pose a step belongs to the terminal phase."""

_BATCH = 256


@torch.no_grad()
def offline_metrics(
    model: Policy,
    dataset: DockingDataset,
    loss: LossConfig,
    device: torch.device,
    max_samples: int = 4096,
) -> dict[str, float]:
    """Metrics of a policy over a split, evenly thinned to at most `max_samples` samples.

    Returns:
        loss, action_loss; mean absolute error of each action component over the chunk
        (`linear.x_error`, `angular.z_error`, in SI units), the same in the terminal phase
        (`terminal_…`), and of the station's pose (`dock_x_error_m`, `dock_y_error_m`,
        `dock_yaw_error_rad`) where it is known.
    """
    model.eval()
    count = min(max_samples, len(dataset))
    indices = torch.linspace(0, len(dataset) - 1, count).round().long()
    totals: dict[str, list[tuple[float, float]]] = {}
    for part in indices.split(_BATCH):
        batch = {key: value.to(device) for key, value in dataset.batch(part).items()}
        for name, (value, weight) in _batch_metrics(model, batch, loss, dataset).items():
            totals.setdefault(name, []).append((float(value) * weight, weight))
    return {
        name: sum(value for value, _ in parts) / sum(weight for _, weight in parts)
        for name, parts in totals.items()
        if sum(weight for _, weight in parts) > 0.0
    }


def _batch_metrics(
    model: Policy, batch: Batch, loss: LossConfig, dataset: DockingDataset
) -> dict[str, tuple[Tensor, float]]:
    """Mean and weight of each metric over a batch."""
    output = model.predict(batch)
    total, parts = policy_loss(model, output, batch, loss)
    mask, size = ~batch[keys.ACTION_PAD], float(len(batch[keys.ACTION]))
    metrics: dict[str, tuple[Tensor, float]] = {
        "loss": (total, size),
        "action_loss": (parts["action"], size),
    }
    error = (output.actions - batch[keys.ACTION]).abs()
    known, pose = batch[DOCK_POSE_KNOWN], batch[keys.DOCK_POSE]
    near = (pose[:, :2].norm(dim=1) < TERMINAL_DISTANCE_M) & known
    for index, name in enumerate(dataset.contract.action.fields):
        metrics[f"{name}_error"] = masked_mean(error[..., index], mask), float(mask.sum())
        inside = mask & near[:, None]
        metrics[f"terminal_{name}_error"] = (
            masked_mean(error[..., index], inside),
            float(inside.sum()),
        )
    predicted = output.dock_pose
    yaw = torch.atan2(predicted[:, 2], predicted[:, 3])
    yaw_error = torch.remainder(yaw - pose[:, 2] + torch.pi, 2.0 * torch.pi) - torch.pi
    weight = float(known.sum())
    metrics["dock_x_error_m"] = masked_mean((predicted[:, 0] - pose[:, 0]).abs(), known), weight
    metrics["dock_y_error_m"] = masked_mean((predicted[:, 1] - pose[:, 1]).abs(), known), weight
    metrics["dock_yaw_error_rad"] = masked_mean(yaw_error.abs(), known), weight
    return metrics
