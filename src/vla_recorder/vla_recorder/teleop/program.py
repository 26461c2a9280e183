"""The program behind `vla teleop`: reads hands, drives, shows what happens."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from vla_msgs.srv import StopEpisode

from vla_core.contract import Contract
from vla_recorder.teleop.episode_client import EpisodeClient
from vla_recorder.teleop.joystick import JoystickMap
from vla_recorder.teleop.keys import ACTIONS, DIRECTIONS, HELP, Action
from vla_recorder.teleop.operation import HoldTimes, Operation
from vla_recorder.teleop.status_line import status_line
from vla_recorder.teleop.teleop_node import TeleopNode
from vla_recorder.teleop.terminal import Interruption, Terminal

_DISCOVERY_S: Final = 1.5
_STATUS_PERIOD_S: Final = 0.2
_LAST_STOPS: Final = 4
_FAREWELL_S: Final = 3.0


@dataclass(frozen=True)
class TeleopOptions:
    """What `vla teleop` is asked for.

    Attributes:
        contract: limits, rate, topic and type of the commands.
        namespace: of the robot.
        instruction: sentence of the episodes.
        operator: who drives.
        max_duration_s: of an episode; 0 for no limit.
        hold: of the keyboard.
        joystick: None for the keyboard alone.
        speed_index: step of speed to begin with.
    """

    contract: Contract
    namespace: str = ""
    instruction: str = ""
    operator: str = ""
    max_duration_s: float = 0.0
    hold: HoldTimes = field(default_factory=HoldTimes)
    joystick: JoystickMap | None = None
    speed_index: int = 2


def drive(options: TeleopOptions) -> int:
    """Let a person drive until they quit, or their terminal is gone.

    Returns:
        0.

    Raises:
        TeleopError: there is no terminal.
    """
    terminal = Terminal()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        with ExitStack() as stack:
            interruption = stack.enter_context(Interruption())
            stack.enter_context(terminal)
            _Teleoperation(options, terminal, interruption).run()
    finally:
        rclpy.try_shutdown()
    return 0


class _Teleoperation:
    """One tick per control period: keys and joystick in, a command and a status line out."""

    def __init__(
        self, options: TeleopOptions, terminal: Terminal, interruption: Interruption
    ) -> None:
        self._options = options
        self._terminal = terminal
        self._interruption = interruption
        self._operation = Operation(options.contract.action, options.hold, options.speed_index)
        self._node = TeleopNode(
            options.contract,
            terminal.say,
            namespace=options.namespace,
            joystick=options.joystick,
        )
        self._episodes = EpisodeClient(
            self._node,
            terminal.say,
            instruction=options.instruction,
            operator=options.operator,
            max_duration_s=options.max_duration_s,
        )
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._refused_s = -math.inf
        self._shown_s = -math.inf

    def run(self) -> None:
        """Drive until the end is wished."""
        # Before it has found the mux or whoever else drives, it would drive beside them.
        found_s = time.monotonic() + _DISCOVERY_S
        while not self._node.has_mux and time.monotonic() < found_s:
            self._spin_until(time.monotonic() + _DISCOVERY_S / 20)
        self._terminal.say(HELP)
        period_s = 1.0 / self._options.contract.action.rate_hz
        due_s = time.monotonic()
        try:
            while self._terminal.is_open and not self._interruption.is_end_wished:
                self._spin_until(due_s)
                now_s = time.monotonic()
                due_s = max(due_s + period_s, now_s)  # what was missed is not made up for
                self._tick(now_s)
                if self._interruption.is_stop_wished:
                    self._pause()
        finally:
            self._leave()

    def _spin_until(self, due_s: float) -> None:
        while (left_s := due_s - time.monotonic()) > 0.0:
            self._executor.spin_once(timeout_sec=left_s)

    def _tick(self, now_s: float) -> None:
        keys = self._terminal.keys()
        if self._operation.has_stalled(now_s):
            keys = [key for key in keys if key not in DIRECTIONS]
        for key in keys:
            if key in DIRECTIONS:
                if self._may_drive(now_s):
                    self._operation.press(key, now_s)
            elif key in ACTIONS:
                self._act(ACTIONS[key])
        stick = self._node.stick
        self._operation.move(stick if stick is None or self._may_drive(now_s) else None)
        command = self._operation.tick(now_s)
        if command is not None:
            self._node.command(command)
        self._node.tell_driver(in_control=self._operation.in_control)
        self._node.see_to_release(in_control=self._operation.in_control)
        self._episodes.tick()
        self._node.seek_goals()
        if now_s - self._shown_s >= _STATUS_PERIOD_S:
            self._shown_s = now_s
            fields = self._options.contract.action.fields
            self._terminal.show(status_line(self._operation, fields, self._episodes.feedback))

    def _may_drive(self, now_s: float) -> bool:
        obstacle = self._node.obstacle
        if not obstacle:
            return True
        if now_s - self._refused_s > 1.0:
            self._terminal.say(obstacle)
        self._refused_s = now_s
        if self._operation.in_control and not self._operation.is_stopped:
            self._act(Action.RELEASE)  # it was found too late, or has come since
        return False

    def _act(self, action: Action) -> None:
        self._operation.act(action)
        if action is Action.EMERGENCY_STOP:
            self._node.command(self._operation.command)  # not at the end of the tick: now
            self._node.cancel_goals()
            self._terminal.say("EMERGENCY STOP; u unlocks")
        elif action is Action.RELEASE:
            self._node.command(np.zeros(self._options.contract.action.size))
            self._node.give_back()
        elif action is Action.START:
            self._episodes.start()
        elif action is Action.SUCCESS:
            self._episodes.stop(StopEpisode.Request.SUCCESS)
        elif action is Action.FAILURE:
            self._episodes.stop(StopEpisode.Request.FAILURE)
        elif action is Action.DISCARD:
            self._episodes.stop(StopEpisode.Request.DISCARD)
        elif action is Action.SAVE:
            self._episodes.save_recent()
        elif action is Action.HELP:
            self._terminal.say(HELP)
        elif action is Action.QUIT:
            self._interruption.is_end_wished = True

    def _stop_robot(self) -> None:
        """Zero commands, a few, since one may be lost; the robot stays the person's."""
        self._operation.halt()
        if not self._operation.in_control:
            return
        for _ in range(_LAST_STOPS):
            self._node.command(np.zeros(self._options.contract.action.size))
            self._spin_until(time.monotonic() + 0.5 / self._options.contract.action.rate_hz)

    def _pause(self) -> None:
        self._stop_robot()
        self._terminal.give_back()
        self._interruption.stop()
        self._terminal.take()

    def _leave(self) -> None:
        self._stop_robot()
        if self._episodes.busy:
            self._episodes.stop(StopEpisode.Request.UNKNOWN, "the operator left")
            deadline_s = time.monotonic() + _FAREWELL_S
            while self._episodes.busy and time.monotonic() < deadline_s:
                self._executor.spin_once(timeout_sec=0.05)
        self._executor.shutdown()
        self._node.destroy_node()
