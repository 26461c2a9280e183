"""Messages of the live graph against the contract."""

from types import SimpleNamespace

import pytest
from policy_fixtures import BEAMS, contract

from vla_core import keys
from vla_policy_node.sensing.deploy_check import DeployCheck, is_slow, type_differences
from vla_policy_node.sensing.streams import StreamState


def image(width=40, height=30, encoding="rgb8"):
    return SimpleNamespace(width=width, height=height, encoding=encoding)


def scan(**changes):
    values = {
        "angle_min": -2.0 + 2.0 / BEAMS,
        "angle_increment": 4.0 / BEAMS,
        "ranges": [3.0] * BEAMS,
        "range_min": 0.05,
        "range_max": 8.0,
    }
    return SimpleNamespace(**(values | changes))


def odometry(frame="base_link"):
    return SimpleNamespace(child_frame_id=frame)


GOOD = [
    (keys.IMAGE, image()),
    (keys.IMAGE, image(640, 480, "bgr8")),
    (keys.IMAGE, image(32, 24)),
    (keys.SCAN, scan()),
    (keys.SCAN, scan(angle_min=-3.14, angle_increment=0.01, ranges=[1.0] * 629, range_max=30.0)),
    (keys.SCAN, scan(angle_min=0.0, angle_increment=0.0175, ranges=[1.0] * 359)),
    (keys.SCAN, scan(angle_min=1.8, angle_increment=-0.1, ranges=[1.0] * 38)),
    (keys.ODOMETRY, odometry()),
    (keys.ODOMETRY, odometry("")),
    (keys.ODOMETRY, odometry("/base_link")),
]


@pytest.mark.parametrize(("key", "message"), GOOD)
def test_what_fits_is_silent(key, message):
    check = DeployCheck(contract())
    assert check.look_at(key, message) == ()
    assert check.differences == ()


@pytest.mark.parametrize(
    ("key", "message", "expected"),
    [
        (
            keys.IMAGE,
            image(20, 15),
            "image (camera/image_raw): 20 x 15 pixels received, at least 32 x 24 expected after "
            "cropping; set the camera to a larger picture",
        ),
        (
            keys.IMAGE,
            image(1280, 720),
            "image (camera/image_raw): 1280 x 720 pixels received, after cropping 1.778 times as "
            "wide as high, 1.333 expected: the policy would see everything stretched",
        ),
        (
            keys.SCAN,
            scan(angle_min=-1.0, angle_increment=0.25),
            "scan (scan): angles from -1.000 to 1.000 rad received, -2.000 to 2.000 rad expected",
        ),
        (
            keys.SCAN,
            scan(angle_min=0.0, angle_increment=0.4),
            "scan (scan): angles from 0.000 to 3.200 rad received, -2.000 to 2.000 rad expected",
        ),
        (
            keys.SCAN,
            scan(angle_increment=1.0, ranges=[1.0] * 5),
            "scan (scan): 5 beams 1.0000 rad apart received, at most 0.4444 rad apart expected "
            "for 9 sectors",
        ),
        (
            keys.SCAN,
            scan(range_max=4.0),
            "scan (scan): range_max 4 m received, at least 8 m expected",
        ),
        (
            keys.SCAN,
            scan(range_min=0.5),
            "scan (scan): range_min 0.5 m received, at most 0.05 m expected",
        ),
        (
            keys.ODOMETRY,
            odometry("imu_link"),
            "odometry (odom): measured in frame 'imu_link', 'base_link' expected",
        ),
    ],
)
def test_what_differs_is_named_once_with_both_sides(key, message, expected):
    check = DeployCheck(contract())
    assert check.look_at(key, message) == (expected,)
    assert check.look_at(key, message) == ()
    assert check.differences == (expected,)


def test_a_stream_that_is_put_right_differs_no_more():
    check = DeployCheck(contract())
    check.look_at(keys.IMAGE, image(1280, 720))
    check.look_at(keys.IMAGE, image())
    assert check.differences == ()
    assert len(check.look_at(keys.IMAGE, image(1280, 720))) == 1


def test_the_frame_of_the_dock_pose():
    check = DeployCheck(contract())
    pose = SimpleNamespace(header=SimpleNamespace(frame_id="map"))
    expected = "dock pose: measured in frame 'map', 'base_link' expected"
    assert check.look_at_dock_pose(pose) == (expected,)
    assert check.look_at_dock_pose(pose) == ()
    assert check.differences == (expected,)


def state(rate_hz, messages=100, age_s=0.01):
    return StreamState(keys.SCAN, "scan", rate_hz, age_s, 1.0, messages)


def test_a_stream_at_a_fraction_of_its_rate_is_named():
    check = DeployCheck(contract())
    assert check.judge_rates((state(19.0),)) == ()
    assert is_slow(state(12.0), 20.0)
    assert check.judge_rates((state(12.0),)) == (), "slow, and shown as such, but not another one"
    expected = "scan (scan): 4.0 messages per second received, 20 expected"
    assert check.judge_rates((state(4.0),)) == (expected,)
    assert check.judge_rates((state(4.0),)) == ()
    assert check.differences == (expected,)
    check.judge_rates((state(19.0),))
    assert check.differences == ()


def test_a_stream_that_has_just_begun_is_not_judged():
    check = DeployCheck(contract())
    assert check.judge_rates((state(2.0, messages=3),)) == ()
    assert check.judge_rates((state(0.0, messages=500, age_s=30.0),)) == (), "that is its age"


def publisher(topic_type, reliability="RELIABLE", durability="VOLATILE"):
    qos = SimpleNamespace(
        reliability=SimpleNamespace(name=reliability), durability=SimpleNamespace(name=durability)
    )
    return SimpleNamespace(topic_type=topic_type, node_name="driver", qos_profile=qos)


def test_publishers_that_will_never_be_heard_are_named():
    of = {
        "camera/image_raw": [publisher("sensor_msgs/msg/CompressedImage")],
        "scan": [publisher("sensor_msgs/msg/LaserScan", "BEST_EFFORT")],
    }
    assert type_differences(contract(), lambda topic: of.get(topic, [])) == (
        "image (camera/image_raw): driver publishes sensor_msgs/msg/CompressedImage, "
        "sensor_msgs/msg/Image expected",
    )
    values = contract().to_dict()
    values["streams"][1]["qos"]["reliability"] = "reliable"
    reliable = contract(streams=values["streams"])
    assert type_differences(reliable, lambda topic: of[topic] if topic == "scan" else []) == (
        "scan (scan): driver publishes best_effort, reliable expected",
    )
