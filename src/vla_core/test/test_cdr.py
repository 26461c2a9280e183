"""Readers of serialised messages against rosbags' deserialiser and the readers of its messages."""

import math

import core_builders as cb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla_core import cdr
from vla_core.contract import Contract
from vla_core.contract_specs import (
    COMPRESSED_IMAGE_TYPE,
    IMAGE_TYPE,
    ODOMETRY_TYPE,
    POSE_TYPE,
    SCAN_TYPE,
    TWIST_STAMPED_TYPE,
    TWIST_TYPE,
)
from vla_core.decoding import (
    ImageReading,
    action_from_message,
    decode,
    dock_pose_from_message,
    reading_from_message,
    stamp_ns_of,
)
from vla_core.errors import DecodeError
from vla_core.image_decoding import RAW_ENCODINGS
from vla_core.opencv import cv2

typesys = pytest.importorskip("rosbags.typesys", reason="needs rosbags")

TYPES = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
T = {name.rsplit("/", 1)[-1]: kind for name, kind in TYPES.types.items() if "/msg/" in name}
CONTRACT = Contract.from_dict(cb.contract_dict())
STREAMS = {stream.type: stream for stream in CONTRACT.streams}
COMPRESSED = cb.contract_dict()
COMPRESSED["streams"][0]["type"] = COMPRESSED_IMAGE_TYPE
STREAMS[COMPRESSED_IMAGE_TYPE] = Contract.from_dict(COMPRESSED).streams[0]

doubles = st.floats(allow_nan=True, allow_infinity=True)
singles = st.floats(width=32)
speeds = st.floats(-1e6, 1e6) | doubles
names = st.text(max_size=19)  # in bytes, all alignments of what follows


def vectors(elements):
    return st.builds(T["Vector3"], elements, elements, elements)


headers = st.builds(
    T["Header"],
    stamp=st.builds(T["Time"], st.integers(-(2**31), 2**31 - 1), st.integers(0, 10**9 - 1)),
    frame_id=names,
)
twists = st.builds(T["Twist"], linear=vectors(speeds), angular=vectors(speeds))
covariances = hnp.arrays(np.float64, 36, elements=doubles, fill=st.just(0.0))
poses = st.builds(
    T["Pose"],
    position=st.builds(T["Point"], *[st.floats(-1e3, 1e3) | doubles] * 3),
    orientation=st.builds(T["Quaternion"], *[st.floats(-1.0, 1.0) | doubles] * 4),
)


@st.composite
def images(draw):
    encoding = draw(st.sampled_from([*RAW_ENCODINGS, "16UC1", "rgb16", ""]))
    height, width = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    channels = {"r": 3, "b": 3, "m": 1, "y": 2, "u": 2}.get(encoding[:1], 2)
    channels = 1 if "bayer" in encoding else channels + ("a8" in encoding)
    step = width * channels + draw(st.sampled_from([0, 0, 1, 5, -1]))
    size = max(0, height * max(0, step) + draw(st.sampled_from([0, 0, 0, 1, -1])))
    seed = draw(st.integers(0, 99))
    return T["Image"](
        draw(headers),
        height,
        width,
        encoding,
        draw(st.integers(0, 1)),
        max(0, step),
        np.random.default_rng(seed).integers(0, 256, size, np.uint8),
    )


@st.composite
def compressed_images(draw):
    height, width = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    shape = (height, width, *draw(st.sampled_from([(), (3,), (4,)])))
    pixels = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, shape, np.uint8)
    suffix = draw(st.sampled_from([".png", ".jpg"]))
    if suffix == ".jpg" and pixels.shape[2:] == (4,):
        pixels = pixels[..., :3]
    file = cv2.imencode(suffix, pixels)[1]
    return T["CompressedImage"](draw(headers), draw(names), file)


