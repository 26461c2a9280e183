"""Control process and watchdog as they run, with what goes wrong: the robot is told to stand."""

import signal
import sys
import threading
import time
from types import SimpleNamespace

import psutil
import pytest
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import TwistStamped
from policy_fixtures import HORIZON, contract
from policy_rig import is_gone, wait_until
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rosgraph_msgs.msg import Clock

from vla_policy_node.control.client import ControlClient
from vla_policy_node.control.messages import Setup
from vla_policy_node.docking.goal import Motion

FORWARD = [[0.3, 0.0]] * HORIZON
# Many times what it takes on a machine that has time: 0.1 s.
SOON_S = 1.5


class Driver:
    """The node's part of a goal: it says what to do and keeps the chunks coming."""

    def __init__(self, domain):
        self.logged = []
        self.client = ControlClient(
            Setup(
                contract=contract().to_yaml(),
                mode="receding_horizon",
                replan_steps=2,
                topic="/cmd_vel",
                namespace="/",
                node_name="driver",
                domain_id=domain,
                simulated=False,
                priority=50,
                silence_s=2.0,
            ),
            contract(),
            validity_ns=lambda: (0, time.time_ns() + 10**9),
            log=SimpleNamespace(
                info=self.logged.append, error=self.logged.append, warning=self.logged.append
            ),
            on_report=self._infer,
        )
        self.client.start()
        self.client.wait_until_ready()
        self.control, self.watchdog = (psutil.Process(pid) for pid in self.client.pids)
        self._going = threading.Event()
        self._thread = None

    def _infer(self, report):
        if report.tick_ns is not None and self.client.wants_chunk(report.tick_ns):
            self.client.add_chunk(report.tick_ns, FORWARD)

    def begin(self):
        self.client.begin()
        self.control, self.watchdog = (psutil.Process(pid) for pid in self.client.pids)
        self._going.set()
        self._thread = threading.Thread(target=self._steer)
        self._thread.start()

    def _steer(self):
        while self._going.is_set():
            self.client.set_motion(Motion.FOLLOW)
            time.sleep(0.05)

    def end(self):
        self._going.clear()
        if self._thread is not None:
            self._thread.join()
        self.client.end(time.time_ns(), 0.2)

    def close(self):
        self._going.clear()
        if self._thread is not None:
            self._thread.join()
        self.client.close()


@pytest.fixture(scope="module")
def driver(domain, robot):
    """One for all tests: a goal finds working processes, whatever became of those before."""
    driver = Driver(domain)
    wait_until(lambda: robot.node.count_publishers("/cmd_vel") >= 2)
    time.sleep(0.3)  # until endpoints that are known are connected, too
    yield driver
    processes = [driver.control, driver.watchdog]
    driver.close()
    assert all(is_gone(process) for process in processes)


def drive(driver, robot):
    """A goal that drives at full speed; returns when the robot hears of it."""
    robot.commands.clear()
    driver.begin()
    wait_until(lambda: robot.commands and robot.commands[-1].v_mps == pytest.approx(0.3))


def assert_stands(robot, since_s, *, for_s=0.6):
    """Zero soon, and nothing else after that."""
    wait_until(lambda: robot.commands[-1].v_mps == 0.0, SOON_S)
    first_s = next(
        seen.time_s for seen in robot.commands if seen.time_s > since_s and not seen.v_mps
    )
    assert first_s - since_s < SOON_S
    time.sleep(for_s)
    assert not any(seen.v_mps for seen in robot.commands if seen.time_s > first_s + 0.1)


def test_a_node_that_was_stopped_comes_back_to_a_failed_goal(start, client, robot):
    node = start()
    client.activate()
    robot.reset(gap_m=8.0)
    handle = client.send()
    wait_until(lambda: any(command.v_mps > 0.2 for command in robot.commands))
    since_s = time.monotonic()
    node.signal(signal.SIGSTOP)
    try:
        assert_stands(robot, since_s)
    finally:
        node.signal(signal.SIGCONT)
    status, result = client.result(handle)
    assert status == GoalStatus.STATUS_ABORTED
    assert "the process of the node was stopped" in result.error_msg
    assert not any(command.v_mps for command in robot.commands if command.time_s > since_s + SOON_S)


