"""FP16 and INT8 forms of an exported graph, made with what ONNX Runtime ships."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from vla_training.errors import ExportError
from vla_training.onnx_graph import quiet

LARGE_MATRIX: Final = 100_000
"""Elements of a matrix from which multiplying in INT8 pays for converting what goes in and out."""

_MATRIX_PRODUCTS: Final = ("MatMul", "Gemm")


@dataclass(frozen=True)
class Source:
    """What a variant is made of.

    Attributes:
        exact: The exported graph.
        aware: The same policy after quantisation-aware fine-tuning; None without.
        calibration: Input arrays (N, …) by name, to find the ranges of activations with.
    """

    exact: Path
    aware: Path | None
    calibration: Mapping[str, np.ndarray]


def build_variant(name: str, source: Source, path: Path) -> None:
    """Write a variant of a graph.

    Args:
        name: Of `VARIANTS`.
        source: What it is made of.
        path: The file to write.

    Raises:
        ExportError: If the name is unknown or ONNX Runtime cannot convert the graph.
    """
    check_names([name])
    try:
        with quiet():
            VARIANTS[name](source, path)
    except ExportError:
        raise
    except Exception as error:
        # The converters raise whatever their many parts raise.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ExportError(f"variant {name} cannot be made: {reason}") from error


def check_names(names: Sequence[str]) -> None:
    """Make sure that variants exist.

    Raises:
        ExportError: Naming those that do not, and all that do.
    """
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise ExportError(
            f"variant {', '.join(map(repr, unknown))} is unknown; choose of {', '.join(VARIANTS)}"
        )


def _half(source: Source, path: Path) -> None:
    """Weights and arithmetic in half precision, inputs and output as they were."""
    model = convert_float_to_float16(onnx.load(source.exact), keep_io_types=True)
    onnx.save(model, path)


def _dynamic(source: Source, path: Path) -> None:
    """INT8 weights of matrix products; ranges of activations are found anew at each inference."""
    quantize_dynamic(
        _prepare(source.exact, path),
        path,
        op_types_to_quantize=list(_MATRIX_PRODUCTS),
        weight_type=QuantType.QInt8,
        per_channel=True,
    )


def _static(source: Source, path: Path) -> None:
    """INT8 convolutions and large matrix products, with ranges from calibration frames."""
    _quantize(source.exact, source.calibration, path)


def _aware(source: Source, path: Path) -> None:
    """As `_static`, of weights that were fine-tuned under the rounding."""
    if source.aware is None:
        raise ExportError("variant int8-qat needs a fine-tuned graph, and none was made")
    _quantize(source.aware, source.calibration, path)


VARIANTS: Final[Mapping[str, Callable[[Source, Path], None]]] = {
    "fp16": _half,
    "int8-dynamic": _dynamic,
    "int8-static": _static,
    "int8-qat": _aware,
}
"""How each variant is made, by name."""


def _quantize(graph: Path, calibration: Mapping[str, np.ndarray], path: Path) -> None:
    prepared = _prepare(graph, path)
    nodes = heavy_nodes(onnx.load(prepared))
    if not nodes:
        raise ExportError("the graph has no convolution and no large matrix product to quantise")
    # Unsigned activations with signed weights are what AVX2 and VNNI multiply directly.
    quantize_static(
        prepared,
        path,
        _Frames(calibration, prepared),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_quantize=nodes,
    )


def heavy_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes whose weights are worth being quantised."""
    sizes = {item.name: int(np.prod(item.dims)) for item in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if (node.op_type == "Conv" and node.input[1] in sizes)
        or (node.op_type in _MATRIX_PRODUCTS and sizes.get(node.input[1], 0) >= LARGE_MATRIX)
    ]


def _prepare(graph: Path, beside: Path) -> Path:
    """The graph simplified, as quantisation wants it, in a file beside another one."""
    prepared = beside.with_suffix(".prepared.onnx")
    # Its symbolic inference does not know all of the exporter's operators.
    quant_pre_process(graph, prepared, skip_symbolic_shape=True)
    model = onnx.load(prepared)
    # Shapes noted before nodes were fused may contradict those that are inferred from now on.
    del model.graph.value_info[:]
    onnx.save(model, prepared)
    return prepared


class _Frames(CalibrationDataReader):
    """Hands frames to the calibration, one at a time, as a robot does."""

    def __init__(self, frames: Mapping[str, np.ndarray], graph: Path) -> None:
        self._names = [item.name for item in onnx.load(graph).graph.input]
        self._frames = frames
        self._next = 0

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next frame, or None after the last."""
        index = self._next
        self._next += 1
        if index >= len(self._frames[self._names[0]]):
            return None
        return {name: self._frames[name][index : index + 1] for name in self._names}
