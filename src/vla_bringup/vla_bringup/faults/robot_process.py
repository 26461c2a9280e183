"""The robot of the campaign: a process that publishes its sensors, rightly or wrongly.

`python -m vla_bringup.faults.robot_process CONTRACT SEED [simulated]` writes a line when it is
ready, and then obeys lines on stdin, each answered with the moment at which it took effect:

    {"do": "stream", "key": KEY, "mode": MODE, "shift_s": S}   one stream goes wrong
    {"do": "marker", "mode": "nan", "hang" or "shape"}         scans at which a marked policy fails
    {"do": "leap", "leap_s": S}                                simulated time leaps
    {"do": "well"}                                             everything as it should be

Modes: silent, frozen, backward, future, truncated, empty, not_finite.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import rclpy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import BatteryState

from vla_bringup.faults.treadmill import VARIANTS, Scene, Wheels, broken, copied, take_scene
from vla_core import keys
from vla_core.contract import Contract
from vla_policy_node.control.command_messages import message_class
from vla_policy_node.ros_messages import qos_profile

_NS_PER_S: Final = 1_000_000_000
_SLOW_HZ: Final = 10.0
_CLOCK_HZ: Final = 50.0
_CLOCK: Final = "clock"
_BATTERY: Final = "battery_state"


class Robot:
    """Publishes on a schedule, and does what it is told in between.

    Args:
        contract: topics and rates.
        scene: what the sensors see.
        simulated: whether time is simulated, and published on /clock.
    """

    def __init__(self, contract: Contract, scene: Scene, simulated: bool) -> None:
        self._node = rclpy.create_node("campaign_robot")
        self._scene = scene
        self._wheels = Wheels(contract.base_frame)
        self._simulated = simulated
        self._leap_ns = 0
        self._count = 0
        self._fault: dict[str, Any] = {}
        self._marker = ""
        self._awaited = ""  # whose next message is the moment of the fault
        self._last_ns: dict[str, int] = {}
        self._frozen: Any = None
        self._sources: dict[str, tuple[float, Any, Callable[[], Any]]] = {}
        if simulated:
            self._add(_CLOCK, _CLOCK_HZ, Clock, "/clock", 10, Clock)
        for key, source in (
            (keys.IMAGE, lambda: scene.images[self._count % VARIANTS]),
            (keys.SCAN, lambda: self._scans()[self._count % VARIANTS]),
            (keys.ODOMETRY, lambda: self._wheels.advance(self._sources[keys.ODOMETRY][0])),
        ):
            stream = contract.stream(key)
            kind = message_class(stream.type)
            self._add(key, stream.rate_hz, kind, stream.topic, qos_profile(stream.qos), source)
        battery = scene.battery
        self._add(_BATTERY, _SLOW_HZ, BatteryState, _BATTERY, 1, lambda: battery)
        if contract.dock_pose_topic:
            pose = scene.dock_pose
            topic = contract.dock_pose_topic
            self._add(keys.DOCK_POSE, _SLOW_HZ, type(pose), topic, 1, lambda: pose)
        self._node.create_subscription(
            message_class(contract.action.type), contract.action.topic, self._on_command, 10
        )
        self._input = b""

    def run(self) -> None:
        """Publish until stdin ends."""
        start_s = time.monotonic()
        counts = dict.fromkeys(self._sources, 0)
        while True:
            name = min(counts, key=lambda each: counts[each] * self._sources[each][0])
            due_s = start_s + counts[name] * self._sources[name][0]
            while (left_s := due_s - time.monotonic()) > 0.0:
                if select.select([0], [], [], left_s)[0] and not self._listen():
                    return
            rclpy.spin_once(self._node, timeout_sec=0.0)
            self._publish(name)
            counts[name] += 1

    def _add(
        self, name: str, rate_hz: float, kind: Any, topic: str, qos: Any, source: Callable[[], Any]
    ) -> None:
        publisher = self._node.create_publisher(kind, topic, qos)
        self._sources[name] = (1.0 / rate_hz, publisher, source)

    def _scans(self) -> list[Any]:
        return self._scene.marked[self._marker] if self._marker else self._scene.scans

    def _on_command(self, message: Any) -> None:
        twist = getattr(message, "twist", message)
        self._wheels.follow(twist.linear.x, twist.angular.z)

    def _publish(self, name: str) -> None:
        self._count += 1
        _, publisher, source = self._sources[name]
        mode = self._fault.get("mode", "") if self._fault.get("key") == name else ""
        message, shift_s = source(), 0.0
        if mode == "silent":
            return
        if mode == "frozen":
            # A copy: odometry is one message that changes.
            self._frozen = message = self._frozen or copied(message)
        elif mode in ("backward", "future"):
            shift_s = float(self._fault["shift_s"]) * (-1.0 if mode == "backward" else 1.0)
        elif mode:
            message = broken(message, mode)
        now_ns = time.time_ns()
        self._stamp(message, now_ns + self._leap_ns + round(shift_s * _NS_PER_S))
        if name == self._awaited:
            self._awaited = ""
            _say(moment_ns=now_ns)
        publisher.publish(message)
        self._last_ns[name] = now_ns

    def _stamp(self, message: Any, stamp_ns: int) -> None:
        time_field = message.clock if isinstance(message, Clock) else message.header.stamp
        time_field.sec, time_field.nanosec = divmod(stamp_ns, _NS_PER_S)

    def _listen(self) -> bool:
        """Take in what stdin holds; False at its end."""
        data = os.read(0, 65536)
        self._input += data
        *lines, self._input = self._input.split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(data)

    def _obey(self, order: dict[str, Any]) -> None:
        if order["do"] == "stream":
            self._fault, self._frozen = order, None
            if order["mode"] == "silent":
                _say(moment_ns=self._last_ns[order["key"]])
            else:
                self._awaited = order["key"]
        elif order["do"] == "marker":
            self._marker, self._awaited = order["mode"], keys.SCAN
        elif order["do"] == "leap":
            self._leap_ns += round(order["leap_s"] * _NS_PER_S)
            self._awaited = _CLOCK
        else:
            self._fault, self._marker, self._frozen = {}, "", None
            _say(moment_ns=time.time_ns())


def _say(**answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run until stdin ends."""
    contract_path, seed, *mode = sys.argv[1:]
    contract = Contract.load(Path(contract_path))
    scene = take_scene(contract, int(seed))
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    robot = Robot(contract, scene, mode == ["simulated"])
    _say(instruction=scene.instruction)
    robot.run()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
