"""The expert as a pure function of the pose."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_core.geometry import Pose2D
from vla_simulation.controllers.expert import expert_action

positions = st.floats(-3.0, 0.05)
offsets = st.floats(-1.5, 1.5)
angles = st.floats(-math.pi, math.pi)


def kinematic_run(pose, seconds=40.0, period=0.05):
    """Follow the expert without dynamics; returns the path."""
    path = [pose]
    for _ in range(round(seconds / period)):
        v, w = expert_action(pose)
        middle = pose.yaw + 0.5 * w * period
        pose = Pose2D(
            pose.x + v * period * math.cos(middle),
            pose.y + v * period * math.sin(middle),
            math.remainder(pose.yaw + w * period, math.tau),
        )
        path.append(pose)
    return path


@given(x=positions, y=offsets, yaw=angles)
@settings(max_examples=300, deadline=None)
def test_commands_are_finite_and_within_the_limits(x, y, yaw):
    v, w = expert_action(Pose2D(x, y, yaw))
    assert -0.3 <= v <= 0.5
    assert -1.0 <= w <= 1.0


@given(x=positions, y=offsets, yaw=st.floats(-3.1, 3.1))
@settings(max_examples=200, deadline=None)
def test_left_and_right_are_mirror_images(x, y, yaw):
    v, w = expert_action(Pose2D(x, y, yaw))
    v_mirrored, w_mirrored = expert_action(Pose2D(x, -y, -yaw))
    assert v_mirrored == pytest.approx(v, abs=1e-9)
    assert w_mirrored == pytest.approx(-w, abs=1e-9)


@given(
    distance=st.floats(0.6, 3.0),
    bearing=st.floats(-0.75, 0.75),
    heading=st.floats(-0.6, 0.6),
)
@settings(max_examples=40, deadline=None)
def test_every_start_ends_in_the_dock(distance, bearing, heading):
    x, y = -distance * math.cos(bearing), distance * math.sin(bearing)
    end = kinematic_run(Pose2D(x, y, math.atan2(-y, -x) + heading))[-1]
    assert abs(end.x) < 0.003
    assert abs(end.y) < 0.003
    assert abs(end.yaw) < math.radians(0.5)


@given(x=st.floats(-0.25, -0.02), y=st.floats(-0.15, 0.15), yaw=st.floats(-0.5, 0.5))
@settings(max_examples=40, deadline=None)
def test_it_backs_off_from_bad_places_near_the_station_and_comes_in_again(x, y, yaw):
    path = kinematic_run(Pose2D(x, y, yaw))
    end = path[-1]
    assert abs(end.x) < 0.003
    assert abs(end.y) < 0.010
    assert abs(end.yaw) < math.radians(1.0)
    speeds = [expert_action(pose)[0] for pose in path]
    turnarounds = sum((a < 0) != (b < 0) for a, b in itertools.pairwise(speeds))
    assert turnarounds <= 3  # no chattering at the border


def test_beside_the_contacts_it_backs_off():
    assert expert_action(Pose2D(-0.03, 0.05, 0.0))[0] < -0.1
    assert expert_action(Pose2D(0.0, 0.02, 0.0))[0] < -0.1


def test_in_the_dock_it_rests():
    assert expert_action(Pose2D(0.0, 0.0, 0.0)) == (0.0, 0.0)
    assert expert_action(Pose2D(-0.001, 0.001, 0.002)) == (0.0, 0.0)


def test_beyond_the_docked_pose_it_eases_back():
    v, w = expert_action(Pose2D(0.006, 0.0, 0.0))
    assert -0.05 < v < 0.0
    assert w == 0.0


def test_the_approach_slows_down_in_proportion():
    speeds = [expert_action(Pose2D(-d, 0.0, 0.0))[0] for d in (2.0, 0.3, 0.1, 0.05, 0.01, 0.002)]
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[2] == pytest.approx(0.095, rel=0.05)
    assert 0.0 < speeds[-1] < 0.01


@given(x=st.floats(-3.0, 0.05), y=offsets, yaw=angles)
@settings(max_examples=300, deadline=None)
def test_the_expert_never_asks_for_what_no_drive_follows(x, y, yaw):
    """Commands below every drive's deadband are none, so that rest is labelled as rest."""
    v, w = expert_action(Pose2D(x, y, yaw))
    assert (v, w) == (0.0, 0.0) or abs(v) >= 0.004 or abs(w) >= 0.008
