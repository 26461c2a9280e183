import array
import math
from types import SimpleNamespace

import core_builders as cb
import core_strategies as cs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla_core.contract import Contract, ScanDecoder
from vla_core.decoding import (
    ImageReading,
    OdometryReading,
    ScanReading,
    action_from_message,
    decode,
    decode_images,
    dock_pose_from_message,
    fill_action_message,
    reading_from_message,
    stamp_ns_of,
)
from vla_core.errors import DecodeError

CONTRACT = Contract.from_dict(cb.contract_dict())
IMAGE, SCAN, ODOMETRY = CONTRACT.streams
PIXELS = np.arange(3 * 4 * 3, dtype=np.uint8).reshape(3, 4, 3) * 7


# Images


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "raw"),
    [
        ("rgb8", PIXELS),
        ("bgr8", PIXELS[..., ::-1]),
        ("rgba8", np.concatenate([PIXELS, PIXELS[..., :1]], axis=2)),
        ("bgra8", np.concatenate([PIXELS[..., ::-1], PIXELS[..., :1]], axis=2)),
    ],
)
def test_colour_encodings_with_and_without_padding(encoding, raw, padding):
    reading = reading_from_message(IMAGE, cb.image_message(raw, encoding, padding))
    assert (reading.rgb == PIXELS).all()
    assert reading.rgb.flags.c_contiguous


def test_grey_images_become_grey_rgb():
    reading = reading_from_message(IMAGE, cb.image_message(PIXELS[..., :1], "mono8", 2))
    assert (reading.rgb == PIXELS[..., :1]).all()
    assert reading.rgb.shape == PIXELS.shape


@pytest.mark.parametrize(
    "convert",
    [
        bytes,
        bytearray,
        list,
        memoryview,
        lambda data: array.array("B", data),
        lambda data: np.frombuffer(data, np.uint8),
    ],
)
def test_every_kind_of_data_field_gives_the_same_copy(convert):
    message = cb.image_message(PIXELS)
    message.data = convert(message.data)
    reading = reading_from_message(IMAGE, message)
    assert (reading.rgb == PIXELS).all()
    if isinstance(message.data, (bytearray, array.array)):
        message.data[0] = 99
        assert reading.rgb[0, 0, 0] == 0


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (
            "encoding",
            "16UC1",
            "encoding '16UC1' is not supported, only rgb8, bgr8, rgba8, bgra8, mono8, yuv422",
        ),
        ("encoding", None, "encoding None"),
        ("encoding", ["rgb8"], "unhashable"),
        ("step", 11, "step of 11 bytes, expected at least 12 for 4 pixels of rgb8"),
        ("step", 13, "36 bytes of image data, expected 39 for 3 rows of 13 bytes"),
        ("data", b"\0" * 35, "35 bytes of image data, expected 36"),
        ("data", b"", "0 bytes of image data, expected 36"),
        ("data", [300] * 36, "values that are no bytes"),
        ("data", [math.nan] * 36, "values that are no bytes"),
        ("data", None, "expected sensor_msgs/msg/Image"),
        ("data", "text", "expected sensor_msgs/msg/Image"),
        ("height", 0, "image of 4 x 0 pixels"),
        ("width", -1, "image of -1 x 3 pixels"),
        ("height", "tall", "expected sensor_msgs/msg/Image"),
    ],
)
def test_malformed_images_are_named(field, value, expected):
    message = cb.image_message(PIXELS)
    setattr(message, field, value)
    with pytest.raises(DecodeError) as caught:
        reading_from_message(IMAGE, message)
    assert expected in str(caught.value)
    assert str(caught.value).startswith("stream 'image' (topic camera/image_raw): ")


def test_messages_of_another_type_are_refused():
    with pytest.raises(DecodeError, match="expected sensor_msgs/msg/Image"):
        reading_from_message(IMAGE, cb.scan_message([1.0]))
    with pytest.raises(DecodeError, match="expected sensor_msgs/msg/LaserScan"):
        reading_from_message(SCAN, cb.image_message(PIXELS))
    with pytest.raises(DecodeError, match="expected nav_msgs/msg/Odometry"):
        reading_from_message(ODOMETRY, None)


def with_crop(crop):
    values = cb.contract_dict()
    values["streams"][0]["decoder"] = {"height_px": 2, "width_px": 3, "crop_fraction": crop}
    return Contract.from_dict(values).stream("image")


