"""Training checkpoints: everything that a run needs to go on, and an export to start from.

Files of tensors and plain values; loading one executes nothing (`weights_only`).
"""

from __future__ import annotations

import os
import pickle
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from vla_core.contract import Contract
from vla_core.errors import VlaError
from vla_core.language import Vocabulary
from vla_core.normalization import Statistics
from vla_training.configuration import from_dict, to_dict
from vla_training.errors import TrainingError
from vla_training.models import Policy, build_model
from vla_training.models.language import WORD_VECTORS
from vla_training.training_config import TrainingConfig

FORMAT: Final = "vla-docking-checkpoint"
FORMAT_VERSION: Final = 2


@dataclass(frozen=True)
class Checkpoint:
    """One state of a training run.

    Attributes:
        config: Of the run.
        contract: Of the data set.
        statistics: Of its training episodes.
        vocabulary: The words of the policy.
        dataset: Provenance of the data.
        step: Steps done.
        training_s: Time spent on them.
        weights: The policy: averaged weights by name.
        trainer: Raw weights, optimizer and schedule, by name.
        metrics: Of the newest validation.
    """

    config: TrainingConfig
    contract: Contract
    statistics: Statistics
    vocabulary: Vocabulary
    dataset: dict[str, Any]
    step: int
    training_s: float
    weights: dict[str, Tensor]
    trainer: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

    def policy(self) -> Policy:
        """The averaged policy, in evaluation mode.

        Raises:
            TrainingError: If the weights do not fit the configuration.
        """
        model = build_model(self.config.model, self.contract, self.statistics, self.vocabulary)
        try:
            model.load_state_dict(self.weights)
        except RuntimeError as error:
            raise TrainingError(f"checkpoint does not fit its own model: {error}") from error
        return model.eval()


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; the file appears whole or not at all.

    Raises:
        TrainingError: If the file cannot be written.
    """
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": to_dict(checkpoint.config),
        "contract": checkpoint.contract.to_yaml(),
        "statistics": checkpoint.statistics.to_json(),
        "vocabulary": checkpoint.vocabulary.to_json(),
        "dataset": checkpoint.dataset,
        "step": checkpoint.step,
        "training_s": checkpoint.training_s,
        "weights": checkpoint.weights,
        "trainer": checkpoint.trainer,
        "metrics": checkpoint.metrics,
    }
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with temporary.open("wb") as stream:
            torch.save(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise TrainingError(f"checkpoint {path} cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Remove what is left of checkpoints that were being written when a run was killed."""
    for path in folder.glob(".*.pt.*.partial"):
        path.unlink(missing_ok=True)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: The file, or the output folder of the run.

    Raises:
        TrainingError: If it is missing, damaged or of another format.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "checkpoint.pt"
    if not path.is_file():
        raise TrainingError(f"checkpoint {path} does not exist; make one with `vla train`")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != FORMAT or content["format_version"] != FORMAT_VERSION:
            raise TrainingError(
                f"{path} is {content['format']} version {content['format_version']}, this "
                f"software reads {FORMAT} version {FORMAT_VERSION}; train again"
            )
        return Checkpoint(
            config=from_dict(TrainingConfig, content["config"], f"in {path}"),
            contract=Contract.from_yaml(content["contract"], f"{path}: contract"),
            statistics=Statistics.from_json(content["statistics"]),
            vocabulary=Vocabulary.from_json(content["vocabulary"]),
            dataset=content["dataset"],
            step=content["step"],
            training_s=content["training_s"],
            weights=content["weights"],
            trainer=content["trainer"],
            metrics=content["metrics"],
        )
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"checkpoint {path} is damaged or no checkpoint of this project: {reason}; train again"
        ) from error
    except VlaError as error:
        raise TrainingError(f"checkpoint {path}: {error}") from error


def take_weights(policy: Policy, checkpoint: Checkpoint, vocabulary: Vocabulary) -> list[str]:
    """Begin with the weights of another run, wherever name and shape are the same.

    Rows of words that both know are taken one by one. Statistics are not taken: they belong to
    the data.

    Returns:
        Names of the tensors that stay as they were.

    Raises:
        TrainingError: If nothing fits.
    """
    own = policy.state_dict()
    buffers = {name for name, _ in policy.named_buffers()}
    known = {word: row for row, word in enumerate(("", "\0unknown", *checkpoint.vocabulary.words))}
    words = ("", "\0unknown", *vocabulary.words)
    left = []
    for name, value in own.items():
        other = checkpoint.weights.get(name)
        if name in buffers:
            continue
        if name == WORD_VECTORS and other is not None and other.shape[1:] == value.shape[1:]:
            for row, word in enumerate(words):
                if word in known:
                    value[row] = other[known[word]]
        elif other is not None and other.shape == value.shape:
            value.copy_(other)
        else:
            left.append(name)
    if len(left) + len(buffers) >= len(own):
        raise TrainingError("the checkpoint to begin with is of another model: no tensor fits")
    return left
