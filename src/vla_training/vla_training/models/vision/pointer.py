"""Pointing: where in the image the instruction's station is, or that it is not in view.

A sentence is compared with every position of a feature map that does not know the sentence. That
map is what makes comparing cheap and learning fast: one image can be compared with the sentences
of a whole batch (see `grounding`), and telling all colours apart is learned from that, while the
choice between the two or three stations of one scene hardly teaches any.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_training.models.readers import expected_positions, pixel_positions
from vla_training.models.vision.backbone import Level


@dataclass(frozen=True)
class Pointing:
    """What the sentence points at.

    Attributes:
        keys: (B, P, d) float32: what is at each of the P = h w positions.
        query: (B, d) float32: what the sentence asks for.
        scores: (B, P + 1) float32, log-probability of each position, row by row, then of the
            station being out of view.
        height: Rows h of the map.
        width: Columns w of the map.
        crop: Shares of the camera's image that are cut off at top, bottom, left and right.
    """

    keys: Tensor
    query: Tensor
    scores: Tensor
    height: int
    width: int
    crop: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    @property
    def focus(self) -> Tensor:
        """(B, 1, h, w), 1 at the likeliest position, less elsewhere; all low if out of view."""
        places, absent = self.scores[:, :-1].exp(), self.scores[:, -1:].exp()
        peak = places.amax(dim=1, keepdim=True)
        focus = places / (peak + 1e-6) * (1.0 - absent)
        return focus.view(-1, 1, self.height, self.width)


class Pointer(nn.Module):
    """Compares a sentence with every position of two feature maps joined.

    Args:
        fine: The map whose positions are pointed at.
        coarse: The map that tells each of them about its surroundings: "the left one" is a
            matter of what else is in view.
        size: Size d of what is compared.
        condition: Size C of the instruction's vector.
        width: Size D of the token.
        crop: See `Pointing`.
    """

    positions: Tensor

    def __init__(
        self,
        fine: Level,
        coarse: Level,
        size: int,
        condition: int,
        width: int,
        crop: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
    ) -> None:
        super().__init__()
        self._crop = crop
        self._shape = (fine.height, fine.width)
        self.fine = nn.Conv2d(fine.channels, size, 1)
        self.coarse = nn.Conv2d(coarse.channels, size, 1)
        self.place = nn.Parameter(torch.randn(1, size, *self._shape) * 0.1)
        self.mix = nn.ModuleList(nn.Conv2d(size, size, 3, padding=1) for _ in range(2))
        self.key = nn.Conv2d(size, size, 1)
        self.query = nn.Linear(condition, size)
        self.scene = nn.Linear(coarse.channels, size)
        self.absent = nn.Linear(condition, 1)
        self.value = nn.Linear(size, width)
        self.token = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width))
        self.register_buffer("positions", pixel_positions(*self._shape), persistent=False)
        for conv in self.mix:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")  # type: ignore[arg-type]
        # Words begin to mean something the sooner the less stands between them and the image.
        nn.init.eye_(self.query.weight)
        nn.init.zeros_(self.query.bias)

    def forward(self, fine: Tensor, coarse: Tensor, condition: Tensor) -> tuple[Tensor, Pointing]:
        """Point at what the instruction names.

        Args:
            fine: (B, channels, h, w).
            coarse: (B, channels, h', w').
            condition: (B, C).

        Returns:
            A token (B, 1, D): where it is and what is seen there; and the pointing itself.
        """
        around = functional.interpolate(self.coarse(coarse), size=self._shape, mode="nearest")
        features = functional.relu(self.fine(fine) + around + self.place)
        for conv in self.mix:
            features = functional.relu(features + conv(features))
        places = self.key(features).flatten(2).transpose(1, 2)  # (B, P, d)
        query = self.query(condition)
        found = (places @ query.unsqueeze(-1)).squeeze(-1)
        scene = self.scene(coarse.mean((2, 3)))
        gone = (query * scene).sum(1, keepdim=True) + self.absent(condition)
        scores = torch.cat([found, gone], dim=1).log_softmax(dim=1)
        pointing = Pointing(places, query, scores, *self._shape, self._crop)
        maps = scores[:, None, :-1].exp()
        seen = maps @ self.value(features.flatten(2).transpose(1, 2))
        where = torch.cat([expected_positions(maps, self.positions), scores[:, -1:].exp()], dim=1)
        return seen + self.token(where).unsqueeze(1), pointing
