"""Small intact data to begin with: a robot, what it records, what it learns from, what it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vla_core import bag_metadata
from vla_core.contract import Contract
from vla_core.normalization import FieldStatistics, Statistics

START_NS: Final = 1_700_000_000_000_000_000
SENTENCES: Final = ("dock at the orange charger", "오른쪽 충전기로 가", "go to the second dock")
BEAMS: Final = 6

CONTRACT_TEXT: Final = f"""
name: small
version: 1
robot: small
base_frame: base_link
dock_pose_topic: dock_pose
streams:
  - {{key: image, topic: camera/image_raw, type: sensor_msgs/msg/Image, unit: RGB 0-255,
     rate_hz: 20, max_age_s: 0.12, decoder: {{height_px: 4, width_px: 6,
     crop_fraction: {{top: 0.1, bottom: 0.0, left: 0.0, right: 0.2}}}}}}
  - {{key: scan, topic: scan, type: sensor_msgs/msg/LaserScan, unit: m, rate_hz: 10,
     max_age_s: 0.25, qos: {{reliability: best_effort, durability: volatile, depth: 5}},
     decoder: {{beams: {BEAMS}, angle_min_rad: -2.0, angle_max_rad: 2.0,
     range_min_m: 0.05, range_max_m: 8.0}}}}
  - {{key: odometry, topic: odom, type: nav_msgs/msg/Odometry, unit: "m/s, rad/s",
     rate_hz: 20, max_age_s: 0.12, decoder: {{fields: [linear.x, angular.z]}}}}
action:
  topic: cmd_vel
  type: geometry_msgs/msg/TwistStamped
  label_topic: expert/cmd_vel
  rate_hz: 20
  chunk_length: 4
  fields:
    - {{field: linear.x, unit: m/s, low: -0.3, high: 0.5, max_acceleration: 1.0}}
    - {{field: angular.z, unit: rad/s, low: -1.0, high: 1.0, max_acceleration: 3.0}}
"""


def small_contract() -> Contract:
    """A robot with little to see."""
    return Contract.from_yaml(CONTRACT_TEXT)


def bag_values(contract: Contract) -> dict[str, str]:
    """What the recorder notes about an episode."""
    return {
        bag_metadata.CONTRACT: contract.to_yaml(),
        bag_metadata.CONTRACT_HASH: contract.hash,
        bag_metadata.INSTRUCTION: SENTENCES[0],
        bag_metadata.PARAPHRASES: '["drive to the orange dock"]',
        bag_metadata.OPERATOR: "docking_expert",
        bag_metadata.OUTCOME: bag_metadata.Outcome.SUCCESS.value,
        bag_metadata.SEED: "7",
        bag_metadata.GOAL: "1",
        bag_metadata.START_NS: str(START_NS),
        bag_metadata.TOPICS: '{"scan": "/scan"}',
    }


def statistics_of(contract: Contract) -> Statistics:
    """Statistics that normalise every stream and the action of a contract."""
    sizes = {stream.key: (stream.shape[-1], stream.normalization) for stream in contract.streams}
    sizes["action"] = (contract.action.size, contract.action.normalization)
    return Statistics(
        {
            key: FieldStatistics(
                count=100,
                normalization=method,
                mean=np.zeros(size),
                std=np.ones(size),
                min=-np.ones(size),
                max=np.ones(size),
            )
            for key, (size, method) in sizes.items()
        }
    )


def frame_arrays(contract: Contract) -> dict[str, npt.NDArray[Any]]:
    """One array per stream, of its shape and type."""
    generator = np.random.default_rng(0)
    return {
        stream.key: generator.uniform(0.1, 7.0, stream.shape).astype(stream.dtype)
        for stream in contract.streams
    }


def write_graph(path: Path, contract: Contract, initial: Mapping[str, Any] | None = None) -> Path:
    """A graph that drives straight on, faster where the scan's first beam is longer."""
    from onnx import TensorProto, helper, numpy_helper

    from vla_core import keys

    shape = (1, contract.action.chunk_length, contract.action.size)
    constants = {
        "first": np.array([0], np.int64),
        "axes": np.array([2], np.int64),
        "gain": np.full(shape, 0.01, np.float32),
        **(initial or {}),
    }
    nodes = [
        helper.make_node("Gather", [keys.SCAN, "first"], ["beam"], axis=1),
        helper.make_node("Unsqueeze", ["beam", "axes"], ["column"]),
        helper.make_node("Mul", ["column", "gain"], [keys.MODEL_OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(keys.SCAN, TensorProto.FLOAT, [1, BEAMS])],
        [helper.make_tensor_value_info(keys.MODEL_OUTPUT, TensorProto.FLOAT, list(shape))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path
