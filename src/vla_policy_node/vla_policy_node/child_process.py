"""A process that belongs to the node: started with one end of a socket pair, ended with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from vla_core.errors import VlaError

_EXIT_TIMEOUT_S = 1.0
_STOPPED = ("T", "t")
_DEAD = ("Z", "X", "x")


class ChildProcess:
    """One Python module as a process of its own.

    Args:
        what: what a person calls it, such as "inference process".
        module: dotted name of the module, which is run as a script.
        descriptors: file descriptors that it inherits; their numbers are its first arguments.
        arguments: further ones.
        environment: variables on top of the node's own.
    """

    def __init__(
        self,
        what: str,
        module: str,
        descriptors: Sequence[int],
        arguments: Sequence[object] = (),
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._what = what
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, (*descriptors, *arguments))],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            env=os.environ | dict(environment or {}),
        )

    def __str__(self) -> str:
        return f"{self._what} {self.pid}"

    @property
    def pid(self) -> int:
        """Its process identifier."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether the process runs, or is stopped."""
        return self._process.poll() is None

    def is_stopped(self) -> bool:
        """Whether somebody has stopped it (SIGSTOP, a debugger); False where that is not known."""
        return is_stopped(self.pid)

    def is_suspended(self) -> bool:
        """Whether it was stopped and could go on; False where that is not known."""
        return _state(self.pid) in _STOPPED

    def wait(self, timeout_s: float = _EXIT_TIMEOUT_S) -> bool:
        """Wait for its end; False if it goes on."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, timeout_s: float = _EXIT_TIMEOUT_S) -> None:
        """Wait for a process that has been told to end, and end it by force if it does not."""
        if not self.wait(timeout_s):
            self.kill()
            self._process.wait()

    def kill(self) -> None:
        """End it at once, also when it is stopped."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def obituary(self) -> str:
        """How the process ended, waiting a little for its end."""
        self.wait()
        code = self._process.returncode
        if code is None:
            return f"{self} closed its pipe"
        if code < 0:
            return f"{self} was killed by {signal.Signals(-code).name}"
        return f"{self} ended with exit code {code}"


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped or dead; False where the system does not say (no /proc)."""
    return _state(pid) in _STOPPED + _DEAD


def _state(pid: int) -> str:
    """The letter of a process's state; empty where the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    # The name in parentheses may hold anything; the state is the letter after it (man 5 proc).
    return stat[stat.rfind(b")") + 2 :][:1].decode()


def describe_failure(error: Exception) -> str:
    """One line for the node; the traceback of what is no known error goes to the process's log."""
    if isinstance(error, VlaError):
        return str(error)
    traceback.print_exc()
    return f"{type(error).__name__}: {error}"
