"""What no policy may have seen before it is measured: seeds, phrasings and looks of stations.

Nothing that collects, converts or trains may load this module; a test holds them to it.
"""

import functools
import importlib.resources
from dataclasses import dataclass
from typing import Any

import yaml

from vla_simulation.scenes.instructions import Phrasing, phrasings_of

_FILE = "held_out.yaml"


@dataclass(frozen=True)
class HeldOutColour:
    """A colour of stations that no training suite shows.

    Attributes:
        rgb: 0 to 1.
        korean: its Korean name.
    """

    rgb: tuple[float, float, float]
    korean: str


@functools.lru_cache(maxsize=1)
def _description() -> dict[str, Any]:
    text = importlib.resources.files("vla_simulation").joinpath(_FILE).read_text("utf-8")
    return yaml.safe_load(text)


def first_held_out_seed() -> int:
    """Seeds from this one on are for evaluation only."""
    return int(_description()["first_held_out_seed"])


@functools.lru_cache(maxsize=1)
def held_out_phrasings() -> tuple[Phrasing, ...]:
    """Phrasings of the suite `paraphrase`."""
    return phrasings_of(_description()["phrasings"])


@functools.lru_cache(maxsize=1)
def held_out_colours() -> dict[str, HeldOutColour]:
    """Colours of the suite `new_station` by their English names."""
    return {
        name: HeldOutColour(tuple(value["rgb"]), value["korean"])
        for name, value in _description()["colours"].items()
    }


def held_out_shapes() -> tuple[str, ...]:
    """Shapes of the suite `new_station`."""
    return tuple(_description()["shapes"])
