"""Action heads: from the answers of the chunk queries to a chunk of actions."""

from __future__ import annotations

from torch import Tensor

from vla_training.errors import ConfigurationError
from vla_training.models.heads.base import ActionHead, HeadSizes
from vla_training.models.heads.config import HeadConfig
from vla_training.models.heads.cvae import CvaeHead
from vla_training.models.heads.flow import FlowHead
from vla_training.models.heads.mixture import MixtureHead
from vla_training.models.heads.regression import RegressionHead
from vla_training.models.heads.tokens import TokensHead

__all__ = ["ActionHead", "HeadConfig", "HeadSizes", "build_head"]


def build_head(
    config: HeadConfig, width: int, action_size: int, chunk_length: int, limits: Tensor
) -> ActionHead:
    """The head that a configuration describes, freshly initialised by torch's generator.

    Args:
        config: Kind and sizes.
        width: Size D of an answer.
        action_size: Action components A.
        chunk_length: Steps H of a chunk.
        limits: (2, A) float32, smallest and largest command of the contract, normalised.

    Raises:
        ConfigurationError: If the configuration does not fit the sizes.
    """
    mistakes = []
    if config.horizon > chunk_length:
        mistakes.append(
            f"model.head.horizon is {config.horizon}, but a chunk of the contract has "
            f"{chunk_length} steps; choose at most {chunk_length}, or 0 for all"
        )
    heads = {"flow": config.flow.heads, "cvae": config.cvae.heads}.get(config.kind, 1)
    if width % heads:
        mistakes.append(
            f"model.head.{config.kind}.heads is {heads}, but has to divide the width {width}"
        )
    if mistakes:
        raise ConfigurationError("; ".join(mistakes), mistakes)
    sizes = HeadSizes(width, action_size, chunk_length, config.horizon or chunk_length)
    if config.kind == "mixture":
        return MixtureHead(config.mixture, sizes)
    if config.kind == "flow":
        return FlowHead(config.flow, sizes)
    if config.kind == "tokens":
        return TokensHead(config.tokens, sizes, limits)
    if config.kind == "cvae":
        return CvaeHead(config, sizes)
    return RegressionHead(config, sizes)