def test_images_are_cropped_before_they_are_resized():
    image = np.zeros((20, 30, 3), np.uint8)
    image[5:15, 6:21] = 200
    stream = with_crop({"top": 0.25, "bottom": 0.25, "left": 0.2, "right": 0.3})
    assert (decode(stream, ImageReading(image)) == 200).all()


def test_several_images_are_decoded_as_each_alone():
    pictures = np.random.default_rng(5).integers(0, 256, (3, 30, 41, 3), np.uint8)
    different = [pictures[0], pictures[1, :20, 5:], pictures[2]]
    out = np.zeros((3, *IMAGE.shape), np.uint8)
    decode_images(IMAGE, different, out)
    np.testing.assert_array_equal(out, [decode(IMAGE, ImageReading(rgb)) for rgb in different])
    with pytest.raises(DecodeError, match="expected \\(H, W, 3\\) uint8"):
        decode_images(IMAGE, pictures[..., 0], out)
    with pytest.raises(DecodeError, match="got images"):
        decode_images(SCAN, different, out)


def test_cropping_everything_away_is_an_error():
    stream = with_crop({"left": 0.49, "right": 0.49})
    assert decode(stream, ImageReading(np.zeros((9, 100, 3), np.uint8))).shape == (2, 3, 3)
    with pytest.raises(DecodeError, match="image of 1 x 9 pixels has none left"):
        decode(with_crop({"left": 0.6}), ImageReading(np.zeros((9, 1, 3), np.uint8)))


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((3, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((3, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_readings_of_the_wrong_shape_are_refused(rgb):
    with pytest.raises(DecodeError, match=r"expected \(H, W, 3\) uint8"):
        decode(IMAGE, ImageReading(rgb))


def test_readings_of_another_stream_are_refused():
    with pytest.raises(DecodeError, match="got OdometryReading, expected a reading of sensor_msgs"):
        decode(SCAN, OdometryReading(0.0, 0.0))


@given(cs.contract_dicts(), st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_decoded_arrays_have_the_shape_and_type_of_the_contract(values, height, width, seed):
    rng = np.random.default_rng(seed)
    readings = {
        "image": ImageReading(rng.integers(0, 256, (height, width, 3), np.uint8)),
        "scan": ScanReading(rng.uniform(0, 12, width).astype(np.float32), -1.5, 0.1, 0.05, 10.0),
        "odometry": OdometryReading(*rng.normal(size=2)),
    }
    for stream in Contract.from_dict(values).streams:
        first, error = cb.attempt(DecodeError, decode, stream, readings[stream.key])
        if error is not None:
            assert "none left after cropping" in str(error)
            continue
        assert first.shape == stream.shape
        assert first.dtype == stream.dtype
        assert first.tobytes() == decode(stream, readings[stream.key]).tobytes()


# Scans


def scan_stream(**decoder):
    values = cb.contract_dict()
    values["streams"][1]["decoder"].update(decoder)
    return Contract.from_dict(values).stream("scan")


def beams_of(ranges, stream=SCAN, **options):
    return decode(stream, reading_from_message(stream, cb.scan_message(ranges, **options)))


def test_a_sector_has_its_nearest_return():
    # Sectors of 0.5 rad from -2 rad on; samples every 0.25 rad.
    ranges = [5.0, 3.0, 4.0, 4.5] + [6.0] * 12
    beams = beams_of(ranges, angle_increment=0.25)
    assert beams.dtype == np.float32
    assert beams.tolist() == [3.0, 4.0] + [6.0] * 6


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, 1.0),
        (math.inf, 8.0),
        (10.1, 8.0),  # beyond the scanner's range: no return
        (9.0, 8.0),  # beyond the contract's: capped
        (math.nan, 8.0),
        (-math.inf, 8.0),
        (-1.0, 8.0),
        (0.0, 8.0),
        (0.04, 8.0),  # below the scanner's range
        (0.09, 8.0),  # below the contract's
        (0.11, np.float32(0.11)),
    ],
)
def test_what_counts_as_an_obstacle(value, expected):
    assert beams_of([value] * 8)[3] == expected
    assert beams_of([value, 2.0] * 8, angle_increment=0.25)[3] == min(expected, 2.0)


def test_sectors_outside_the_scanner_are_free():
    beams = beams_of([1.0, 1.0, 1.0, 1.0], angle_min=-1.0)
    assert beams.tolist() == [8.0, 8.0, 1.0, 1.0, 1.0, 1.0, 8.0, 8.0]


def test_samples_outside_the_sectors_are_ignored():
    beams = beams_of([1.0] * 7, angle_min=2.1, angle_increment=0.3)
    assert (beams == 8.0).all()


def test_scanners_may_turn_the_other_way_or_start_anywhere():
    ranges = np.linspace(1.0, 7.0, 360).astype(np.float32)
    expected = beams_of(ranges, angle_min=-math.pi, angle_increment=math.tau / 360)
    clockwise = beams_of(
        ranges[::-1], angle_min=-math.pi + 359 * math.tau / 360, angle_increment=-math.tau / 360
    )
    assert (clockwise == expected).all()
    rolled = beams_of(np.roll(ranges, -90), angle_min=-math.pi / 2, angle_increment=math.tau / 360)
    assert (rolled == expected).all()


def test_a_full_turn_has_no_gap_at_the_seam():
    stream = scan_stream(beams=36, angle_min_rad=-math.pi, angle_max_rad=math.pi)
    increment = float(np.float32(math.tau / 720))
    for shift in (-1e-7, 0.0, 1e-7):
        beams = beams_of([1.0] * 720, stream, angle_min=-math.pi + shift, angle_increment=increment)
        assert (beams == 1.0).all()


@given(
    hnp.arrays(np.float32, st.integers(1, 400), elements=st.floats(width=32)),
    st.floats(-6.0, 6.0),
    st.floats(1e-4, 1.0) | st.floats(-1.0, -1e-4),
)
def test_beams_are_always_within_range_and_never_nearer_than_a_sample(ranges, start, increment):
    reading = ScanReading(ranges, start, increment, 0.05, 10.0)
    beams = decode(SCAN, reading)
    assert np.isfinite(beams).all()
    assert (beams >= np.float32(0.1)).all()
    assert (beams <= 8.0).all()
    assert set(beams.tolist()) <= {8.0, *ranges.tolist()}


@given(st.integers(0, 359), st.floats(0.25, 7.5, width=32))
def test_a_single_obstacle_appears_in_its_sector(index, distance):
    ranges = np.full(360, np.inf, np.float32)
    ranges[index] = distance
    angle = -math.pi + (index + 0.5) * math.tau / 360
    beams = decode(SCAN, ScanReading(ranges, -math.pi + math.tau / 720, math.tau / 360, 0.05, 10.0))
    expected = np.full(8, 8.0, np.float32)
    if -2.0 <= angle < 2.0:
        expected[int((angle + 2.0) / 0.5)] = distance
    assert beams.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ranges": []}, "scan without a single range"),
        ({"ranges": "far"}, "expected sensor_msgs/msg/LaserScan"),
        ({"angle_increment": 0.0}, "angle_increment is 0.0, expected a step"),
        ({"angle_increment": math.nan}, "angle_increment is nan"),
        ({"angle_increment": 7.0}, "angle_increment is 7.0"),
        ({"angle_min": math.inf}, "angle_min is inf, expected an angle"),
        ({"angle_min": math.nan}, "angle_min is nan"),
        ({"range_min": math.nan}, "range_min is nan"),
        ({"range_max": math.nan}, "range_max nan"),
        ({"range_min": 10.0}, "expected 0 <= range_min < range_max"),
        ({"range_min": -1.0}, "expected 0 <= range_min < range_max"),
    ],
)
def test_malformed_scans_are_named(options, expected):
    message = cb.scan_message(**{"ranges": [1.0], **options})
    with pytest.raises(DecodeError) as caught:
        reading_from_message(SCAN, message)
    assert expected in str(caught.value)
    assert str(caught.value).startswith("stream 'scan' (topic scan): ")


