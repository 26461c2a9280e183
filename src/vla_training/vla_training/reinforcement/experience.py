"""What an iteration has driven, as one batch to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vla_simulation.config import CONTROL_PERIOD_S
from vla_training.evaluation.report import OUTCOMES
from vla_training.reinforcement.advantages import generalized_advantages
from vla_training.reinforcement.driving import Trajectory
from vla_training.reinforcement.reward import discounts_of, shaping


@dataclass(frozen=True, eq=False)
class Experience:
    """N states of all episodes of an iteration, one after another.

    Attributes:
        inputs: What the policy needs to be asked again, (N, …) each.
        chunks: (N, H, A) float32, normalised: what was executed.
        scales: (N, H, A) float32: deviations of the noise in it.
        privileged: (N, P) float32: what only the simulator knows.
        acted: (N,) bool: false for states in which an episode was left.
        ends: Number of states up to the end of each episode.
        trajectories: The episodes.
    """

    inputs: dict[str, Tensor]
    chunks: Tensor
    scales: Tensor
    privileged: Tensor
    acted: Tensor
    ends: tuple[int, ...]
    trajectories: tuple[Trajectory, ...]

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> Experience:
        """Join episodes; equal episodes in equal order give equal bits."""
        acted = [np.arange(len(each.chunks)) < each.actions for each in trajectories]

        def join(arrays: Sequence[np.ndarray]) -> Tensor:
            return torch.from_numpy(np.concatenate(arrays))

        return cls(
            inputs={
                name: join([each.inputs[name] for each in trajectories])
                for name in trajectories[0].inputs
            },
            chunks=join([each.chunks for each in trajectories]),
            scales=join([each.scales for each in trajectories]),
            privileged=join([each.privileged for each in trajectories]),
            acted=join(acted),
            ends=tuple(np.cumsum([len(each) for each in acted]).tolist()),
            trajectories=tuple(trajectories),
        )

    def __len__(self) -> int:
        return len(self.chunks)

    def advantages(self, values: Tensor, horizon_s: float, decay: float) -> Tensor:
        """Advantages (N,) float32 of what was done in each state, 0 where nothing was.

        Args:
            values: (N,) of the states.
            horizon_s: Time over which a reward is discounted to 1/e.
            decay: lambda.
        """
        found, first = [], 0
        for end, each in zip(self.ends, self.trajectories, strict=True):
            found.append(_advantages_of(each, values[first:end].numpy(), horizon_s, decay))
            first = end
        return torch.from_numpy(np.concatenate(found)).float()

    def figures(self, horizon_s: float) -> dict[str, float]:
        """Means over the episodes, shares of their outcomes, and the number of macro actions.

        `return` is without and `shaped_return` with shaping; neither is discounted.
        """
        driven = self.trajectories
        shaped = [shaped_rewards(each, horizon_s)[0].sum() for each in driven]
        return {
            "return": float(np.mean([each.rewards.sum() for each in driven])),
            "shaped_return": float(np.mean(shaped)),
            "precise": sum(each.precise for each in driven) / len(driven),
            "macro_actions": float(self.acted.sum()),
            "seconds": sum(each.duration_s for each in driven) / len(driven),
            **{
                outcome: sum(each.outcome == outcome for each in driven) / len(driven)
                for outcome in OUTCOMES
            },
        }


def shaped_rewards(trajectory: Trajectory, horizon_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Rewards (K',) of an episode's macro actions with shaping, and the discounts over them."""
    count = trajectory.actions
    discounts = discounts_of(trajectory.ticks[:count], CONTROL_PERIOD_S, horizon_s)
    potentials = trajectory.potentials[: count + 1]
    if trajectory.terminal:
        potentials = np.append(potentials, 0.0)
    led = shaping(potentials, discounts, terminal=trajectory.terminal)
    return trajectory.rewards[:count] + led, discounts


def _advantages_of(
    trajectory: Trajectory, values: np.ndarray, horizon_s: float, decay: float
) -> np.ndarray:
    rewards, discounts = shaped_rewards(trajectory, horizon_s)
    ahead = values[: trajectory.actions + 1].astype(np.float64)
    if trajectory.terminal:
        ahead = np.append(ahead, 0.0)
    advantages = generalized_advantages(rewards, ahead, discounts, decay)
    return np.append(advantages, np.zeros(len(values) - len(advantages)))
