"""The way that an episode went, for pictures of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.config import CONTROL_PERIOD_S
from vla_simulation.environment import DockingEnv
from vla_simulation.viewer.plan import follow
from vla_training.evaluation.drivers import Driver

POSE_TICKS: Final = 2
"""Control periods from one kept pose to the next."""

PLAN_TICKS: Final = 10
"""Control periods from one kept plan to the next."""


@runtime_checkable
class Planner(Protocol):
    """A driver that says what it intends."""

    def planned(self, env: DockingEnv) -> np.ndarray:
        """Commands (N, 2) [m/s, rad/s] that are intended from now on, one per control period."""


@dataclass(frozen=True)
class Trace:
    """One episode in the frame of the commanded dock: x along the approach, negative in front.

    Attributes:
        seed: Of the episode.
        poses: (n, 3) float32, base at every second control period and at the end: x [m], y [m],
            yaw [rad].
        plans: Of drivers that have any, (k, 3) float32 each: poses of the base that were intended,
            the one at that moment first.
    """

    seed: int
    poses: np.ndarray
    plans: tuple[np.ndarray, ...]


class Tracer:
    """Watches one episode.

    Args:
        env: Of the episode.
        driver: Who drives it.
    """

    def __init__(self, env: DockingEnv, driver: Driver) -> None:
        self._env, self._driver = env, driver
        self._seed = 0
        self._poses: list[Pose2D] = []
        self._plans: list[np.ndarray] = []
        self._tick = 0

    def __call__(self) -> None:
        """Note the present moment."""
        pose = self._env.truth.dock_from_base
        self._seed, self._last = self._env.seed, pose
        if self._tick % POSE_TICKS == 0:
            self._poses.append(pose)
        if isinstance(self._driver, Planner) and self._tick % PLAN_TICKS == 0:
            intended = follow(pose, self._driver.planned(self._env), CONTROL_PERIOD_S)
            if len(intended) > 1:
                self._plans.append(_array(intended))
        self._tick += 1

    def trace(self) -> Trace:
        """The episode up to now."""
        return Trace(self._seed, _array([*self._poses, self._last]), tuple(self._plans))


def _array(poses: list[Pose2D]) -> np.ndarray:
    return np.array([(pose.x, pose.y, pose.yaw) for pose in poses], np.float32)
