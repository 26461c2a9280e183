"""Trials one after the other: drive, break, watch, repair."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import rclpy
from rclpy.signals import SignalHandlerOptions

from vla_bringup.faults.errors import CampaignError, TrialError
from vla_bringup.faults.kinds import KINDS, Delays, FaultKind, Stack
from vla_bringup.faults.marked_graph import marked_bundle
from vla_bringup.faults.observer import Goal, Observer
from vla_bringup.faults.plan import Draw, Trial
from vla_bringup.faults.results import Result, ResultsFile
from vla_bringup.faults.rig import Rig
from vla_bringup.faults.verdicts import LIMIT_S, judge
from vla_bringup.preflight import find_free_domain
from vla_core.contract import Contract

_MOST_FAILURES: Final = 5
_DRIVES: Final = 3
_WATCH_S: Final = 0.3
_ZERO_TIMEOUT_S: Final = 3.0
_END_TIMEOUT_S: Final = 8.0
_POLL_S: Final = 0.005


@dataclass(frozen=True)
class Settings:
    """Of a campaign, beside its trials.

    Attributes:
        policy: bundle that drives.
        contract: file of the robot's contract.
        scene_seed: of what the robot sees.
        logs: folder for the output of all processes; None for a temporary one.
        limit_s: time to zero above which a trial is unsafe.
    """

    policy: Path
    contract: Path
    scene_seed: int
    logs: Path | None = None
    limit_s: float = LIMIT_S


def run_campaign(
    trials: Iterable[Trial],
    settings: Settings,
    file: ResultsFile,
    on_result: Callable[[Result], None] = lambda _: None,
) -> None:
    """Carry trials out and put their results into the file.

    Takes a free DDS domain of its own.

    Args:
        trials: in their order.
        settings: of the campaign.
        file: takes every result as soon as it is there.
        on_result: called with each.

    Raises:
        CampaignError: several trials in a row could not be carried out.
        VlaError: the bundle, the contract or the scene cannot be used.
    """
    os.environ["ROS_DOMAIN_ID"] = str(find_free_domain())
    with tempfile.TemporaryDirectory(prefix="vla-faults-") as name:
        folder = settings.logs or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        bundle = marked_bundle(settings.policy, Path(name) / "policy")
        # rclpy's own handlers would take the graph away from under a trial that is being ended.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        observer = Observer(Contract.load(settings.contract))
        try:
            _Campaign(settings, bundle, folder, observer, file, on_result).run(trials)
        finally:
            observer.close()
            rclpy.try_shutdown()


class _Campaign:
    def __init__(
        self,
        settings: Settings,
        bundle: Path,
        folder: Path,
        observer: Observer,
        file: ResultsFile,
        on_result: Callable[[Result], None],
    ) -> None:
        self._settings = settings
        self._bundle = bundle
        self._folder = folder
        self._observer = observer
        self._file = file
        self._on_result = on_result
        self._rig: Rig | None = None
        self._stack: Stack | None = None

    def run(self, trials: Iterable[Trial]) -> None:
        failures = 0
        try:
            for trial in trials:
                result = self._attempt(trial)
                failures = 0 if result.counts else failures + 1
                self._file.add(result)
                self._on_result(result)
                if failures == _MOST_FAILURES:
                    raise CampaignError(
                        f"{failures} trials in a row could not be carried out; the last one: "
                        f"{result.problem} (logs: {self._folder})"
                    )
        finally:
            self._leave()

    def _attempt(self, trial: Trial) -> Result:
        """Carry a trial out; one that fails costs the processes, so that the next begins afresh."""
        kind, started_s = KINDS[trial.kind], time.monotonic()
        try:
            rig = self._rig_for(kind.stack)
            rig.make_ready()
            result = self._carry_out(rig, kind, trial)
        except TrialError as error:
            self._leave()
            result = Result(trial.index, trial.kind, trial.seed, problem=str(error))
        return replace(result, duration_s=round(time.monotonic() - started_s, 3))

    def _carry_out(self, rig: Rig, kind: FaultKind, trial: Trial) -> Result:
        draw = trial.draw()
        goal = self._drive(rig, draw)
        allowance_s = kind.allowance_s(rig.contract, Delays())
        fault_ns, stall_s = self._break(rig, kind, draw, goal, allowance_s)
        verdict = judge(self._observer.commands, fault_ns, allowance_s, self._settings.limit_s)
        return Result(
            trial.index,
            trial.kind,
            trial.seed,
            rest_s=verdict.rest_s,
            allowance_s=allowance_s,
            unsafe=verdict.unsafe,
            resumed=verdict.resumed,
            stall_s=round(stall_s, 4),
            reason=goal.reason,
        )

    @staticmethod
    def _drive(rig: Rig, draw: Draw) -> Goal:
        """A goal that moves the robot at the moment that was drawn."""
        for _ in range(_DRIVES):
            goal = rig.drive()
            time.sleep(draw.delay_s)
            if not goal.done:
                return goal
        raise TrialError(f"{_DRIVES} goals ended before the fault, the last one: {goal.reason}")

    def _break(
        self, rig: Rig, kind: FaultKind, draw: Draw, goal: Goal, allowance_s: float
    ) -> tuple[int, float]:
        """Bring the fault about, watch, take it away, and watch again.

        Returns:
            When it began [ns], and the longest wait of a thread here until the zero [s].
        """
        self._observer.take_stall_s()
        fault_ns = kind.injection.begin(rig, draw)
        try:
            self._wait_for_zero(fault_ns, allowance_s + _ZERO_TIMEOUT_S)
            stall_s = self._observer.take_stall_s()
            if kind.injection.lasts:
                self._wait_for_end(goal, rig)
            time.sleep(_WATCH_S)
        finally:
            kind.injection.end(rig)
        self._wait_for_end(goal, rig)
        time.sleep(_WATCH_S)
        return fault_ns, stall_s

    def _wait_for_zero(self, fault_ns: int, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            commands = self._observer.commands
            if any(
                seen.received_ns > fault_ns and not seen.moves and not seen.foreign
                for seen in commands
            ):
                return
            time.sleep(_POLL_S)

    @staticmethod
    def _wait_for_end(goal: Goal, rig: Rig) -> None:
        """Wait for the result, as long as there is somebody to give it."""
        deadline_s = time.monotonic() + _END_TIMEOUT_S
        while not goal.done and rig.node_runs and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)

    def _rig_for(self, stack: Stack) -> Rig:
        if self._rig is None or self._stack is not stack:
            self._leave()
            settings = self._settings
            self._rig = Rig(
                stack,
                settings.contract,
                self._bundle,
                settings.scene_seed,
                self._folder,
                self._observer,
            )
            self._stack = stack
        return self._rig

    def _leave(self) -> None:
        rig, self._rig = self._rig, None
        if rig is not None:
            rig.close()
