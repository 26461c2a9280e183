"""Action noise for demonstrations that show how to recover.

Laskey et al., "DART: Noise injection for robust imitation learning", CoRL 2017: the executed
command is disturbed while the recorded label stays the expert's clean one.
"""

import math
from dataclasses import dataclass

import numpy as np

from vla_simulation.config import CONTROL_PERIOD_S


@dataclass(frozen=True)
class NoiseParameters:
    """A first-order Gauss-Markov process on each axis of the command."""

    linear_std_mps: float = 0.08
    angular_std_radps: float = 0.35
    correlation_time_s: float = 0.5
    min_level: float = 0.2
    max_level: float = 1.4
    """Each episode draws its level between these, uniformly."""
    full_speed_mps: float = 0.15
    """Below this expert speed the noise shrinks in proportion, so that a docked robot rests."""
    linear_floor: float = 0.05
    angular_floor: float = 0.15
    """Shares of the noise that stay while the expert moves at all."""


class ActionNoise:
    """Temporally correlated noise that is added to the expert's commands."""

    def __init__(
        self, parameters: NoiseParameters | None = None, seed: int = 0, scale: float = 1.0
    ) -> None:
        """Begin an episode.

        Args:
            parameters: of the process.
            seed: of the episode.
            scale: multiplies the noise.
        """
        self.parameters = parameters or NoiseParameters()
        self.scale = scale
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Begin an episode; equal seeds give equal noise for equal actions."""
        self._rng = np.random.default_rng([seed, 0xDA27])
        p = self.parameters
        self._level = self.scale * self._rng.uniform(p.min_level, p.max_level)
        self._state = self._rng.standard_normal(2)

    def disturb(self, linear_mps: float, angular_radps: float) -> tuple[float, float]:
        """The command to execute in place of the expert's; advances the noise by one period."""
        p = self.parameters
        keep = math.exp(-CONTROL_PERIOD_S / p.correlation_time_s)
        fresh = self._rng.standard_normal(2)
        self._state = keep * self._state + math.sqrt(1.0 - keep * keep) * fresh
        if linear_mps == 0.0 and angular_radps == 0.0:
            return 0.0, 0.0
        share = min(1.0, abs(linear_mps) / p.full_speed_mps)
        linear_std = self._level * p.linear_std_mps * max(p.linear_floor, share)
        angular_std = self._level * p.angular_std_radps * max(p.angular_floor, share)
        return (
            linear_mps + linear_std * float(self._state[0]),
            angular_radps + angular_std * float(self._state[1]),
        )
