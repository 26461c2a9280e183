"""A policy bundle that fails on demand: its graph, with three branches more.

The policy computes what it always does, unless a sector at the edge of its scan reads `MARKER_M`.
At the first one the chunk holds NaN, at the second one the graph turns in circles, and at the last
one the chunk is one action short.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vla_bringup.faults.scan_marker import MARKER_M, TOLERANCE_M
from vla_core import keys
from vla_core.bundle import MANIFEST_FILE, MODEL_FILE, PolicyBundle

_ORIGINAL: Final = "chunk_of_the_policy"
_ENDLESS: Final = 10**15  # turns of a loop: more than anybody waits for


def marked_bundle(source: Path, target: Path) -> Path:
    """Write a copy of a bundle that fails on demand.

    Args:
        source: a bundle with a scan among its inputs.
        target: folder to write.

    Returns:
        `target`, a bundle that verifies like any other.

    Raises:
        BundleError: the source is none.
    """
    bundle = PolicyBundle.load(source)
    shutil.copytree(source, target)
    model = onnx.load(str(bundle.model_path))
    mark(model, bundle.contract.action.chunk_length)
    path = target / MODEL_FILE
    onnx.save(model, str(path))
    manifest = json.loads((target / MANIFEST_FILE).read_text())
    manifest["files"][MODEL_FILE] = hashlib.sha256(path.read_bytes()).hexdigest()
    (target / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1))
    return target


def mark(model: onnx.ModelProto, chunk_length: int) -> None:
    """Add the three branches to a graph, in place."""
    graph = model.graph
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name == keys.MODEL_OUTPUT:
                node.output[index] = _ORIGINAL
        for index, name in enumerate(node.input):
            if name == keys.MODEL_OUTPUT:
                node.input[index] = _ORIGINAL
    constants: dict[str, np.ndarray] = {
        "marker_first": np.array([0], np.int64),
        "marker_second": np.array([1], np.int64),
        "marker_last": np.array([-1], np.int64),
        "marker_endless": np.array(_ENDLESS, np.int64),
        "marker_zero": np.array(0.0, np.float32),
        "marker_m": np.array(MARKER_M, np.float32),
        "marker_tolerance_m": np.array(TOLERANCE_M, np.float32),
        "marker_columns": np.array([2], np.int64),
        "marker_nan": np.array(np.nan, np.float32),
        "marker_full": np.array([chunk_length], np.int64),
        "marker_start": np.array([0], np.int64),
        "marker_axis": np.array([1], np.int64),
        "marker_one": np.array([1], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in constants.items())
    graph.node.extend(
        [
            *_reads_marker("first"),  # (B, 1) bool
            *_reads_marker("second"),
            *_reads_marker("last"),
            helper.make_node(
                "Unsqueeze", ["marker_first_marked", "marker_columns"], ["marker_first_chunk"]
            ),
            helper.make_node(
                "Where", ["marker_first_chunk", "marker_nan", _ORIGINAL], ["marker_chunk"]
            ),
            *_counts_marker("last"),
            helper.make_node("Reshape", ["marker_last_any", "marker_one"], ["marker_last_flat"]),
            helper.make_node("Sub", ["marker_full", "marker_last_flat"], ["marker_end"]),
            *_counts_marker("second"),
            helper.make_node("Mul", ["marker_second_any", "marker_endless"], ["marker_turns"]),
            helper.make_node(
                "Loop", ["marker_turns", "", "marker_zero"], ["marker_nothing"], body=_circle()
            ),
            helper.make_node("Add", ["marker_chunk", "marker_nothing"], ["marker_late_chunk"]),
            helper.make_node(
                "Slice",
                ["marker_late_chunk", "marker_start", "marker_end", "marker_axis"],
                [keys.MODEL_OUTPUT],
            ),
        ]
    )
    for output in graph.output:
        if output.name == keys.MODEL_OUTPUT:
            output.type.tensor_type.shape.dim[1].dim_param = "actions"
    onnx.checker.check_model(model)


def _reads_marker(sector: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node(
            "Gather", [keys.SCAN, f"marker_{sector}"], [f"marker_{sector}_range"], axis=1
        ),
        helper.make_node("Sub", [f"marker_{sector}_range", "marker_m"], [f"marker_{sector}_off"]),
        helper.make_node("Abs", [f"marker_{sector}_off"], [f"marker_{sector}_distance"]),
        helper.make_node(
            "Less", [f"marker_{sector}_distance", "marker_tolerance_m"], [f"marker_{sector}_marked"]
        ),
    ]


def _counts_marker(sector: str) -> list[onnx.NodeProto]:
    """0, or 1 if any scan of the batch shows the marker there: a scalar."""
    number = f"marker_{sector}_number"
    return [
        helper.make_node("Cast", [f"marker_{sector}_marked"], [number], to=TensorProto.INT64),
        helper.make_node("ReduceMax", [number], [f"marker_{sector}_any"], keepdims=0),
    ]


def _circle() -> onnx.GraphProto:
    """The body of a loop that does nothing."""
    turn = helper.make_tensor_value_info("marker_turn", TensorProto.INT64, [])
    goes_on = helper.make_tensor_value_info("marker_goes_on", TensorProto.BOOL, [])
    goes_further = helper.make_tensor_value_info("marker_goes_further", TensorProto.BOOL, [])
    carried = helper.make_tensor_value_info("marker_carried", TensorProto.FLOAT, [])
    kept = helper.make_tensor_value_info("marker_kept", TensorProto.FLOAT, [])
    nodes = [
        helper.make_node("Identity", ["marker_goes_on"], ["marker_goes_further"]),
        helper.make_node("Identity", ["marker_carried"], ["marker_kept"]),
    ]
    return helper.make_graph(nodes, "marker_circle", [turn, goes_on, carried], [goes_further, kept])
