"""What training minimises: a sum of named terms, each with its weight.

The actions' own term is the head's (see `models.heads`). Here is which steps of which samples count
how much, and what is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from vla_core import keys
from vla_core.docking import DOCKED, DockTolerance
from vla_training.configuration import bounded
from vla_training.dataset.batch import DOCK_POSE_KNOWN, Batch
from vla_training.grounding import GroundingConfig, grounding_terms
from vla_training.models import Policy, PolicyOutput
from vla_training.models.heads import HeadConfig
from vla_training.weighted_means import masked_mean, weighted_mean

REFERENCE: Final = "reference"
TEACHER: Final = "teacher"


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss. The defaults weigh every step and every component alike.

    Attributes:
        beta: Where the smooth L1 of the station's pose turns from quadratic to linear [m, 1].
        dock_pose: Weight of the auxiliary station pose.
        dock_pose_near_m: Errors of that pose count relative to the station's distance plus this: a
            centimetre is nothing from afar and everything in the dock. 0: all errors count alike.
        docked: Weight of the auxiliary answer to whether the robot stands in the dock.
        chunk_decay: A step of the chunk weighs exp(-chunk_decay) times the one before it.
        terminal: Weight of samples in the terminal phase, relative to others.
        terminal_distance_m: The terminal phase begins at this distance of the docked pose. Where
            no pose is known, it is the samples whose chunk reaches the episode's end.
        angular: Weight of angular components of the action, relative to linear ones.
        smoothness: Weight of the difference of the chunk's second differences from the target's.
        kl: Weight of what the latent of a cvae head knows about the actions.
        grounding: What the words mean in the image; for a policy that points.
        reference: Checkpoint of a policy to stay close to, such as the one that `initial` begins
            with; empty for none.
        reference_weight: Weight of the distance to it.
        reference_distance: "l2" (half the square of normalised actions) or "head" (what the head
            would minimise if the reference's chunk were the demonstrated one: for a distribution,
            the Kullback-Leibler divergence from the reference's action up to a constant).
        teacher: Checkpoint of a policy to imitate; empty for none.
        teacher_mix: Share of the teacher's chunk in the actions' term; the rest is the
            demonstration's.
    """

    beta: float = bounded(0.05, 1e-4, 10.0)
    dock_pose: float = bounded(0.3, 0.0, 100.0)
    dock_pose_near_m: float = bounded(0.0, 0.0, 100.0)
    docked: float = bounded(0.0, 0.0, 100.0)
    chunk_decay: float = bounded(0.0, -5.0, 5.0)
    terminal: float = bounded(1.0, 0.0, 1000.0)
    terminal_distance_m: float = bounded(0.4, 0.0, 100.0)
    angular: float = bounded(1.0, 0.001, 1000.0)
    smoothness: float = bounded(0.0, 0.0, 1000.0)
    kl: float = bounded(10.0, 0.0, 1000.0)
    grounding: GroundingConfig = field(default_factory=GroundingConfig)
    reference: str = ""
    reference_weight: float = bounded(1.0, 0.0, 1000.0)
    reference_distance: str = bounded("l2", choices=("l2", "head"))
    teacher: str = ""
    teacher_mix: float = bounded(0.5, 0.0, 1.0)

    def check(self, head: HeadConfig) -> None:
        """Make sure that the terms can be had of a head.

        Raises:
            ValueError: If one cannot.
        """
        smooth, close = self.smoothness > 0.0, self.reference and self.reference_distance == "l2"
        if (smooth or close) and not head.has_gradient:
            term = "smoothness" if smooth else "reference_distance l2"
            raise ValueError(
                f"loss.{term} needs the gradient of the actions, which model.head.tokens.decode "
                "argmax does not have; choose expectation"
            )
        if smooth and 0 < head.horizon < 3:
            raise ValueError(
                f"loss.smoothness needs three steps, but model.head.horizon is {head.horizon}"
            )


