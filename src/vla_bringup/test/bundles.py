"""A small but real policy bundle."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vla_core import keys
from vla_core.bundle import write_bundle
from vla_core.contract import Contract
from vla_core.language import Vocabulary
from vla_core.normalization import FieldStatistics, Statistics


def standing_bundle(
    folder: Path, contract: Contract, action: tuple[float, float] = (0.0, 0.0)
) -> Path:
    """Write a bundle whose every action is this one, and return its path."""
    beams, horizon = contract.stream(keys.SCAN).shape[0], contract.action.chunk_length
    zeros = np.zeros((beams, horizon * contract.action.size), np.float32)
    shape = np.array([-1, horizon, contract.action.size], np.int64)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", [keys.SCAN, "zeros"], ["nothing"]),
            helper.make_node("Add", ["nothing", "constant"], ["flat"]),
            helper.make_node("Reshape", ["flat", "shape"], [keys.MODEL_OUTPUT]),
        ],
        "standing",
        [helper.make_tensor_value_info(keys.SCAN, TensorProto.FLOAT, ["batch", beams])],
        [
            helper.make_tensor_value_info(
                keys.MODEL_OUTPUT, TensorProto.FLOAT, ["batch", horizon, contract.action.size]
            )
        ],
        [
            numpy_helper.from_array(zeros, "zeros"),
            numpy_helper.from_array(np.tile(np.float32(action), (1, horizon)), "constant"),
            numpy_helper.from_array(shape, "shape"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    path = folder / "graph.onnx"
    onnx.save(model, path)
    rows = np.array([[-0.3, -1.0], [0.5, 1.0]], np.float32)
    statistics = Statistics({keys.ACTION: FieldStatistics.from_array(rows)})
    vocabulary = Vocabulary.from_sentences(["dock at the orange charger"])
    write_bundle(folder / "bundle", path, contract, statistics, vocabulary, {"opset": 17})
    return folder / "bundle"
