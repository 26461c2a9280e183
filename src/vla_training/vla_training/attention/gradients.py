"""What of an image the predicted chunk depends on, by gradients; for every kind of backbone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from vla_training.models import Policy
from vla_training.models.vision import ImageEncoder


def gradient_maps(policy: Policy, observation: dict[str, Tensor]) -> dict[str, Tensor]:
    """Maps of influence on the chunk, of each camera.

    "saliency" is the gradient with respect to the pixels (Simonyan et al., "Deep Inside
    Convolutional Networks", ICLR workshop 2014). "grad_cam_8" and so on are of the backbone's map
    at that stride: features times gradients at each position, summed over the channels (HiResCAM:
    Draelos and Carin, 2020). Grad-CAM's mean of the gradients over all positions would lose what
    keypoints live on, that a feature elsewhere moves them the other way.

    An action has a sign, a class score has not: influence is the magnitude, for each component of
    the action on its own, in units of its spread.

    Args:
        policy: In evaluation mode; its parameters' gradients stay as they are.
        observation: As for `Policy.predict`.

    Returns:
        By camera and kind, such as "image/saliency": (B, 1, h, w) float32, each map of which sums
        to 1. Empty if the head's actions have no gradient, as those of tokens have none.
    """
    cameras = {
        key: encoder
        for key, encoder in policy.encoders.items()
        if isinstance(encoder, ImageEncoder)
    }
    pixels = {key: observation[key].float().requires_grad_() for key in cameras}
    with torch.enable_grad(), _kept_maps(cameras) as features:
        actions = policy.predict({**observation, **pixels}).actions
        if not actions.requires_grad:
            return {}
        # One number for each component: chunks that differ along time count as much as ones that
        # do not.
        scores = policy.normalize(actions).sum(dim=(0, 1))
        sources = [*pixels.values(), *(level for each in features.values() for level in each)]
        influences = [torch.zeros_like(source) for source in sources]
        for score in scores:
            gradients = torch.autograd.grad(score, sources, retain_graph=True, allow_unused=True)
            for total, source, gradient in zip(influences, sources, gradients, strict=True):
                if gradient is not None:
                    total += _influence(source, gradient)
    found: dict[str, Tensor] = {}
    remaining = iter(influences)
    for key in pixels:
        found[f"{key}/saliency"] = _normalised(next(remaining).amax(dim=3))
    for key, encoder in cameras.items():
        for level in encoder.backbone.levels:
            found[f"{key}/grad_cam_{level.stride}"] = _normalised(next(remaining)[:, 0])
    return found


def _influence(source: Tensor, gradient: Tensor) -> Tensor:
    """Of pixels (B, H, W, 3) each, of features (B, C, h, w) all channels' at each position."""
    if source.is_leaf:
        return gradient.abs()
    return (source * gradient).sum(dim=1, keepdim=True).abs().expand_as(source).detach()


def _normalised(maps: Tensor) -> Tensor:
    """Maps (B, h, w) as (B, 1, h, w) that sum to 1 each; uniform where nothing has influence."""
    total = maps.sum(dim=(1, 2), keepdim=True)
    uniform = torch.full_like(maps, 1.0 / (maps.shape[1] * maps.shape[2]))
    return torch.where(total > 0.0, maps / total.clamp(min=1e-30), uniform).unsqueeze(1).detach()


@contextmanager
def _kept_maps(cameras: dict[str, ImageEncoder]) -> Iterator[dict[str, list[Tensor]]]:
    """The feature maps that the backbones give meanwhile, by camera."""
    kept: dict[str, list[Tensor]] = {}

    def keep(key: str, maps: list[Tensor]) -> None:
        kept[key] = maps

    hooks = [
        encoder.backbone.register_forward_hook(lambda _, __, maps, key=key: keep(key, maps))
        for key, encoder in cameras.items()
    ]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()
