"""The seeds that are for evaluation only, and the random streams of an episode."""

import zlib
from typing import Final

import numpy as np

FIRST_HELD_OUT_SEED: Final = 1_000_000
"""Seeds from this one on are for evaluation only."""


def is_held_out(seed: int) -> bool:
    """Whether a seed is reserved for evaluation."""
    return seed >= FIRST_HELD_OUT_SEED


def random_stream(seed: int, name: str, attempt: int = 0) -> np.random.Generator:
    """A random stream of an episode.

    Streams of different names are independent: one more draw from one of them shifts nothing in
    the others, and neither does a new stream.

    Args:
        seed: of the episode, 0 or more.
        name: of what is drawn from the stream.
        attempt: counts the scenes that were given up before.
    """
    key = (zlib.crc32(name.encode()), attempt)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def robot_seed(seed: int, robot: int) -> int:
    """Seed of what is a robot's own in a scene with several: its hardware and its sensors.

    Args:
        seed: of the episode.
        robot: its number; the first one, 0, keeps the episode's seed.
    """
    if robot == 0:
        return seed
    key = (zlib.crc32(b"robot"), robot)
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint32)[0])
