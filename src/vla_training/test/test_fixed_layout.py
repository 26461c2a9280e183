"""Numbers from many messages at once are those of one message at a time."""

import dataclasses

import numpy as np
import pytest
from bag_making import TYPES, T, header, odometry_message, pose_message, twist
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_core.cdr import action_from_cdr, dock_pose_from_cdr, reading_from_cdr
from vla_core.decoding import OdometryReading
from vla_core.errors import DecodeError
from vla_core.geometry import Pose2D
from vla_training.conversion.fixed_layout import (
    POSE_TYPE,
    gathered,
    planar_poses,
    read_doubles,
)

TWIST = "geometry_msgs/msg/Twist"
TWIST_STAMPED = "geometry_msgs/msg/TwistStamped"
ODOMETRY = "nav_msgs/msg/Odometry"

numbers = st.floats(-1e3, 1e3)
frames = st.sampled_from(["", "odom", "base_link", "a_much_longer_frame_name", "ü"])


def packed(kind, messages, gap=b""):
    """Serialised messages one after the other: buffer, positions, lengths."""
    data = [bytes(TYPES.serialize_cdr(message, kind)) for message in messages]
    return pack(data, gap)


def pack(data, gap=b""):
    lengths = np.array([len(each) for each in data])
    positions = np.concatenate([[0], np.cumsum(lengths + len(gap))[:-1]]).astype(np.int64)
    return memoryview(gap.join(data)), positions, lengths


def stamped(kind, frame, stamp_ns, **fields):
    return T[kind](header=header(stamp_ns, frame), **fields)


def command(frame, values):
    return stamped("TwistStamped", frame, 5_000_000_007, twist=twist(*values))


@settings(deadline=None)
@given(
    st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6),
    frames,
    st.binary(max_size=9),
)
def test_twists(contract, values, frame, gap):
    action = contract.action
    for kind, messages in (
        (TWIST, [twist(*each) for each in values]),
        (TWIST_STAMPED, [command(frame, each) for each in values]),
    ):
        buffer, positions, lengths = packed(kind, messages, gap)
        found = read_doubles(kind, buffer, positions, lengths)
        for row, position, length in zip(found, positions, lengths, strict=True):
            _, expected = action_from_cdr(action, kind, buffer[position : position + length])
            np.testing.assert_array_equal(row[[0, 5]].astype(np.float32), expected)


@settings(deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6), frames, frames)
def test_odometry(contract, values, frame, child):
    stream = contract.streams[2]
    messages = [
        dataclasses.replace(
            odometry_message(0, OdometryReading(*each)),
            header=header(3, frame),
            child_frame_id=child,
        )
        for each in values
    ]
    buffer, positions, lengths = packed(ODOMETRY, messages)
    found = read_doubles(ODOMETRY, buffer, positions, lengths)
    for row, position, length in zip(found, positions, lengths, strict=True):
        _, reading = reading_from_cdr(stream, buffer[position : position + length])
        assert (reading.linear_x, reading.angular_z) == (row[0], row[5])


@settings(deadline=None)
@given(st.lists(st.tuples(numbers, numbers, st.floats(-3, 3)), min_size=1, max_size=6), frames)
def test_poses(values, frame):
    messages = [
        stamped("PoseStamped", frame, 3, pose=pose_message(Pose2D(*each))) for each in values
    ]
    buffer, positions, lengths = packed(POSE_TYPE, messages)
    found = read_doubles(POSE_TYPE, buffer, positions, lengths)
    planar = planar_poses(found).tolist()
    for row, position, length in zip(planar, positions, lengths, strict=True):
        _, expected = dock_pose_from_cdr(buffer[position : position + length])
        assert Pose2D(*row) == expected


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.floats()] * 7), min_size=1, max_size=3))
def test_any_seven_numbers_are_a_pose_in_both_ways_or_in_none(values):
    try:
        expected = [Pose2D.from_quaternion(x, y, *rest) for x, y, _, *rest in values]
    except ValueError:
        assert planar_poses(np.array(values)) is None
    else:
        found = [Pose2D(*row) for row in planar_poses(np.array(values)).tolist()]
        assert repr(found) == repr(expected)


@pytest.mark.parametrize("count", [1, 7, 64])
def test_bytes_are_gathered_from_the_first_to_the_last(count):
    data = np.random.default_rng(3).integers(0, 256, 200, np.uint8)
    positions = np.array([0, 3, 4, 3, 200 - count])
    found = gathered(memoryview(data), positions, count)
    np.testing.assert_array_equal(found, [data[p : p + count] for p in positions])
    with pytest.raises(IndexError):
        gathered(memoryview(data), positions + 1, count)


def test_messages_of_different_layouts_are_left_alone():
    messages = [command(frame, (0.1, 0.2)) for frame in ("odom", "base_link")]
    assert read_doubles(TWIST_STAMPED, *packed(TWIST_STAMPED, messages)) is None
    # Equally long, but the text ends elsewhere: padding fills up the difference.
    messages = [command(frame, (0.1, 0.2)) for frame in ("base", "base_")]
    buffer, positions, lengths = packed(TWIST_STAMPED, messages)
    assert len(set(lengths.tolist())) == 1
    assert read_doubles(TWIST_STAMPED, buffer, positions, lengths) is None
    assert read_doubles("sensor_msgs/msg/Image", buffer, positions, lengths) is None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_taken_could_be_read_one_by_one(contract, data):
    """Flipped and cut bytes: what this reads, the reader of single messages reads alike."""
    messages = [command("base_link", (0.1 * i, -0.2)) for i in range(3)]
    raw = [bytearray(TYPES.serialize_cdr(message, TWIST_STAMPED)) for message in messages]
    for _ in range(data.draw(st.integers(1, 3))):
        victim = raw[data.draw(st.integers(0, 2))]
        victim[data.draw(st.integers(0, len(victim) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 8))
    raw = [each[: len(each) - cut] for each in raw]
    buffer, positions, lengths = pack([bytes(each) for each in raw])
    found = read_doubles(TWIST_STAMPED, buffer, positions, lengths)
    if found is None:
        return
    for row, each in zip(found, raw, strict=True):
        values = row[[0, 5]]
        if not (np.abs(values) <= 1e6).all():
            with pytest.raises(DecodeError):
                action_from_cdr(contract.action, TWIST_STAMPED, bytes(each))
            continue
        _, expected = action_from_cdr(contract.action, TWIST_STAMPED, bytes(each))
        np.testing.assert_array_equal(values.astype(np.float32), expected)
