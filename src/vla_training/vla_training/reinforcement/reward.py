"""What a robot is rewarded for; only the simulator knows it.

The figures that count (docked, precise, right station, no collision, soon) come at the end. What
leads there is shaped by a potential of the true pose, which changes no policy's rank: Ng, Harada
and Russell, "Policy invariance under reward transformations", ICML 1999.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.truth import Truth
from vla_training.configuration import bounded


@dataclass(frozen=True)
class RewardConfig:
    """What is how good or bad.

    Attributes:
        docked: For being docked at the commanded station.
        precise: What is added if it was precise.
        error_per_cm: Is taken away for each centimetre of error in the commanded dock, so that what
            is not yet precise, but nearer to it, is better.
        wrong_station: Is taken away for docking at another station.
        collision: Is taken away for touching what must not be touched.
        time_per_s: Is taken away for each second.
        potential: Scale of the shaping: about what halving the distance is worth, times 1.4.
        near_m: Distance below which coming closer is no longer worth more and more.
        lateral: Weight of a lateral error relative to a longitudinal one.
        yaw_m: Distance that an error of heading of 1 rad counts as [m].
    """

    docked: float = bounded(1.0, 0.0, 100.0)
    precise: float = bounded(0.5, 0.0, 100.0)
    error_per_cm: float = bounded(0.5, 0.0, 100.0)
    wrong_station: float = bounded(1.0, 0.0, 100.0)
    collision: float = bounded(1.0, 0.0, 100.0)
    time_per_s: float = bounded(0.02, 0.0, 10.0)
    potential: float = bounded(0.2, 0.0, 100.0)
    near_m: float = bounded(0.02, 1e-4, 10.0)
    lateral: float = bounded(2.0, 0.0, 100.0)
    yaw_m: float = bounded(0.3, 0.0, 100.0)


def dock_error_m(dock_from_base: Pose2D, config: RewardConfig) -> float:
    """One distance for all three errors of a pose [m]."""
    return math.hypot(
        dock_from_base.x,
        config.lateral * dock_from_base.y,
        config.yaw_m * dock_from_base.yaw,
    )


def potential(dock_from_base: Pose2D, config: RewardConfig) -> float:
    """Of a pose: 0 in the dock, less elsewhere.

    Logarithmic, so that the last centimetres are worth as much as the first metre.
    """
    return -config.potential * math.log1p(dock_error_m(dock_from_base, config) / config.near_m)


def final_reward(truth: Truth, config: RewardConfig) -> float:
    """Of how an episode ended; 0 where time was up."""
    if truth.docked:
        error_cm = 100.0 * dock_error_m(truth.dock_from_base, config)
        return config.docked + config.precise * truth.precise - config.error_per_cm * error_cm
    if truth.docked_station is not None:
        return -config.wrong_station
    return -config.collision if truth.collision else 0.0


def shaping(potentials: np.ndarray, discounts: np.ndarray, *, terminal: bool) -> np.ndarray:
    """Rewards (K,) that lead up the potential.

    Their discounted sum is the last discounted potential minus the first one, whatever is between.
    A state that ends an episode has none, or the place of a collision would be rewarded: its
    potential counts as 0.

    Args:
        potentials: (K + 1,) before each macro action and at the end.
        discounts: (K,) over each of them.
        terminal: Whether the last state ended the episode, rather than was where it was left.
    """
    after = potentials[1:].copy()
    if terminal:
        after[-1] = 0.0
    return discounts * after - potentials[:-1]


def discounts_of(ticks: np.ndarray, period_s: float, horizon_s: float) -> np.ndarray:
    """Discount (K,) over macro actions of so many control periods: 1/e over the horizon."""
    return np.exp(-ticks * period_s / horizon_s)
