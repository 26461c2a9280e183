"""The sentences of episodes as word numbers, with the other ways of saying the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vla_core.language import Vocabulary
from vla_training.dataset.layout import EpisodeRecord


def sentences_of(record: EpisodeRecord) -> list[str]:
    """The sentence of an episode first, then its paraphrases, each once."""
    return list(dict.fromkeys([record.instruction, *json.loads(record.paraphrases)]))


def all_sentences(records: Iterable[EpisodeRecord]) -> list[str]:
    """Every sentence of some episodes, each once, for a vocabulary."""
    return list(dict.fromkeys(s for record in records for s in sentences_of(record)))


class EpisodeSentences:
    """Encoded sentences of the episodes of a split.

    Args:
        records: The episodes.
        vocabulary: Encodes the sentences.
        device: Where the word numbers are kept.
    """

    def __init__(
        self, records: Sequence[EpisodeRecord], vocabulary: Vocabulary, device: torch.device
    ) -> None:
        groups = [sentences_of(record) for record in records]
        encoded = {s: vocabulary.encode(s) for group in groups for s in group}
        numbers = {sentence: index for index, sentence in enumerate(encoded)}
        self._words = torch.from_numpy(np.stack(list(encoded.values()))).to(device)
        self._sentences = torch.tensor([numbers[s] for group in groups for s in group])
        self._counts = torch.tensor([len(group) for group in groups])
        self._first = self._counts.cumsum(0) - self._counts
        # The row after the last sentence is empty.
        self._words = functional.pad(self._words, (0, 0, 0, 1))
        ways = torch.full((len(groups), int(self._counts.max())), len(encoded))
        ways[torch.arange(ways.shape[1]) < self._counts[:, None]] = self._sentences
        self._ways = ways.to(device)

    def of(self, episodes: Tensor) -> Tensor:
        """The sentences that were given in episodes (B,): (B, L) int64 word numbers."""
        return self._encoded(self._first[episodes.cpu()])

    def drawn(self, episodes: Tensor, probability: float, generator: torch.Generator) -> Tensor:
        """The same, each replaced with a probability by any sentence of its episode, its own too.

        Args:
            episodes: (B,) int64.
            probability: 0 to 1.
            generator: Of the CPU.
        """
        episodes = episodes.cpu()
        draws = torch.rand(2, len(episodes), generator=generator)
        other = (draws[0] * self._counts[episodes]).long() * (draws[1] < probability)
        return self._encoded(self._first[episodes] + other)

    def ways(self, episodes: Tensor) -> Tensor:
        """All sentences of episodes (B,), padded with 0: (B, P, L) int64 word numbers."""
        return self._words[self._ways[episodes.to(self._ways.device)]]

    def _encoded(self, places: Tensor) -> Tensor:
        return self._words[self._sentences[places].to(self._words.device)]
