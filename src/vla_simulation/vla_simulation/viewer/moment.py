"""What one picture of an episode tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE, SCAN
from vla_core.readings import ImageReading, ScanReading
from vla_simulation.config import CONTROL_PERIOD_S
from vla_simulation.environment import DockingEnv
from vla_simulation.scenes.scene import Scene
from vla_simulation.truth import Truth
from vla_simulation.viewer.plan import follow


class Driver(Protocol):
    """Who drives: gives one command per control period, and says what it intends."""

    @property
    def interventions(self) -> Mapping[str, int]:
        """How often the safety envelope changed a command, by reason, since the reset."""

    def reset(self, env: DockingEnv) -> None:
        """Forget everything: an episode of this environment begins."""

    def command(self, env: DockingEnv) -> np.ndarray:
        """The command (2,) [m/s, rad/s] for what the environment shows now."""

    def planned(self, env: DockingEnv) -> np.ndarray:
        """Commands (N, 2) [m/s, rad/s] that are intended from now on, one per control period."""


@dataclass(frozen=True)
class Moment:
    """One moment of an episode.

    Attributes:
        seed: of the episode.
        suite: that it is drawn from.
        sentence: what the driver is told.
        driver: who drives, for people.
        scene: what stands around.
        truth: the true state.
        trail: where the base has been, in the world.
        scan: the newest one.
        image: of the robot's camera, (H, W, 3) uint8 RGB, or None without one.
        planned: poses of the base that are intended, in the world, the present one first.
        interventions: of the safety envelope, by reason.
        paused: whether time stands still.
    """

    seed: int
    suite: str
    sentence: str
    driver: str
    scene: Scene
    truth: Truth
    trail: Sequence[Pose2D]
    scan: ScanReading | None
    image: np.ndarray | None
    planned: Sequence[Pose2D]
    interventions: Mapping[str, int]
    paused: bool = False

    @property
    def outcome(self) -> str:
        """driving, docked, wrong station or collision."""
        truth = self.truth
        if truth.collision:
            return "collision"
        if truth.docked:
            return "docked"
        return "driving" if truth.docked_station is None else "wrong station"


def observe(
    env: DockingEnv,
    driver: Driver,
    trail: Sequence[Pose2D],
    *,
    driver_name: str,
    sentence: str = "",
    paused: bool = False,
) -> Moment:
    """The present moment of an environment.

    Args:
        env: the environment.
        driver: who drives it.
        trail: where the base has been.
        driver_name: for people.
        sentence: what the driver is told, where that is not the environment's sentence.
        paused: whether time stands still.
    """
    truth, readings = env.truth, env.readings()
    image, scan = readings.get(IMAGE), readings.get(SCAN)
    return Moment(
        seed=env.seed,
        suite=env.suite.name,
        sentence=sentence or env.instruction,
        driver=driver_name,
        scene=env.scene,
        truth=truth,
        trail=tuple(trail),
        scan=scan if isinstance(scan, ScanReading) else None,
        image=image.rgb if isinstance(image, ImageReading) else None,
        planned=tuple(follow(truth.world_from_base, driver.planned(env), CONTROL_PERIOD_S)),
        interventions=dict(driver.interventions),
        paused=paused,
    )
