"""Policies: observation tensors in, a chunk of actions out."""

from __future__ import annotations

from vla_core.contract import Contract
from vla_core.language import Vocabulary
from vla_core.normalization import Statistics
from vla_training.models.policy import Policy, PolicyConfig, PolicyOutput

__all__ = ["Policy", "PolicyConfig", "PolicyOutput", "build_model"]


def build_model(
    config: PolicyConfig, contract: Contract, statistics: Statistics, vocabulary: Vocabulary
) -> Policy:
    """The policy that a configuration describes, freshly initialised by torch's generator.

    Raises:
        ConfigurationError: If the configuration does not fit the contract.
    """
    return Policy(config, contract, statistics, vocabulary)