scans = st.builds(
    T["LaserScan"],
    headers,
    *[singles | st.floats(-3.0, 3.0, width=32)] * 7,
    ranges=hnp.arrays(np.float32, st.integers(0, 40), elements=singles),
    intensities=hnp.arrays(np.float32, st.integers(0, 9), elements=singles),
)
good_scans = st.builds(
    T["LaserScan"],
    headers,
    angle_min=st.floats(-3.0, 3.0, width=32),
    angle_max=singles,
    angle_increment=st.floats(0.015625, 1.0, width=32),
    time_increment=singles,
    scan_time=singles,
    range_min=st.floats(0.0, 0.5, width=32),
    range_max=st.floats(1.0, 50.0, width=32),
    ranges=hnp.arrays(np.float32, st.integers(1, 40), elements=singles),
    intensities=hnp.arrays(np.float32, st.integers(0, 9), elements=singles),
)
odometries = st.builds(
    T["Odometry"],
    headers,
    names,
    st.builds(T["PoseWithCovariance"], poses, covariances),
    st.builds(T["TwistWithCovariance"], twists, covariances),
)
MESSAGES = {
    IMAGE_TYPE: images(),
    COMPRESSED_IMAGE_TYPE: compressed_images(),
    SCAN_TYPE: scans | good_scans,
    ODOMETRY_TYPE: odometries,
    TWIST_TYPE: twists,
    TWIST_STAMPED_TYPE: st.builds(T["TwistStamped"], headers, twists),
    POSE_TYPE: st.builds(T["PoseStamped"], headers, poses),
}
typed_messages = st.sampled_from(sorted(MESSAGES)).flatmap(
    lambda kind: MESSAGES[kind].map(lambda message: (kind, message))
)


def read(kind, data):
    """Stamp and reading, command or pose of serialised bytes."""
    if kind in STREAMS:
        return cdr.reading_from_cdr(STREAMS[kind], data)
    if kind == POSE_TYPE:
        return cdr.dock_pose_from_cdr(data)
    return cdr.action_from_cdr(CONTRACT.action, kind, data)


def read_message(kind, message):
    if kind in STREAMS:
        return stamp_ns_of(message), reading_from_message(STREAMS[kind], message)
    if kind == POSE_TYPE:
        return stamp_ns_of(message), dock_pose_from_message(message)
    return stamp_ns_of(message), action_from_message(CONTRACT.action, message)


def bits(value):
    """Something that is equal for equal bits, NaN included."""
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), value.tobytes()
    if isinstance(value, float):
        return math.isnan(value) or value, math.copysign(1.0, value)
    fields = getattr(value, "__dataclass_fields__", None)
    return value if fields is None else [bits(getattr(value, name)) for name in fields]


def test_every_type_of_a_contract_can_be_read():
    assert set(MESSAGES) == cdr.READABLE_TYPES
    assert cdr.READABLE_TYPES - {TWIST_TYPE} == cdr.HEADED_TYPES


@given(typed_messages, st.booleans(), st.integers(0, 3), st.sampled_from([bytes, memoryview]))
def test_bytes_and_messages_give_the_same_bits(typed, little_endian, padding, kind_of_buffer):
    kind, message = typed
    data = bytes(TYPES.serialize_cdr(message, kind, little_endian=little_endian)) + bytes(padding)
    expected, refusal = cb.attempt(
        DecodeError, read_message, kind, TYPES.deserialize_cdr(data, kind)
    )
    got, error = cb.attempt(DecodeError, read, kind, kind_of_buffer(data))
    if refusal is not None:
        assert error is not None
        assert kind == POSE_TYPE or str(error) == str(refusal)
        return
    assert error is None
    stamp_ns, reading = expected
    assert got[0] == stamp_ns
    assert bits(got[1]) == bits(reading)
    if kind in cdr.HEADED_TYPES:
        assert cdr.stamp_ns_of_cdr(data) == stamp_ns
    if kind in STREAMS:
        stream = STREAMS[kind]
        arrays = [decode(stream, value) for value in (got[1], reading)]
        assert bits(arrays[0]) == bits(arrays[1])


@st.composite
def damage(draw):
    """A serialised message with something wrong in it, and the type that it is taken for."""
    kind, message = draw(typed_messages)
    data = bytearray(TYPES.serialize_cdr(message, kind, little_endian=draw(st.booleans())))
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    for _ in range(draw(st.integers(0, 4))):
        if data:
            # Most of an image is pixels; the fields at its beginning deserve more.
            last = min(len(data) - 1, draw(st.sampled_from([11, 80, 10**6])))
            data[draw(st.integers(0, last))] ^= 1 << draw(st.integers(0, 7))
    if draw(st.booleans()):
        data += draw(st.binary(max_size=9))
    return draw(st.just(kind) | st.sampled_from(sorted(MESSAGES))), bytes(data)


