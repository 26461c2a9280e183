"""Heads of all kinds, small."""

import torch

from vla_training.models.heads import HeadConfig, build_head
from vla_training.models.heads.base import ActionHead
from vla_training.models.heads.config import CvaeConfig, FlowConfig, MixtureConfig, TokensConfig

WIDTH, CHUNK, SIZE = 16, 5, 2
LIMITS = torch.tensor([[-2.0, -1.5], [2.0, 1.5]])

HEADS = {
    "regression": HeadConfig("regression"),
    "mixture": HeadConfig("mixture", mixture=MixtureConfig(components=3)),
    "flow": HeadConfig("flow", flow=FlowConfig(layers=1, heads=2, steps=4, start=0.7)),
    "heun": HeadConfig("flow", flow=FlowConfig(layers=1, heads=2, steps=2, solver="heun")),
    "tokens": HeadConfig("tokens"),
    "expectation": HeadConfig("tokens", tokens=TokensConfig(smoothing=2.0, decode="expectation")),
    "cvae": HeadConfig("cvae", distance="l1", cvae=CvaeConfig(latent=4, layers=1, heads=2)),
}


def make_head(config: HeadConfig, seed: int = 0) -> ActionHead:
    """A head whose answers matter: fresh ones begin at zero."""
    torch.manual_seed(seed)
    head = build_head(config, WIDTH, SIZE, CHUNK, LIMITS)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return head
