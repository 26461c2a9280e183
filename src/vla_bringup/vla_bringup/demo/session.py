"""The graph that the demo runs beside itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from vla_bringup.node_process import die_with_parent
from vla_core.errors import VlaError

STOP_TIMEOUT_S: Final = 30.0


class DemoError(VlaError):
    """The demo cannot be carried out."""


class GraphSession:
    """``vla up dock`` as a child process, its output in a log file; a context manager."""

    def __init__(self, arguments: Mapping[str, str], log_path: Path) -> None:
        """Remember what to start.

        Args:
            arguments: launch arguments.
            log_path: receives what the nodes print.
        """
        self._command = [sys.executable, "-m", "vla_bringup.cli", "up", "dock"]
        self._command += [f"{name}:={value}" for name, value in arguments.items()]
        self._log_path = log_path
        self._error_path = log_path.with_suffix(".stderr")
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> GraphSession:
        with self._log_path.open("w") as log, self._error_path.open("w") as errors:
            # A session of its own: Ctrl-C reaches the demo alone, which then ends the graph.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=errors,
                start_new_session=True,
                preexec_fn=die_with_parent,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if not self._error_path.read_text().strip():
            self._error_path.unlink()

    def require_running(self) -> None:
        """Check that the graph is still up.

        Raises:
            DemoError: it has ended, with the reason that it gave.
        """
        if self._process is None or self._process.poll() is None:
            return
        lines = self._error_path.read_text().strip().splitlines()
        reason = lines[-1].removeprefix("vla up: error: ") if lines else "it gave no reason"
        raise DemoError(f"the node graph ended: {reason} (its output: {self._log_path})")
