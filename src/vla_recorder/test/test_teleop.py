"""Driving by hand as a person does: real programs, a real pseudo-terminal, real messages."""

import itertools
import os
import signal
import statistics
import subprocess
import sys
import time

import pytest
from bag_fixtures import contract, messages
from geometry_msgs.msg import TwistStamped
from operator_rig import Listener, Operator
from recorder_rig import wait_for
from sensor_msgs.msg import Joy
from std_srvs.srv import Trigger

ACTION = contract().action
SPEED = 0.35 * ACTION.high[0]
SENSORS_ONLY = ("cmd_vel",)


@pytest.fixture
def make_operator(domain, contract_path):
    operators = []

    def make(*arguments):
        operators.append(Operator(contract_path, domain, *arguments))
        return operators[-1]

    yield make
    for operator in operators:
        operator.end()
        print(operator.text)


@pytest.fixture
def listener(make_robot):
    robot = make_robot(skip=SENSORS_ONLY)
    listener = Listener(robot)
    listener.robot = robot
    return listener


def test_hold_to_move_speed_steps_and_emergency_stop(listener, make_operator):
    operator = make_operator()
    listener.wait_for_publisher()
    assert listener.commands == []  # hands off: silence

    began_s = time.monotonic()
    operator.hold("w", 1.5)
    released_s = time.monotonic()
    driven = listener.since(began_s)
    speeds = [linear for _, linear, _ in driven]
    assert max(speeds) == pytest.approx(SPEED)
    moving = speeds[speeds.index(max(speeds)) :]
    assert min(moving) > 0.0  # no stutter between press and repetition
    changes = [b - a for a, b in itertools.pairwise(speeds)]
    assert max(changes) <= ACTION.max_acceleration[0] / ACTION.rate_hz + 1e-6
    periods = [b[0] - a[0] for a, b in itertools.pairwise(driven)]
    assert statistics.median(periods) == pytest.approx(1.0 / ACTION.rate_hz, rel=0.2)
    assert listener.frames == {"base_link"}

    wait_for(lambda: listener.speed_mps == 0.0, "the robot stops when the key is let go")
    assert time.monotonic() - released_s < 1.5
    operator.type("++")
    wait_for(lambda: "speed 70%" in operator.status, "speed step")
    operator.hold("\x1b[A", 1.0)  # arrow key
    assert listener.speed_mps == pytest.approx(0.7 * ACTION.high[0])
    stopped_s = time.monotonic()
    operator.type(" ")
    wait_for(lambda: listener.speed_mps == 0.0, "emergency stop")
    speeds = [linear for _, linear, _ in listener.since(stopped_s)]
    after = speeds[speeds.index(0.0) - 1] if speeds[0] != 0.0 else None
    assert after in (None, pytest.approx(0.7 * ACTION.high[0]))  # from full speed to zero: no ramp
    wait_for(lambda: "EMERGENCY STOP" in operator.status, "it is shown")
    operator.hold("w", 0.6)
    assert {linear for _, linear, _ in listener.since(stopped_s + 0.3)} == {0.0}
    operator.type("u")
    operator.hold("x", 0.8)
    assert listener.speed_mps < 0.0
    assert "person" in listener.drivers

    operator.type("Q")
    assert operator.process.wait(10.0) == 0
    assert listener.speed_mps == 0.0
    assert "Traceback" not in operator.text


def test_program_that_is_stopped_is_silent_and_a_closed_terminal_stops_the_robot(
    listener, make_operator
):
    operator = make_operator()
    listener.wait_for_publisher()
    operator.hold("w", 0.8)
    assert listener.speed_mps > 0.0
    operator.process.send_signal(signal.SIGSTOP)  # nothing can be said any more: silence
    time.sleep(0.5)
    count = len(listener.commands)
    operator.type("wwwwwwwwww")
    time.sleep(0.3)
    assert len(listener.commands) == count
    resumed_s = time.monotonic()
    operator.process.send_signal(signal.SIGCONT)
    wait_for(lambda: listener.since(resumed_s), "it goes on")
    time.sleep(0.3)
    assert {linear for _, linear, _ in listener.since(resumed_s)} == {0.0}

    operator.hold("w", 0.8)
    assert listener.speed_mps > 0.0
    operator.close_terminal()
    assert operator.process.wait(10.0) == 0
    wait_for(lambda: listener.speed_mps == 0.0, "its last word is a stop")


