"""Watches what a policy looks at while it drives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from torch import Tensor

from vla_core.contract import Contract, StreamSpec
from vla_core.contract_specs import ImageDecoder
from vla_simulation.environment import DockingEnv
from vla_training.attention.gradients import gradient_maps
from vla_training.attention.overlay import overlay_picture
from vla_training.attention.shares import EpisodeShares, attention_share, station_areas
from vla_training.errors import EvaluationError
from vla_training.evaluation.checkpoint_policy import TorchRunner

APPROACH_ENDS_M: Final = 0.5
"""Nearer to the dock than this the station fills the picture, and looking at it means nothing."""

SEEN_SHARE: Final = 0.002
"""A station counts as seen from this share of the pixels on: about 25 of 96 x 128."""

EVERY_TICKS: Final = 4
"""Control periods from one look to the next; inference on every tick that is looked at."""


@dataclass
class Watcher:
    """Adds up where the policy looks in one episode.

    Attributes:
        env: Of the episode; it renders.
        runner: Of the policy that drives.
        camera: Whose image is looked at.
        draw: Keep pictures.
        pictures: Of every look, if they are kept.
    """

    env: DockingEnv
    runner: TorchRunner
    camera: StreamSpec
    draw: bool = False
    pictures: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tick = self._frames = self._unseen = 0
        self._pixels = np.zeros(2)
        self._attention: dict[str, np.ndarray] = {}
        self._seed = 0

    def __call__(self) -> None:
        """Look at the present moment; for `run_episode`."""
        self._seed = self.env.seed
        due = self._tick % EVERY_TICKS == 0
        self._tick += 1
        if not due or not self.runner.observation:
            return
        approaching = self.env.truth.dock_from_base.distance > APPROACH_ENDS_M
        if not approaching and not self.draw:
            return
        areas = station_areas(self.env.render_segmentation(), self.env.scene.goal, self.camera)
        pixels = areas.mean((1, 2))
        maps = self._maps()
        shares = {name: attention_share(each, areas) for name, each in maps.items()}
        if self.draw:
            self.pictures.append(self._picture(maps, areas, pixels, shares))
        if not approaching:
            return
        if pixels[0] < SEEN_SHARE:
            self._unseen += 1
            return
        self._frames += 1
        self._pixels += pixels
        for name, share in shares.items():
            self._attention[name] = self._attention.get(name, 0.0) + share

    def picture(self) -> np.ndarray:
        """What the policy looks at now, see `overlay_picture`."""
        areas = station_areas(self.env.render_segmentation(), self.env.scene.goal, self.camera)
        maps = self._maps()
        shares = {name: attention_share(each, areas) for name, each in maps.items()}
        return self._picture(maps, areas, areas.mean((1, 2)), shares)

    def shares(self) -> EpisodeShares:
        """What was seen up to now."""
        return EpisodeShares(
            self._seed, self._frames, self._unseen, self._pixels, dict(self._attention)
        )

    def _maps(self) -> dict[str, np.ndarray]:
        """(K, h, w) by reader, for what the policy was asked last: this very tick's frame."""
        observation = self.runner.observation
        found: dict[str, Tensor] = self.runner.policy.attention_maps(observation)
        found |= gradient_maps(self.runner.policy, observation)
        wanted = f"{self.camera.key}/"
        return {
            name.removeprefix(wanted): maps[0].numpy()
            for name, maps in found.items()
            if name.startswith(wanted)
        }

    def _picture(
        self,
        maps: Mapping[str, np.ndarray],
        areas: np.ndarray,
        pixels: np.ndarray,
        shares: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        seen = pixels[0] >= SEEN_SHARE
        notes = {
            name: f"{share[:, 0].mean() / pixels[0]:.1f}x" if seen else "station not in view"
            for name, share in shares.items()
        }
        image = self.runner.observation[self.camera.key][0].numpy()
        return overlay_picture(image, maps, areas, self.env.instruction, notes)


def camera_of(contract: Contract) -> StreamSpec:
    """The first camera of a contract.

    Raises:
        EvaluationError: If there is none.
    """
    for stream in contract.streams:
        if isinstance(stream.decoder, ImageDecoder):
            return stream
    raise EvaluationError(
        f"contract {contract.name!r} has no camera: there is nothing to look at; give a policy "
        "with one"
    )
