import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_core.geometry import Pose2D, wrap_angle

coordinates = st.floats(-100.0, 100.0)
angles = st.floats(-50.0, 50.0)
poses = st.builds(Pose2D, coordinates, coordinates, angles)


def assert_close(a: Pose2D, b: Pose2D) -> None:
    assert a.x == pytest.approx(b.x, abs=1e-9)
    assert a.y == pytest.approx(b.y, abs=1e-9)
    assert abs(wrap_angle(a.yaw - b.yaw)) < 1e-9


@given(angles)
def test_wrapped_angles_are_the_same_direction_within_half_a_turn(angle):
    wrapped = wrap_angle(angle)
    assert -math.pi < wrapped <= math.pi
    assert math.cos(wrapped) == pytest.approx(math.cos(angle), abs=1e-9)
    assert math.sin(wrapped) == pytest.approx(math.sin(angle), abs=1e-9)


@pytest.mark.parametrize("angle", [math.nan, math.inf, -math.inf])
def test_angles_that_are_not_finite_have_no_direction(angle):
    assert math.isnan(wrap_angle(angle))


def test_half_a_turn_has_one_sign():
    assert wrap_angle(-math.pi) == wrap_angle(math.pi) == math.pi


@given(poses, poses, poses)
def test_poses_form_a_group(a, b, c):
    assert_close((a @ b) @ c, a @ (b @ c))
    assert_close(a @ a.inverse(), Pose2D())
    assert_close(a.inverse().inverse(), a)
    assert_close(a @ Pose2D(), a)


@given(poses, poses)
def test_relative_pose_leads_from_frame_to_pose(world_from_base, world_from_dock):
    dock_from_base = world_from_base.relative_to(world_from_dock)
    assert_close(world_from_dock @ dock_from_base, world_from_base)
    assert dock_from_base.distance == pytest.approx(
        math.hypot(world_from_base.x - world_from_dock.x, world_from_base.y - world_from_dock.y),
        abs=1e-9,
    )


def test_base_in_front_of_the_dock_has_negative_x_and_left_is_positive_y():
    world_from_dock = Pose2D(2.0, 1.0, math.pi / 2)  # the dock's x axis points along world y
    dock_from_base = Pose2D(2.0, 0.0, math.pi / 2).relative_to(world_from_dock)
    assert_close(dock_from_base, Pose2D(-1.0, 0.0, 0.0))
    assert_close(Pose2D(1.0, 1.0, 0.0).relative_to(world_from_dock), Pose2D(0, 1, -math.pi / 2))


def message(x=0.0, y=0.0, q=(0.0, 0.0, 0.0, 1.0)):
    return SimpleNamespace(
        position=SimpleNamespace(x=x, y=y, z=0.0),
        orientation=SimpleNamespace(**dict(zip("xyzw", q, strict=True))),
    )


@given(poses, st.floats(0.5, 2.0))
def test_poses_survive_messages_even_with_unnormalised_quaternions(pose, length):
    q = tuple(length * value for value in pose.quaternion())
    assert_close(Pose2D.from_message(message(pose.x, pose.y, q)), pose)


@pytest.mark.parametrize(
    "bad", [message(q=(0, 0, 0, 0)), message(x=math.nan), message(q=(0, 0, 0, math.inf))]
)
def test_messages_without_a_pose_are_refused(bad):
    with pytest.raises(ValueError, match="expected finite values and a length of 1"):
        Pose2D.from_message(bad)