@given(damage() | st.tuples(st.sampled_from(sorted(MESSAGES)), st.binary(max_size=200)))
def test_damaged_bytes_give_an_error_or_a_valid_reading(damaged):
    kind, data = damaged
    got, error = cb.attempt(DecodeError, read, kind, data)
    cb.attempt(DecodeError, cdr.stamp_ns_of_cdr, data)
    if error is not None:
        assert "\n" not in str(error)
        return
    # What was understood is what rosbags understands, if it does; it decodes names, too.
    try:
        message = TYPES.deserialize_cdr(data, kind)
    except Exception:
        message = None
    if message is not None:
        assert bits(got[1]) == bits(read_message(kind, message)[1])
    if kind in STREAMS:
        array = decode(STREAMS[kind], got[1])
        assert array.shape == STREAMS[kind].shape
        assert np.isfinite(array).all()


@given(typed_messages, st.data())
def test_cut_off_messages_are_refused(typed, data):
    kind, message = typed
    whole = bytes(TYPES.serialize_cdr(message, kind))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(DecodeError):
        read(kind, cut)


def image_bytes(**changes):
    header = T["Header"](stamp=T["Time"](sec=3, nanosec=4), frame_id="camera")
    values = {"height": 2, "width": 2, "encoding": "rgb8", "is_bigendian": 0, "step": 6}
    pixels = np.arange(12, dtype=np.uint8)
    message = T["Image"](header=header, **{**values, **changes}, data=pixels)
    return bytearray(TYPES.serialize_cdr(message, IMAGE_TYPE))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: b"", "message ends after 0 bytes"),
        (lambda data: data[:3], "message ends after 3 bytes"),
        (lambda data: b"\0\3" + data[2:], "encapsulation 00 03 is not supported, expected plain"),
        (lambda data: data[:8] + b"\xff\xff\xff\x7f" + data[12:], "2147483647 ns after the second"),
        (lambda data: data[:12] + b"\xff" * 4 + data[16:], "its fields need 4294967311"),
        (lambda data: data[:12] + b"\x03\0\0\0" + data[16:], "a string has no end"),
        (lambda data: data[:12] + b"\0\0\0\0" + data[16:], "a string has no end"),
        (lambda data: data[:-1], "its fields need 64"),
        (lambda data: data + bytes(4), "goes on after its last field, which ends at 64"),
    ],
)
def test_errors_say_what_is_wrong_with_the_bytes(change, expected):
    with pytest.raises(DecodeError) as caught:
        cdr.reading_from_cdr(STREAMS[IMAGE_TYPE], bytes(change(image_bytes())))
    assert expected in str(caught.value)
    assert str(caught.value).startswith("stream 'image' (topic camera/image_raw): ")


def test_pixels_and_ranges_are_not_copied():
    data = bytes(image_bytes())
    _, reading = cdr.reading_from_cdr(STREAMS[IMAGE_TYPE], data)
    assert isinstance(reading, ImageReading)
    assert np.shares_memory(reading.rgb, np.frombuffer(data, np.uint8))
    scan = T["LaserScan"](
        header=T["Header"](T["Time"](0, 0), "x"),
        **dict.fromkeys(("angle_min", "angle_max", "time_increment", "scan_time"), 0.0),
        angle_increment=0.1,
        range_min=0.0,
        range_max=9.0,
        ranges=np.ones(7, np.float32),
        intensities=np.ones(3, np.float32),
    )
    data = bytes(TYPES.serialize_cdr(scan, SCAN_TYPE))
    _, reading = cdr.reading_from_cdr(STREAMS[SCAN_TYPE], data)
    assert np.shares_memory(reading.ranges, np.frombuffer(data, np.uint8))


def test_commands_of_other_types_are_refused():
    with pytest.raises(DecodeError, match="got sensor_msgs/msg/Image, expected geometry_msgs"):
        cdr.action_from_cdr(CONTRACT.action, IMAGE_TYPE, b"")
