"""Proximal policy optimisation: what an update maximises, and how far it may go."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vla_training.configuration import bounded


@dataclass(frozen=True)
class PpoConfig:
    """How the weights move in an iteration.

    Attributes:
        epochs: Passes over the macro actions of an iteration.
        minibatch: Macro actions of a step.
        clip: Change of an action's probability beyond which it is worth no more.
        horizon_s: Time over which a reward is discounted to 1/e [s].
        trace: lambda of the advantages.
        largest_kl: Mean divergence from the policy that drove [nat] after which an iteration moves
            the policy no further.
        reference_weight: Of the divergence from the policy that was begun with, for each [nat].
        entropy_weight: Of the noise's entropy, where it is learned.
        learning_rate: Of the policy.
        critic_rate: Of the value.
        clip_norm: Largest norm of the policy's gradient.
        warmup: First iterations in which only the value learns: advantages of an untrained value
            are noise, which would undo what was cloned.
    """

    epochs: int = bounded(4, 1, 100)
    minibatch: int = bounded(256, 2, 65536)
    clip: float = bounded(0.2, 0.01, 1.0)
    horizon_s: float = bounded(20.0, 0.1, 1e4)
    trace: float = bounded(0.95, 0.0, 1.0)
    largest_kl: float = bounded(0.05, 1e-6, 10.0)
    reference_weight: float = bounded(0.02, 0.0, 1000.0)
    entropy_weight: float = bounded(0.0, 0.0, 10.0)
    learning_rate: float = bounded(2e-5, 1e-8, 1.0)
    critic_rate: float = bounded(1e-3, 1e-8, 1.0)
    clip_norm: float = bounded(0.5, 1e-4, 1e3)
    warmup: int = bounded(2, 0, 1_000_000)


def surrogate(log_ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """The clipped objective of each macro action (B,), to be maximised.

    Schulman et al., "Proximal Policy Optimization Algorithms", 2017, (7). Of what has become so
    much likelier, or less likely, in the direction that its advantage asks for, the gradient is 0.

    Args:
        log_ratio: (B,) logarithm of how much likelier the policy makes it than the one that drove.
        advantages: (B,).
        clip: Share by which the ratio may change.
    """
    ratio = log_ratio.exp()
    return torch.minimum(ratio * advantages, ratio.clamp(1.0 - clip, 1.0 + clip) * advantages)


def sampled_divergence(log_ratio: Tensor) -> Tensor:
    """Estimate of the divergence of the policy from the one that drove [nat], never negative."""
    return (log_ratio.exp() - 1.0 - log_ratio).mean()


def clipped_share(log_ratio: Tensor, clip: float) -> Tensor:
    """Share of the macro actions whose ratio is out of bounds."""
    return ((log_ratio.exp() - 1.0).abs() > clip).float().mean()