def policy_loss(
    policy: Policy, output: PolicyOutput, batch: Batch, config: LossConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of all terms.

    Args:
        policy: Gives its head, the scale of its actions and the names of their components.
        output: Of the policy for the batch.
        batch: Of `DockingDataset.batch`; what it says in padding and of unknown poses has no
            influence. `guidance.Guides` adds the chunks of other policies by `REFERENCE` and
            `TEACHER`.
        config: Weights.

    Returns:
        The loss, and its terms by name, not weighted and detached.
    """
    actions, action_weights = _action_terms(policy, output.answers.float(), batch, config)
    station, station_weights = _station_terms(output, batch, config)
    terms, weights = {**actions, **station}, {**action_weights, **station_weights}
    if output.kl is not None:
        terms["kl"], weights["kl"] = output.kl.float().mean(), config.kl
    if output.pointing is not None:
        grounding = grounding_terms(output.pointing, batch, config.grounding)
        terms |= grounding
        weights |= {name: getattr(config.grounding, name) for name in grounding}
    loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
    return loss, {name: term.detach() for name, term in terms.items()}


def _action_terms(
    policy: Policy, answers: Tensor, batch: Batch, config: LossConfig
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Terms of the chunk and their weights, by name."""
    head, padding = policy.head, batch[keys.ACTION_PAD]
    target = policy.normalize(batch[keys.ACTION])
    balance = component_balance(policy.action_fields, config.angular).to(target)
    importance = step_weights(batch, config).to(target)
    importance = importance * (torch.arange(padding.shape[1]) < head.sizes.horizon).to(target)

    def demonstrated(chunk: Tensor, missing: Tensor) -> Tensor:
        losses = head.loss(answers, chunk, missing, balance)
        return weighted_mean(losses, importance * ~missing)

    terms, weights = {"action": demonstrated(target, padding)}, {"action": 1.0}
    if config.smoothness:
        terms["smoothness"] = smoothness(head(answers), target, padding, head.sizes.horizon)
        weights["smoothness"] = config.smoothness
    # The chunk of another policy is known to its end, even where the demonstration's is not.
    known = torch.zeros_like(padding)
    if TEACHER in batch:
        terms[TEACHER] = demonstrated(policy.normalize(batch[TEACHER]), known)
        weights["action"], weights[TEACHER] = 1.0 - config.teacher_mix, config.teacher_mix
    if REFERENCE in batch:
        chunk = policy.normalize(batch[REFERENCE])
        if config.reference_distance == "l2":
            squares = 0.5 * ((head(answers) - chunk).square() * balance).mean(-1)
            terms[REFERENCE] = weighted_mean(squares, importance)
        else:
            terms[REFERENCE] = demonstrated(chunk, known)
        weights[REFERENCE] = config.reference_weight
    return terms, weights


def _station_terms(
    output: PolicyOutput, batch: Batch, config: LossConfig
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Terms of what is known about the station and their weights, by name."""
    known = batch[DOCK_POSE_KNOWN]
    # A selection, not a product: an unknown pose may be NaN.
    pose = torch.where(known[:, None], batch[keys.DOCK_POSE], 0.0)
    scale = torch.ones_like(pose[:, :1])
    if config.dock_pose_near_m:
        scale = 1.0 / (config.dock_pose_near_m + pose[:, :2].norm(dim=1, keepdim=True))
    distance = functional.smooth_l1_loss(
        scale * output.dock_pose.float(),
        scale * pose_target(pose),
        beta=config.beta,
        reduction="none",
    )
    surprise = functional.binary_cross_entropy_with_logits(
        output.docked.float(), docked_target(pose).to(pose), reduction="none"
    )
    terms = {
        "dock_pose": masked_mean(distance.mean(-1), known),
        "docked": masked_mean(surprise, known),
    }
    return terms, {"dock_pose": config.dock_pose, "docked": config.docked}


def step_weights(batch: Batch, config: LossConfig) -> Tensor:
    """How much each step of each sample counts, (B, H) float32, padding included."""
    pose, padding = batch[keys.DOCK_POSE], batch[keys.ACTION_PAD]
    near = pose[:, :2].norm(dim=1) < config.terminal_distance_m
    terminal = torch.where(batch[DOCK_POSE_KNOWN], near, padding.any(dim=1))
    sample = torch.where(terminal, config.terminal, 1.0)
    steps = torch.arange(padding.shape[1], device=padding.device)
    return sample[:, None] * torch.exp(-config.chunk_decay * steps)


def component_balance(fields: Sequence[str], angular: float) -> Tensor:
    """Weights of the action's components with a mean of 1, (A,) float32.

    Args:
        fields: Names of the components, such as "linear.x".
        angular: Weight of an angular component relative to a linear one.
    """
    weights = torch.tensor([angular if name.startswith("angular") else 1.0 for name in fields])
    return weights / weights.mean()


def smoothness(predicted: Tensor, target: Tensor, padding: Tensor, horizon: int) -> Tensor:
    """Mean square of the difference of second differences, over steps with known neighbours.

    The target's are subtracted, or braking and turning in would be punished as well.

    Args:
        predicted: (B, H, A), normalised.
        target: (B, H, A), normalised.
        padding: (B, H) bool.
        horizon: Steps that count.

    Returns:
        A scalar; 0 for less than three steps, which have no second difference.
    """
    predicted, target, padding = (
        predicted[:, :horizon],
        target[:, :horizon],
        padding[:, :horizon],
    )
    if horizon < 3:
        return predicted.sum() * 0.0
    error = predicted - target.masked_fill(padding.unsqueeze(-1), 0.0)
    bend = error[:, 2:] - 2.0 * error[:, 1:-1] + error[:, :-2]
    hidden = padding[:, 2:] | padding[:, 1:-1] | padding[:, :-2]
    return masked_mean(bend.square().mean(-1), ~hidden)


def pose_target(dock_pose: Tensor) -> Tensor:
    """Map x [m], y [m], yaw [rad] (B, 3) to x, y, sin yaw, cos yaw (B, 4)."""
    yaw = dock_pose[:, 2]
    return torch.stack([dock_pose[:, 0], dock_pose[:, 1], yaw.sin(), yaw.cos()], dim=1)


def docked_target(dock_pose: Tensor, tolerance: DockTolerance = DOCKED) -> Tensor:
    """Whether the base is within the pose tolerance of docked, (B,) bool.

    Args:
        dock_pose: (B, 3), pose of the station in the base frame: x [m], y [m], yaw [rad].
        tolerance: Of the docked pose, along the station's axes.
    """
    x, y, yaw = dock_pose.unbind(1)
    # The tolerance is for the base as the dock sees it: the inverse of the pose.
    along, across = x * yaw.cos() + y * yaw.sin(), y * yaw.cos() - x * yaw.sin()
    heading = torch.atan2(yaw.sin(), yaw.cos())
    return (
        (along.abs() <= tolerance.longitudinal_m)
        & (across.abs() <= tolerance.lateral_m)
        & (heading.abs() <= tolerance.yaw_rad)
    )
