"""What the custom metadata of an episode's bag is called and what its values may be."""

from __future__ import annotations

from enum import Enum
from typing import Final

INSTRUCTION: Final = "vla.instruction"
PARAPHRASES: Final = "vla.paraphrases"
"""JSON list of further sentences that command the same; training may say any of them."""
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
"""Decides scene and start of a simulated episode; given, like the next ones, by whoever asks for
the recording."""
GROUP: Final = "vla.group"
"""Bags of one group are in the same split of a data set; without it, those of one seed are."""
GOAL: Final = "vla.goal"
"""Index of the commanded station, left to right. Episodes of one seed that differ in it are alike
in all but their goal and their sentence."""
STATION_COUNT: Final = "vla.station_count"
SUITE: Final = "vla.suite"
NOISE: Final = "vla.noise"
"""Scale of the noise on the executed command."""
START_NS: Final = "vla.start_ns"
"""Bag time at which the episode begins; what is earlier is pre-roll."""
REPAIRED: Final = "vla.repaired"
"""What was done to finish a bag whose recording was cut off."""

JOURNAL_FILE: Final = "recording.jsonl"
"""In the folder of a bag that was not closed: what the recorder knew about it, the last whole line
being valid. Locked (flock) while the recorder writes."""

WRITTEN_BY_RECORDER: Final = frozenset(
    {
        INSTRUCTION,
        OUTCOME,
        NOTE,
        OPERATOR,
        ROBOT,
        CONTRACT,
        CONTRACT_HASH,
        SOFTWARE,
        TOPICS,
        START_NS,
        REPAIRED,
    }
)
"""Keys that a goal's own metadata must not replace."""


class Outcome(str, Enum):
    """How an episode went."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"
    DISCARDED = "discarded"
