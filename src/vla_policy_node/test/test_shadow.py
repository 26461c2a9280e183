"""Shadow mode: the policy runs on the live streams, and the robot never hears of it."""

import threading
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import Transition
from policy_rig import INSTRUCTION, wait_until

from vla_policy_node.observability.shadow import DisagreementMeter

MS = 1_000_000


def test_mean_and_largest_difference_over_what_was_driven():
    meter = DisagreementMeter(2, max_age_s=0.1)
    assert np.isnan(meter.summary().mean).all()
    meter.compare(0, [0.3, 0.0])
    meter.drive(0, [0.1, 0.5])
    meter.compare(50 * MS, [0.3, 0.0])
    meter.compare(100 * MS, [0.1, 0.4])
    meter.compare(101 * MS, [9.0, 9.0])  # the driver's command is too old by now
    found = meter.summary()
    assert (found.count, found.undriven) == (2, 2)
    np.testing.assert_allclose(found.mean, [0.1, 0.3])
    np.testing.assert_allclose(found.largest, [0.2, 0.5])
    meter.reset()
    meter.compare(110 * MS, [0.0, 0.0])
    assert meter.summary().count == 0, "forgets the driver, too"


class Driver:
    """Somebody who drives at 20 Hz, and a listener to what the shadow says."""

    def __init__(self, robot):
        self.seen, self.diagnostics = [], []
        self._node = robot.node
        self._publisher = self._node.create_publisher(TwistStamped, "cmd_vel", 10)
        self._subscriptions = [
            self._node.create_subscription(
                TwistStamped, "vla_policy/shadow_command", self.seen.append, 50
            ),
            self._node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnose, 50),
        ]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drive)
        self._thread.start()

    def values(self):
        """The newest diagnostics of the shadow."""
        return self.diagnostics[-1] if self.diagnostics else {}

    def close(self):
        self._stop.set()
        self._thread.join()
        self._node.destroy_publisher(self._publisher)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _diagnose(self, message):
        for status in message.status:
            if status.name == "vla_policy: shadow":
                values = {pair.key: pair.value for pair in status.values}
                self.diagnostics.append({**values, "message": status.message})

    def _drive(self):
        message = TwistStamped()
        message.twist.linear.x = 0.1
        while not self._stop.wait(0.05):
            message.header.stamp = self._node.get_clock().now().to_msg()
            self._publisher.publish(message)


@pytest.fixture
def driver(robot):
    driver = Driver(robot)
    yield driver
    driver.close()


def publishers_of_commands(robot):
    return [info.node_name for info in robot.node.get_publishers_info_by_topic("cmd_vel")]


def test_the_policy_runs_beside_the_driver_and_commands_nobody(start, robot, client, driver):
    node = start(shadow=True, default_instruction=f"'{INSTRUCTION}'")
    robot.reset(gap_m=3.0)
    client.activate()
    # Range ahead asks for 0.3 m/s, the driver gives 0.1.
    wait_until(lambda: any(abs(seen.twist.linear.x - 0.3) < 0.01 for seen in driver.seen))
    key = "linear.x difference, largest [m/s]"
    wait_until(lambda: driver.values().get(key) == "0.2000")
    found = driver.values()
    assert 0.0 < float(found["linear.x difference, mean [m/s]"]) <= 0.2
    assert found["angular.z difference, largest [rad/s]"] == "0.0000"
    assert found["message"] == f"would {INSTRUCTION}"
    assert publishers_of_commands(robot) == [robot.node.get_name()]
    assert {command.v_mps for command in robot.commands} == {0.1}
    assert not any(name == "dock" for name, _ in _actions(robot))

    node.worker().kill()
    wait_until(lambda: "SIGKILL" in driver.values().get("message", ""))
    count = len(driver.seen)
    wait_until(lambda: len(driver.seen) > count + 20)
    wait_until(lambda: driver.values().get("message", "").startswith("would"))

    assert client.transition(Transition.TRANSITION_DEACTIVATE)
    time.sleep(0.3)
    assert driver.seen[-1].twist.linear.x == 0.0
    count = len(driver.seen)
    time.sleep(0.5)
    assert len(driver.seen) == count, "inactive, it is silent"
    assert {command.v_mps for command in robot.commands} == {0.1}
    assert client.transition(Transition.TRANSITION_CLEANUP)


def _actions(robot):
    from rclpy.action import get_action_names_and_types

    return get_action_names_and_types(robot.node)


def test_without_an_instruction_there_is_no_shadow(start, client):
    node = start(shadow=True)
    assert not client.transition(Transition.TRANSITION_CONFIGURE)
    assert node.lines("parameter default_instruction is empty")
