"""Instructions as vectors: a tokenizer and a language model's graph that travel with a policy.

Policies that know words by number have neither; see `language`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from vla_core.errors import BundleError, PolicyError
from vla_core.language import SENTENCE_LENGTH, words_of

if TYPE_CHECKING:
    from vla_core.bundle import PolicyBundle

ENCODER_INPUT: Final = "input_ids"
"""Input of the language model's graph: (1, N) int64, numbers of the sentence's pieces."""

ENCODER_OUTPUT: Final = "sentence_vector"
"""Its output: (1, E) float32, of length 1."""

Run = Callable[[dict[str, np.ndarray]], np.ndarray]

_LONGEST: Final = 128
_KEPT: Final = 64


def plain_sentence(sentence: str) -> str:
    """What a language model is given of a sentence: its first sixteen words, see `words_of`.

    In training it sees no more than these, so neither on the robot.
    """
    return " ".join(words_of(sentence)[:SENTENCE_LENGTH])


class Tokenizer:
    """Cuts sentences into the pieces that a language model knows by number.

    Args:
        definition: as the `tokenizers` package writes it (tokenizer.json).

    Raises:
        PolicyError: if it cannot be read or the package is missing.
    """

    def __init__(self, definition: str) -> None:
        # On demand: only policies with a language model need it.
        try:
            from tokenizers import Tokenizer as Implementation
        except ImportError as error:
            raise PolicyError(
                "the policy reads sentences with a language model, whose tokenizer needs the "
                "package tokenizers, which is not installed; run `pip install tokenizers`"
            ) from error
        try:
            self._implementation = Implementation.from_str(definition)
        except Exception as error:  # the package raises nothing more specific
            raise PolicyError(f"tokenizer: cannot be read ({error})") from error
        self._implementation.no_padding()
        self._implementation.enable_truncation(_LONGEST)

    def __call__(self, sentence: str) -> np.ndarray:
        """Numbers of the pieces of a sentence, (N,) int64, the model's special ones included."""
        return np.array(self._implementation.encode(plain_sentence(sentence)).ids, np.int64)


class SentenceEncoder:
    """A sentence to its vector; remembers the last ones.

    Args:
        tokenizer: cuts the sentence.
        run: the language model's graph, see `ENCODER_INPUT` and `ENCODER_OUTPUT`.
    """

    def __init__(self, tokenizer: Tokenizer, run: Run) -> None:
        self._tokenizer = tokenizer
        self._run = run
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, sentence: str) -> np.ndarray:
        """The vector (E,) float32 of a sentence.

        Raises:
            PolicyError: if the model gives something else than one finite vector.
        """
        text = plain_sentence(sentence)
        if text not in self._known:
            output = np.asarray(self._run({ENCODER_INPUT: self._tokenizer(text)[None]}))
            if output.ndim != 2 or len(output) != 1 or not np.isfinite(output).all():
                raise PolicyError(
                    f"sentence encoder: got shape {output.shape} for {text!r}, expected one "
                    "finite vector"
                )
            if len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            self._known[text] = output[0].astype(np.float32)
        return self._known[text]


def load_sentence_encoder(
    bundle: PolicyBundle, make_run: Callable[[Path], Run]
) -> SentenceEncoder | None:
    """The language model of a bundle; None for policies that know words by number.

    Args:
        bundle: the policy.
        make_run: loads a graph, and gives a function from its feeds to `ENCODER_OUTPUT`.

    Raises:
        BundleError: if the tokenizer cannot be read.
        PolicyError: if a package is missing.
    """
    if bundle.encoder_path is None or bundle.tokenizer_path is None:
        return None
    try:
        definition = bundle.tokenizer_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"policy bundle {bundle.path}: {bundle.tokenizer_path.name} cannot be read ({error}); "
            "export or copy it again"
        ) from error
    return SentenceEncoder(Tokenizer(definition), make_run(bundle.encoder_path))
