"""What a run writes, and whether a state is of this run."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor

from vla_training.checkpoints import Checkpoint
from vla_training.configuration import to_dict
from vla_training.errors import TrainingError
from vla_training.reinforcement.config import FinetuneConfig

_FREE_TO_CHANGE: Final = ("output", "iterations", "threads", "log", "verdict")


def unchanged(initial: Checkpoint, config: FinetuneConfig) -> Checkpoint:
    """The policy that was begun with, in the output folder."""
    own = dataclasses.replace(initial.config, output=config.output, initial=config.initial)
    return dataclasses.replace(initial, config=own, trainer={})


def tuned_checkpoint(
    initial: Checkpoint,
    config: FinetuneConfig,
    weights: dict[str, Tensor],
    iterations: int,
    spent_s: float,
) -> Checkpoint:
    """A checkpoint like any other: what was begun with, with other weights.

    Args:
        initial: What was begun with.
        config: Of the run.
        weights: Of the policy.
        iterations: After how many.
        spent_s: Time that they took.
    """
    return dataclasses.replace(
        unchanged(initial, config),
        dataset={**initial.dataset, "finetuning": {"iterations": iterations}},
        weights=weights,
        training_s=initial.training_s + spent_s,
        metrics={},
    )


def identity_of(config: FinetuneConfig, initial: Checkpoint) -> dict[str, Any]:
    """What a state keeps of its run."""
    return {"config": to_dict(config), "initial": _digest(initial)}


def check_same_finetuning(
    config: FinetuneConfig, initial: Checkpoint, kept: Mapping[str, Any]
) -> None:
    """Make sure that a state is of this run.

    Args:
        config: Of the run.
        initial: What it begins with.
        kept: Of the state, see `identity_of`.

    Raises:
        TrainingError: Naming everything that is different.
    """
    own = identity_of(config, initial)
    ours, theirs = own["config"], kept["config"]
    changed = [
        f"{key} is {ours[key]!r} now and was {theirs.get(key)!r}"
        for key in ours
        if key not in _FREE_TO_CHANGE and ours[key] != theirs.get(key)
    ]
    if own["initial"] != kept["initial"]:
        changed.append(f"{config.initial} has other weights than it began with")
    if changed:
        raise TrainingError(
            f"{config.output} cannot be resumed: {'; '.join(changed)}; use another output folder "
            "or begin anew without resuming"
        )


def _digest(checkpoint: Checkpoint) -> str:
    """Another one for other weights (hex)."""
    digest = hashlib.sha256()
    for name, value in sorted(checkpoint.weights.items()):
        digest.update(name.encode())
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()
