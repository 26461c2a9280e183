"""Flow matching over the whole chunk: noise is carried to an action by a learned velocity."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vla_training.models.heads.attention import StepsBlock
from vla_training.models.heads.base import ActionHead, HeadSizes, small_linear
from vla_training.models.heads.config import FlowConfig

_FREQUENCIES = 16
_SEED = 0


class FlowHead(ActionHead):
    """A velocity field on chunks, asked for by the answers; inference integrates it.

    Training takes a point on the straight line from noise to the demonstrated chunk and asks for
    the line's direction. Inference starts from a fixed noise, the same for every observation, and
    takes a fixed number of steps: it is a deterministic function, and its graph is unrolled. From
    the noise's mean (`start` 0) an action of one component arrives at the median of the
    demonstrated ones, which lies in the mode that more of them took; with `start` 1 it arrives
    somewhere in the distribution, always at the same place.

    Lipman et al., "Flow Matching for Generative Modeling", ICLR 2023; for action chunks: Black et
    al., "π0: A Vision-Language-Action Flow Model for General Robot Control", 2024.

    Args:
        config: Sizes, solver and start.
        sizes: What it fits.

    Raises:
        ValueError: If the width is not divisible by the attention heads.
    """

    start: Tensor

    def __init__(self, config: FlowConfig, sizes: HeadSizes) -> None:
        super().__init__(sizes)
        self._steps, self._draws, self._heun = config.steps, config.draws, config.solver == "heun"
        width = sizes.width
        self.noisy = nn.Linear(sizes.action, width)
        self.time = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, width), nn.GELU(), nn.Linear(width, width)
        )
        self.answer = nn.Linear(width, width)
        self.layers = nn.ModuleList(StepsBlock(width, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.out = small_linear(width, sizes.action)
        # The same wherever it is made: a policy that goes on learning keeps its noise.
        noise = torch.randn(
            sizes.horizon, sizes.action, generator=torch.Generator().manual_seed(_SEED)
        )
        self.register_buffer("start", noise * config.start)

    def velocity(
        self, answers: Tensor, noisy: Tensor, time: Tensor, padding: Tensor | None = None
    ) -> Tensor:
        """The direction from noise to actions.

        Args:
            answers: (N, h, D).
            noisy: (N, h, A), the point on the way.
            time: (N,), how far it is: 0 for noise, 1 for actions.
            padding: (N, h) bool; None for none.

        Returns:
            (N, h, A).
        """
        power = torch.linspace(0.0, math.log(100.0), _FREQUENCIES, device=time.device)
        phase = time[:, None] * power.exp()
        clock = self.time(torch.cat([phase.sin(), phase.cos()], dim=1)).unsqueeze(1)
        steps = self.answer(answers) + self.noisy(noisy) + clock
        for layer in self.layers:
            steps = layer(steps, padding)
        return self.out(self.norm(steps))

    def predict(self, answers: Tensor) -> Tensor:
        """Map answers (B, h, D) to actions (B, h, A)."""
        return self.integrate(answers, self.start.expand(answers.shape[0], -1, -1))

    def integrate(self, answers: Tensor, noise: Tensor) -> Tensor:
        """Carry noise (B, h, A) to the actions (B, h, A) that the answers (B, h, D) ask for."""
        point, size = noise, 1.0 / self._steps
        zero = torch.zeros_like(answers[:, 0, 0])  # (B,)
        for number in range(self._steps):
            slope = self.velocity(answers, point, zero + number * size)
            if self._heun:
                ahead = point + size * slope
                end = self.velocity(answers, ahead, zero + (number + 1) * size)
                slope = 0.5 * (slope + end)
            point = point + size * slope
        return point

    def step_loss(
        self, answers: Tensor, actions: Tensor, padding: Tensor, balance: Tensor
    ) -> Tensor:
        """Mean square of the velocity's error over components and draws, (B, h).

        Noise is drawn by torch's generator in training; in evaluation it is always the same, so
        that two validations can be compared.
        """
        draws, batch = self._draws, len(actions)
        generator = None
        if not self.training:
            generator = torch.Generator(actions.device).manual_seed(_SEED)
        shape = (draws * batch, *actions.shape[1:])
        noise = torch.randn(shape, generator=generator, device=actions.device)
        time = torch.rand(draws * batch, generator=generator, device=actions.device)
        target = actions.repeat(draws, 1, 1)
        way = time[:, None, None]
        noisy = (1.0 - way) * noise + way * target
        predicted = self.velocity(
            answers.repeat(draws, 1, 1), noisy, time, padding.repeat(draws, 1)
        )
        error = ((predicted - (target - noise)).square() * balance).mean(-1)
        return error.unflatten(0, (draws, batch)).mean(0)