def test_demonstrations_are_recorded_by_keys(listener, make_operator, make_recorder, tmp_path):
    robot = listener.robot
    operator = make_operator()
    operator.type("r")
    wait_for(lambda: "no recorder" in operator.text, "a missing recorder is said")
    recorder = make_recorder(robot, extra_topics="[driver]").bring_up()
    time.sleep(1.0)  # the operator's clients find it
    operator.type("r")
    wait_for(lambda: "recording: dock by hand" in operator.text, "recording")
    for _ in range(10):
        operator.type("w")
        robot.publish(10)
    wait_for(lambda: "REC" in operator.status and "scan" in operator.status, "status line")
    wait_for(lambda: "!! image" in operator.status, "a camera that stopped is shouted")
    operator.type("y")
    wait_for(lambda: "episode success" in operator.text, "the result is said")
    (bag,) = (tmp_path / "bags").iterdir()
    recorded, custom = messages(bag)
    assert (custom["vla.instruction"], custom["vla.operator"], custom["vla.outcome"]) == (
        "dock by hand",
        "Ada",
        "success",
    )
    assert len(recorded["/cmd_vel"]) > 15
    assert len(recorded["/driver"]) >= 1
    assert len(recorded["/scan"]) == 100

    operator.type("r")
    wait_for(lambda: operator.text.count("recording: dock by hand") == 2, "recording again")
    operator.type("k")
    wait_for(lambda: "episode discarded" in operator.text, "discarded")
    operator.type("v")
    wait_for(lambda: "saved " in operator.text, "the last seconds")
    assert len(list((tmp_path / "bags").iterdir())) == 2

    operator.type("r")
    wait_for(lambda: operator.text.count("recording: dock by hand") == 3, "recording once more")
    operator.type("Q")
    assert operator.process.wait(10.0) == 0
    assert "episode unknown" in operator.text  # an operator who leaves ends the episode
    assert recorder.process.poll() is None


def test_robot_that_another_one_drives_is_not_taken(make_robot, make_operator):
    robot = make_robot()  # publishes cmd_vel itself
    listener = Listener(robot)
    operator = make_operator()
    listener.wait_for_publisher()
    operator.hold("w", 0.8)
    wait_for(lambda: "test_robot publishes /cmd_vel already" in operator.text, "it is said")
    assert listener.commands == []
    operator.type(" ")  # but a stop is a stop
    wait_for(lambda: listener.speed_mps == 0.0, "emergency stop")


def test_joystick(listener, make_operator):
    sticks = listener.robot.node.create_publisher(Joy, "joy", 10)
    operator = make_operator("joy")
    wait_for(sticks.get_subscription_count, "the joystick is heard")
    listener.wait_for_publisher()
    message = Joy(axes=[0.0, 1.0, 0.0, -1.0], buttons=[0] * 6)

    def move(seconds):
        for _ in range(round(seconds / 0.05)):
            sticks.publish(message)
            time.sleep(0.05)

    move(0.5)
    assert listener.commands == []  # without its button, it is a toy
    message.buttons[4] = 1
    move(1.0)
    assert listener.speed_mps == pytest.approx(SPEED)
    assert listener.commands[-1][2] == pytest.approx(0.35 * ACTION.low[1])
    wait_for(lambda: listener.speed_mps == 0.0, "a silent joystick is not held")
    assert operator.process.poll() is None


def test_person_takes_over_from_the_policy_and_gives_back(
    make_robot, make_operator, contract_path, domain, tmp_path
):
    robot = make_robot(skip=SENSORS_ONLY)
    listener = Listener(robot)
    policy = robot.node.create_publisher(TwistStamped, "policy/cmd_vel", 1)
    release = robot.node.create_client(Trigger, "command_mux/release")
    with (tmp_path / "mux.log").open("wb") as log:
        mux = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "vla_recorder.teleop.command_mux",
                "--ros-args",
                "-p",
                f"contract:={contract_path}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
        )
    try:
        operator = make_operator()
        wait_for(policy.get_subscription_count, "the mux listens")
        listener.wait_for_publisher()

        def policy_drives(seconds):
            command = TwistStamped()
            command.twist.angular.z = 0.5
            for _ in range(round(seconds / 0.05)):
                policy.publish(command)
                time.sleep(0.05)

        def takes_over(somebody, key):
            deadline_s = time.monotonic() + 20.0
            while listener.drivers[-1] != "person":
                assert time.monotonic() < deadline_s, somebody.text
                somebody.type(key)
                policy_drives(0.1)

        policy_drives(1.0)
        assert listener.commands[-1][1:] == (0.0, 0.5)
        assert listener.drivers[-1] == "policy"
        takes_over(operator, "w")
        for _ in range(8):
            operator.type("w")
            policy_drives(0.1)
        assert listener.speed_mps > 0.0
        assert listener.commands[-1][2] == 0.0
        assert listener.drivers[-1] == "person"

        operator.process.kill()  # a person who is gone has not given the robot back
        killed_s = time.monotonic()
        policy_drives(1.5)
        late = listener.since(killed_s + 1.0)
        assert late
        assert {command[1:] for command in late} == {(0.0, 0.0)}
        assert listener.drivers[-1] == "person"

        assert release.wait_for_service(10.0)
        assert release.call(Trigger.Request(), timeout_sec=10.0).success
        policy_drives(1.0)
        assert listener.commands[-1][1:] == (0.0, 0.5)
        assert listener.drivers[-1] == "policy"

        second = make_operator()
        takes_over(second, "s")
        second.type("g")
        policy_drives(1.0)
        wait_for(lambda: "given back" in second.text, "given back")
        assert listener.drivers[-1] == "policy"
        assert listener.commands[-1][1:] == (0.0, 0.5)
    finally:
        mux.terminate()
        assert mux.wait(10.0) == 0
    assert "Traceback" not in (tmp_path / "mux.log").read_text()


def test_keyboard_needs_a_terminal(contract_path):
    code = (
        "from vla_core.contract import Contract;"
        "from vla_recorder.teleop.program import TeleopOptions, drive;"
        f"drive(TeleopOptions(Contract.load({str(contract_path)!r})))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert "the keyboard needs a terminal" in ended.stderr
