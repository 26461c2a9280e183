"""The package runs on a machine without ROS, and the file formats without PyTorch."""

import subprocess
import sys
from pathlib import Path

import pytest

import vla_training

PACKAGE = Path(vla_training.__file__).parent
ALL = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.stem != "__init__"
)
WITHOUT_TORCH = ["conversion.pipeline", "dataset.file", "evaluation.evaluate"]


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_nothing_imports_ros():
    loaded = modules_after("; ".join(f"import vla_training.{name}" for name in ALL))
    assert "torch" in loaded
    forbidden = {"rclpy", "rosbag2_py", "sensor_msgs", "geometry_msgs", "vla_msgs", "cv_bridge"}
    forbidden |= {"vla_recorder", "vla_policy_node", "vla_bringup", "torchvision"}
    assert not loaded & forbidden


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_conversion_and_evaluation_do_not_wait_for_torch(name):
    assert "torch" not in modules_after(f"import vla_training.{name}")
