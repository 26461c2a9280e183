"""A process of the campaign that is told what to do line by line, and answers with moments."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from vla_bringup.faults.errors import CampaignError
from vla_bringup.node_process import die_with_parent

_START_S: Final = 60.0
_ANSWER_S: Final = 10.0


class HelperProcess:
    """One Python module as a process: JSON in, JSON out, a line each.

    Args:
        module: dotted name, run with -m. Its first line says that it is ready.
        arguments: of the module.
        log: takes what it writes to stderr.
        environment: variables on top of our own.

    Raises:
        CampaignError: it does not get ready.
    """

    def __init__(
        self, module: str, arguments: list[str], log: Path, environment: Mapping[str, str]
    ) -> None:
        self._name = module.rpartition(".")[2]
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | dict(environment),
                preexec_fn=die_with_parent,
                text=True,
            )
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, name=self._name, daemon=True).start()
        self.ready = self._answer(_START_S)

    @property
    def pid(self) -> int:
        """Its process identifier."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def ask(self, what: str, **details: Any) -> int:
        """Have it do something.

        Returns:
            When it took effect, by the system clock [ns].

        Raises:
            CampaignError: it does not answer, or has ended.
        """
        if self._process.stdin is None:
            raise CampaignError(f"{self._name} has no input")
        try:
            self._process.stdin.write(json.dumps({"do": what, **details}) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise CampaignError(f"{self._name} has ended; its log: {self._log}") from error
        return int(self._answer(_ANSWER_S)["moment_ns"])

    def close(self) -> None:
        """End it, at once."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _read(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self._answers.put(json.loads(line))
        self._answers.put(None)

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            raise CampaignError(
                f"{self._name} gave no answer for {timeout_s:g} s; its log: {self._log}"
            ) from None
        if answer is None:
            raise CampaignError(f"{self._name} has ended; its log: {self._log}")
        return answer
