import numpy as np
import pytest
from bag_fixtures import contract

from vla_recorder.teleop.command_arbiter import NOBODY, PERSON, POLICY, CommandArbiter

ACTION = contract().action
PERIOD_S = 1.0 / ACTION.rate_hz
FAST = np.array([0.4, 0.2])
ZERO = np.zeros(2)


def speak(arbiter, source, values, from_s, seconds):
    """Commands at the control rate; what became of the last one, and the time after it."""
    passed = None
    for tick in range(round(seconds / PERIOD_S)):
        passed = arbiter.hear(source, values, from_s + tick * PERIOD_S)
    return passed, from_s + seconds


def test_policy_drives_until_a_person_says_anything():
    arbiter = CommandArbiter(ACTION)
    assert arbiter.driver(0.0) == NOBODY
    passed, now_s = speak(arbiter, POLICY, FAST, 0.0, 1.0)
    assert passed == pytest.approx(FAST)
    assert arbiter.driver(now_s) == POLICY
    assert arbiter.hear(PERSON, ZERO, now_s) == pytest.approx(ZERO)  # a stop is not ramped
    assert arbiter.driver(now_s) == PERSON
    assert arbiter.hear(POLICY, FAST, now_s) is None


def test_silence_of_a_person_stops_the_robot_and_never_lets_the_policy_drive():
    arbiter = CommandArbiter(ACTION)
    _, now_s = speak(arbiter, PERSON, FAST, 0.0, 1.0)
    assert arbiter.tick(now_s) is None
    for tick in range(100):
        moment_s = now_s + 0.3 + tick * PERIOD_S
        assert arbiter.hear(POLICY, FAST, moment_s) is None
        assert arbiter.tick(moment_s) == pytest.approx(ZERO)
        assert arbiter.driver(moment_s) == PERSON


def test_silence_of_the_policy_stays_silence():
    arbiter = CommandArbiter(ACTION)
    _, now_s = speak(arbiter, POLICY, FAST, 0.0, 1.0)
    assert arbiter.tick(now_s + 5.0) is None
    assert arbiter.driver(now_s + 5.0) == NOBODY


def test_giving_back_is_smooth():
    arbiter = CommandArbiter(ACTION)
    _, now_s = speak(arbiter, PERSON, ZERO, 0.0, 1.0)
    assert arbiter.release()
    assert not arbiter.release()
    steps = np.array(ACTION.max_acceleration) * 2 * PERIOD_S
    last = ZERO
    for tick in range(20):
        command = arbiter.hear(POLICY, FAST, now_s + tick * PERIOD_S)
        assert (np.abs(command - last) <= steps + 1e-9).all()
        last = command
    assert last == pytest.approx(FAST)


def test_after_a_silence_the_robot_counts_as_standing():
    arbiter = CommandArbiter(ACTION)
    _, now_s = speak(arbiter, POLICY, FAST, 0.0, 1.0)
    command = arbiter.hear(POLICY, FAST, now_s + 2.0)
    assert command[0] <= ACTION.max_acceleration[0] * 2 * PERIOD_S + 1e-9


@pytest.mark.parametrize("values", [[9.0, -9.0], [np.nan, np.inf]])
def test_what_is_passed_on_is_within_the_limits(values):
    arbiter = CommandArbiter(ACTION)
    for tick in range(100):
        command = arbiter.hear(POLICY, np.array(values), tick * PERIOD_S)
        assert (command >= ACTION.low).all()
        assert (command <= ACTION.high).all()
    if np.isnan(values[0]):
        assert (command == 0.0).all()


def test_turning_round_is_ramped():
    arbiter = CommandArbiter(ACTION)
    _, now_s = speak(arbiter, POLICY, np.array([0.4, 0.0]), 0.0, 1.0)
    command = arbiter.hear(POLICY, np.array([-0.3, 0.0]), now_s)
    assert command[0] == pytest.approx(0.4 - ACTION.max_acceleration[0] * PERIOD_S)
