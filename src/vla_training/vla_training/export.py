"""From a training checkpoint to a policy bundle that needs no PyTorch."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from vla_core import keys
from vla_core.bundle import PolicyBundle, write_bundle
from vla_training import __version__
from vla_training.checkpoints import Checkpoint, load_checkpoint
from vla_training.configuration import to_dict
from vla_training.dataset.windows import Batch, DockingDataset
from vla_training.errors import DatasetError, ExportError
from vla_training.models import Policy
from vla_training.onnx_graph import OPSET, export_onnx, parity_error
from vla_training.variants.making import make_variants
from vla_training.variants.selection import VariantOptions

PARITY_FRAMES: Final = 1000
MAX_PARITY_ERROR: Final = 1e-4
"""Largest difference of ONNX Runtime from PyTorch, as a share of the action's range."""


def export_bundle(
    checkpoint: str | Path,
    out: str | Path,
    *,
    dataset: str | Path | None = None,
    parity_frames: int = PARITY_FRAMES,
    evaluation: Mapping[str, Any] | None = None,
    extra_files: Mapping[str, str | Path] | None = None,
    variants: VariantOptions | None = None,
    progress: bool = False,
) -> PolicyBundle:
    """Write a policy bundle.

    Args:
        checkpoint: File, or output folder of a training run.
        out: Folder of the bundle.
        dataset: Data set whose validation frames (training frames if there are none) the exported
            graph is compared on; None for the one that was trained on.
        parity_frames: How many frames.
        evaluation: Figures to store, as `EvaluationReport.to_dict` gives them.
        extra_files: Further files of the bundle by name, such as a model card.
        variants: Faster forms of the graph to try; the bundle keeps those that are faster and as
            good, the manifest says what was measured of all.
        progress: Whether to show bars.

    Returns:
        The bundle, read back from the disk.

    Raises:
        TrainingError: If the checkpoint cannot be used.
        DatasetError: If there are no frames to compare on.
        EvaluationError: If the episodes that variants are compared in cannot run.
        ExportError: If the graph cannot be made or computes something else than PyTorch.
        BundleError: If the bundle cannot be written.
    """
    state = load_checkpoint(checkpoint)
    policy = state.policy()
    dataset = dataset or state.config.dataset
    frames = _parity_batch(state, dataset, parity_frames)
    frames[keys.INSTRUCTION] = policy.language.deployed(frames[keys.INSTRUCTION])
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "policy.onnx"
        layout = export_onnx(policy, frames, model)
        error = parity_error(policy, model, frames)
        _check_parity(error, state)
        language = policy.language.export(Path(folder))
        made = make_variants(
            state,
            policy,
            model,
            frames,
            dataset,
            variants or VariantOptions(),
            progress=progress,
            extra_files=language,
        )
        manifest = _manifest(state, policy, error, len(frames[keys.VALID]), evaluation or {})
        return write_bundle(
            out,
            model,
            state.contract,
            state.statistics,
            state.vocabulary,
            {
                **manifest,
                "variants": made.entries,
                "confidence": {"features": [list(part) for part in layout]},
            },
            {**language, **made.files, **(extra_files or {})},
        )


def _parity_batch(state: Checkpoint, path: str | Path, count: int) -> Batch:
    try:
        data = DockingDataset(path, "validation", state.vocabulary, storage="mapped")
    except DatasetError:
        data = DockingDataset(path, "training", state.vocabulary, storage="mapped")
    differences = state.contract.differences(data.contract, "in the checkpoint", "in the data set")
    if differences:
        raise ExportError(f"data set {path} does not fit the policy: {'; '.join(differences)}")
    if len(data) < 2:
        raise DatasetError(f"data set {path} has less than two frames to compare on")
    indices = torch.linspace(0, len(data) - 1, min(count, len(data))).round().long()
    batch = data.batch(indices)
    # The exported graph has to agree on missing streams, too.
    batch[keys.VALID][::8, 0] = 0.0
    return batch


def _check_parity(error: np.ndarray, state: Checkpoint) -> None:
    action = state.contract.action
    span = np.array(action.high) - np.array(action.low)
    if not (error / span < MAX_PARITY_ERROR).all():
        raise ExportError(
            f"ONNX Runtime differs from PyTorch by {error.tolist()} [{', '.join(action.units)}], "
            f"at most {MAX_PARITY_ERROR:g} of the action's range is accepted"
        )


def _manifest(
    state: Checkpoint,
    policy: Policy,
    error: np.ndarray,
    parity_frames: int,
    evaluation: Mapping[str, Any],
) -> dict[str, Any]:
    config = state.config
    figures = {key: value for key, value in evaluation.items() if key != "records"}
    dataset = {key: value for key, value in state.dataset.items() if key != "bags"}
    return {
        "preset": config.name,
        "datasets": [dataset],
        "git_revision": git_revision(Path(__file__).parent),
        "opset": OPSET,
        "parity_error": float(error.max()),
        "parity_frames": parity_frames,
        "evaluation": figures,
        "parameters": sum(p.numel() for p in policy.parameters()),
        "training": {
            "steps": state.step,
            "samples": state.step * config.batch_size,
            "duration_s": round(state.training_s, 1),
            "metrics": state.metrics,
            "config": {
                key: value
                for key, value in to_dict(config).items()
                if key not in ("dataset", "output")
            },
        },
        "software": {
            "vla_training": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def git_revision(folder: Path) -> str:
    """Commit of the source, with `-dirty` if it was changed since; empty outside of git."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""
