"""Policies: observation tensors in, a chunk of actions out."""

from __future__ import annotations

from vla_core.contract import Contract
from vla_core.normalization import Statistics
from vla_training.models.docking_cnn import DockingCnn, DockingCnnConfig, PolicyOutput

__all__ = ["DockingCnn", "DockingCnnConfig", "PolicyOutput", "build_model"]


def build_model(
    config: DockingCnnConfig, contract: Contract, statistics: Statistics, vocabulary_size: int
) -> DockingCnn:
    """The policy that a configuration describes, freshly initialised by torch's generator."""
    return DockingCnn(config, contract, statistics, vocabulary_size)
