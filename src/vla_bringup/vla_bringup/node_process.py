"""How the process of one node is called, started and guarded."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from honcho import process as honcho_process

from vla_bringup.graph_arguments import GraphError
from vla_bringup.node_spec import NodeSpec, ParameterValue

PR_SET_PDEATHSIG: Final = 1
STOP_TIMEOUT_S: Final = 5.0
HELPER_GRACE_S: Final = 1.0
POLL_PERIOD_S: Final = 0.2
NOT_STARTED: Final = 127  # as shells say it


def node_command(spec: NodeSpec) -> list[str]:
    """The command line of a node, as ``ros2 run`` would call it.

    Raises:
        GraphError: the package or its executable is not installed.
    """
    command = [str(find_executable(spec.package, spec.executable)), *spec.arguments, "--ros-args"]
    command += ["-r", f"__node:={spec.name}"]
    if spec.namespace:
        command += ["-r", f"__ns:={spec.namespace}"]
    for source, target in spec.remappings:
        command += ["-r", f"{source}:={target}"]
    for file in spec.parameter_files:
        command += ["--params-file", file]
    for name, value in spec.parameters.items():
        command += ["-p", f"{name}:={parameter_text(value)}"]
    return [*command, "--log-level", spec.log_level]


def parameter_text(value: ParameterValue) -> str:
    """A parameter value as YAML on one line; JSON is YAML, and it quotes strings."""
    return json.dumps(value, ensure_ascii=False)


def find_executable(package: str, executable: str) -> Path:
    """Path of a node's executable in the ROS installation.

    Raises:
        GraphError: the package or its executable is not installed.
    """
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    remedy = "build the workspace (make setup) and source env.sh in this shell"
    try:
        prefix = get_package_prefix(package)
    except PackageNotFoundError:
        raise GraphError(f"ROS package {package} is not installed; {remedy}") from None
    path = Path(prefix, "lib", package, executable)
    if not path.is_file():
        raise GraphError(f"package {package} has no executable {executable} ({path}); {remedy}")
    return path


class GuardedProcess(honcho_process.Process):
    """A Honcho process that cannot outlive the process manager, nor leave helpers behind.

    Honcho runs each node under a small process of its own. That one watches both sides: if the
    manager is gone, SIGKILL included, it ends the node; if the node is gone, it ends what the
    node left running in its process group (an inference worker, say).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._manager_pid = os.getpid()
        self._child_ctor = self._spawn

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """Run the node until it ends; one that cannot be started is reported as one that failed."""
        try:
            super().run(events, ignore_signals)
        except OSError as error:
            self._send_message({"pid": os.getpid()}, type="start")
            self._send_message(f"{self.name}: error: cannot be started: {error}\n")
            self._send_message({"returncode": NOT_STARTED}, type="stop")

    def _spawn(self, command: list[str], **kwargs: Any) -> subprocess.Popen:
        child = honcho_process.Popen(
            command, shell=False, stdin=subprocess.DEVNULL, preexec_fn=_before_exec, **kwargs
        )
        threading.Thread(target=self._guard, args=(child,), daemon=True).start()
        return child

    def _guard(self, child: subprocess.Popen) -> None:
        while child.poll() is None:
            if os.getppid() != self._manager_pid:
                _signal_group(child.pid, signal.SIGTERM)
                _wait(child, STOP_TIMEOUT_S)
                _signal_group(child.pid, signal.SIGKILL)
                os._exit(1)
            time.sleep(POLL_PERIOD_S)
        # A helper that still holds the output pipe would keep Honcho waiting for its end.
        time.sleep(HELPER_GRACE_S)
        _signal_group(child.pid, signal.SIGKILL)


def die_with_parent() -> None:
    """Have the kernel send this process SIGTERM when the thread that started it ends.

    For ``preexec_fn``. Linux only; elsewhere it does nothing.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _before_exec() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent()


def _wait(child: subprocess.Popen, timeout_s: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout_s)


def _signal_group(leader: int, signum: int) -> None:
    # Nobody of the group may be left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signum)
