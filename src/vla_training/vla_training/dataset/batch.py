"""What a training batch is: tensors by key."""

from __future__ import annotations

from typing import Final

from torch import Tensor

Batch = dict[str, Tensor]
"""Tensors by key, the first axis counts the samples; see `DockingDataset.batch`."""

DOCK_POSE_KNOWN: Final = "dock_pose_is_known"

PARAPHRASES: Final = "paraphrases"
"""(B, P, L) int64: all sentences that command what a sample's does, its own too; 0 beyond them."""

SHARD: Final = "shard"
"""(B,) int64: samples of one shard may be compared with each other, see `training_data`."""