def test_sector_table_is_cached_per_scanner_and_contract():
    first = scan_stream(beams=4)
    second = scan_stream(beams=8)
    assert first.decoder != second.decoder
    assert isinstance(first.decoder, ScanDecoder)
    assert beams_of([1.0] * 8, first).shape == (4,)
    assert beams_of([1.0] * 8, second).shape == (8,)


# Odometry, actions, dock poses, stamps


def test_odometry_has_the_fields_of_the_contract_in_its_order():
    reading = reading_from_message(ODOMETRY, cb.odometry_message(0.25, -0.5))
    assert reading == OdometryReading(0.25, -0.5)
    assert decode(ODOMETRY, reading).tolist() == [0.25, -0.5]
    values = cb.contract_dict()
    values["streams"][2]["decoder"]["fields"] = ["angular.z", "linear.x"]
    assert decode(Contract.from_dict(values).stream("odometry"), reading).tolist() == [-0.5, 0.25]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_odometry_that_is_not_finite_is_refused(value):
    with pytest.raises(DecodeError, match="expected finite velocities"):
        reading_from_message(ODOMETRY, cb.odometry_message(value, 0.0))
    with pytest.raises(DecodeError, match="expected finite velocities"):
        decode(ODOMETRY, OdometryReading(0.0, value))


