"""Small but real policies: ONNX graphs built node by node, exported as bundles."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vla_core import keys
from vla_core.bundle import write_bundle
from vla_core.contract import Contract
from vla_core.language import Vocabulary
from vla_core.normalization import FieldStatistics, Statistics

HORIZON = 10
BEAMS = 9
AHEAD = BEAMS // 2
STAND_OFF_M = 0.3  # scanner to station when docked


def contract(**changes) -> Contract:
    """A robot with a small camera, nine beams and odometry."""
    qos = {"reliability": "best_effort", "durability": "volatile", "depth": 5}
    common = {"qos": qos, "rate_hz": 20, "max_age_s": 1.0, "normalization": "none"}
    values = {
        "name": "test_robot",
        "version": 1,
        "robot": "test_robot",
        "base_frame": "base_link",
        "dock_pose_topic": "dock_pose",
        "streams": [
            {
                "key": keys.IMAGE,
                "topic": "camera/image_raw",
                "type": "sensor_msgs/msg/Image",
                "unit": "RGB 0-255",
                "decoder": {"height_px": 24, "width_px": 32},
                **common,
            },
            {
                "key": keys.SCAN,
                "topic": "scan",
                "type": "sensor_msgs/msg/LaserScan",
                "unit": "m",
                "decoder": {
                    "beams": BEAMS,
                    "angle_min_rad": -2.0,
                    "angle_max_rad": 2.0,
                    "range_min_m": 0.05,
                    "range_max_m": 8.0,
                },
                **common,
            },
            {
                "key": keys.ODOMETRY,
                "topic": "odom",
                "type": "nav_msgs/msg/Odometry",
                "unit": "m/s, rad/s",
                "decoder": {"fields": ["linear.x", "angular.z"]},
                **common,
            },
        ],
        "action": {
            "topic": "cmd_vel",
            "type": "geometry_msgs/msg/TwistStamped",
            "rate_hz": 20,
            "chunk_length": HORIZON,
            "normalization": "none",
            "fields": [
                _action_field("linear.x", "m/s", -0.3, 0.5, 1.0),
                _action_field("angular.z", "rad/s", -1.0, 1.0, 3.0),
            ],
        },
    }
    values.update(changes)
    return Contract.from_dict(values)


def _action_field(field, unit, low, high, max_acceleration):
    limits = {"low": low, "high": high, "max_acceleration": max_acceleration, "deadband": 0.0}
    return {"field": field, "unit": unit, **limits}


def approach_graph() -> onnx.ModelProto:
    """Drives straight on: v = clip(1.5 (range ahead - stand-off), 0, 0.3) in the whole chunk."""
    constants = {
        "ahead": np.array([AHEAD], np.int64),
        "stand_off": np.array(STAND_OFF_M, np.float32),
        "gain": np.array(1.5, np.float32),
        "slowest": np.array(0.0, np.float32),
        "fastest": np.array(0.3, np.float32),
        "forward": np.stack([np.ones(HORIZON), np.zeros(HORIZON)], 1)[None].astype(np.float32),
        "axes": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("Gather", [keys.SCAN, "ahead"], ["range"], axis=1),  # (B, 1)
        helper.make_node("Sub", ["range", "stand_off"], ["gap"]),
        helper.make_node("Mul", ["gap", "gain"], ["wanted"]),
        helper.make_node("Clip", ["wanted", "slowest", "fastest"], ["speed"]),
        helper.make_node("Unsqueeze", ["speed", "axes"], ["column"]),  # (B, 1, 1)
        helper.make_node("Mul", ["column", "forward"], [keys.MODEL_OUTPUT]),
    ]
    return _model(nodes, constants)


def constant_graph(v_mps: float, w_radps: float) -> onnx.ModelProto:
    """The same velocities always."""
    chunk = np.tile(np.array([v_mps, w_radps], np.float32), (1, HORIZON, 1))
    constants = {
        "zero": np.zeros(1, np.float32),
        "chunk": chunk,
        "first": np.array([0], np.int64),
        "axes": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("Gather", [keys.SCAN, "first"], ["beam"], axis=1),
        helper.make_node("Mul", ["beam", "zero"], ["nothing"]),
        helper.make_node("Unsqueeze", ["nothing", "axes"], ["column"]),
        helper.make_node("Add", ["column", "chunk"], [keys.MODEL_OUTPUT]),
    ]
    return _model(nodes, constants)


def _model(nodes, constants) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info(keys.SCAN, TensorProto.FLOAT, ["batch", BEAMS])],
        [
            helper.make_tensor_value_info(
                keys.MODEL_OUTPUT, TensorProto.FLOAT, ["batch", HORIZON, 2]
            )
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def bundle(folder: Path, model: onnx.ModelProto, for_contract: Contract | None = None) -> Path:
    """Write a bundle into `folder` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    graph = folder / "graph.onnx"
    onnx.save(model, graph)
    rows = np.array([[0.0, -1.0], [0.5, 1.0]], np.float32)
    statistics = Statistics({keys.ACTION: FieldStatistics.from_array(rows)})
    vocabulary = Vocabulary.from_sentences(["dock at the orange charger"])
    path = folder / "bundle"
    write_bundle(path, graph, for_contract or contract(), statistics, vocabulary, {"opset": 17})
    return path
