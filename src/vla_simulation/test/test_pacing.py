import numpy as np
import pytest

from vla_simulation.ros.pacing import Pacer


def test_on_time_every_call_is_one_period():
    pacer = Pacer(0.05)
    assert [pacer.due(10.0 + 0.05 * k) for k in range(20)] == [1] * 20


def test_jitter_neither_skips_nor_doubles():
    pacer = Pacer(0.05)
    jitter = [0.0, 0.004, -0.006, 0.010, -0.010, 0.0]
    assert sum(pacer.due(0.05 * k + j) for k, j in enumerate(jitter)) == 6


def test_a_late_call_catches_up():
    pacer = Pacer(0.05)
    assert pacer.due(0.0) == 1
    assert pacer.due(0.15) == 3
    assert pacer.due(0.20) == 1


def test_what_is_far_behind_is_given_up():
    pacer = Pacer(0.05, max_catch_up=4)
    pacer.due(0.0)
    assert pacer.due(100.0) == 4
    assert pacer.due(100.05) == 1


def test_an_early_call_waits():
    pacer = Pacer(0.05)
    pacer.due(0.0)
    assert pacer.due(0.01) == 0
    assert pacer.due(0.05) == 1


def test_what_is_scheduled_is_regular_and_never_in_the_future():
    pacer = Pacer(0.05)
    times_s = [10.02, 10.05, 10.11, 10.151, 10.26, 10.31]  # the first call was late
    scheduled = []
    for now_s in times_s:
        assert pacer.due(now_s) >= 1
        assert pacer.scheduled_s <= now_s + 1e-9
        scheduled.append(pacer.scheduled_s)
    assert scheduled[0] == pytest.approx(10.02)
    assert np.diff(scheduled[1:]) == pytest.approx([0.05, 0.05, 0.1, 0.05])


def test_nothing_is_scheduled_before_the_first_call():
    with pytest.raises(RuntimeError, match="before the first call"):
        print(Pacer(0.05).scheduled_s)


def test_restart_begins_to_count_again():
    pacer = Pacer(0.05)
    pacer.due(0.0)
    pacer.restart()
    assert pacer.due(50.0) == 1
