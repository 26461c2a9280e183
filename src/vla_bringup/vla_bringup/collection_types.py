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
        suite: that the starts are drawn from.
        time_limit_s: an episode that is not docked by then has failed.
        noise: scale of the disturbance of what is executed; the label stays clean.
        settle_s: how long recording goes on at the dock.
        storage: of the bags.
        compression: of the bags.
    """

    contract: str
    suite: str
    time_limit_s: float
    noise: float
    settle_s: float
    storage: str
    compression: str


@dataclass(frozen=True)
class EpisodeResult:
    """What became of an episode.

    Attributes:
        seed: of its start.
        bag: its bag.
        success: whether the robot docked and stayed.
        reason: one word: docked, timeout or collision.
        ticks: control periods, by the simulator's count of time.
        duration_s: of simulated time.
        wall_s: that it took.
    """

    seed: int
    bag: str
    success: bool
    reason: str
    ticks: int
    duration_s: float
    wall_s: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
