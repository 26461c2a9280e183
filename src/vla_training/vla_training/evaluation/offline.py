"""Offline metrics: how far a policy's chunks are from the labels of held-out episodes.

Cheap beside driving, and only worth what it correlates with success: see `correlation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from vla_core import keys
from vla_core.bundle import PolicyBundle
from vla_core.contract import Contract
from vla_core.language import Vocabulary
from vla_simulation.viewer.plan import unicycle_path
from vla_training.checkpoints import load_checkpoint
from vla_training.dataset.windows import DOCK_POSE_KNOWN, Batch, DockingDataset
from vla_training.errors import EvaluationError
from vla_training.evaluation.first_frames import FirstFrames, right_station_figures
from vla_training.evaluation.workers import is_checkpoint
from vla_training.metrics import TERMINAL_DISTANCE_M
from vla_training.onnx_session import make_runner

MOST_SAMPLES: Final = 4096
_BATCH: Final = 128
_FIELDS: Final = ("linear.x", "angular.z")


@dataclass(frozen=True)
class Prediction:
    """Of a batch.

    Attributes:
        actions: (B, H, 2) float32 [m/s, rad/s].
        dock_pose: (B, 3) float32 x [m], y [m], yaw [rad] of the commanded station in the base
            frame; None from a bundle, whose graph gives actions alone.
    """

    actions: np.ndarray
    dock_pose: np.ndarray | None


Predict = Callable[[Batch], Prediction]


def offline_report(
    policy: str | Path,
    dataset: str | Path,
    split: str = "validation",
    most_samples: int = MOST_SAMPLES,
) -> dict[str, Any]:
    """Offline metrics of a policy.

    Args:
        policy: Folder of a bundle, or training checkpoint; the pose of the station is known to a
            checkpoint only.
        dataset: Data set file.
        split: "validation", "test", or "training" to see how well it fits what it learned from.
        most_samples: Evenly thinned to so many.

    Returns:
        policy, dataset, split, episodes, samples; `chunk` and `terminal` (within 0.4 m of the
        dock), each with `step_error` (mean absolute error of each field at each step of the chunk,
        [m/s] and [rad/s]), `mean_error` over the steps, and `end` (where the chunk leads, against
        where the labels lead: longitudinal and lateral [mm] in the frame of that end, yaw [deg]);
        `dock_pose` (x, y [mm], yaw [deg]) and `right_station`, see `first_frames`, where the policy
        says the pose; `headline`, see there.

    Raises:
        BundleError: If the bundle cannot be loaded.
        TrainingError: If the checkpoint cannot be loaded.
        DatasetError: If the data set cannot be used.
        EvaluationError: If policy and data set do not fit.
    """
    predict, contract, vocabulary = _load(str(policy))
    data = DockingDataset(dataset, split, vocabulary, storage="mapped")
    differences = contract.differences(data.contract, "of the policy", "of the data set")
    if differences or contract.action.fields != _FIELDS:
        reason = "; ".join(differences) or f"actions {', '.join(contract.action.fields)}"
        raise EvaluationError(
            f"policy {policy} and data set {dataset} do not fit: {reason}; give the data set of "
            "the policy's robot"
        )
    count = min(most_samples, len(data))
    indices = torch.linspace(0, len(data) - 1, count).round().long()
    errors = _Errors(contract.action.period_ns * 1e-9)
    for part in indices.split(_BATCH):
        batch = data.batch(part)
        errors.add(batch, predict(batch))
    report = {
        "policy": str(policy),
        "dataset": str(dataset),
        "split": split,
        "episodes": len(data.episodes),
        "samples": count,
        **errors.figures(),
    }
    frames = FirstFrames.of(data)
    if errors.knows_pose and len(frames):
        poses = [predict(data.batch(part)).dock_pose for part in frames.samples.split(_BATCH)]
        known = np.concatenate([pose for pose in poses if pose is not None])
        report["right_station"] = right_station_figures(frames, known)
    return {**report, "headline": headline(report)}


def _load(policy: str) -> tuple[Predict, Contract, Vocabulary]:
    if is_checkpoint(policy):
        state = load_checkpoint(policy)
        model = state.policy()

        @torch.no_grad()
        def by_torch(batch: Batch) -> Prediction:
            output = model.predict(batch)
            return Prediction(output.actions.numpy(), _pose(output.dock_pose))

        return by_torch, state.contract, state.vocabulary
    bundle = PolicyBundle.load(policy)
    run = make_runner(bundle.model_path)
    names = (*bundle.contract.keys, keys.VALID, keys.INSTRUCTION)

    def by_graph(batch: Batch) -> Prediction:
        return Prediction(run({name: batch[name].numpy() for name in names}), None)

    return by_graph, bundle.contract, bundle.vocabulary


def _pose(predicted: Tensor) -> np.ndarray:
    """x, y, sin yaw, cos yaw (B, 4) as x, y, yaw (B, 3)."""
    yaw = torch.atan2(predicted[:, 2], predicted[:, 3])
    return torch.cat([predicted[:, :2], yaw[:, None]], dim=1).numpy()


class _Errors:
    """Collects errors of samples.

    Args:
        period_s: From one action of a chunk to the next.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._steps: list[np.ndarray] = []
        self._ends: list[np.ndarray] = []
        self._near: list[np.ndarray] = []
        self._poses: list[np.ndarray] = []

    @property
    def knows_pose(self) -> bool:
        """Whether the policy says where the station is."""
        return bool(self._poses)

    def add(self, batch: Batch, prediction: Prediction) -> None:
        """Take the errors of a batch."""
        wanted, padding = batch[keys.ACTION].numpy(), batch[keys.ACTION_PAD].numpy()
        error = np.abs(prediction.actions - wanted)
        self._steps.append(np.where(padding[..., None], np.nan, error))
        whole = ~padding.any(1)
        ends = np.full((len(wanted), 3), np.nan)
        ends[whole] = _chunk_ends(prediction.actions[whole], wanted[whole], self._period_s)
        self._ends.append(ends)
        known, pose = batch[DOCK_POSE_KNOWN].numpy(), batch[keys.DOCK_POSE].numpy()
        self._near.append(known & (np.hypot(pose[:, 0], pose[:, 1]) < TERMINAL_DISTANCE_M))
        if prediction.dock_pose is not None:
            off = np.abs(prediction.dock_pose - pose)
            off[:, 2] = np.minimum(off[:, 2] % (2 * np.pi), -off[:, 2] % (2 * np.pi))
            self._poses.append(off[known])

    def figures(self) -> dict[str, Any]:
        """Means over the samples; null where there is none."""
        steps, ends = np.concatenate(self._steps), np.concatenate(self._ends)
        near = np.concatenate(self._near)
        figures = {
            "chunk": _chunk_figures(steps, ends),
            "terminal": {"samples": int(near.sum()), **_chunk_figures(steps[near], ends[near])},
        }
        if self._poses:
            off = np.concatenate(self._poses)
            figures["dock_pose"] = {
                "x_mm": _mean(1e3 * off[:, 0]),
                "y_mm": _mean(1e3 * off[:, 1]),
                "yaw_deg": _mean(np.degrees(off[:, 2])),
            }
        return figures


