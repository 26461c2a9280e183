"""Real processes for the tests, and proof that nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import rclpy

VLA = [sys.executable, "-m", "vla_bringup.cli"]


class Program:
    """A command with its output in files; every process that it ever started is known by id."""

    def __init__(self, command, folder: Path, name: str, environment=None) -> None:
        self.output_path = folder / f"{name}.out"
        self.error_path = folder / f"{name}.err"
        self._family: set[psutil.Process] = set()
        with self.output_path.open("w") as output, self.error_path.open("w") as errors:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            )
        self._root = psutil.Process(self.process.pid)

    @property
    def output(self) -> str:
        return self.output_path.read_text()

    @property
    def errors(self) -> str:
        return self.error_path.read_text()

    @property
    def error_lines(self) -> list[str]:
        return self.errors.strip().splitlines()

    def descendants(self) -> list[psutil.Process]:
        try:
            found = self._root.children(recursive=True)
        except psutil.NoSuchProcess:
            found = []
        self._family.update(found)
        return found

    def node(self, name: str) -> psutil.Process:
        """The process of a node, by the name that it was given."""
        for process in self.descendants():
            try:
                arguments = process.cmdline()
            except psutil.NoSuchProcess:
                continue
            if f"__node:={name}" in arguments and "setpriv" not in arguments[0]:
                return process
        raise AssertionError(f"no process of node {name}\n{self.output}\n{self.errors}")

    def wait_for(self, text: str, timeout_s: float = 60.0) -> None:
        """Wait until the program has written `text`."""
        deadline = time.monotonic() + timeout_s
        while text not in self.output and text not in self.errors:
            assert self.process.poll() is None, f"ended early\n{self.output}\n{self.errors}"
            assert time.monotonic() < deadline, f"no '{text}'\n{self.output}\n{self.errors}"
            self.descendants()
            time.sleep(0.05)
        self.descendants()

    def signal(self, signum: int) -> None:
        self.descendants()
        self.process.send_signal(signum)

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait for the end; the exit code."""
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"does not end\n{self.output}\n{self.errors}"
            self.descendants()
            time.sleep(0.05)
        return self.process.returncode

    def orphans(self, timeout_s: float = 30.0) -> list[str]:
        """Command lines of what is still running of it after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            alive = [process for process in self._family if _is_running(process)]
            if not alive or time.monotonic() > deadline:
                return [_command_line(process) for process in alive]
            time.sleep(0.05)

    def end(self) -> None:
        """For teardown: whatever is left."""
        self.descendants()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for process in self._family:
            if _is_running(process):
                process.kill()


def wait_for_nodes(domain: int, name: str, count: int = 1, timeout_s: float = 30.0) -> None:
    """Wait until so many nodes of a name are in the graph."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("waiting", context=context)
    deadline = time.monotonic() + timeout_s
    try:
        while node.get_node_names().count(name) < count:
            assert time.monotonic() < deadline, f"no {count} x {name}: {node.get_node_names()}"
            time.sleep(0.05)
    finally:
        node.destroy_node()
        context.shutdown()


def _is_running(process: psutil.Process) -> bool:
    # is_running() compares start times, so that a process id used again is not taken for it.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
