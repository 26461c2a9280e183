import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_core.geometry import Pose2D
from vla_simulation.controllers.dead_reckoning import DeadReckoning, arc

TICK_NS = 20_000_000
speeds = st.floats(-0.5, 0.5)
rates = st.floats(-1.0, 1.0)


def close(a, b, tolerance=1e-9):
    return (
        math.hypot(a.x - b.x, a.y - b.y) < tolerance
        and abs(math.remainder(a.yaw - b.yaw, math.tau)) < tolerance
    )


def driven(twists):
    odometry = DeadReckoning()
    for number, twist in enumerate(twists):
        odometry.add(number * TICK_NS, *twist)
    return odometry


@given(v=speeds, w=rates, duration=st.floats(0.0, 3.0))
def test_an_arc_is_what_many_short_steps_add_up_to(v, w, duration):
    x = y = yaw = 0.0
    steps = 3000
    for _ in range(steps):
        middle = yaw + 0.5 * w * duration / steps
        x += v * duration / steps * math.cos(middle)
        y += v * duration / steps * math.sin(middle)
        yaw += w * duration / steps
    assert close(arc(v, w, duration), Pose2D(x, y, yaw), 1e-6)


@given(v=speeds, w=rates, begin=st.integers(0, 399), length=st.integers(0, 400))
def test_a_constant_twist_gives_its_arc_between_any_two_times(v, w, begin, length):
    odometry = driven([(v, w)] * 41)
    begin_ns, length_ns = begin * 1_000_000, length * 1_000_000
    moved = odometry.motion(begin_ns, begin_ns + length_ns)
    assert close(moved, arc(v, w, length_ns * 1e-9), 1e-6)


@given(st.lists(st.tuples(speeds, rates), min_size=3, max_size=30))
def test_motions_compose_and_invert(twists):
    odometry = driven(twists)
    end = (len(twists) - 1) * TICK_NS
    middle = end // 3 + 1
    whole = odometry.motion(0, end)
    assert close(odometry.motion(0, middle) @ odometry.motion(middle, end), whole)
    assert close(odometry.motion(end, 0), whole.inverse())


def test_the_newest_twist_is_held_for_a_while_only():
    odometry = driven([(0.4, 0.0)] * 3)
    newest = 2 * TICK_NS
    assert odometry.motion(newest, newest + 50_000_000).x == pytest.approx(0.02)
    assert odometry.motion(newest, newest + 10_000_000_000).x == pytest.approx(0.4 * 0.2)


def test_samples_that_come_twice_or_late_change_nothing():
    odometry = driven([(0.4, 0.1)] * 5)
    before = odometry.motion(0, 4 * TICK_NS)
    odometry.add(4 * TICK_NS, -9.0, 9.0)
    odometry.add(2 * TICK_NS, -9.0, 9.0)
    assert odometry.motion(0, 4 * TICK_NS) == before


def test_without_samples_nothing_moves():
    assert DeadReckoning().motion(0, 10**9) == Pose2D()
