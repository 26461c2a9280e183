"""Several robots in one scene, each on its way to a station of its own.

Every robot is simulated in a world of its own, in which bodies without joints stand for the
others and are moved to where those are once per control period. So the robots see each other,
by camera and by scanner, and touching is a collision for each of them; what one would do to the
other by pushing is not simulated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np

from vla_simulation.config import SimulationConfig
from vla_simulation.environment import DockingEnv
from vla_simulation.errors import SimulationError
from vla_simulation.scenes.shared_starts import sample_shared_starts
from vla_simulation.scenes.stations import MAX_STATIONS
from vla_simulation.suites import SuiteConfig, load_suite

MAX_ROBOTS: Final = MAX_STATIONS


class SharedWorld:
    """One scene with one robot or more; with one it is the plain environment.

    Attributes:
        envs: one for each robot: the same scene, another goal, start and hardware.
    """

    def __init__(
        self,
        suite: str,
        robots: int = 1,
        render: bool = True,
        config: SimulationConfig | None = None,
    ) -> None:
        """Compile the models; takes a few tenths of a second per robot.

        Args:
            suite: name of a suite.
            robots: how many.
            render: whether the robots have cameras.
            config: dimensions of robot, station and sensors.

        Raises:
            SimulationError: more robots than a scene can have stations, or none.
            SuiteError: the suite is unknown.
            RenderingError: `render` is set and no OpenGL library works.
        """
        if not 1 <= robots <= MAX_ROBOTS:
            raise SimulationError(
                f"{robots} robots in one scene, expected 1 to {MAX_ROBOTS}: each needs a station"
            )
        self._suite = suite
        drawn = _suite_for(suite, robots)
        self.envs = tuple(DockingEnv(drawn, render, config, robots - 1) for _ in range(robots))

    def reset(self, seed: int, suite: str = "", goal: int | None = None) -> None:
        """Begin an episode.

        Args:
            seed: decides everything that is drawn. With several robots only scenes with a station
                for each are drawn.
            suite: changes the suite from this episode on; empty: as before.
            goal: station of the first robot; the others have those that follow. None: as drawn.

        Raises:
            SuiteError: the suite is unknown.
            SimulationError: no starts are feasible, or there is no such station.
        """
        self._suite = suite or self._suite
        if len(self.envs) == 1:
            options = {"suite": self._suite, **({} if goal is None else {"goal": goal})}
            self.envs[0].reset(seed=seed, options=options)
            return
        drawn = _suite_for(self._suite, len(self.envs))
        station = self.envs[0].config.station
        tasks = sample_shared_starts(seed, drawn, station, len(self.envs), goal)
        for number, (env, task) in enumerate(zip(self.envs, tasks, strict=True)):
            env.suite = drawn
            others = [other.world_from_base for other in tasks if other is not task]
            env.reset(
                seed=seed,
                options={
                    "goal": task.goal,
                    "start": task.world_from_base,
                    "robot": number,
                    "others": others,
                },
            )

    def step(self, commands: Sequence[np.ndarray]) -> None:
        """Drive all robots one control period and observe.

        Args:
            commands: for each robot (2,) forward speed [m/s] and turning rate [rad/s].

        Raises:
            SimulationError: a command is not two finite numbers.
        """
        for env, command in zip(self.envs, commands, strict=True):
            env.step(command)
        self._show_each_other()

    def advance(self, commands: Sequence[np.ndarray]) -> None:
        """As `step`, without taking pictures and scans."""
        for env, command in zip(self.envs, commands, strict=True):
            env.advance(command)
        self._show_each_other()

    def _show_each_other(self) -> None:
        poses = [env.robot.world_from_base for env in self.envs]
        for number, env in enumerate(self.envs):
            env.place_others([*poses[:number], *poses[number + 1 :]])

    def close(self) -> None:
        """Free all OpenGL contexts."""
        for env in self.envs:
            env.close()


def _suite_for(name: str, robots: int) -> SuiteConfig:
    """The suite, without scenes that have fewer stations than there are robots.

    Raises:
        SimulationError: it has no others.
    """
    suite = load_suite(name)
    scene = suite.randomization.scene
    one, two, three = scene.station_count_shares
    shares = (one if robots < 2 else 0.0, two if robots < 3 else 0.0, three)
    if not any(shares):
        raise SimulationError(
            f"suite '{name}' has no scene with {robots} stations for {robots} robots, expected "
            "station_count_shares that end above 0, or fewer robots"
        )
    scene = dataclasses.replace(scene, station_count_shares=shares)
    randomization = dataclasses.replace(suite.randomization, scene=scene)
    return dataclasses.replace(suite, randomization=randomization)
