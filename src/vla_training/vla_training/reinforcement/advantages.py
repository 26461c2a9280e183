"""How much better an action was than what was to be expected."""

from __future__ import annotations

import numpy as np


def generalized_advantages(
    rewards: np.ndarray, values: np.ndarray, discounts: np.ndarray, decay: float
) -> np.ndarray:
    """Generalised advantage estimates over the macro actions of one episode.

    Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage Estimation",
    ICLR 2016, (16), with a discount for each step: macro actions differ in length (Sutton, Precup
    and Singh, "Between MDPs and semi-MDPs", 1999).

    Args:
        rewards: (K,) while each macro action was executed.
        values: (K + 1,) of the states before each of them, and of the last state; 0 of one that
            ends an episode.
        discounts: (K,) over each of them.
        decay: lambda, 0 for the one-step error, 1 for the whole return.

    Returns:
        (K,) float64. Added to the values, they are what the values should have been.
    """
    advantages = np.zeros(len(rewards))
    ahead = 0.0
    for k in reversed(range(len(rewards))):
        error = rewards[k] + discounts[k] * values[k + 1] - values[k]
        ahead = error + discounts[k] * decay * ahead
        advantages[k] = ahead
    return advantages
