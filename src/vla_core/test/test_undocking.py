"""Leaving the dock: a law of the pose alone."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_core.geometry import Pose2D, arc
from vla_core.undocking import DEFAULT_UNDOCK_PARAMETERS, undock_action

positions = st.floats(-3.0, 0.05)
offsets = st.floats(-1.5, 1.5)
angles = st.floats(-math.pi, math.pi)


def undocking_run(pose, seconds=20.0, period=0.05):
    path = [pose]
    for _ in range(round(seconds / period)):
        v, w = undock_action(pose)
        if (v, w) == (0.0, 0.0):
            break
        pose = pose @ arc(v, w, period)
        path.append(pose)
    return path


@given(x=st.floats(-0.02, 0.02), y=st.floats(-0.01, 0.01), yaw=st.floats(-0.035, 0.035))
@settings(max_examples=60, deadline=None)
def test_undocking_from_anywhere_in_the_dock_ends_at_the_staging_pose(x, y, yaw):
    path = undocking_run(Pose2D(x, y, yaw))
    end, staging = path[-1], -DEFAULT_UNDOCK_PARAMETERS.staging_m
    assert abs(end.x - staging) <= DEFAULT_UNDOCK_PARAMETERS.tolerance_m + 1e-9
    assert abs(end.y) < 0.02
    assert abs(end.yaw) < math.radians(1.0)
    assert (len(path) - 1) * 0.05 < 8.0
    # Out of the dock first, without a swing: the pillars are 5 cm beside the robot.
    beside = [abs(pose.y - path[0].y) for pose in path if pose.x > -0.12]
    assert max(beside) < 0.006


@given(x=positions, y=offsets, yaw=angles)
@settings(max_examples=300, deadline=None)
def test_undocking_only_backs_and_stays_within_its_limits(x, y, yaw):
    p = DEFAULT_UNDOCK_PARAMETERS
    v, w = undock_action(Pose2D(x, y, yaw))
    assert -p.max_linear_mps <= v <= 0.0
    assert abs(w) <= p.max_angular_radps
    if x > -p.straight_m:
        assert w == 0.0
    if x <= -p.staging_m:
        assert (v, w) == (0.0, 0.0)


@given(x=st.floats(-0.7, 0.02), y=st.floats(-0.3, 0.3), yaw=st.floats(-0.5, 0.5))
@settings(max_examples=200, deadline=None)
def test_undocking_is_the_same_to_both_sides_and_changes_smoothly(x, y, yaw):
    v, w = undock_action(Pose2D(x, y, yaw))
    v_mirrored, w_mirrored = undock_action(Pose2D(x, -y, -yaw))
    assert (v_mirrored, w_mirrored) == pytest.approx((v, -w), abs=1e-12)
    stop = -DEFAULT_UNDOCK_PARAMETERS.staging_m + DEFAULT_UNDOCK_PARAMETERS.tolerance_m
    if abs(x - stop) > 0.002:
        near = undock_action(Pose2D(x + 1e-3, y + 1e-3, yaw + 1e-3))
        assert near == pytest.approx((v, w), abs=0.01)
