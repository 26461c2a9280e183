"""The policy server of the campaign: the real one, whose policy fails on demand.

`python -m vla_bringup.faults.server_process BUNDLE PORT` writes a line with its port when it is
ready, and then obeys lines on stdin, {"do": "mode", "mode": MODE}, each answered with the moment at
which it took effect. Modes: nan, shape, error, silent (it never answers), and well.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_core.bundle import PolicyBundle
from vla_core.errors import PolicyError
from vla_core.frames import Frame
from vla_policy_node.inference.policy_server import PolicyServer
from vla_policy_node.inference.runtimes import Runtime, load_runtime
from vla_policy_node.inference.worker import WorkerSpec


class FailingRuntime:
    """A runtime that gives what it computes, or something else.

    Args:
        runtime: that computes.
        say: told the moment at which a fault first takes effect.
    """

    def __init__(self, runtime: Runtime, say: Any) -> None:
        self._runtime = runtime
        self.bundle: PolicyBundle = runtime.bundle
        self._say = say
        self._mode = ""
        self._told = True
        self._well = threading.Event()
        self._well.set()

    @property
    def name(self) -> str:
        """Of the runtime beneath."""
        return self._runtime.name

    @property
    def distances(self) -> npt.NDArray[np.float32] | None:
        """Of the runtime beneath."""
        return self._runtime.distances

    def set_mode(self, mode: str) -> None:
        """Fail in this way from the next question on; "" to work again."""
        self._mode, self._told = mode, not mode
        if mode == "silent":
            self._well.clear()
        else:
            self._well.set()
        if not mode:
            self._say(moment_ns=time.time_ns())

    def infer(self, frame: Frame, instruction: str) -> npt.NDArray[np.float32]:
        """Compute one chunk, or fail."""
        mode = self._mode
        if mode == "silent":
            self._tell()
            self._well.wait()
        actions = self._runtime.infer(frame, instruction)
        if mode == "nan":
            actions = np.full_like(actions, np.nan)
        elif mode == "shape":
            actions = actions[:-1]
        if mode:
            self._tell()
        if mode == "error":
            raise PolicyError("the policy of the campaign fails, as it was told to")
        return actions

    def problem(self) -> str:
        """Of the runtime beneath."""
        return self._runtime.problem()

    def close(self) -> None:
        """Close the runtime beneath."""
        self._runtime.close()

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._say(moment_ns=time.time_ns())


def main() -> int:
    """Serve until stdin ends."""
    bundle, port = sys.argv[1:]
    runtime = FailingRuntime(load_runtime(WorkerSpec(Path(bundle), "onnx", 1)), _say)
    server = PolicyServer(runtime, "127.0.0.1", int(port), _log)
    threading.Thread(target=server.serve_forever, name="server", daemon=True).start()
    _say(port=int(server.uri.rpartition(":")[2]))
    for line in sys.stdin:
        mode = json.loads(line)["mode"]
        runtime.set_mode("" if mode == "well" else mode)
    server.close()
    return 0


def _say(**answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _log(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
