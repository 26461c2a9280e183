"""What the custom metadata of an episode's bag is called and what its values may be."""

from __future__ import annotations

from enum import Enum
from typing import Final

INSTRUCTION: Final = "vla.instruction"
OUTCOME: Final = "vla.outcome"
NOTE: Final = "vla.note"
OPERATOR: Final = "vla.operator"
ROBOT: Final = "vla.robot"
CONTRACT: Final = "vla.contract"
"""The contract as YAML text."""
CONTRACT_HASH: Final = "vla.contract_hash"
SOFTWARE: Final = "vla.software"
TOPICS: Final = "vla.topics"
"""JSON object {topic in the contract: topic in the bag}, so that remapped topics are found."""
SEED: Final = "vla.seed"
"""Start of a simulated episode; given, like the next two, by whoever asks for the recording."""
SUITE: Final = "vla.suite"
NOISE: Final = "vla.noise"
"""Scale of the noise on the executed command."""

WRITTEN_BY_RECORDER: Final = frozenset(
    {INSTRUCTION, OUTCOME, NOTE, OPERATOR, ROBOT, CONTRACT, CONTRACT_HASH, SOFTWARE, TOPICS}
)
"""Keys that a goal's own metadata must not replace."""


class Outcome(str, Enum):
    """How an episode went."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"
    DISCARDED = "discarded"
