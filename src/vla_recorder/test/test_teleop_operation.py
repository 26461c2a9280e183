"""What hands make of velocities: no ROS, no terminal, no clock but the test's."""

import numpy as np
import pytest
from bag_fixtures import contract

from vla_recorder.errors import TeleopError
from vla_recorder.teleop.joystick import JoystickMap
from vla_recorder.teleop.keys import ACTIONS, DIRECTIONS, Action, KeyDecoder
from vla_recorder.teleop.operation import HoldTimes, Operation, Stick

ACTION = contract().action
PERIOD_S = 1.0 / ACTION.rate_hz
HOLD = HoldTimes(first_s=0.6, repeat_s=0.2)


def operation(**arguments):
    return Operation(ACTION, HOLD, **arguments)


def drive(robot, presses, until_s, key="w", from_s=0.0):
    """Tick through some time; (ticks, 2) commands, NaN where there is none."""
    found = []
    presses = list(presses)
    for now_s in np.arange(from_s, until_s, PERIOD_S):
        while presses and presses[0] <= now_s:
            robot.press(key, presses.pop(0))
        command = robot.tick(float(now_s))
        found.append([np.nan, np.nan] if command is None else list(command))
    return np.array(found)


def held(duration_s, delay_s=0.5, rate_hz=30.0):
    """When a keyboard tells of a key that is held."""
    return [0.0, *np.arange(delay_s, duration_s, 1.0 / rate_hz).tolist()]


def test_nothing_is_commanded_before_the_robot_is_taken():
    assert np.isnan(drive(operation(), [], 1.0)).all()


@pytest.mark.parametrize("delay_s", [0.25, 0.5])
def test_held_key_drives_without_a_break_and_stops_soon_after(delay_s):
    commands = drive(operation(), held(2.0, delay_s), 4.0)
    forward = commands[:, 0]
    speed = 0.35 * ACTION.high[0]
    moving = forward[: round(2.0 / PERIOD_S)]
    assert (np.diff(moving) >= -1e-12).all()  # never a stutter between press and repetition
    assert moving.max() == pytest.approx(speed)
    stopped_s = PERIOD_S * (np.flatnonzero(forward > 0.0)[-1] + 1)
    assert stopped_s <= 2.0 + HOLD.repeat_s + speed / ACTION.max_acceleration[0] + 2 * PERIOD_S
    assert (forward[round(3.0 / PERIOD_S) :] == 0.0).all()  # still the person's: zero, not silence


def test_tap_moves_for_a_moment():
    forward = drive(operation(), [0.0], 2.0)[:, 0]
    assert forward.max() > 0.0
    assert (forward[round(1.0 / PERIOD_S) :] == 0.0).all()


@pytest.mark.parametrize("key", DIRECTIONS)
def test_no_key_leaves_the_limits(key):
    robot = operation(speed_index=5)
    commands = drive(robot, held(3.0), 3.0, key)
    assert (commands >= np.array(ACTION.low) - 1e-12).all()
    assert (commands <= np.array(ACTION.high) + 1e-12).all()
    steps = np.abs(np.diff(commands, axis=0)).max(axis=0)
    assert (steps <= np.array(ACTION.max_acceleration) * PERIOD_S + 1e-9).all()
    signs = np.sign(commands[-1]).tolist()
    assert signs == [DIRECTIONS[key].linear, DIRECTIONS[key].angular]
    if DIRECTIONS[key].linear < 0:  # backwards has a limit of its own
        assert commands[-1, 0] == pytest.approx(ACTION.low[0])


def test_speed_steps():
    robot = operation()
    assert robot.speed == 0.35
    robot.act(Action.FASTER)
    assert robot.speed == 0.5
    for _ in range(10):
        robot.act(Action.FASTER)
    assert robot.speed == 1.0
    for _ in range(10):
        robot.act(Action.SLOWER)
    assert robot.speed == 0.1


def test_emergency_stop_is_at_once_and_holds():
    robot = operation(speed_index=5)
    assert drive(robot, held(1.0), 1.0)[-1, 0] > 0.4
    robot.act(Action.EMERGENCY_STOP)
    assert (drive(robot, held(1.0), 2.0, from_s=1.0) == 0.0).all()
    robot.move(Stick(1.0, 0.0))
    assert (robot.tick(2.0) == 0.0).all()
    robot.act(Action.UNLOCK)
    assert drive(robot, [2.1], 2.4, from_s=2.05)[-1, 0] > 0.0


def test_emergency_stop_takes_the_robot():
    robot = operation()
    robot.act(Action.EMERGENCY_STOP)
    assert (robot.tick(0.0) == 0.0).all()


def test_giving_back_is_silence():
    robot = operation()
    drive(robot, [0.0], 0.5)
    robot.act(Action.RELEASE)
    assert np.isnan(drive(robot, [], 1.0, from_s=0.5)).all()


def test_program_that_stood_still_does_not_go_on_driving():
    robot = operation()
    drive(robot, held(1.0), 1.0)
    robot.press("w", 1.0)
    assert not robot.has_stalled(1.05)
    assert robot.has_stalled(1.5)
    assert (drive(robot, [], 2.0, from_s=1.5) == 0.0).all()  # the robot has stopped by itself


def test_joystick_drives_while_its_button_is_held():
    robot = operation(speed_index=5)
    robot.move(None)
    assert robot.tick(0.0) is None
    for tick in range(40):
        robot.move(Stick(0.5, -1.0))
        command = robot.tick(0.05 + tick * PERIOD_S)
    assert command == pytest.approx([0.5 * ACTION.high[0], ACTION.low[1]])
    for tick in range(40):
        robot.move(None)
        command = robot.tick(2.05 + tick * PERIOD_S)
    assert (command == 0.0).all()


def test_joystick_map():
    stick = JoystickMap(deadman=1, linear=0, angular=1, dead_zone=0.1)
    assert stick.read([1.0, -0.5], [0, 1]) == Stick(1.0, -0.5)
    assert stick.read([1.0, -0.5], [1, 0]) is None
    assert stick.read([0.05, float("nan")], [0, 1]) == Stick(0.0, 0.0)
    assert stick.read([7.0, -7.0], [0, 1]) == Stick(1.0, -1.0)
    with pytest.raises(TeleopError, match="has 1 of kind button, 1 is not among them"):
        stick.read([0.0, 0.0], [1])


def test_keys_in_bytes_however_they_are_cut():
    data = b"w\x1b[A\x1b[D\x1bOC \x1b[1;5Ax\x1b[200~" + "µ".encode() + b"q"
    expected = ["w", "up", "left", "right", " ", "x", "µ", "q"]
    for size in (1, 2, 3, len(data)):
        decoder = KeyDecoder()
        found = []
        for start in range(0, len(data), size):
            found += decoder.feed(data[start : start + size])
        assert found == expected


def test_every_action_has_a_key_and_no_key_two_meanings():
    assert set(ACTIONS.values()) == set(Action)
    assert not set(ACTIONS) & set(DIRECTIONS)
