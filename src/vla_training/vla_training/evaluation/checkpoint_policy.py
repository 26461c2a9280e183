"""A training checkpoint in place of an exported bundle, run by PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vla_core.bundle import PolicyBundle
from vla_core.bundle_manifest import FORMAT_VERSION, BundleManifest
from vla_core.chunk_policy import ChunkPolicy, Feeds
from vla_training.checkpoints import Checkpoint, load_checkpoint
from vla_training.models import Policy


class TorchRunner:
    """Runs a policy on feeds of one frame.

    Args:
        policy: In evaluation mode.

    Attributes:
        policy: The same.
        observation: What it was asked last, as tensors; empty before.
        threads: Of one inference on the CPU.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.observation: dict[str, Tensor] = {}
        self.threads = 1
        self._device = torch.device("cpu")

    def move_to(self, device: torch.device) -> None:
        """Compute on another device from now on.

        Raises:
            RuntimeError: If PyTorch cannot use it.
        """
        self.policy.to(device)
        self._device = device

    @torch.no_grad()
    def __call__(self, feeds: Feeds) -> np.ndarray:
        """The actions (1, H, A) float32 [m/s, rad/s]."""
        self.observation = {
            name: torch.tensor(array, device=self._device) for name, array in feeds.items()
        }
        with on_threads(self.threads):
            return self.policy.predict(self.observation).actions.cpu().numpy()


def load_checkpoint_policy(path: str | Path) -> tuple[ChunkPolicy, TorchRunner]:
    """The policy of a checkpoint, ready to call, and what runs it.

    Args:
        path: The file, or the output folder of the run.

    Raises:
        TrainingError: If it cannot be loaded.
    """
    state = load_checkpoint(path)
    runner = TorchRunner(state.policy())
    return ChunkPolicy(as_bundle(state, Path(path)), runner), runner


def as_bundle(state: Checkpoint, path: Path) -> PolicyBundle:
    """What a policy's callers want to know of a bundle; there is no graph."""
    manifest = BundleManifest(FORMAT_VERSION, "", state.contract.hash, {}, state.config.name)
    return PolicyBundle(
        path, state.contract, state.statistics, state.vocabulary, manifest, model_path=path
    )


def single_threaded() -> AbstractContextManager[None]:
    """PyTorch on one thread meanwhile: on a batch of one, threads mostly wait for each other."""
    return on_threads(1)


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """PyTorch on so many threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
