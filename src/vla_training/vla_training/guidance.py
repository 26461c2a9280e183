"""Other policies that a policy learns from: a teacher to imitate, a reference to stay close to."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vla_core import keys
from vla_core.contract import Contract
from vla_core.language import Vocabulary
from vla_training.checkpoints import Checkpoint, load_checkpoint
from vla_training.dataset.batch import Batch
from vla_training.errors import ConfigurationError
from vla_training.losses import REFERENCE, TEACHER, LossConfig


class Guide:
    """A frozen policy that reads the batches of another one's training.

    Args:
        checkpoint: The policy.
        contract: Of the batches.
        vocabulary: Of their instructions.
        device: Where they are.
        source: What names the policy in errors.

    Raises:
        ConfigurationError: If it observes or commands something else than the batches hold.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        contract: Contract,
        vocabulary: Vocabulary,
        device: torch.device,
        source: str,
    ) -> None:
        _check_contract(checkpoint.contract, contract, source)
        self._policy = checkpoint.policy().to(device).requires_grad_(False)
        streams = [contract.keys.index(key) for key in checkpoint.contract.keys]
        self._streams = torch.tensor(streams, device=device)
        words = _word_numbers(vocabulary, checkpoint.vocabulary)
        self._words = torch.from_numpy(words).to(device)

    @torch.no_grad()
    def chunk(self, batch: Batch) -> Tensor:
        """What it would do: actions (B, H, A) float32 [m/s, rad/s]."""
        observation = {
            **batch,
            keys.VALID: batch[keys.VALID].index_select(-1, self._streams),
            keys.INSTRUCTION: self._words[batch[keys.INSTRUCTION]],
        }
        return self._policy.predict(observation).actions


class Guides:
    """Teacher and reference of a configuration; none, one or both.

    Args:
        config: Names their checkpoints.
        contract: Of the batches.
        vocabulary: Of their instructions.
        device: Where they are.

    Raises:
        TrainingError: If a checkpoint cannot be read.
        ConfigurationError: If one does not fit the batches.
    """

    def __init__(
        self, config: LossConfig, contract: Contract, vocabulary: Vocabulary, device: torch.device
    ) -> None:
        named = {TEACHER: config.teacher, REFERENCE: config.reference}
        self._guides = {
            name: Guide(load_checkpoint(path), contract, vocabulary, device, f"loss.{name} {path}")
            for name, path in named.items()
            if path
        }

    def __call__(self, batch: Batch) -> Batch:
        """The batch with the chunks of all guides, by `TEACHER` and `REFERENCE`."""
        return {**batch, **{name: guide.chunk(batch) for name, guide in self._guides.items()}}


def _word_numbers(vocabulary: Vocabulary, other: Vocabulary) -> np.ndarray:
    """For each word number of a vocabulary the number of the same word in another one."""
    first = np.arange(vocabulary.size - len(vocabulary.words))  # padding and unknown
    return np.concatenate([first, *(other.encode(word)[:1] for word in vocabulary.words)])


def _check_contract(guide: Contract, batches: Contract, source: str) -> None:
    mistakes = []
    streams = {stream.key: stream for stream in batches.streams}
    for stream in guide.streams:
        other = streams.get(stream.key)
        if other is None:
            mistakes.append(f"it observes {stream.key}, which the data set does not have")
        elif other.decoder != stream.decoder:
            mistakes.append(
                f"its {stream.key} is {stream.decoder}, that of the data set {other.decoder}"
            )
    for name in ("fields", "chunk_length", "rate_hz"):
        ours, theirs = getattr(batches.action, name), getattr(guide.action, name)
        if ours != theirs:
            mistakes.append(f"its action has {name} {theirs}, that of the data set {ours}")
    if mistakes:
        raise ConfigurationError(
            f"{source} does not fit the data set: {'; '.join(mistakes)}; name a checkpoint that "
            "was trained under the same contract",
            mistakes,
        )
