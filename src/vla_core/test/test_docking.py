import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_core.docking import DOCKED, PRECISE, DockedMonitor, DockTolerance
from vla_core.geometry import Pose2D

DOCKED_POSE = Pose2D(0.019, -0.009, math.radians(-1.9))


def test_tolerances_are_the_documented_ones():
    assert DockTolerance() == DOCKED
    assert (DOCKED.longitudinal_m, DOCKED.lateral_m, DOCKED.speed_mps) == (0.02, 0.01, 0.01)
    assert (DOCKED.yaw_rad, DOCKED.settle_s) == (math.radians(2), 0.5)
    assert (PRECISE.longitudinal_m, PRECISE.lateral_m) == (0.003, 0.003)
    assert (PRECISE.yaw_rad, PRECISE.settle_s) == (math.radians(0.5), 0.5)


@pytest.mark.parametrize(
    ("pose", "inside"),
    [
        (Pose2D(), True),
        (DOCKED_POSE, True),
        (Pose2D(-0.02, 0.01, math.radians(2)), True),
        (Pose2D(0.021, 0, 0), False),
        (Pose2D(-0.021, 0, 0), False),
        (Pose2D(0, 0.011, 0), False),
        (Pose2D(0, 0, math.radians(2.1)), False),
        (Pose2D(0, 0, math.tau - 0.01), True),
        (Pose2D(0, 0, math.pi), False),
        (Pose2D(math.nan, 0, 0), False),
        (Pose2D(0, math.nan, 0), False),
        (Pose2D(0, 0, math.nan), False),
    ],
)
def test_pose_tolerance(pose, inside):
    assert DOCKED.contains(pose) is inside


def test_half_a_second_at_20_hz_is_eleven_samples():
    monitor = DockedMonitor()
    answers = [monitor.update(DOCKED_POSE, 0.005, 0.05) for _ in range(12)]
    assert answers == [False] * 10 + [True] * 2
    assert monitor.settled_s == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("pose", "speed"),
    [(Pose2D(0.03, 0, 0), 0.0), (Pose2D(), 0.01), (Pose2D(), -0.02), (Pose2D(), math.nan)],
)
def test_any_interruption_starts_over(pose, speed):
    monitor = DockedMonitor()
    for _ in range(8):
        monitor.update(Pose2D(), 0.0, 0.05)
    assert not monitor.update(pose, speed, 10.0)
    assert monitor.settled_s == 0.0
    assert not monitor.update(Pose2D(), 0.0, 10.0), "the time before the first sample is unknown"
    assert monitor.update(Pose2D(), 0.0, 0.5)
    monitor.reset()
    assert not monitor.update(Pose2D(), 0.0, 10.0)


@given(st.lists(st.tuples(st.floats(-0.04, 0.04), st.floats(-0.02, 0.02), st.floats())))
def test_docked_means_at_rest_in_place_for_the_settling_time(samples):
    monitor = DockedMonitor()
    rest_s = None
    for x, speed, dt_s in samples:
        dt_s = min(dt_s, 1.0)
        docked = monitor.update(Pose2D(x, 0, 0), speed, dt_s)
        if not (abs(x) <= 0.02 and abs(speed) < 0.01):
            rest_s = None
        elif rest_s is None:
            rest_s = 0.0
        else:
            rest_s += dt_s if dt_s > 0.0 else 0.0
        assert not docked or (rest_s is not None and rest_s >= 0.5 - 1e-6)
        assert docked or rest_s is None or rest_s <= 0.5 + 1e-6
