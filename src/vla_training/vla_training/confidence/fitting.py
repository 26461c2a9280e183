"""Statistics of a policy's features on its training frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from vla_core import keys
from vla_core.bundle import PolicyBundle
from vla_core.confidence import FeatureGroup, NoveltyModel
from vla_training.dataset.windows import DockingDataset
from vla_training.errors import DatasetError, ExportError
from vla_training.onnx_session import FeatureRunner
from vla_training.progress import progress_bar

_BATCH: Final = 32
_SHRINKAGE: Final = 1e-3
"""Added to the eigenvalues of the correlation matrix (ridge)."""
_FLAT: Final = 1e-6
"""Features that spread less than this are constants."""

Layout = Sequence[tuple[str, int]]


def fit_novelty(
    bundle: PolicyBundle, data: DockingDataset, frames: int, *, progress: bool = True
) -> NoveltyModel:
    """Fit the statistics of a bundle's features.

    Args:
        bundle: Whose graph gives features.
        data: Training frames.
        frames: How many to use at most, evenly over all.
        progress: Whether to show a bar.

    Raises:
        ExportError: If the graph gives no features.
        DatasetError: If there are too few frames.
    """
    layout = feature_layout(bundle)
    groups = group_indices(layout)
    count = min(frames, len(data))
    largest = max(len(indices) for indices in groups.values())
    if count < 2 * largest:
        raise DatasetError(
            f"data set has {len(data)} training frames and {count} are to be used, expected "
            f"{2 * largest} at least to fit {largest} features; use more frames or more data"
        )
    features = _features_of(bundle, data, count, progress)
    return NoveltyModel(
        tuple(_fit_group(name, indices, features) for name, indices in groups.items())
    )


def feature_layout(bundle: PolicyBundle) -> Layout:
    """Names and sizes of the parts of the features of a bundle's graph.

    Raises:
        ExportError: If it gives none.
    """
    parts = bundle.manifest.confidence.get("features", [])
    if not parts:
        raise ExportError(
            f"policy bundle {bundle.path}: its graph gives no features, expected one that this "
            "version of `vla export` wrote; export the checkpoint again, then calibrate"
        )
    if bundle.encoder_path is not None:
        raise ExportError(
            f"policy bundle {bundle.path} reads sentences with a language model, expected one that "
            "knows words by number: only those can be calibrated so far; use it without a score"
        )
    return [(str(name), int(size)) for name, size in parts]


def group_indices(layout: Layout) -> dict[str, npt.NDArray[np.int64]]:
    """Which features are judged together, by the name of the group.

    One group for what each stream looks like: `image`, `scan`. One, `joint`, for what was made of
    all of them: each stream may look familiar, and their combination not.
    """
    groups: dict[str, npt.NDArray[np.int64]] = {}
    joint: list[npt.NDArray[np.int64]] = []
    images = {name.removesuffix("/maps") for name, _ in layout if name.endswith("/maps")}
    begin = 0
    for name, size in layout:
        indices = np.arange(begin, begin + size)
        begin += size
        stream, _, part = name.partition("/")
        if part == "maps" or (part and stream not in images):
            groups[stream] = indices
        if part != "maps":
            joint.append(indices)
    return {**groups, "joint": np.concatenate(joint)}


def _features_of(
    bundle: PolicyBundle, data: DockingDataset, count: int, progress: bool
) -> npt.NDArray[np.float32]:
    run = FeatureRunner(bundle.model_path)
    found: list[npt.NDArray[np.float32]] = []
    indices = torch.linspace(0, len(data) - 1, count).round().long()
    with progress_bar("features of training frames", count, progress) as bar:
        for part in indices.split(_BATCH):
            batch = data.batch(part)
            whole = batch[keys.VALID].all(dim=1)
            feeds = {name: value[whole].numpy() for name, value in batch.items()}
            if whole.any():
                run(feeds)
                if run.features is not None:
                    found.append(run.features)
            bar.advance("", len(part))
    return np.concatenate(found)


def _fit_group(
    name: str, indices: npt.NDArray[np.int64], features: npt.NDArray[np.float32]
) -> FeatureGroup:
    # Constants of the network say nothing, and cannot be scaled.
    indices = indices[features[:, indices].std(axis=0) > _FLAT]
    values = features[:, indices].astype(np.float64)
    spread = values.std(axis=0)
    mean = values.mean(axis=0)
    scaled = (values - mean) / spread
    eigenvalues, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    whitening = vectors / np.sqrt(np.clip(eigenvalues, 0.0, None) + _SHRINKAGE)
    single = (each.astype(np.float32) for each in (mean, spread, whitening))
    return FeatureGroup(name, indices, *single)
