"""What a policy makes of an observation, as one vector: a second output of the exported graph.

Frames unlike those of the training stand out in it. For each camera the mean and the spread of
every channel of the backbone's maps say how the image looks; the means of its tokens and of the
scan's, and the answer about the station, say what was made of it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vla_training.models import Policy
from vla_training.models.vision import ImageEncoder

ANSWER = "answer"
_TINY = 1e-6


class FeaturePolicy(nn.Module):
    """A policy that also gives the features of its inputs.

    Args:
        policy: In evaluation mode.

    Attributes:
        layout: Names and sizes of the parts of the features, once it was called.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy
        self.layout: tuple[tuple[str, int], ...] = ()
        self._seen: dict[str, Any] = {}
        # Hooks leave the policy as it is: training has no use for the features.
        self._hooks = [policy.fusion.register_forward_hook(self._keep(ANSWER))]
        for key, encoder in policy.encoders.items():
            self._hooks.append(encoder.register_forward_hook(self._keep(key)))
            if isinstance(encoder, ImageEncoder):
                self._hooks.append(encoder.backbone.register_forward_hook(self._keep(_maps(key))))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The exported function.

        Args:
            *inputs: As of `Policy.forward`.

        Returns:
            Action chunk (B, H, A) float32 [m/s, rad/s], and features (B, F) float32.
        """
        self._seen.clear()
        actions = self.policy(*inputs)
        parts = self._parts()
        self._seen.clear()
        self.layout = tuple((name, int(part.shape[1])) for name, part in parts.items())
        return actions, torch.cat(list(parts.values()), dim=1)

    def remove(self) -> None:
        """Take the hooks off the policy."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _parts(self) -> dict[str, Tensor]:
        parts: dict[str, Tensor] = {}
        for key, encoder in self.policy.encoders.items():
            if isinstance(encoder, ImageEncoder):
                maps = self._seen[_maps(key)]
                levels = [_mean_and_spread(level.float().flatten(2), 2) for level in maps]
                parts[_maps(key)] = torch.cat(levels, dim=1)
                tokens, _ = self._seen[key]
                parts[f"{key}/tokens"] = tokens.float().mean(dim=1)
            elif self.policy.tokens[key] > 1:
                parts[f"{key}/tokens"] = _mean_and_spread(self._seen[key].float(), 1)
        # The last answer is about the station, see `Policy`.
        parts[ANSWER] = self._seen[ANSWER][:, -1].float()
        return parts

    def _keep(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            self._seen[name] = output

        return hook


def _maps(key: str) -> str:
    return f"{key}/maps"


def _mean_and_spread(values: Tensor, axis: int) -> Tensor:
    """Mean and standard deviation along an axis of (B, …, …), side by side: (B, 2 …)."""
    mean = values.mean(dim=axis, keepdim=True)
    variance = (values - mean).square().mean(dim=axis)
    return torch.cat([mean.squeeze(axis), (variance + _TINY).sqrt()], dim=1)
