"""Small policies and random batches, without a data set."""

from pathlib import Path

import numpy as np
import torch
from bag_making import make_contract
from tiny_runs import TINY

from vla_core import keys
from vla_core.contract import Contract
from vla_core.language import Vocabulary
from vla_core.normalization import FieldStatistics, Statistics
from vla_training.checkpoints import Checkpoint, save_checkpoint
from vla_training.dataset.batch import DOCK_POSE_KNOWN, Batch
from vla_training.models import Policy, build_model
from vla_training.training_config import load_training_config

WORDS = Vocabulary(["blue", "charger", "dock", "red"])


def small_checkpoint(
    *overrides: str,
    contract: Contract | None = None,
    vocabulary: Vocabulary = WORDS,
    seed: int = 0,
) -> Checkpoint:
    """As if a run had just begun, with weights that make answers differ."""
    contract = contract or make_contract()
    config = load_training_config("d.h5", "run", overrides=[*TINY, *overrides])
    random = np.random.default_rng(0)
    statistics = Statistics(
        {
            stream.key: FieldStatistics.from_array(random.uniform(0, 2, (99, stream.shape[-1])))
            for stream in contract.streams
        }
        | {keys.ACTION: FieldStatistics.from_array(random.normal(0.1, 0.3, (99, 2)))}
    )
    torch.manual_seed(seed)
    policy = build_model(config.model, contract, statistics, vocabulary)
    with torch.no_grad():
        for parameter in policy.head.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return Checkpoint(
        config, contract, statistics, vocabulary, {}, 0, 0.0, dict(policy.state_dict())
    )


def small_policy(*overrides: str, seed: int = 0) -> Policy:
    """A policy of the default preset, shrunk."""
    return small_checkpoint(*overrides, seed=seed).policy()


def saved(checkpoint: Checkpoint, path: Path) -> str:
    """Its file, for a configuration."""
    save_checkpoint(checkpoint, path)
    return str(path)


def random_batch(size: int = 4, seed: int = 0, contract: Contract | None = None) -> Batch:
    """A batch as of a data set: random observations, actions, padding and poses."""
    contract = contract or make_contract()
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    steps = contract.action.chunk_length
    observation = {
        stream.key: (draw(size, *stream.shape) * 255).byte()
        if stream.dtype == "uint8"
        else draw(size, *stream.shape)
        for stream in contract.streams
    }
    length = torch.randint(1, steps + 3, (size, 1), generator=generator)
    return {
        **observation,
        keys.VALID: torch.ones(size, len(contract.streams)),
        keys.INSTRUCTION: torch.randint(2, 2 + len(WORDS.words), (size, 16), generator=generator),
        keys.ACTION: draw(size, steps, contract.action.size) - 0.5,
        keys.ACTION_PAD: torch.arange(steps) >= length,
        keys.DOCK_POSE: draw(size, 3),
        DOCK_POSE_KNOWN: torch.arange(size) % 2 == 0,
    }
