"""Runs episodes one after the other, in lock-step, and says what a viewer may show of them."""

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.environment import DockingEnv
from vla_simulation.viewer.composer import CHASE_SIZE, compose
from vla_simulation.viewer.moment import Driver, Moment, observe

LINGER_S = 1.5
"""How long an episode goes on after its end: one wants to see that the robot stays."""


class Wish(Enum):
    """What a person may ask for while an episode runs."""

    PAUSE = "pause"
    NEXT = "next"
    SWAP = "swap"


@dataclass(frozen=True)
class EpisodeChoice:
    """Which episodes are shown.

    Attributes:
        first_seed: of the first one; the others follow.
        station: index of the commanded station, or None as drawn.
        sentence: what the driver is told instead of the drawn sentence, or empty.
        options: of `DockingEnv.reset`, for every episode.
    """

    first_seed: int
    station: int | None = None
    sentence: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


class Session:
    """One environment and its driver.

    All calls but `wish` belong to the thread that made the environment: its OpenGL contexts do.

    Attributes:
        env: what is driven.
        trail: where the base has been in this episode, in the world.
        end_s: when this episode ended; infinite before.
        paused: whether time stands still.
    """

    def __init__(
        self, env: DockingEnv, driver: Driver, driver_name: str, choice: EpisodeChoice
    ) -> None:
        """Begin the first episode.

        Args:
            env: what is driven.
            driver: who drives it.
            driver_name: for people.
            choice: which episodes are shown.

        Raises:
            SimulationError: the first episode cannot be had.
        """
        self.env = env
        self._driver = driver
        self._driver_name = driver_name
        self._choice = choice
        self._wishes: list[Wish] = []
        self._lock = threading.Lock()
        self.paused = False
        self.begin(choice.first_seed, choice.station)

    def begin(self, seed: int, goal: int | None = None) -> None:
        """Begin an episode.

        Args:
            seed: of what is drawn.
            goal: index of the commanded station, or None as drawn.

        Raises:
            SimulationError: the scene has no such station.
        """
        commanded = {} if goal is None else {"goal": goal}
        self.env.reset(seed=seed, options={**self._choice.options, **commanded})
        self._driver.reset(self.env)
        self.trail: list[Pose2D] = [self.env.truth.world_from_base]
        self.end_s = math.inf

    def wish(self, wish: Wish) -> None:
        """Ask for something; from any thread."""
        with self._lock:
            self._wishes.append(wish)

    @property
    def over(self) -> bool:
        """Whether the episode has ended and been shown for a while longer."""
        return self.env.truth.time_s >= self.end_s + LINGER_S - 1e-9

    def advance(self) -> None:
        """Grant what was asked for, then drive one control period unless time stands still."""
        with self._lock:
            wishes, self._wishes = self._wishes, []
        for wish in wishes:
            self._grant(wish)
        if not self.paused:
            self._step()

    def moment(self) -> Moment:
        """What there is to show now."""
        return observe(
            self.env,
            self._driver,
            self.trail,
            driver_name=self._driver_name,
            sentence=self._choice.sentence,
            paused=self.paused,
        )

    def picture(self, *, shadows: bool = True) -> np.ndarray:
        """The composed picture of now, (696, 1200, 3) uint8 RGB.

        Args:
            shadows: draw them in the view of the scene; without is several times faster.
        """
        chase = self.env.render_view("chase", CHASE_SIZE, shadows)
        return compose(self.moment(), chase, self.env.config)

    def run_to_end(self) -> None:
        """Drive the running episode to its end, without waiting for the clock."""
        while math.isinf(self.end_s):
            self.advance()

    def play(self, show: Callable[[np.ndarray], None], every_ticks: int) -> None:
        """Drive the running episode to its end and a little further, and show it.

        Args:
            show: takes the pictures: the first at the start, then one every so many control
                periods.
            every_ticks: how many.
        """
        show(self.picture())
        tick = 0
        while not self.over:
            self.advance()
            tick += 1
            if tick % every_ticks == 0:
                show(self.picture())

    def _step(self) -> None:
        command = np.asarray(self._driver.command(self.env), np.float32)
        _, _, terminated, truncated, _ = self.env.step(command)
        self.trail.append(self.env.truth.world_from_base)
        if (terminated or truncated) and math.isinf(self.end_s):
            self.end_s = self.env.truth.time_s

    def _grant(self, wish: Wish) -> None:
        if wish is Wish.PAUSE:
            self.paused = not self.paused
        elif wish is Wish.NEXT:
            self.begin_next()
        elif len(self.env.scene.stations) > 1:
            count = len(self.env.scene.stations)
            self.begin(self.env.seed, (self.env.scene.goal + 1) % count)

    def begin_next(self) -> None:
        """Begin the episode of the next seed that has the station which was asked for."""
        seed = self.env.seed + 1
        wanted = self._choice.station
        self.begin(seed)
        while wanted is not None and wanted >= len(self.env.scene.stations):
            seed += 1
            self.begin(seed)
        if wanted is not None:
            self.begin(seed, wanted)
