"""Why the robot may not move: the emergency stop, or a graph that is not the policy's. No ROS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from vla_core.contract import Contract
from vla_policy_node.errors import DockingError, EmergencyStopped, GraphMismatch
from vla_policy_node.inference.settings import Logger
from vla_policy_node.safety_parameters import SafetyParameters
from vla_policy_node.sensing.deploy_check import DeployCheck
from vla_policy_node.sensing.streams import StreamState

_AFTER_RELEASE_S = 0.5  # so that no goal misses a stop that was released again at once


class Guard:
    """Watches the emergency stop and the form of the streams.

    An emergency stop ends the running goal, and the robot is told to stand still at once. After it
    is released nothing moves until somebody sends a new goal.

    Args:
        contract: of the robot.
        parameters: of the node.
        trip: commands zero at once and until the next goal, for a reason.
        log: for what a person has to know.
        monotonic_s: the present on a clock that nobody sets [s].
    """

    def __init__(
        self,
        contract: Contract,
        parameters: SafetyParameters,
        *,
        trip: Callable[[str], object],
        log: Logger,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parameters = parameters
        self._trip = trip
        self._log = log
        self._monotonic_s = monotonic_s
        self._check = DeployCheck(contract)
        self._pressed = False
        self._pressed_s: float | None = None
        self._heard_s = monotonic_s()

    def on_emergency_stop(self, pressed: bool) -> None:
        """Take a message of the emergency stop in."""
        self._heard_s = self._monotonic_s()
        if pressed:
            self._pressed_s = self._heard_s
        if pressed and not self._pressed:
            self._log.error(f"emergency stop pressed ({self._parameters.emergency_stop_topic})")
            self._trip(self._pressed_text())
        self._pressed = pressed

    def on_message(self, key: str, message: Any) -> None:
        """Compare a message of a stream with the contract."""
        self._note(self._check.look_at(key, message))

    def on_dock_pose(self, message: Any) -> None:
        """Compare the frame of a dock pose with the contract."""
        self._note(self._check.look_at_dock_pose(message))

    def on_idle(self, streams: tuple[StreamState, ...]) -> None:
        """Compare rates with the contract, while no goal runs."""
        self._note(self._check.judge_rates(streams))

    @property
    def differences(self) -> tuple[str, ...]:
        """What the live graph publishes otherwise than expected, one sentence each."""
        return self._check.differences

    @property
    def emergency_stop(self) -> str:
        """Why nothing may move, empty if the emergency stop permits it."""
        timeout_s = self._parameters.emergency_stop_timeout_s
        topic = self._parameters.emergency_stop_topic
        now_s = self._monotonic_s()
        recent = self._pressed_s is not None and now_s - self._pressed_s < _AFTER_RELEASE_S
        if self._pressed or recent:
            return self._pressed_text()
        if topic and timeout_s > 0.0 and now_s - self._heard_s > timeout_s:
            return (
                f"the emergency stop ({topic}) has been silent for {now_s - self._heard_s:.2f} s, "
                f"at most {timeout_s:g} s allowed, which counts as pressed"
            )
        return ""

    def fault(self) -> DockingError | None:
        """Why a goal has to end, or cannot begin; None if nothing speaks against it."""
        stopped = self.emergency_stop
        if stopped:
            self._trip(stopped)
            return EmergencyStopped(stopped)
        if self._parameters.graph_check == "refuse" and self.differences:
            mismatch = "; ".join(self.differences)
            self._trip(mismatch)
            return GraphMismatch(mismatch)
        return None

    def _pressed_text(self) -> str:
        return (
            f"the emergency stop ({self._parameters.emergency_stop_topic}) is pressed; "
            "release it and send a new goal"
        )

    def _note(self, differences: Iterable[str]) -> None:
        for difference in differences:
            self._log.warning(f"not what the policy was made for: {difference}")
