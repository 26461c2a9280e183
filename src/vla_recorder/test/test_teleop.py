"""Driving by hand as a person does: real programs, a real pseudo-terminal, real messages."""

import itertools
import os
import pty
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bag_fixtures import contract, messages
from geometry_msgs.msg import TwistStamped
from operator_rig import Listener
from recorder_rig import STREAMS, WAIT_S, wait_for
from sensor_msgs.msg import Joy
from std_srvs.srv import Trigger

ACTION = contract().action
SPEED = 0.35 * ACTION.high[0]
PERIOD_S = 1.0 / ACTION.rate_hz
SLACK_S = 0.05  # by which a key may be late, and a command, and a held key still counts as held
SENSORS_ONLY = ("cmd_vel",)


@pytest.fixture
def listener(make_robot):
    robot = make_robot(skip=SENSORS_ONLY)
    listener = Listener(robot)
    listener.robot = robot
    return listener


def held_without_a_hitch(listener, operator, key, duration_s):
    """Commands while a key was held, in a try in which the machine let test and program be."""
    for _ in range(10):
        began_s = time.time()
        late_s = operator.hold(key, duration_s)
        released_s = time.time()
        driven = [command for command in listener.since(began_s) if command[0] <= released_s]
        times_s = [began_s, *(command[0] for command in driven), released_s]
        longest_s = max(b - a for a, b in itertools.pairwise(times_s))
        if max(late_s, longest_s - PERIOD_S) < SLACK_S:
            return driven
        wait_for(lambda: listener.speed_mps == 0.0, "the robot stands again")
    pytest.skip("the machine is too busy for a key to be held")


def test_hold_to_move_speed_steps_and_emergency_stop(listener, make_operator):
    operator = make_operator()
    listener.wait_for_publisher()
    assert listener.commands == []  # hands off: silence

    driven = held_without_a_hitch(listener, operator, "w", 1.5)
    speeds = [linear for _, linear, _ in driven]
    assert max(speeds) == pytest.approx(SPEED)
    moving = speeds[speeds.index(max(speeds)) :]
    assert min(moving) > 0.0  # no stutter between press and repetition
    changes = [b - a for a, b in itertools.pairwise(speeds)]
    assert max(changes) <= ACTION.max_acceleration[0] / ACTION.rate_hz + 1e-6
    periods = [b[0] - a[0] for a, b in itertools.pairwise(driven)]
    assert statistics.median(periods) == pytest.approx(PERIOD_S, rel=0.3)
    assert listener.frames == {"base_link"}

    wait_for(lambda: listener.speed_mps == 0.0, "the robot stops when the key is let go")
    operator.type("++")
    wait_for(lambda: "speed 70%" in operator.status, "speed step")
    full_mps = pytest.approx(0.7 * ACTION.high[0])
    operator.hold_until("\x1b[A", lambda: listener.speed_mps == full_mps, "full speed")  # arrow key
    stopped_s = time.time()
    operator.type("w ")
    wait_for(lambda: listener.speed_mps == 0.0, "emergency stop")
    wait_for(lambda: "EMERGENCY STOP" in operator.status, "it is shown")
    speeds = [linear for _, linear, _ in listener.since(stopped_s)]
    before = speeds[: speeds.index(0.0)][-1:]
    assert not before or before[0] > ACTION.max_acceleration[0] / ACTION.rate_hz  # no ramp
    locked_s = time.time()
    operator.hold("w", 0.6)
    wait_for(lambda: len(listener.since(locked_s)) > 5, "it goes on to say so")
    assert {linear for _, linear, _ in listener.since(locked_s)} == {0.0}
    operator.type("u")
    operator.hold_until("x", lambda: listener.speed_mps < 0.0, "backwards")
    wait_for(lambda: "person" in listener.drivers, "who drives")

    operator.type("Q")
    assert operator.process.wait(WAIT_S) == 0
    wait_for(lambda: listener.speed_mps == 0.0, "its last word is a stop")
    assert "Traceback" not in operator.text


def test_program_that_is_stopped_is_silent_and_a_closed_terminal_stops_the_robot(
    listener, make_operator
):
    operator = make_operator()
    listener.wait_for_publisher()
    operator.hold_until("w", lambda: (listener.speed_mps or 0.0) > 0.0, "it drives")
    operator.process.send_signal(signal.SIGSTOP)  # nothing can be said any more: silence
    wait_for(lambda: process_state(operator.process.pid) == "T", "it is stopped")
    stopped_s = time.time()
    time.sleep(0.5)
    operator.type("wwwwwwwwww")
    time.sleep(0.3)
    assert listener.since(stopped_s) == []
    operator.process.send_signal(signal.SIGCONT)
    wait_for(lambda: len(listener.since(stopped_s)) > 5, "it goes on")
    # one command may have been on its lips
    assert {linear for _, linear, _ in listener.since(stopped_s)[1:]} == {0.0}

    operator.hold_until("w", lambda: listener.speed_mps > 0.0, "it drives again")
    operator.close_terminal()
    assert operator.process.wait(WAIT_S) == 0
    wait_for(lambda: listener.speed_mps == 0.0, "its last word is a stop")


