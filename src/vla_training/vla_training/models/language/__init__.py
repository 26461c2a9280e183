"""Instruction encoders: from a sentence to the condition that the rest of the policy hears."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from vla_core.language import Vocabulary
from vla_training.configuration import bounded
from vla_training.models.language.base import InstructionEncoder
from vla_training.models.language.transformer import SentenceVectors, TransformerConfig
from vla_training.models.language.words import Words

__all__ = ["WORD_VECTORS", "InstructionEncoder", "LanguageConfig", "build_language"]

WORD_VECTORS: Final = "language.words.weight"
"""Name, in a policy, of the table whose rows are the words of its vocabulary."""


@dataclass(frozen=True)
class LanguageConfig:
    """How a sentence becomes a vector.

    Attributes:
        kind: "words": learned vectors of the words of the training data; "transformer": a
            pretrained language model, which also knows words that the data lack.
        transformer: Of kind transformer.
    """

    kind: str = bounded("words", choices=("words", "transformer"))
    transformer: TransformerConfig = field(default_factory=TransformerConfig)


def build_language(
    config: LanguageConfig, vocabulary: Vocabulary, condition: int
) -> InstructionEncoder:
    """The encoder of instructions.

    Raises:
        ConfigurationError: If a language model cannot be loaded.
    """
    if config.kind == "transformer":
        return SentenceVectors(config.transformer, vocabulary, condition)
    return Words(vocabulary.size, condition)
