"""What every instruction encoder is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor, nn


class InstructionEncoder(nn.Module):
    """From an instruction to the condition that the rest of the policy hears."""

    def forward(self, instruction: Tensor) -> Tensor:
        """Map word numbers (B, L) int64, or what `deployed` makes of them, to (B, C)."""
        raise NotImplementedError

    def deployed(self, words: Tensor) -> Tensor:
        """What the exported graph is given in place of word numbers (B, L) int64."""
        return words

    def sentence_encoder(self) -> Callable[[str], np.ndarray] | None:
        """Maps a sentence to one sample of what `deployed` gives; None for word numbers."""
        return None

    def export(self, folder: Path) -> dict[str, Path]:
        """Write what a bundle needs to read sentences, by file name; nothing for word numbers."""
        return {}
