"""What a caller may choose about an episode, beyond its seed."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_core.geometry import Pose2D
from vla_simulation.errors import SimulationError
from vla_simulation.scenes.scene import Scene

SWAP = "swap"
DOCKED = "docked"


@dataclass(frozen=True)
class EpisodeOptions:
    """The options of `DockingEnv.reset`.

    Attributes:
        suite: name of the suite from this episode on; None: as before.
        goal: index of the commanded station, or "swap" for the one after the drawn one; None: as
            drawn.
        markers: show a fiducial marker on each station.
        start: "docked" begins in the dock of the commanded station; a `Pose2D`, `world_from_base`,
            begins there; None: as drawn.
        robot: number of the robot where several share the scene: decides its hardware and noise.
        others: where the other robots are, `world_from_base`.
    """

    suite: str | None = None
    goal: int | str | None = None
    markers: bool = False
    start: str | Pose2D | None = None
    robot: int = 0
    others: tuple[Pose2D, ...] = ()

    @property
    def in_dock(self) -> bool:
        """Whether the episode begins in the dock."""
        return self.start == DOCKED

    @classmethod
    def of(cls, options: Mapping[str, Any] | None) -> "EpisodeOptions":
        """Read the dictionary that Gymnasium hands on.

        Raises:
            SimulationError: a name or a value is unknown.
        """
        options = dict(options or {})
        known = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                raise SimulationError(
                    f"option '{name}' of reset() is unknown, expected one of: {', '.join(known)}"
                )
        goal, start = options.get("goal"), options.get("start")
        if isinstance(goal, bool) or not (goal in (None, SWAP) or isinstance(goal, int)):
            raise SimulationError(
                f"option 'goal' of reset() is {goal!r}, expected the index of a station or '{SWAP}'"
            )
        if not (isinstance(start, Pose2D) or start in (None, DOCKED)):
            raise SimulationError(
                f"option 'start' of reset() is {start!r}, expected '{DOCKED}', a Pose2D or none"
            )
        return cls(
            options.get("suite"),
            goal,
            bool(options.get("markers", False)),
            start,
            int(options.get("robot", 0)),
            tuple(options.get("others", ())),
        )

    def apply(self, scene: Scene, world_from_base: Pose2D) -> tuple[Scene, Pose2D]:
        """Change a drawn episode as asked.

        Raises:
            SimulationError: the scene has no such station, or none to swap with.
        """
        scene = dataclasses.replace(scene, goal=self._goal(scene), markers=self.markers)
        if isinstance(self.start, Pose2D):
            return scene, self.start
        return scene, scene.world_from_dock if self.in_dock else world_from_base

    def _goal(self, scene: Scene) -> int:
        count = len(scene.stations)
        if self.goal is None:
            return scene.goal
        if self.goal == SWAP:
            if count == 1:
                raise SimulationError(
                    "goal 'swap' in a scene with one station, expected two or more: take a seed "
                    "with more (info['station_count'] tells) or a suite with "
                    "station_count_shares that begin with 0"
                )
            return (scene.goal + 1) % count
        goal = int(self.goal)
        if not 0 <= goal < count:
            raise SimulationError(
                f"goal {goal} in a scene with {count} stations, expected 0 to {count - 1}"
            )
        return goal
