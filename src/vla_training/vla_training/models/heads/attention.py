"""Self-attention over the steps of a chunk that leaves padding out."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

# Finite, so that a chunk of padding alone gives finite numbers; its softmax is 0 all the same.
_HIDDEN = -1e4


class StepsBlock(nn.Module):
    """Pre-norm transformer layer over steps; a padded step is read by no other.

    Args:
        width: Size D of a step's vector.
        heads: Attention heads; must divide D.

    Raises:
        ValueError: If they do not.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not divisible by heads {heads}")
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, steps: Tensor, padding: Tensor | None = None) -> Tensor:
        """Map steps (B, N, D) to (B, N, D); padding (B, N) bool is true where there is none."""
        batch, count, width = steps.shape
        qkv = self.qkv(self.norm1(steps)).reshape(batch, count, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, N, D/heads)
        scores = (query @ key.transpose(-1, -2)) * (width // self.heads) ** -0.5
        if padding is not None:
            scores = scores.masked_fill(padding[:, None, None, :], _HIDDEN)
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(batch, count, width)
        steps = steps + self.out(mixed)
        return steps + self.down(functional.gelu(self.up(self.norm2(steps))))