def test_actions_are_read_from_both_kinds_of_twist():
    stamped = SimpleNamespace(header=cb.header(), twist=cb.twist(0.25, -1.5))
    for message in (stamped, stamped.twist):
        action = action_from_message(CONTRACT.action, message)
        assert action.tolist() == [0.25, -1.5]
        assert action.dtype == np.float32
    with pytest.raises(DecodeError, match="expected finite values"):
        action_from_message(CONTRACT.action, cb.twist(math.nan, 0.0))
    with pytest.raises(DecodeError, match="expected Twist or TwistStamped"):
        action_from_message(CONTRACT.action, cb.header())


def test_actions_are_written_to_both_kinds_of_twist():
    stamped = SimpleNamespace(header=cb.header(), twist=cb.twist())
    fill_action_message(CONTRACT.action, np.array([0.25, -1.5]), stamped)
    assert action_from_message(CONTRACT.action, stamped).tolist() == [0.25, -1.5]
    values = cb.contract_dict()
    values["action"]["type"] = "geometry_msgs/msg/Twist"
    plain = Contract.from_dict(values).action
    message = cb.twist()
    fill_action_message(plain, np.array([0.5, 1.0]), message)
    assert (message.linear.x, message.angular.z) == (0.5, 1.0)
    with pytest.raises(ValueError, match="zip"):
        fill_action_message(plain, np.array([0.5]), message)


def test_dock_pose():
    pose = SimpleNamespace(
        position=SimpleNamespace(x=1.0, y=2.0, z=0.0),
        orientation=SimpleNamespace(x=0.0, y=0.0, z=1.0, w=0.0),
    )
    base_from_dock = dock_pose_from_message(SimpleNamespace(header=cb.header(), pose=pose))
    assert (base_from_dock.x, base_from_dock.y) == (1.0, 2.0)
    assert base_from_dock.yaw == pytest.approx(math.pi)
    pose.orientation.z = 0.0
    for bad in (SimpleNamespace(pose=pose), None):
        with pytest.raises(DecodeError, match="expected geometry_msgs/msg/PoseStamped"):
            dock_pose_from_message(bad)


def test_stamps_are_integer_nanoseconds():
    stamp_ns = 1_700_000_000_123_456_789
    assert stamp_ns_of(SimpleNamespace(header=cb.header(stamp_ns))) == stamp_ns
    assert stamp_ns_of(SimpleNamespace(header=cb.header(0))) == 0
    assert stamp_ns_of(cb.twist()) is None


messages = st.builds(
    SimpleNamespace,
    encoding=st.sampled_from(["rgb8", "mono8", "yuv422", 3, None]),
    height=st.integers(-2, 9) | st.none(),
    width=st.integers(-2, 9) | st.floats(),
    step=st.integers(-2, 40),
    data=st.binary(max_size=300) | st.lists(st.integers(-5, 300), max_size=40) | st.none(),
    ranges=st.lists(st.floats() | st.none(), max_size=9) | st.none(),
    angle_min=st.floats() | st.none(),
    angle_increment=st.floats(),
    range_min=st.floats(),
    range_max=st.floats(),
    twist=st.none() | st.builds(cb.twist, st.floats(), st.floats() | st.text(max_size=3)),
)


@given(messages, st.sampled_from(CONTRACT.streams))
def test_any_message_is_decoded_or_a_decode_error(message, stream):
    message.twist = SimpleNamespace(twist=message.twist)
    reading, error = cb.attempt(DecodeError, reading_from_message, stream, message)
    if error is not None:
        assert "\n" not in str(error)
        return
    array_ = decode(stream, reading)
    assert array_.shape == stream.shape
    assert array_.dtype == stream.dtype
    assert np.isfinite(array_).all()
