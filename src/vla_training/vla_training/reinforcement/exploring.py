"""A policy that tries what it would not do, and remembers what it tried."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from vla_core.bundle import PolicyBundle
from vla_core.chunk_policy import ChunkPolicy, Feeds
from vla_core.contract import Contract
from vla_core.errors import PolicyError
from vla_core.frames import Frame
from vla_training.models import Policy
from vla_training.reinforcement.config import FinetuneConfig
from vla_training.reinforcement.exploration import SmoothNoise, steps_used
from vla_training.reinforcement.fused_policy import FEATURES, FusedPolicy


@dataclass(frozen=True, eq=False)
class Asked:
    """One macro action.

    Attributes:
        inputs: What the policy needs to be asked again, by name.
        chunk: (H, A) float32, normalised: what is to be executed.
        scale: (H, A) float32: deviations of the noise in it.
    """

    inputs: dict[str, np.ndarray]
    chunk: np.ndarray
    scale: np.ndarray


class ExploringPolicy(ChunkPolicy):
    """A policy with noise on its chunks.

    Args:
        bundle: What it is.
        policy: With its weights.
        noise: What is added.
        kept: Names of the inputs to remember.

    Attributes:
        asked: The macro actions of the running episode.
    """

    def __init__(
        self, bundle: PolicyBundle, policy: Policy, noise: SmoothNoise, kept: tuple[str, ...]
    ) -> None:
        super().__init__(bundle, _no_graph, policy.language.sentence_encoder())
        self._fused = FusedPolicy(policy)
        self._noise = noise
        self._kept = kept
        self._generator = torch.Generator()
        self.asked: list[Asked] = []

    def begin(self, *seeds: int) -> None:
        """Forget the last episode; the seeds decide the noise of the next one."""
        state = np.random.SeedSequence(seeds).generate_state(1, np.uint32)[0]
        self._generator = torch.Generator().manual_seed(int(state))
        self.asked = []

    @torch.no_grad()
    def __call__(self, frame: Frame, instruction: str) -> np.ndarray:
        """The chunk for a frame, see `ChunkPolicy`."""
        feeds = self.feeds(frame, instruction)
        policy = self._fused.policy
        answer = self._fused({name: torch.tensor(array) for name, array in feeds.items()})
        scale = self._noise.scale(answer.chunk, policy.action_center)
        chunk = self._noise.draw(answer.chunk, scale, self._generator)
        known = {**feeds, FEATURES: answer.features.numpy()}
        inputs = {name: known[name][0] for name in self._kept}
        self.asked.append(Asked(inputs, chunk[0].numpy(), scale[0].numpy()))
        return self.check(policy.denormalize(chunk).numpy())


def _no_graph(feeds: Feeds) -> np.ndarray:
    raise PolicyError("an exploring policy is asked with a frame, it has no graph to be fed")


def make_noise(config: FinetuneConfig, contract: Contract, policy: Policy) -> SmoothNoise:
    """The noise of a run.

    Args:
        config: Of the run.
        contract: Of the policy.
        policy: Gives the scale of normalised actions.
    """
    drive, action = config.drive, contract.action
    steps = action.chunk_length
    used = steps_used(drive.mode, drive.latency_ticks, drive.replan_steps, steps)
    period_s = action.period_ns * 1e-9
    return SmoothNoise(config.noise, action.fields, policy.action_spread, steps, used, period_s)
