"""The nodes of a collection: their parameters and their processes."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from vla_bringup.collection_types import CollectionError, EpisodeSettings
from vla_bringup.graph import EXPERT, RECORDER, SIMULATOR, NodeSpec
from vla_bringup.graph_exit import describe_exit
from vla_bringup.node_process import die_with_parent, node_command

STOP_TIMEOUT_S: Final = 5.0
POST_ROLL_S: Final = 0.1  # for what is on its way when the simulator stops
ERROR_LINE: Final = re.compile(r"^\[(ERROR|FATAL)\] \[[\d.]+\] \[[\w.]+\]: ")
EXTRA_TOPICS: Final = ["ground_truth/state", "camera/camera_info"]


class NodeProcesses:
    """The processes of the three nodes; a context manager."""

    def __init__(self, specs: tuple[NodeSpec, ...], log_directory: Path) -> None:
        self._specs = specs
        self._logs = log_directory
        self._processes: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> NodeProcesses:
        self._logs.mkdir(parents=True, exist_ok=True)
        for spec in self._specs:
            with self._log(spec.name).open("wb") as log:
                self._processes[spec.name] = subprocess.Popen(
                    node_command(spec),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            running = [p for p in self._processes.values() if p.poll() is None]
            for process in running:
                process.send_signal(number)
            deadline_s = time.monotonic() + STOP_TIMEOUT_S
            for process in running:
                try:
                    process.wait(max(0.0, deadline_s - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue

    def check(self) -> None:
        """Make sure that all processes run.

        Raises:
            CollectionError: one has ended; says how, and where its log is.
        """
        for name, process in self._processes.items():
            code = process.poll()
            if code is not None:
                raise CollectionError(
                    f"{describe_exit(name, code, self.last_words(name))} (log: {self._log(name)})"
                )

    def last_words(self, name: str) -> str:
        """The last error that a process wrote, or else its last line."""
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        errors = [ERROR_LINE.sub("", line) for line in lines if ERROR_LINE.search(line)]
        return (errors or lines or [""])[-1].strip()

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def node_specs(settings: EpisodeSettings, directory: Path) -> tuple[NodeSpec, ...]:
    """The simulator in lock-step, the expert, and the recorder.

    Args:
        settings: of the collection.
        directory: receives the bags.
    """

    def spec(package: str, executable: str, name: str, parameters: Mapping[str, Any]) -> NodeSpec:
        return NodeSpec(package, executable, name, parameters=parameters, log_level="info")

    return (
        spec(
            "vla_simulation",
            "simulator_node",
            SIMULATOR,
            {"contract": settings.contract, "suite": settings.suite, "lock_step": True},
        ),
        spec("vla_simulation", "expert_node", EXPERT, {"noise_scale": settings.noise}),
        spec(
            "vla_recorder",
            "recorder_node",
            RECORDER,
            {
                "use_sim_time": True,
                "contract": settings.contract,
                "output_directory": str(directory),
                "storage": settings.storage,
                "compression": settings.compression,
                "extra_topics": EXTRA_TOPICS,
                "post_roll_s": POST_ROLL_S,
            },
        ),
    )
