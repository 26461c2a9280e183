"""Sentences that name a station, and the colours that stations come in."""

import numpy as np

STATION_COLOURS: dict[str, tuple[float, float, float]] = {
    "orange": (0.95, 0.42, 0.05),
    "blue": (0.08, 0.30, 0.85),
    "green": (0.10, 0.60, 0.20),
    "red": (0.80, 0.08, 0.08),
    "yellow": (0.95, 0.80, 0.08),
    "purple": (0.48, 0.16, 0.68),
    "white": (0.92, 0.92, 0.92),
}

PHRASINGS: tuple[str, ...] = (
    "dock at the {colour} charger",
    "drive to the {colour} charging station",
    "go and charge at the {colour} dock",
    "park on the {colour} charger",
    "connect to the {colour} station",
    "please dock with the {colour} charging station",
)


def sample_instruction(rng: np.random.Generator, colour: str) -> str:
    """One of the phrasings, with the colour filled in."""
    return PHRASINGS[rng.integers(len(PHRASINGS))].format(colour=colour)


def all_instructions() -> list[str]:
    """Every sentence that the simulator can say, for building a vocabulary."""
    return [phrase.format(colour=colour) for phrase in PHRASINGS for colour in STATION_COLOURS]
