"""Docks the simulated robot through the live graph, one recorded run after the other."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

from rclpy.node import Node
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from vla_msgs.action import Dock
from vla_msgs.srv import ResetSimulation

from vla_bringup.demo.recording import Recording, read_recording
from vla_bringup.demo.results import RunResult
from vla_bringup.demo.session import DemoError, GraphSession
from vla_bringup.dock_client import DockClient
from vla_bringup.dock_display import STATE_WORDS
from vla_bringup.graph import SIMULATOR
from vla_bringup.recording_client import RecordingClient
from vla_bringup.waiting import (
    WaitTimeout,
    wait_for_result,
    wait_for_service,
    wait_until_active,
)
from vla_core import bag_metadata
from vla_core.contract import Contract

STARTUP_TIMEOUT_S: Final = 90.0
SERVICE_TIMEOUT_S: Final = 20.0
SETTLE_S: Final = 0.6
LINE_PERIOD_S: Final = 2.0


class DockingRuns:
    """Resets, records and docks; each run ends with its figures read from its own bag."""

    def __init__(self, node: Node, session: GraphSession, contract: Contract, suite: str) -> None:
        self._node = node
        self._session = session
        self._contract = contract
        self._suite = suite
        self._reset = node.create_client(ResetSimulation, f"{SIMULATOR}/reset")
        self._docking = DockClient(node)
        self._recording = RecordingClient(node)

    def wait_until_active(self) -> None:
        """Wait until every node of the graph is active.

        Raises:
            DemoError: the graph ended instead.
            GraphNotActive: it takes too long.
        """
        wait_until_active(
            self._node, STARTUP_TIMEOUT_S, while_waiting=self._session.require_running
        )

    def run(
        self, number: int, seed: int, on_feedback: Callable[[str, Dock.Feedback], None]
    ) -> tuple[RunResult, Recording]:
        """Dock once.

        Args:
            number: of the run, from 1.
            seed: of scene and start.
            on_feedback: called with the instruction and each feedback message.

        Returns:
            The figures, and the recording that they come from.

        Raises:
            VlaError: the graph failed; a robot that did not dock is a result, not an error.
        """
        instruction = self._begin_episode(seed)
        # The policy must not take the old episode's observations for the new one's.
        time.sleep(SETTLE_S)
        self._recording.start(
            instruction,
            name=f"run_{number}",
            metadata={bag_metadata.SEED: str(seed), bag_metadata.SUITE: self._suite},
        )
        result = None
        try:
            result = self._docking.dock(
                instruction, on_feedback=lambda feedback: on_feedback(instruction, feedback)
            )
            time.sleep(SETTLE_S)  # the recording shows that the robot stays
        finally:
            self._session.require_running()
            bag = self._recording.stop(success=result is not None and result.success)
        recording = read_recording(bag, self._contract)
        return _figures(seed, instruction, result, recording, bag), recording

    def _begin_episode(self, seed: int) -> str:
        request = ResetSimulation.Request(seed=seed, suite=self._suite)
        try:
            wait_for_service(self._node, self._reset, SERVICE_TIMEOUT_S)
            answer = self._call_reset(request)
        except WaitTimeout as error:
            self._session.require_running()
            raise DemoError("the simulator does not answer") from error
        if not answer.success:
            raise DemoError(f"the simulator refused seed {seed}: {answer.message}")
        return str(answer.instruction)

    def _call_reset(self, request: ResetSimulation.Request) -> ResetSimulation.Response:
        """Reset; asked again, which does no harm, where the first reply was lost.

        Raises:
            WaitTimeout: no answer.
        """
        for timeout_s in (3.0, SERVICE_TIMEOUT_S):
            try:
                return wait_for_result(self._node, self._reset.call_async(request), timeout_s)
            except WaitTimeout:
                continue
        raise WaitTimeout


def _figures(
    seed: int, instruction: str, result: Dock.Result, recording: Recording, bag: Path
) -> RunResult:
    first, last = recording.states[0], recording.final
    error = last.dock_from_base
    return RunResult(
        seed=seed,
        instruction=instruction,
        docked=bool(result.success and last.message.docked),
        precise=bool(result.success and last.message.precise),
        collision=bool(last.message.collision),
        start_distance_m=first.dock_from_base.distance,
        longitudinal_error_m=error.x,
        lateral_error_m=error.y,
        yaw_error_rad=error.yaw,
        time_s=float(result.docking_time_s),
        contact_speed_mps=float(last.message.contact_speed_mps),
        reason=result.error_msg or result.termination_reason,
        bag=str(bag),
    )


class LiveProgress:
    """One bar per run that shows the way that is left; a context manager.

    On a terminal the bars move; elsewhere (a log file, CI) a line is printed now and then.
    """

    def __init__(self, runs: int) -> None:
        self._runs = runs
        self._console = Console()
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[state]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._number = 0
        self._farthest_m = 0.0
        self._next_line_s = 0.0

    def __enter__(self) -> LiveProgress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def begin(self, number: int) -> None:
        """A run begins."""
        self._number, self._farthest_m = number, 0.0
        self._task = self._bars.add_task(f"run {number}/{self._runs}", total=1.0, state="")

    def update(self, instruction: str, feedback: Dock.Feedback) -> None:
        """Show how far it is."""
        self._farthest_m = max(self._farthest_m, feedback.distance_m)
        seconds = feedback.docking_time.sec + feedback.docking_time.nanosec * 1e-9
        words = STATE_WORDS.get(feedback.state, "")
        state = f"{feedback.distance_m:5.2f} m  {seconds:4.1f} s  {words:<8}  “{instruction}”"
        share = 1.0 - feedback.distance_m / self._farthest_m if self._farthest_m > 0 else 0.0
        self._show(share, state)

    def end(self, result: RunResult) -> None:
        """Show how it ended."""
        verdict = "docked" if result.docked else f"NOT docked: {result.reason}"
        state = (
            f"{verdict} in {result.time_s:.1f} s, "
            f"{result.longitudinal_error_m * 1e3:+.1f} mm along, "
            f"{result.lateral_error_m * 1e3:+.1f} mm across  “{result.instruction}”"
        )
        self._next_line_s = 0.0
        self._show(1.0 if result.docked else 0.0, state)
        self._next_line_s = 0.0

    def _show(self, share: float, state: str) -> None:
        if self._console.is_terminal:
            if self._task is not None:
                self._bars.update(self._task, completed=share, state=state)
        elif time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + LINE_PERIOD_S
            sys.stdout.write(f"run {self._number}/{self._runs}  {state}\n")
            sys.stdout.flush()
