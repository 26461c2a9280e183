"""A language model as an ONNX graph, compared with PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch

from vla_core.sentence_encoder import ENCODER_INPUT, ENCODER_OUTPUT
from vla_training.errors import ExportError
from vla_training.models.language.transformer import LanguageModel
from vla_training.onnx_graph import OPSET, quiet
from vla_training.onnx_session import make_runner

MAX_PARITY_ERROR: Final = 1e-4
"""Largest difference of a component, of vectors of length 1."""

_SENTENCES: Final = (
    "dock",
    "dock at the orange charger",
    "충전소로 가서 서 줘, 왼쪽 말고 오른쪽에!",
)
_LONGEST: Final = 128


def export_language_model(model: LanguageModel, path: Path) -> None:
    """Write a language model's graph: any number of pieces, one sentence.

    Args:
        model: The language model.
        path: The file to write.

    Raises:
        ExportError: If PyTorch cannot trace it, or the graph computes something else.
    """
    examples = [torch.from_numpy(model.pieces(sentence))[None] for sentence in _SENTENCES]
    pieces = torch.export.Dim("pieces", min=2, max=_LONGEST)
    try:
        with quiet():
            torch.onnx.export(
                model.model,
                (max(examples, key=torch.numel),),
                str(path),
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=[ENCODER_INPUT],
                output_names=[ENCODER_OUTPUT],
                dynamic_shapes=({1: pieces},),
                verbose=False,
            )
    except Exception as error:
        # The exporter raises whatever its many parts raise.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ExportError(f"the language model cannot be exported to ONNX: {reason}") from error
    run = make_runner(path, ENCODER_OUTPUT)
    with torch.no_grad():
        difference = max(
            float(np.abs(run({ENCODER_INPUT: e.numpy()}) - model.model(e).numpy()).max())
            for e in examples
        )
    if not difference < MAX_PARITY_ERROR:
        raise ExportError(
            f"the language model differs by {difference:.2g} in ONNX Runtime from PyTorch, at most "
            f"{MAX_PARITY_ERROR:g} is accepted"
        )
