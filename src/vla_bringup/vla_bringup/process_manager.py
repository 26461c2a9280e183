"""Runs a graph without ``launch``: Honcho starts its processes, multiplexes and ends them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, TextIO

from honcho.manager import SIGNALS, Manager
from honcho.printer import Message, Printer

from vla_bringup.graph import LIFECYCLE_MANAGER
from vla_bringup.graph_exit import GraphFailure, describe_exit
from vla_bringup.node_process import GuardedProcess, node_command
from vla_bringup.node_spec import Graph, NodeSpec, OnExit

MANAGER_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 5.0
POLL_PERIOD_S: Final = 0.05
# "vla_policy: error: ...", "[ERROR] [1700000000.123] [vla_policy]: ...", "ValueError: ..."
ERROR_LINE: Final = re.compile(
    r"^(\w+: error: |\[(ERROR|FATAL)\] \[[\d.]+\] \[[\w.]+\]: |(?=[\w.]*(Error|Exception): ))"
)


def run_graph(graph: Graph) -> int:
    """Run a graph until one of its processes ends it, or SIGINT or SIGTERM arrives.

    Args:
        graph: what to start.

    Returns:
        The exit code: 0 when the graph has done what it was started for, 130 after SIGINT, 143
        after SIGTERM.

    Raises:
        GraphError: an executable is not installed.
        GraphFailure: a process ended that the graph needs.
    """
    commands = {spec.name: node_command(spec) for spec in graph.nodes}
    manager = GraphManager(graph)
    for spec in graph.nodes:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **spec.environment}
        manager.add_process(spec.name, commands[spec.name], env=environment)
    manager.loop()
    if manager.failure is not None:
        raise GraphFailure(manager.failure)
    return manager.exit_code


class GraphManager(Manager):
    """Honcho's manager with the exit rules of a graph and an ordered end.

    Honcho itself ends everything as soon as any process ends, all at once. Here a client may
    end alone, and the lifecycle manager is stopped first, so that it can deactivate the nodes
    while they still run.
    """

    def __init__(self, graph: Graph) -> None:
        self._memory = LastLines(sys.stdout)
        super().__init__(printer=self._memory)
        self._terminating = False
        self._process_ctor = GuardedProcess
        self._specs = {spec.name: spec for spec in graph.nodes}
        self._first_end: tuple[NodeSpec, int] | None = None

    @property
    def exit_code(self) -> int:
        """The graph's exit code, valid once ``loop`` has returned."""
        if self._first_end is None:  # a signal ended the graph
            codes = {handled["rc"] for handled in SIGNALS.values()}
            return self.returncode if self.returncode in codes else 0
        return 0 if self.failure is None else 1

    @property
    def failure(self) -> str | None:
        """One sentence on what went wrong, or None."""
        if self._first_end is None:
            return None
        spec, returncode = self._first_end
        if spec.on_exit is OnExit.FINISH and returncode == 0:
            return None
        reason = self._memory.reason(spec.name)
        if spec.name == LIFECYCLE_MANAGER and returncode > 0 and reason:
            return reason  # it already names the node
        return describe_exit(spec.name, returncode, reason)

    # ------------------------------------------------------------------ what Honcho's loop asks

    def _any_stopped(self) -> bool:
        if self._first_end is None and not self._terminating:
            for name, process in self._processes.items():
                returncode = process.get("returncode")
                spec = self._specs[name]
                if returncode is not None and spec.on_exit is not OnExit.IGNORE:
                    self._first_end = (spec, returncode)
                    break
        return self._first_end is not None

    def terminate(self) -> None:
        """Begin to stop the processes in order; the loop goes on until all have ended."""
        if self._terminating:
            return
        self._terminating = True
        threading.Thread(target=self._stop_in_order, daemon=True).start()

    def kill(self) -> None:
        """Nothing: ``terminate`` escalates by itself, with deadlines per process."""

    # ------------------------------------------------------------------ the ordered end

    def _stop_in_order(self) -> None:
        self._wait_for(self._all_started, STOP_TIMEOUT_S)
        manager = [name for name in self._processes if name == LIFECYCLE_MANAGER]
        self._stop(manager, MANAGER_TIMEOUT_S)
        self._stop([name for name in self._processes if name not in manager], STOP_TIMEOUT_S)

    def _stop(self, names: list[str], timeout_s: float) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            running = [name for name in names if self._is_running(name)]
            for name in running:
                send = os.killpg if signum == signal.SIGKILL else os.kill
                with contextlib.suppress(ProcessLookupError):
                    send(self._processes[name]["pid"], signum)
            self._wait_for(lambda: not any(map(self._is_running, names)), timeout_s)

    def _is_running(self, name: str) -> bool:
        process = self._processes[name]
        return process.get("pid") is not None and process.get("returncode") is None

    @staticmethod
    def _wait_for(condition: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline:
            time.sleep(POLL_PERIOD_S)


class LastLines(Printer):
    """Honcho's printer that also remembers why a process may have ended."""

    def __init__(self, output: TextIO) -> None:
        super().__init__(Unbuffered(output))
        self._last: dict[str, str] = {}
        self._errors: dict[str, str] = {}

    def write(self, message: Message) -> None:
        """Print a message of the type "line"."""
        text = message.data
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        if text.strip():
            self._last[message.name] = text.strip()
            if ERROR_LINE.search(text):
                self._errors[message.name] = ERROR_LINE.sub("", text.strip())
        super().write(message)

    def reason(self, name: str) -> str:
        """The last error that a process wrote, or else its last line."""
        return self._errors.get(name) or self._last.get(name, "")


class Unbuffered:
    """A text stream without a buffer.

    Honcho prints from its signal handlers, which Python's buffered streams refuse while the main
    thread is inside a write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._descriptor = stream.fileno()

    def write(self, text: str) -> int:
        """Write all of ``text``; output that nobody reads any more is dropped."""
        data = text.encode("utf-8", "replace")
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(self._descriptor, data) :]
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        """Whether a person is looking."""
        return self._stream.isatty()
