"""A policy that can be entered where its streams are joined.

What the encoders make of an observation changes only with their weights. Where those are frozen, it
is computed once, while driving, and an update runs the fusion and the head alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from vla_core import keys
from vla_training.configuration import bounded
from vla_training.models import Policy
from vla_training.models.odometry import OdometryEncoder
from vla_training.models.vision import ImageEncoder

FEATURES: Final = "features"
"""Name of what the fusion reads, in the place of an observation's streams."""

GROUPS: Final = ("head", "fusion", "language", "vision", "scan", "odometry")
AFTER_FEATURES: Final = frozenset({"head", "fusion"})


@dataclass(frozen=True)
class Answer:
    """What a policy answers.

    Attributes:
        features: (B, N, D) what the fusion read.
        fused: (B, 2 D) what it made of it: about the actions, the mean; and about the station.
        chunk: (B, H, A) normalised actions.
    """

    features: Tensor
    fused: Tensor
    chunk: Tensor


class FusedPolicy(nn.Module):
    """Answers an observation, or the features of one.

    Always in evaluation mode: dropout would be a second, unknown noise.

    Args:
        policy: Whose weights it has.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy.eval()
        self._seen: tuple[Tensor, Tensor] | None = None
        policy.fusion.register_forward_hook(self._remember)

    def _remember(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self._seen = (inputs[0], output)

    def forward(self, inputs: dict[str, Tensor]) -> Answer:
        """Answer.

        Args:
            inputs: `FEATURES` (B, N, D), or an observation as of `Policy.predict`.
        """
        if FEATURES in inputs:
            self.policy.fusion(inputs[FEATURES])
        else:
            self.policy.predict(inputs)
        assert self._seen is not None  # every policy has a fusion
        (features, answers), self._seen = self._seen, None
        actions, station = answers[:, :-1].float(), answers[:, -1].float()
        fused = torch.cat([actions.mean(1), station], dim=1)
        return Answer(features, fused, self.policy.head(actions))

    @property
    def fused_size(self) -> int:
        """Numbers of `Answer.fused`."""
        return 2 * self.policy.pose_head.in_features


def train_only(policy: Policy, groups: tuple[str, ...]) -> list[nn.Parameter]:
    """Freeze everything but some groups of parameters.

    Returns:
        Those that are trained.
    """
    policy.requires_grad_(False)
    chosen = [
        parameter
        for group in GROUPS
        if group in groups
        for module in _modules_of(policy, group)
        for parameter in module.parameters()
    ]
    for parameter in chosen:
        parameter.requires_grad_(True)
    return chosen


def _modules_of(policy: Policy, group: str) -> Iterator[nn.Module]:
    if group == "head":
        yield policy.head
    elif group == "fusion":
        yield policy.fusion
    elif group == "language":
        yield from (policy.language, policy.instruction_token)
    else:
        yield from (encoder for encoder in policy.encoders.values() if _stream_of(encoder) == group)


def _stream_of(encoder: nn.Module) -> str:
    if isinstance(encoder, ImageEncoder):
        return "vision"
    return "odometry" if isinstance(encoder, OdometryEncoder) else "scan"


def inputs_to_keep(groups: tuple[str, ...], streams: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the inputs that an update needs of every macro action."""
    if AFTER_FEATURES.issuperset(groups):
        return (FEATURES,)
    return (*streams, keys.VALID, keys.INSTRUCTION)


class Critic(nn.Module):
    """Value of a state: of what the policy has made of it, and of what only the simulator knows.

    It is needed in training only, so it may know the true state (asymmetric actor-critic: Pinto et
    al., RSS 2018). No gradient of it reaches the policy.

    Args:
        fused: Numbers that the policy made of it.
        privileged: Numbers that the simulator adds.
        hidden: Size of the two hidden layers.
    """

    def __init__(self, fused: int, privileged: int, hidden: int) -> None:
        super().__init__()
        last = nn.Linear(hidden, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(
            nn.Linear(fused + privileged, hidden),
            nn.Tanh(),
            nn.Linear(hidden, hidden),
            nn.Tanh(),
            last,
        )

    def forward(self, fused: Tensor, privileged: Tensor) -> Tensor:
        """Values (B,)."""
        return self.layers(torch.cat([fused.detach(), privileged], dim=1)).squeeze(1)


CRITICS: Final = ("privileged", "observed")


@dataclass(frozen=True)
class CriticConfig:
    """The value.

    Attributes:
        knows: "privileged": the true pose, speed and time, too; "observed": what the policy made
            of its observation alone.
        hidden: Size of its hidden layers.
    """

    knows: str = bounded("privileged", choices=CRITICS)
    hidden: int = bounded(128, 1, 4096)