def _chunk_figures(steps: np.ndarray, ends: np.ndarray) -> dict[str, Any]:
    """Of errors (n, H, 2) [m/s, rad/s] and of the chunks' ends (n, 3) [m, m, rad]."""
    return {
        "step_error": {
            name: [_mean(steps[:, step, column]) for step in range(steps.shape[1])]
            for column, name in enumerate(_FIELDS)
        },
        "mean_error": {name: _mean(steps[..., column]) for column, name in enumerate(_FIELDS)},
        "end": {
            "longitudinal_mm": _mean(1e3 * ends[:, 0]),
            "lateral_mm": _mean(1e3 * ends[:, 1]),
            "yaw_deg": _mean(np.degrees(ends[:, 2])),
        },
    }


def _chunk_ends(predicted: np.ndarray, wanted: np.ndarray, period_s: float) -> np.ndarray:
    """How far apart two chunks (n, H, 2) lead: (n, 3) [m, m, rad], in the frame of the second."""
    ends = np.zeros((len(wanted), 3))
    for row, (ours, theirs) in enumerate(zip(predicted, wanted, strict=True)):
        end = unicycle_path(theirs, period_s)[-1]
        x, y, yaw = unicycle_path(ours, period_s)[-1] - end
        cosine, sine = np.cos(end[2]), np.sin(end[2])
        ends[row] = abs(cosine * x + sine * y), abs(cosine * y - sine * x), abs(yaw)
    return ends


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), 6) if known.size else None


def headline(report: Mapping[str, Any]) -> dict[str, float]:
    """The single numbers of a report by name, for tables and correlations; smaller is better."""
    found: dict[str, float | None] = {}
    for part in ("chunk", "terminal"):
        found |= {f"{part} {name}": value for name, value in report[part]["mean_error"].items()}
        found |= {f"{part} end {name}": value for name, value in report[part]["end"].items()}
    found |= {f"dock pose {name}": value for name, value in report.get("dock_pose", {}).items()}
    right = report.get("right_station", {}).get("all")
    if right is not None:
        found["first frames at a wrong station"] = 1.0 - right["success_rate"]
    return {name: value for name, value in found.items() if value is not None}


def offline_rows(report: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """A report for a terminal, as rows of name and text."""
    rows = [(name, f"{value:.4g}") for name, value in headline(report).items()]
    for naming, part in report.get("right_station", {}).items():
        rows.append(
            (
                f"right station, {naming}",
                f"{part['successes']} of {part['episodes']} first frames "
                f"(95 % {part['wilson_low']:.1%} to {part['wilson_high']:.1%})",
            )
        )
    return rows
