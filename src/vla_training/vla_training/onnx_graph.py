"""A policy as an ONNX graph, and the comparison of what both compute."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import torch

from vla_core import keys
from vla_training.confidence.features import FeaturePolicy
from vla_training.dataset.batch import Batch
from vla_training.errors import ExportError
from vla_training.models import Policy
from vla_training.onnx_session import make_runner

OPSET: Final = 18
_BLOCK: Final = 64
_BATCHED: Final = 7


def export_onnx(policy: Policy, example: Batch, path: Path) -> tuple[tuple[str, int], ...]:
    """Write the policy's graph: batch size free, named inputs and outputs.

    Args:
        policy: In evaluation mode.
        example: At least two frames, as of `DockingDataset.batch`.
        path: The file to write.

    Returns:
        Names and sizes of the parts of its features, in order.

    Raises:
        ExportError: If PyTorch cannot trace the policy.
    """
    model = FeaturePolicy(policy)
    names = input_names(policy)
    inputs = tuple(example[name][:2] for name in names)
    with torch.no_grad():
        model(*inputs)
    # Tracing leaves no trace in the module.
    layout = model.layout
    batch = torch.export.Dim("batch")
    try:
        with quiet():
            torch.onnx.export(
                model,
                inputs,
                str(path),
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=names,
                output_names=[keys.MODEL_OUTPUT, keys.FEATURES],
                dynamic_shapes=(tuple({0: batch} for _ in names),),
                verbose=False,
            )
    except Exception as error:
        # The exporter raises whatever its many parts raise.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ExportError(f"the policy cannot be exported to ONNX: {reason}") from error
    finally:
        model.remove()
    return layout


def input_names(policy: Policy) -> list[str]:
    """Inputs of the exported graph, in order."""
    return [*policy.stream_keys, keys.VALID, keys.INSTRUCTION]


@torch.no_grad()
def parity_error(policy: Policy, model: Path, frames: Batch) -> np.ndarray:
    """Largest difference of ONNX Runtime from PyTorch, (A,) [m/s, rad/s].

    Every frame runs alone, as on a robot, and the first ones also as a batch.
    """
    run = make_runner(model)
    names = input_names(policy)
    inputs = [frames[name] for name in names]
    # In blocks: the activations of a thousand images are gigabytes.
    expected = np.concatenate(
        [policy(*block).numpy() for block in zip(*(i.split(_BLOCK) for i in inputs), strict=True)]
    )
    feeds = {name: frames[name].numpy() for name in names}
    single = [
        run({name: value[i : i + 1] for name, value in feeds.items()}) for i in range(len(expected))
    ]
    batched = run({name: value[:_BATCHED] for name, value in feeds.items()})
    error = np.abs(np.concatenate(single) - expected).max(axis=(0, 1))
    return np.maximum(error, np.abs(batched - expected[:_BATCHED]).max(axis=(0, 1)))


@contextmanager
def quiet() -> Iterator[None]:
    """Without the converters' remarks about what is not installed and not needed."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
