"""Instructions as word numbers: a small vocabulary that travels with the policy."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from typing import Final

import numpy as np

from vla_core.errors import VocabularyError

FORMAT_VERSION: Final = 1
SENTENCE_LENGTH: Final = 16
"""Words of an encoded sentence."""

PAD: Final = 0
UNKNOWN: Final = 1
_FIRST_WORD: Final = 2

_APOSTROPHES = "'’ʼ"


def words_of(sentence: str) -> tuple[str, ...]:
    """Split a sentence into words, in any script that separates words.

    Case, punctuation and the ways Unicode has to write the same letter make no difference: NFKC
    and case folding, then runs of letters, marks and digits. A Hangul syllable is one letter
    whether it comes composed or as single jamo, and a Korean word keeps its particle. An apostrophe
    joins ("don't" is one word), and so do invisible characters (soft hyphen, zero-width space) that
    text from a web page or a chat may carry.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", sentence).casefold())
    letters = (
        character if unicodedata.category(character)[0] in "LMN" else " "
        for character in folded
        if character not in _APOSTROPHES and unicodedata.category(character) != "Cf"
    )
    # Once more: what was left out may have kept a letter and its mark apart.
    return tuple(unicodedata.normalize("NFKC", "".join(letters)).split())


class Vocabulary:
    """The words a policy knows, each with a number.

    0 pads a sentence, 1 stands for every unknown word, the words follow from 2 on in the order
    given.
    """

    def __init__(self, words: Iterable[str]) -> None:
        """Number the words.

        Args:
            words: each exactly one word as `words_of` gives it, and none twice.

        Raises:
            VocabularyError: if a word is not of that form or is there twice.
        """
        self.words = tuple(words)
        wrong = [word for word in self.words if words_of(word) != (word,)]
        if wrong:
            raise VocabularyError(
                f"vocabulary: {wrong[0]!r}, expected single words in lower case, no punctuation"
            )
        self._numbers = {word: number for number, word in enumerate(self.words, _FIRST_WORD)}
        if len(self._numbers) != len(self.words):
            raise VocabularyError("vocabulary: a word is there twice, expected each once")

    @classmethod
    def from_sentences(cls, sentences: Iterable[str]) -> Vocabulary:
        """All words of the sentences, sorted."""
        return cls(sorted({word for sentence in sentences for word in words_of(sentence)}))

    @property
    def size(self) -> int:
        """Numbers in use, padding and unknown included: rows of an embedding table."""
        return len(self.words) + _FIRST_WORD

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    def encode(self, sentence: str) -> np.ndarray:
        """Word numbers of a sentence.

        Args:
            sentence: any text. Words after the sixteenth are cut off; `problems` tells.

        Returns:
            (16,) int64, padded with 0 at the end.
        """
        numbers = np.full(SENTENCE_LENGTH, PAD, np.int64)
        for index, word in enumerate(words_of(sentence)[:SENTENCE_LENGTH]):
            numbers[index] = self._numbers.get(word, UNKNOWN)
        return numbers

    def unknown_words(self, sentence: str) -> tuple[str, ...]:
        """Words of a sentence that the policy has never seen, in order."""
        return tuple(word for word in words_of(sentence) if word not in self._numbers)

    def problems(self, sentence: str) -> list[str]:
        """Why a policy may misunderstand a sentence, one text each; empty if all is well."""
        words, unknown = words_of(sentence), self.unknown_words(sentence)
        if not words:
            return ["the instruction has no words"]
        problems = []
        if unknown:
            problems.append(f"the policy does not know the words {', '.join(unknown)}")
        if len(words) > SENTENCE_LENGTH:
            problems.append(
                f"the instruction has {len(words)} words, the policy reads the first "
                f"{SENTENCE_LENGTH}"
            )
        return problems

    def to_json(self) -> str:
        """The vocabulary as JSON text."""
        values = {"format_version": FORMAT_VERSION, "words": list(self.words)}
        return json.dumps(values, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Vocabulary:
        """Read what `to_json` wrote.

        Raises:
            VocabularyError: if the text is anything else.
        """
        try:
            values = json.loads(text)
            version, words = values["format_version"], values["words"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise VocabularyError(f"vocabulary: cannot be read ({error})") from error
        if version != FORMAT_VERSION:
            raise VocabularyError(
                f"vocabulary: format version {version!r}, expected {FORMAT_VERSION}"
            )
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise VocabularyError("vocabulary: words is no list of texts")
        return cls(words)
