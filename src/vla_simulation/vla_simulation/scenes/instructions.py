"""Sentences that name a station by its colour, its side or its number, in two languages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from vla_simulation.randomization import LanguageConfig

Naming = Literal["colour", "side", "number", "none"]
"""How a sentence tells its station from the others; "none" is for a lone one."""
Side = Literal["left", "middle", "right", "only"]
"""Where a station stands, for a robot that faces the stations."""

NAMINGS: Final[tuple[Naming, ...]] = ("colour", "side", "number")
NUMBERS: Final = (1, 2, 3)

STATION_COLOURS: Final[dict[str, tuple[float, float, float]]] = {
    "orange": (0.95, 0.42, 0.05),
    "blue": (0.08, 0.30, 0.85),
    "green": (0.10, 0.60, 0.20),
    "red": (0.80, 0.08, 0.08),
    "yellow": (0.95, 0.80, 0.08),
    "purple": (0.48, 0.16, 0.68),
    "white": (0.92, 0.92, 0.92),
}
"""Colours of training stations, RGB 0 to 1."""

KOREAN_COLOURS: Final[dict[str, str]] = {
    "orange": "주황색",
    "blue": "파란색",
    "green": "초록색",
    "red": "빨간색",
    "yellow": "노란색",
    "purple": "보라색",
    "white": "흰색",
}

_NUMBER_WORDS: Final = {1: "one", 2: "two", 3: "three"}
_PLACES: Final = {"left": "on the left", "middle": "in the middle", "right": "on the right"}
_KOREAN_SIDES: Final = {"left": "왼쪽", "middle": "가운데", "right": "오른쪽"}

# {colour}: orange; {side}: left; {place}: on the left; {number}: 2; {word}: two.
_TRAINING: Final[dict[str, dict[Naming, tuple[str, ...]]]] = {
    "en": {
        "colour": (
            "dock at the {colour} charger",
            "drive to the {colour} charging station",
            "go and charge at the {colour} dock",
            "park on the {colour} charger",
            "connect to the {colour} station",
            "please dock with the {colour} charging station",
            "take the {colour} charger",
            "find the {colour} station and dock there",
            "go to the {colour} one",
        ),
        "side": (
            "dock at the {side} charger",
            "park at the {side} station",
            "drive to the charger {place}",
            "go to the {side} charging station",
            "connect to the station {place}",
            "please charge at the {side} dock",
            "take the {side} one",
            "go and dock with the charging station {place}",
        ),
        "number": (
            "go to charger number {number}",
            "dock at station {number}",
            "dock at charger {word}",
            "drive to charging station number {word}",
            "park at the charger with number {number}",
            "connect to station number {number}",
            "please charge at dock {number}",
            "take charger {word}",
        ),
        "none": (
            "dock at the charger",
            "drive to the charging station",
            "go and charge",
            "park at the station",
            "please dock",
        ),
    },
    "ko": {
        "colour": (
            "{colour} 충전기에 도킹해",
            "{colour} 충전소로 가",
            "{colour} 충전기에 연결해 줘",
            "{colour} 충전기로 가서 충전해",
            "{colour} 충전소에 주차해",
        ),
        "side": (
            "{side} 충전소로 가",
            "{side} 충전기에 도킹해",
            "{side}에 있는 충전기에 연결해",
            "{side} 충전기로 가서 충전해 줘",
            "{side}에 있는 충전소에 주차해",
        ),
        "number": (
            "{number}번 충전기에 연결해",
            "{number}번 충전소로 가",
            "{number}번 충전기에 도킹해 줘",
            "{number}번 충전소에 가서 충전해",
        ),
        "none": (
            "충전기에 도킹해",
            "충전소로 가서 충전해",
            "충전소에 주차해 줘",
        ),
    },
}


@dataclass(frozen=True)
class Phrasing:
    """A sentence with a gap for the station's name.

    Attributes:
        language: "en" or "ko".
        naming: what fills the gap.
        template: the sentence.
    """

    language: str
    naming: Naming
    template: str

    def sentence(self, colour: str, side: Side, number: int) -> str:
        """Fill the gap.

        Args:
            colour: English name of the station's colour.
            side: where it stands.
            number: on its sign.
        """
        korean = self.language == "ko"
        return self.template.format(
            colour=korean_colour(colour) if korean else colour,
            side=_KOREAN_SIDES.get(side, "") if korean else side,
            place=_PLACES.get(side, ""),
            number=number,
            word=_NUMBER_WORDS[number],
        )


def korean_colour(colour: str) -> str:
    """Korean name of a colour, of a held-out one too."""
    if colour in KOREAN_COLOURS:
        return KOREAN_COLOURS[colour]
    from vla_simulation.held_out import held_out_colours

    return held_out_colours()[colour].korean


def phrasings_of(
    templates: Mapping[str, Mapping[Naming, Sequence[str]]],
) -> tuple[Phrasing, ...]:
    """Templates by language and naming as a flat list."""
    return tuple(
        Phrasing(language, naming, template)
        for language, by_naming in templates.items()
        for naming, group in by_naming.items()
        for template in group
    )


TRAINING_PHRASINGS: Final = phrasings_of(_TRAINING)


def sample_phrasing(rng: np.random.Generator, naming: Naming, language: LanguageConfig) -> Phrasing:
    """Draw a phrasing that names a station in a given way."""
    code = "ko" if rng.random() < language.korean_share else "en"
    phrasings = TRAINING_PHRASINGS
    if language.held_out_phrasings:
        from vla_simulation.held_out import held_out_phrasings

        phrasings = held_out_phrasings()
    fitting = [p for p in phrasings if (p.language, p.naming) == (code, naming)]
    return fitting[rng.integers(len(fitting))]


def all_instructions() -> list[str]:
    """Every sentence of the training suites, for building a vocabulary; each once."""
    sides: tuple[Side, ...] = ("left", "middle", "right")
    sentences = {
        phrasing.sentence(colour, side, number): None
        for phrasing in TRAINING_PHRASINGS
        for colour in STATION_COLOURS
        for side in sides
        for number in NUMBERS
    }
    return list(sentences)
