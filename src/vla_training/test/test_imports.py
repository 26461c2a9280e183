"""The package runs on a machine without ROS, and the file formats without PyTorch."""

import subprocess
import sys

import pytest

ALL = [
    "alignment",
    "augmentation",
    "bags",
    "checkpoints",
    "configuration",
    "conversion",
    "dataset",
    "dataset_file",
    "dataset_layout",
    "dataset_writer",
    "drivers",
    "errors",
    "evaluation",
    "export",
    "intervals",
    "losses",
    "metrics",
    "models",
    "onnx_session",
    "optimization",
    "progress",
    "rollouts",
    "trainer",
    "training_config",
]
WITHOUT_TORCH = ["bags", "conversion", "dataset_file", "evaluation"]


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


def test_every_module_is_listed():
    import vla_training

    (folder,) = vla_training.__path__
    from pathlib import Path

    found = {path.stem for path in Path(folder).glob("*.py")} - {"__init__"}
    assert found | {"models"} == set(ALL)