LAST_WORDS = """
import time
from vla_recorder.teleop.terminal import Terminal
terminal = Terminal()
terminal.say("ready")
while terminal.is_open:
    terminal.keys()
    time.sleep(0.01)
terminal.say("too late")
"""


def test_words_to_a_terminal_that_was_closed_are_no_failure():
    """Not even where the signal for it is ignored, as below nohup."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", LAST_WORDS],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    os.close(slave)
    text = b""
    while b"ready" not in text:
        text += os.read(master, 1024)
    os.close(master)
    assert process.wait(WAIT_S) == 0


def process_state(process_id):
    """One letter, see proc_pid_stat(5)."""
    return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]


def test_demonstrations_are_recorded_by_keys(listener, make_operator, make_recorder, tmp_path):
    robot = listener.robot
    operator = make_operator()
    operator.type("r")
    wait_for(lambda: "no recorder" in operator.text, "a missing recorder is said")
    recorder = make_recorder(robot, extra_topics="[driver]").bring_up()
    operator.ask("r", "recording: dock by hand")
    robot.wait_for_subscribers(STREAMS)
    wait_for(lambda: robot.node.count_subscribers("driver") == 2, "the recorder hears who drives")
    for _ in range(15):
        operator.type("w")
        robot.publish(10)
    robot.wait_until_received()
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
    assert len(recorded["/cmd_vel"]) > 5
    assert len(recorded["/driver"]) >= 1
    assert len(recorded["/scan"]) == 150

    operator.ask("r", "recording: dock by hand")
    operator.type("k")
    wait_for(lambda: "episode discarded" in operator.text, "discarded")
    operator.type("v")
    wait_for(lambda: "saved " in operator.text, "the last seconds")
    assert len(list((tmp_path / "bags").iterdir())) == 2

    operator.ask("r", "recording: dock by hand")
    operator.type("Q")
    assert operator.process.wait(WAIT_S) == 0
    assert "episode unknown" in operator.text  # an operator who leaves ends the episode
    assert recorder.process.poll() is None


def test_robot_that_another_one_drives_is_not_taken(make_robot, make_operator):
    robot = make_robot()  # publishes cmd_vel itself
    listener = Listener(robot)
    operator = make_operator()
    listener.wait_for_publisher()
    refusal = "test_robot publishes /cmd_vel already"
    operator.hold_until("w", lambda: refusal in operator.text, "it is said")
    said_s = time.time()
    operator.hold("w", 0.8)
    assert listener.since(said_s) == []
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
    wished = pytest.approx((SPEED, 0.35 * ACTION.low[1]))

    def is_there():
        sticks.publish(message)
        return bool(listener.commands) and listener.commands[-1][1:] == wished

    wait_for(is_there, "it drives as the stick says")
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

        def policy_drives_until(condition, what):
            deadline_s = time.monotonic() + WAIT_S
            while not condition():
                assert time.monotonic() < deadline_s, f"timed out: {what}"
                policy_drives(0.1)

        def policy_is_obeyed():
            return listener.drivers[-1:] == ["policy"] and listener.commands[-1][1:] == (0.0, 0.5)

        policy_drives_until(policy_is_obeyed, "the policy drives")
        takes_over(operator, "w")

        def person_is_obeyed():
            operator.type("w")
            return listener.speed_mps > 0.0 and listener.commands[-1][2] == 0.0

        policy_drives_until(person_is_obeyed, "the person drives")
        assert listener.drivers[-1] == "person"

        operator.process.kill()  # a person who is gone has not given the robot back
        policy_drives_until(lambda: listener.commands[-1][1:] == (0.0, 0.0), "the robot stops")
        stopped_s = time.time()
        policy_drives(1.0)
        wait_for(lambda: len(listener.since(stopped_s)) > 5, "the mux says so")
        assert {command[1:] for command in listener.since(stopped_s)} == {(0.0, 0.0)}
        assert listener.drivers[-1] == "person"

        assert release.wait_for_service(WAIT_S)
        assert release.call(Trigger.Request(), timeout_sec=WAIT_S).success
        policy_drives_until(policy_is_obeyed, "the policy drives again")

        second = make_operator()
        takes_over(second, "s")
        second.type("g")
        policy_drives_until(policy_is_obeyed, "the policy drives once more")
        wait_for(lambda: "given back" in second.text, "given back")
    finally:
        mux.terminate()
        assert mux.wait(WAIT_S) == 0
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
