"""What the parts of `vla collect` tell each other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vla_core.errors import VlaError


class CollectionError(VlaError):
    """Demonstrations cannot be collected."""


@dataclass(frozen=True)
class EpisodeSettings:
    """What is the same in all episodes of a collection.

    Attributes:
        contract: path of the robot's contract.
        suite: that the simulator begins with.
        noise: scale of the disturbance of what is executed; the label stays clean.
        settle_s: how long recording goes on at the dock.
        storage: of the bags.
        compression: of the bags.
    """

    contract: str
    suite: str
    noise: float
    settle_s: float
    storage: str
    compression: str


@dataclass(frozen=True)
class EpisodeOrder:
    """One episode to record.

    Attributes:
        name: of its bag.
        seed: of its scene, its start and its disturbance.
        suite: that it is drawn from.
        goal: index of the commanded station, left to right; -1: as drawn.
        time_limit_s: when it is not docked by then, it has failed.
    """

    name: str
    seed: int
    suite: str
    goal: int
    time_limit_s: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class EpisodeResult:
    """What became of an episode.

    Attributes:
        seed: of its start.
        suite: that it was drawn from.
        goal: index of the commanded station.
        station_count: how many stations there were.
        instruction: the sentence that named it.
        bag: its bag.
        success: whether the robot docked where it should and stayed.
        reason: one word: docked, timeout, collision or wrong_station.
        ticks: control periods, by the simulator's count of time.
        duration_s: of simulated time.
        wall_s: that it took.
    """

    seed: int
    suite: str
    goal: int
    station_count: int
    instruction: str
    bag: str
    success: bool
    reason: str
    ticks: int
    duration_s: float
    wall_s: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
