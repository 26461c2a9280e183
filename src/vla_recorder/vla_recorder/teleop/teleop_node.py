"""The node of a person who drives: commands out, joystick in, and what else a key may ask for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.task import Future
from sensor_msgs.msg import Joy
from std_srvs.srv import Trigger
from vla_msgs.msg import Driver

from vla_core.contract import Contract
from vla_recorder.errors import TeleopError
from vla_recorder.teleop.command_arbiter import PERSON
from vla_recorder.teleop.command_mux import DRIVER_TOPIC, MUX, mux_topic
from vla_recorder.teleop.goal_canceller import GoalCanceller
from vla_recorder.teleop.joystick import JoystickMap
from vla_recorder.teleop.operation import Stick
from vla_recorder.teleop.twist_messages import command_message, command_type

_DRIVER_PERIOD_S: Final = 1.0
_GRAPH_PERIOD_S: Final = 0.5
_RELEASE_PERIOD_S: Final = 0.5
_RELEASE_TIMEOUT_S: Final = 3.0
_SEARCH_PERIOD_S: Final = 1.0


class TeleopNode(Node):
    """Publishes a person's commands: to the command mux where there is one, else to the robot.

    Never beside another publisher of commands: two that do not know of each other make a robot
    that obeys neither.
    """

    def __init__(
        self,
        contract: Contract,
        say: Callable[[str], None],
        *,
        namespace: str = "",
        joystick: JoystickMap | None = None,
    ) -> None:
        """Create the publishers.

        Args:
            contract: topic, type, frame of the commands.
            say: called with what the operator should know.
            namespace: of the robot.
            joystick: None to take no notice of any.
        """
        super().__init__("vla_teleop", namespace=namespace or None)
        self._contract = contract
        self._say = say
        self._joystick = joystick
        self._stick: tuple[Stick | None, float] = (None, 0.0)
        self._complaint = ""
        kind, topic = command_type(contract), contract.action.topic
        qos = QoSProfile(depth=1)
        self._direct = self.create_publisher(kind, topic, qos)
        self._muxed = self.create_publisher(kind, mux_topic(PERSON, topic), qos)
        self._driver = self.create_publisher(Driver, DRIVER_TOPIC, QoSProfile(depth=10))
        self._release = self.create_client(Trigger, f"{MUX}/release")
        self._goals = GoalCanceller(self)
        self._sought_s = -_SEARCH_PERIOD_S
        self._releasing: tuple[float, float] | None = None  # when to ask, until when
        self._told: tuple[str, float] = ("", -_DRIVER_PERIOD_S)
        self._others: list[str] = []
        self._looked_s = -_GRAPH_PERIOD_S
        if joystick is not None:
            self.create_subscription(Joy, "joy", self._on_joy, qos_profile_sensor_data)

    @property
    def has_mux(self) -> bool:
        """Whether commands go through the mux."""
        return self._muxed.get_subscription_count() > 0

    @property
    def obstacle(self) -> str:
        """Why the robot cannot be taken; empty if it can."""
        if self.has_mux:
            return ""
        now_s = time.monotonic()
        if now_s - self._looked_s >= _GRAPH_PERIOD_S:
            self._looked_s = now_s
            own = (self.get_name(), self.get_namespace())
            found = self.get_publishers_info_by_topic(self._direct.topic_name)
            self._others = [p.node_name for p in found if (p.node_name, p.node_namespace) != own]
        if not self._others:
            return ""
        return (
            f"{', '.join(self._others)} publishes {self._direct.topic_name} already; start the "
            f"graph with teleop:=true, so that you can take over"
        )

    @property
    def stick(self) -> Stick | None:
        """What the joystick wishes now; None where it is silent or not held."""
        stick, heard_s = self._stick
        timeout_s = self._joystick.timeout_s if self._joystick else 0.0
        return stick if time.monotonic() - heard_s <= timeout_s else None

    def command(self, values: np.ndarray) -> None:
        """Publish a command.

        Args:
            values: (A,) [m/s, rad/s].
        """
        stamp = self.get_clock().now().to_msg()
        publisher = self._muxed if self.has_mux else self._direct
        publisher.publish(command_message(self._contract, values, stamp))

    def tell_driver(self, *, in_control: bool) -> None:
        """Say who drives, where no mux does."""
        driver = PERSON if in_control else ""
        told, told_s = self._told
        now_s = time.monotonic()
        due = driver != told or (driver and now_s - told_s >= _DRIVER_PERIOD_S)
        if due and not self.has_mux:
            self._told = driver, now_s
            message = Driver(driver=driver)
            message.header.stamp = self.get_clock().now().to_msg()
            self._driver.publish(message)

    def give_back(self) -> None:
        """Let the policy drive again."""
        if not self.has_mux:
            self._say("released; nobody drives now")
            return
        now_s = time.monotonic()
        self._releasing = (now_s, now_s + _RELEASE_TIMEOUT_S)
        self.see_to_release(in_control=False)

    def see_to_release(self, *, in_control: bool) -> None:
        """Ask the mux again where it does not answer: one that has only just been found drops it.

        Args:
            in_control: the operator has taken the robot again, so that nothing is to be released.
        """
        if self._releasing is None:
            return
        next_s, deadline_s = self._releasing
        now_s = time.monotonic()
        if in_control:
            self._releasing = None
        elif now_s >= deadline_s:
            self._releasing = None
            self._say(f"{MUX}/release does not answer: the robot stays yours; try again")
        elif now_s >= next_s:
            self._releasing = now_s + _RELEASE_PERIOD_S, deadline_s
            self._release.call_async(Trigger.Request()).add_done_callback(self._on_released)

    def _on_released(self, future: Future) -> None:
        if self._releasing is not None:
            self._releasing = None
            self._say("given back to the policy")

    def seek_goals(self) -> None:
        """Look now and then for actions whose goals an emergency stop would have to end."""
        now_s = time.monotonic()
        if now_s - self._sought_s >= _SEARCH_PERIOD_S:
            self._sought_s = now_s
            self._goals.refresh()

    def cancel_goals(self) -> None:
        """End every goal that moves the robot: docking, undocking, navigation."""
        cancelled = self._goals.cancel()
        if cancelled:
            self._say(f"cancelled every goal of {', '.join(cancelled)}")

    def _on_joy(self, message: Joy) -> None:
        if self._joystick is None:
            return
        try:
            stick = self._joystick.read(message.axes, message.buttons)
        except TeleopError as error:
            stick = None
            if str(error) != self._complaint:
                self._complaint = str(error)
                self._say(self._complaint)
        self._stick = stick, time.monotonic()
