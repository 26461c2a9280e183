"""Swapping left and right, in what the robot senses, does and is told.

A mirrored docking is a docking as well: a differential drive, a forward camera and a scanner on the
robot's axis have no handedness. Image and scan are reversed, everything that turns or points to the
left changes its sign, and the words for left and right change places.

One thing does not survive a mirror: writing. The digit on a station's sign cannot be read
backwards, so a sample whose sentence names a number is never mirrored. Other sentences do not
depend on the digit, and a sign that means nothing to them may as well be a mirrored one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor

from vla_core import keys
from vla_core.contract import Contract, StreamSpec
from vla_core.contract_specs import ImageDecoder, ScanDecoder
from vla_core.language import PAD, UNKNOWN, Vocabulary, words_of
from vla_training.dataset.batch import PARAPHRASES, Batch
from vla_training.errors import ConfigurationError

# A Korean word carries its particle ("왼쪽에", on the left). These pairs end alike, so that either
# takes the particles of the other.
_DIRECTIONS: Final = (("left", "right"), ("leftmost", "rightmost"))
_STEMS: Final = (("왼쪽", "오른쪽"), ("왼편", "오른편"), ("좌측", "우측"))

_CARDINALS: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ORDINALS: Final = ("first", "second", "third", "fourth", "fifth")
_KOREAN_NUMBERS: Final = (
    "하나",
    "둘",
    "셋",
    "넷",
    "첫",
    "두",
    "세",
    "네",
    "일번",
    "이번",
    "삼번",
    "사번",
)
_KOREAN_ORDINALS: Final = ("첫째", "둘째", "셋째", "넷째")
_NUMBER_WORDS: Final = frozenset({*_CARDINALS, *_ORDINALS, *_KOREAN_NUMBERS, *_KOREAN_ORDINALS})
_NUMBER_STEM: Final = "번째"

_LATERAL: Final = frozenset({"angular.z", "linear.y"})
_POSE_SIGN: Final = (1.0, -1.0, -1.0)
_SYMMETRY_TOLERANCE: Final = 1e-6


def mirrored_word(word: str) -> str:
    """The word that a mirror makes of one; itself if it tells no direction."""
    for pair in (*_DIRECTIONS, *(pair[::-1] for pair in _DIRECTIONS)):
        if word == pair[0]:
            return pair[1]
    for pair in (*_STEMS, *(pair[::-1] for pair in _STEMS)):
        if word.startswith(pair[0]):
            return pair[1] + word[len(pair[0]) :]
    return word


def names_number(word: str) -> bool:
    """Whether a word may name a number.

    "one" counts even where it stands for a noun ("the left one"): from single words that cannot be
    told, and a sample too few is mirrored rather than one too many.
    """
    return (
        word in _NUMBER_WORDS or _NUMBER_STEM in word or any(letter.isnumeric() for letter in word)
    )


def with_mirrored(sentences: Iterable[str]) -> list[str]:
    """The sentences, and what they become in a mirror: what a vocabulary has to know."""
    words = sorted({word for sentence in sentences for word in words_of(sentence)})
    return [*words, *(mirrored_word(word) for word in words)]


class Mirror:
    """Mirrors samples of one contract and one vocabulary.

    Args:
        contract: What the streams and the action are.
        vocabulary: The words by number.
    """

    def __init__(self, contract: Contract, vocabulary: Vocabulary) -> None:
        self._streams = contract.streams
        self._action_sign = _signs(contract.action.fields)
        self._pose_sign = torch.tensor(_POSE_SIGN)
        numbers = {word: int(vocabulary.encode(word)[0]) for word in vocabulary.words}
        swapped = torch.arange(vocabulary.size)
        fixed = torch.zeros(vocabulary.size, dtype=torch.bool)
        fixed[UNKNOWN] = True
        for word, number in numbers.items():
            mirrored = numbers.get(mirrored_word(word))
            fixed[number] = names_number(word) or mirrored is None
            swapped[number] = number if mirrored is None else mirrored
        fixed[PAD] = False
        self._swapped, self._fixed = swapped, fixed

    def allowed(self, instruction: Tensor) -> Tensor:
        """Which samples may be mirrored.

        Not those whose sentence names a number, has an unknown word (which may be a number), or a
        direction whose opposite the vocabulary lacks.

        Args:
            instruction: (B, L) int64 word numbers.

        Returns:
            (B,) bool.
        """
        return ~self._fixed.to(instruction.device)[instruction].any(dim=1)

    def apply(self, batch: Batch, chosen: Tensor) -> None:
        """Mirror some samples of a batch, in place.

        Args:
            batch: As `DockingDataset.batch` gives it, with a time axis or without.
            chosen: (n,) int64 indices of samples; see `allowed`.
        """
        for stream in self._streams:
            values = batch[stream.key].index_select(0, chosen)
            if isinstance(stream.decoder, ImageDecoder):
                mirrored = values.flip(-2)
            elif isinstance(stream.decoder, ScanDecoder):
                mirrored = values.flip(-1)
            else:
                mirrored = values * _signs(stream.decoder.fields).to(values.device)
            batch[stream.key].index_copy_(0, chosen, mirrored)
        for key, sign in ((keys.ACTION, self._action_sign), (keys.DOCK_POSE, self._pose_sign)):
            batch[key][chosen] *= sign.to(chosen.device)
        words = batch[keys.INSTRUCTION][chosen]
        batch[keys.INSTRUCTION][chosen] = self._swapped.to(chosen.device)[words]
        if PARAPHRASES in batch:
            ways = batch[PARAPHRASES][chosen]
            batch[PARAPHRASES][chosen] = self._swapped.to(chosen.device)[ways]


def check_symmetry(contract: Contract) -> None:
    """Make sure that a mirrored stream is what a mirrored robot would sense.

    Raises:
        ConfigurationError: If an image is cropped or a scan cut differently left and right.
    """
    for stream in contract.streams:
        if abs(_skew(stream)) > _SYMMETRY_TOLERANCE:
            raise ConfigurationError(
                f"augmentation.mirror: stream {stream.key!r} is not symmetric about the robot's x "
                "axis (its crop or its angles differ between left and right); set "
                "augmentation.mirror=0"
            )


def _skew(stream: StreamSpec) -> float:
    decoder = stream.decoder
    if isinstance(decoder, ImageDecoder):
        return decoder.crop[2] - decoder.crop[3]
    if isinstance(decoder, ScanDecoder):
        return decoder.angle_min_rad + decoder.angle_max_rad
    return 0.0


def _signs(fields: tuple[str, ...]) -> Tensor:
    """-1 for what changes its sign in a mirror: sideways and turning motion."""
    return torch.tensor([-1.0 if field in _LATERAL else 1.0 for field in fields])
