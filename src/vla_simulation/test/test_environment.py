"""The Gymnasium side, and what importing it must not bring along."""

import os
import subprocess
import sys

import gymnasium.utils.env_checker
import numpy as np
import pytest

from vla_simulation.environment import DockingEnv
from vla_simulation.seeds import is_held_out


def test_it_is_a_gymnasium_environment():
    env = DockingEnv("nominal", render=False)
    gymnasium.utils.env_checker.check_env(env, skip_render_check=True)
    env.close()


def test_without_a_seed_only_training_seeds_are_drawn(blind_env):
    for _ in range(3):
        assert not is_held_out(blind_env.reset()[1]["seed"])


def test_an_episode_is_truncated_at_the_time_limit(blind_env):
    blind_env.reset(seed=0)
    for step in range(600):
        _, _, terminated, truncated, info = blind_env.step(np.zeros(2))
        assert not terminated
        assert truncated == (step == 599)
    assert info["time_s"] == pytest.approx(30.0)
    assert blind_env.stamp_ns == 30_000_000_000


def test_coming_closer_is_rewarded(blind_env):
    blind_env.reset(seed=0)
    total = sum(blind_env.step(np.array([0.3, 0.0]))[1] for _ in range(20))
    assert total > 0.1


def test_the_suite_can_be_changed_at_a_reset(blind_env):
    _, info = blind_env.reset(seed=0, options={"suite": "wide_start"})
    assert info["suite"] == "wide_start"
    blind_env.reset(seed=0, options={"suite": "nominal"})


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_importing_it_imports_neither_ros_nor_torch():
    code = (
        "import sys, vla_simulation.environment;"
        "import vla_simulation.controllers.expert, vla_simulation.controllers.noise;"
        "found = {'rclpy', 'torch', 'vla_msgs', 'cv_bridge', 'onnxruntime'} & set(sys.modules);"
        "assert not found, found"
    )
    result = python(code)
    assert result.returncode == 0, result.stderr


NO_LIBRARIES = "import ctypes.util; ctypes.util.find_library = lambda name: None\n"


@pytest.mark.parametrize("chosen", ["", "egl", "osmesa"])
def test_without_an_opengl_library_one_line_says_what_to_install(chosen):
    code = NO_LIBRARIES + (
        "from vla_simulation.environment import DockingEnv\n"
        "from vla_simulation.errors import RenderingError\n"
        "try:\n    DockingEnv()\n"
        "except RenderingError as error:\n    print(error)\n"
    )
    result = python(code, MUJOCO_GL=chosen)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n") == 1
    assert "apt-get install libosmesa6 libegl1 libgl1-mesa-dri" in result.stdout
    assert "not found" in result.stdout


def test_without_an_opengl_library_physics_still_runs():
    code = NO_LIBRARIES + (
        "import numpy as np\n"
        "from vla_simulation.environment import DockingEnv\n"
        "env = DockingEnv(render=False); env.reset(seed=0); env.step(np.zeros(2))\n"
        "import os; assert 'MUJOCO_GL' not in os.environ\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"}
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_a_driver_that_makes_no_context_is_one_line_too():
    code = (
        "import vla_simulation.opengl as opengl\n"
        "from vla_simulation.environment import DockingEnv\n"
        "from vla_simulation.errors import RenderingError\n"
        "def broken(*args, **kwargs): raise ImportError('no device\\nat all')\n"
        "opengl.mujoco.Renderer = broken\n"
        "try:\n    DockingEnv()\n"
        "except RenderingError as error:\n    print(error)\n"
    )
    result = python(code)
    assert "cannot make a context: no device at all" in result.stdout
    assert result.stdout.count("\n") == 1
