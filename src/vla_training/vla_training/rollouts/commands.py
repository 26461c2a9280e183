"""Who executes what in a rollout: the disturbed expert, a policy, or both by turns."""

from __future__ import annotations

from typing import Final

import numpy as np

from vla_simulation.config import CONTROL_PERIOD_S
from vla_simulation.controllers.noise import ActionNoise
from vla_simulation.environment import DockingEnv
from vla_training.dataset.layout import DRIVERS
from vla_training.evaluation.drivers import Driver

EXPERT: Final = DRIVERS.index("expert")
POLICY: Final = DRIVERS.index("policy")


class ExpertCommands:
    """The expert's command with noise (DART), as demonstrations are recorded.

    Args:
        scale: Of the noise; 0 for none.
        seed: Of the noise.
    """

    def __init__(self, scale: float, seed: int) -> None:
        self._noise = ActionNoise(scale=scale, seed=seed) if scale > 0.0 else None

    def __call__(self, env: DockingEnv, clean: tuple[float, float]) -> tuple[np.ndarray, int]:
        """See `episode.Command`."""
        executed = clean if self._noise is None else self._noise.disturb(*clean)
        return np.array(executed), EXPERT


class PolicyCommands:
    """A policy's commands; for a share of the time, stretch by stretch, the expert's instead.

    The policy is asked at every tick, whoever drives, so that it goes on where the expert leaves
    it.

    Args:
        driver: The policy.
        expert: Who takes over.
        expert_share: Probability that a stretch is the expert's.
        segment_s: Length of a stretch.
        seed: Of these draws.
    """

    def __init__(
        self,
        driver: Driver,
        expert: ExpertCommands,
        expert_share: float,
        segment_s: float,
        seed: int,
    ) -> None:
        self._driver = driver
        self._expert = expert
        self._share = expert_share
        self._ticks = max(1, round(segment_s / CONTROL_PERIOD_S))
        self._rng = np.random.default_rng([seed, 0xB37A])
        self._tick = 0
        self._expert_drives = False

    def __call__(self, env: DockingEnv, clean: tuple[float, float]) -> tuple[np.ndarray, int]:
        """See `episode.Command`."""
        if self._tick == 0:
            self._driver.reset(env)
        if self._tick % self._ticks == 0:
            self._expert_drives = self._rng.uniform() < self._share
        self._tick += 1
        command = self._driver.command(env)
        return self._expert(env, clean) if self._expert_drives else (command, POLICY)
