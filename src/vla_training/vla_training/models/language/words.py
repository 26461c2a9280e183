"""Instructions as learned words: small, and of the words of the training data only."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_core.language import PAD, UNKNOWN
from vla_training.models.language.base import InstructionEncoder


class Words(InstructionEncoder):
    """A learned vector for every word, summed.

    No perceptron and no mean: of "please dock with the red charging station" one word in seven says
    which, and it has to be heard from the first step on. A word that was never trained on adds
    nothing.

    Args:
        vocabulary_size: Number of word numbers, padding and unknown included.
        condition: Size C of the vectors.
    """

    def __init__(self, vocabulary_size: int, condition: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary_size, condition, padding_idx=PAD)
        nn.init.normal_(self.words.weight, std=0.1)
        with torch.no_grad():
            self.words.weight[[PAD, UNKNOWN]] = 0.0

    def forward(self, instruction: Tensor) -> Tensor:
        """Map word numbers (B, L) int64 to the condition (B, C)."""
        return self.words(instruction).sum(dim=1)
