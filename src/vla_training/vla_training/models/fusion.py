"""From all tokens of an observation to one answer per question of the policy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vla_training.configuration import bounded
from vla_training.models.layers import AttentionBlock, CrossAttentionBlock


@dataclass(frozen=True)
class FusionConfig:
    """How tokens are joined.

    Attributes:
        kind: "transformer": learned queries and tokens attend to each other in every layer;
            "decoder": layers over the tokens, then layers of queries that read the result;
            "mlp": a perceptron over all tokens side by side.
        heads: Attention heads.
        layers: Layers over the tokens; of the perceptron, hidden layers.
        decoder_layers: Layers of the queries, in a decoder.
        feedforward: Hidden size of the perceptrons.
        dropout: Probability of dropping an element of a residual branch or a hidden layer.
        half: Whether it trains in the half precision that the backbones train in, the head's
            latent included: worth it for large ones.
    """

    kind: str = bounded("transformer", choices=("transformer", "decoder", "mlp"))
    heads: int = bounded(4, 1, 64)
    layers: int = bounded(2, 1, 64)
    decoder_layers: int = bounded(1, 1, 64)
    feedforward: int = bounded(256, 8, 16384)
    dropout: float = bounded(0.0, 0.0, 0.9)
    half: bool = False


class TransformerFusion(nn.Module):
    """Learned queries among the tokens; every layer lets all of them attend to each other.

    Args:
        config: Sizes.
        width: Size D of a token.
        tokens: Their number N.
        answers: Number Q of queries.
    """

    def __init__(self, config: FusionConfig, width: int, tokens: int, answers: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(tokens, width) * 0.02)
        self.queries = nn.Parameter(torch.randn(answers, width) * 0.02)
        self.blocks = nn.ModuleList(
            AttentionBlock(width, config.heads, config.feedforward, config.dropout)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, D) to answers (B, Q, D)."""
        queries = self.queries.expand(tokens.shape[0], -1, -1)
        sequence = torch.cat([tokens + self.place, queries], dim=1)
        for block in self.blocks:
            sequence = block(sequence)
        return self.norm(sequence[:, -self.queries.shape[0] :])


class DecoderFusion(nn.Module):
    """Tokens among themselves first, then queries that read them.

    As in DETR (Carion et al., ECCV 2020) and ACT (Zhao et al., RSS 2023).

    Args:
        config: Sizes.
        width: Size D of a token.
        tokens: Their number N.
        answers: Number Q of queries.
    """

    def __init__(self, config: FusionConfig, width: int, tokens: int, answers: int) -> None:
        super().__init__()
        sizes = (width, config.heads, config.feedforward, config.dropout)
        self.place = nn.Parameter(torch.randn(tokens, width) * 0.02)
        self.queries = nn.Parameter(torch.randn(answers, width) * 0.02)
        self.blocks = nn.ModuleList(AttentionBlock(*sizes) for _ in range(config.layers))
        self.context_norm = nn.LayerNorm(width)
        self.readers = nn.ModuleList(
            CrossAttentionBlock(*sizes) for _ in range(config.decoder_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, D) to answers (B, Q, D)."""
        context = tokens + self.place
        for block in self.blocks:
            context = block(context)
        context = self.context_norm(context)
        answers = self.queries.expand(tokens.shape[0], -1, -1)
        for reader in self.readers:
            answers = reader(answers, context)
        return self.norm(answers)


class MlpFusion(nn.Module):
    """A perceptron over all tokens side by side.

    Args:
        config: Sizes.
        width: Size D of a token.
        tokens: Their number N.
        answers: Number Q of answers.
    """

    def __init__(self, config: FusionConfig, width: int, tokens: int, answers: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        size = tokens * width
        for _ in range(config.layers):
            layers += [nn.Linear(size, config.feedforward), nn.GELU(), nn.Dropout(config.dropout)]
            size = config.feedforward
        self.hidden = nn.Sequential(*layers)
        self.out = nn.Linear(size, answers * width)
        self.norm = nn.LayerNorm(width)
        self.answers = answers

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, D) to answers (B, Q, D)."""
        answers = self.out(self.hidden(tokens.flatten(1)))
        return self.norm(answers.view(-1, self.answers, tokens.shape[2]))


_KINDS = {"transformer": TransformerFusion, "decoder": DecoderFusion, "mlp": MlpFusion}


def build_fusion(config: FusionConfig, width: int, tokens: int, answers: int) -> nn.Module:
    """The fusion that a configuration describes."""
    return _KINDS[config.kind](config, width, tokens, answers)
