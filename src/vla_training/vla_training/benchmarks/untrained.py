"""Policies and frames to time with: how fast a network computes does not depend on its weights."""

from __future__ import annotations

import numpy as np
import torch

from vla_core import keys
from vla_core.contract import Contract, StreamSpec
from vla_core.contract_specs import ImageDecoder, ScanDecoder
from vla_core.language import Vocabulary
from vla_core.normalization import Statistics
from vla_training.dataset.batch import DOCK_POSE_KNOWN, Batch
from vla_training.models import Policy, build_model
from vla_training.training_config import TrainingConfig

_SENTENCES = (
    "dock at the red charging station",
    "go to the charger on the left",
    "please dock with station number two",
)


def untrained_policy(config: TrainingConfig, contract: Contract) -> Policy:
    """A policy with random weights, for the made-up frames of `random_batch`.

    Raises:
        ConfigurationError: If configuration and contract contradict each other.
    """
    rng = np.random.default_rng(0)
    arrays = {s.key: _values(s, 64, rng).astype(np.float32) for s in contract.streams}
    arrays[keys.ACTION] = _actions(contract, 64, rng)
    torch.manual_seed(0)
    statistics = Statistics.from_arrays(arrays)
    policy = build_model(config.model, contract, statistics, vocabulary())
    # As the trainer does.
    return policy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def vocabulary() -> Vocabulary:
    """The words of the made-up sentences."""
    return Vocabulary.from_sentences(_SENTENCES)


def random_batch(contract: Contract, count: int, seed: int = 0) -> Batch:
    """A made-up batch, as of `DockingDataset.batch`."""
    rng = np.random.default_rng(seed)
    words = vocabulary()
    horizon = contract.action.chunk_length
    actions = _actions(contract, count * horizon, rng).reshape(count, horizon, -1)
    arrays = {
        **{stream.key: _values(stream, count, rng) for stream in contract.streams},
        keys.VALID: np.ones((count, len(contract.streams)), np.float32),
        keys.INSTRUCTION: np.stack(
            [words.encode(_SENTENCES[i % len(_SENTENCES)]) for i in range(count)]
        ),
        keys.ACTION: actions,
        keys.ACTION_PAD: np.zeros((count, horizon), bool),
        keys.DOCK_POSE: rng.uniform(-1.0, 1.0, (count, 3)).astype(np.float32),
        DOCK_POSE_KNOWN: np.ones(count, bool),
    }
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}


def _values(stream: StreamSpec, count: int, rng: np.random.Generator) -> np.ndarray:
    shape = (count, *stream.shape)
    if isinstance(stream.decoder, ImageDecoder):
        return rng.integers(0, 256, shape, np.uint8)
    low, high = (0.2, 8.0) if isinstance(stream.decoder, ScanDecoder) else (-0.5, 0.5)
    return rng.uniform(low, high, shape).astype(np.float32)


def _actions(contract: Contract, count: int, rng: np.random.Generator) -> np.ndarray:
    action = contract.action
    return rng.uniform(action.low, action.high, (count, action.size)).astype(np.float32)
