"""Configuration of the action heads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from vla_training.configuration import bounded

HEADS: Final = ("regression", "mixture", "flow", "tokens", "cvae")
DISTANCES: Final = ("smooth_l1", "huber", "l1", "l2")


@dataclass(frozen=True)
class MixtureConfig:
    """Of the mixture density head.

    Attributes:
        components: Number K of Gaussians.
        floor: Smallest deviation of a Gaussian, in normalised units.
    """

    components: int = bounded(5, 1, 256)
    floor: float = bounded(0.03, 1e-3, 1.0)


@dataclass(frozen=True)
class FlowConfig:
    """Of the flow matching head.

    Attributes:
        layers: Layers of the network that predicts the velocity.
        heads: Its attention heads; must divide the width of the answers.
        steps: Steps of the solver at inference.
        solver: "euler" (one evaluation a step) or "heun" (two, second order).
        start: Scale of the fixed noise that inference starts from; 0 starts from the noise's mean.
        draws: Noise levels that one sample of a batch is trained on.
    """

    layers: int = bounded(2, 1, 32)
    heads: int = bounded(4, 1, 64)
    steps: int = bounded(6, 1, 1000)
    solver: str = bounded("euler", choices=("euler", "heun"))
    start: float = bounded(0.0, 0.0, 2.0)
    draws: int = bounded(2, 1, 64)


@dataclass(frozen=True)
class TokensConfig:
    """Of the head of discretised tokens.

    Attributes:
        bins: Bins of each action component.
        smoothing: Deviation of the label around the right bin, in bins; 0 for the bin alone.
        decode: "argmax" (centre of the likeliest bin) or "expectation" (mean over all bins).
    """

    bins: int = bounded(256, 2, 65536)
    smoothing: float = bounded(0.0, 0.0, 100.0)
    decode: str = bounded("argmax", choices=("argmax", "expectation"))


@dataclass(frozen=True)
class CvaeConfig:
    """Of the head with a latent variable.

    Attributes:
        latent: Size of the latent.
        layers: Layers of the posterior's encoder.
        heads: Its attention heads; must divide the width of the answers.
    """

    latent: int = bounded(32, 1, 1024)
    layers: int = bounded(2, 1, 32)
    heads: int = bounded(4, 1, 64)


@dataclass(frozen=True)
class HeadConfig:
    """Which head, and its sizes; sections of other kinds than the chosen one have no effect.

    Attributes:
        kind: "regression", "mixture", "flow", "tokens" or "cvae".
        horizon: Steps of the chunk that are predicted, the last of them repeated over the rest;
            0 for all.
        distance: From target to prediction, of regression and cvae: "smooth_l1", "huber", "l1"
            or "l2" (half the square).
        beta: Where "smooth_l1" and "huber" turn from quadratic to linear, in normalised units.
        mixture: Of kind "mixture".
        flow: Of kind "flow".
        tokens: Of kind "tokens".
        cvae: Of kind "cvae".
    """

    kind: str = bounded("regression", choices=HEADS)
    horizon: int = bounded(0, 0, 10_000)
    distance: str = bounded("smooth_l1", choices=DISTANCES)
    beta: float = bounded(0.05, 1e-4, 10.0)
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    tokens: TokensConfig = field(default_factory=TokensConfig)
    cvae: CvaeConfig = field(default_factory=CvaeConfig)

    @property
    def has_gradient(self) -> bool:
        """Whether a penalty on the actions themselves can move the weights behind them."""
        return self.kind != "tokens" or self.tokens.decode == "expectation"
