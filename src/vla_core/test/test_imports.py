import pkgutil
import subprocess
import sys

import vla_core

FORBIDDEN = ["rclpy", "torch", "onnxruntime", "rosbags", "mujoco", "gymnasium", "vla_msgs"]


def test_importing_everything_pulls_in_numpy_yaml_and_opencv_only():
    modules = [f"vla_core.{module.name}" for module in pkgutil.iter_modules(vla_core.__path__)]
    assert len(modules) > 10
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"found = [name for name in {FORBIDDEN!r} if name in sys.modules]\n"
        "assert not found, found\n"
        "assert 'numpy' in sys.modules and 'yaml' in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
