"""A training checkpoint in place of an exported bundle, run by PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.observation: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, feeds: Feeds) -> np.ndarray:
        """The actions (1, H, A) float32 [m/s, rad/s]."""
        self.observation = {name: torch.tensor(array) for name, array in feeds.items()}
        with single_threaded():
            return self.policy.predict(self.observation).actions.numpy()


def load_checkpoint_policy(path: str | Path) -> tuple[ChunkPolicy, TorchRunner]:
    """The policy of a checkpoint, ready to call, and what runs it.

    Args:
        path: The file, or the output folder of the run.

    Raises:
        TrainingError: If it cannot be loaded.
    """
    state = load_checkpoint(path)
    runner = TorchRunner(state.policy())
    return ChunkPolicy(_as_bundle(state, Path(path)), runner), runner


def _as_bundle(state: Checkpoint, path: Path) -> PolicyBundle:
    """What a policy's callers want to know of a bundle; there is no graph."""
    manifest = BundleManifest(FORMAT_VERSION, "", state.contract.hash, {}, state.config.name)
    return PolicyBundle(
        path, state.contract, state.statistics, state.vocabulary, manifest, model_path=path
    )


@contextmanager
def single_threaded() -> Iterator[None]:
    """PyTorch on one thread meanwhile: on a batch of one, threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