def test_simulated_time_paces_the_commands(start, client, robot):
    clock = robot.node.create_publisher(Clock, "clock", 10)
    going = True
    told = robot.now()

    def tell():
        nonlocal told
        step_ns = (robot.now() - told).nanoseconds
        # It never leaps, however late this is called.
        robot.behind_ns += step_ns if not going else max(0, step_ns - 200_000_000)
        if going:
            told = robot.now()
            clock.publish(Clock(clock=told.to_msg()))

    timer = robot.node.create_timer(0.02, tell, MutuallyExclusiveCallbackGroup())
    try:
        start(use_sim_time=True)
        client.activate()
        robot.reset(gap_m=8.0)
        handle = client.send()
        wait_until(lambda: any(command.v_mps > 0.2 for command in robot.commands))
        going = False
        time.sleep(0.2)
        count = len(robot.commands)
        time.sleep(0.4)
        assert len(robot.commands) <= count + 1, "simulated time stands still"
        going = True
        wait_until(lambda: len(robot.commands) > count + 5)
        robot.gap_m = 0.2
        assert client.result(handle)[0] == GoalStatus.STATUS_SUCCEEDED
    finally:
        robot.node.destroy_timer(timer)
        robot.node.destroy_publisher(clock)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_control_process_that_is_stopped_or_killed(driver, robot, number):
    drive(driver, robot)
    lost = driver.control
    since_s = time.monotonic()
    lost.send_signal(number)
    assert_stands(robot, since_s)
    wait_until(lambda: driver.client.fault)
    assert "control process" in driver.client.fault
    assert driver.client.at_rest
    wait_until(lambda: is_gone(lost))
    driver.end()

    drive(driver, robot)
    assert driver.control.pid != lost.pid
    assert driver.client.fault == ""
    driver.end()


def test_a_watchdog_that_is_killed_costs_the_goal(driver, robot):
    drive(driver, robot)
    since_s = time.monotonic()
    driver.watchdog.kill()
    assert_stands(robot, since_s)
    assert "watchdog process" in driver.client.fault
    driver.end()


def test_somebody_else_on_the_topic_costs_the_goal_and_is_named(driver, robot):
    teleop = robot.node.create_publisher(TwistStamped, "cmd_vel", 1)
    try:
        drive(driver, robot)
        foreign = TwistStamped()
        foreign.twist.linear.x = 0.1
        while not driver.client.fault:
            since_s = time.monotonic()
            teleop.publish(foreign)
            time.sleep(0.1)
        assert_stands(robot, since_s)
        assert "somebody else publishes commands" in driver.client.fault
        assert "test_robot" in driver.client.fault
        driver.end()
        time.sleep(0.6)
        robot.commands.clear()
        teleop.publish(foreign)
        wait_until(lambda: robot.commands)
        time.sleep(0.2)
        assert robot.commands[-1].v_mps == 0.1, "without a goal anybody may drive"
    finally:
        robot.node.destroy_publisher(teleop)


def test_a_trip_and_a_halt_end_all_motion(driver, robot):
    drive(driver, robot)
    since_s = time.monotonic()
    driver.client.trip("pressed")
    assert_stands(robot, since_s)
    assert driver.client.fault == "pressed"
    driver.end()

    drive(driver, robot)
    assert driver.client.halt()
    assert not driver.client.running
    wait_until(lambda: robot.commands[-1].v_mps == 0.0)
    count = len(robot.commands)
    time.sleep(0.3)
    assert len(robot.commands) == count
    driver.end()
    assert not driver.client.halt()


def test_both_processes_end_with_the_node_that_started_them(domain, robot):
    robot.commands.clear()
    node = psutil.Popen([sys.executable, __file__, str(domain)])
    try:
        wait_until(lambda: robot.commands and robot.commands[-1].v_mps > 0.2, 30.0)
        children = node.children()
        assert len(children) == 2
    finally:
        since_s = time.monotonic()
        node.kill()
        node.wait()
    assert_stands(robot, since_s)
    wait_until(lambda: all(is_gone(child) for child in children))


if __name__ == "__main__":
    lone = Driver(int(sys.argv[1]))
    lone.begin()
    time.sleep(60.0)
