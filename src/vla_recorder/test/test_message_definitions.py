import pytest
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.serialization import serialize_message
from sensor_msgs.msg import BatteryState, CompressedImage, Image, Imu, JointState, LaserScan
from vla_msgs.msg import PolicyStatus, SimulationState

from vla_recorder.errors import BagError, RecorderError
from vla_recorder.header_stamps import header_stamp_ns
from vla_recorder.message_definitions import MessageDefinitions

CLASSES = (
    Image,
    CompressedImage,
    LaserScan,
    Odometry,
    Imu,
    JointState,
    BatteryState,
    Twist,
    SimulationState,
    PolicyStatus,
)


def type_name(message_class):
    package, _, _ = message_class.__module__.split(".")
    return f"{package}/msg/{message_class.__name__}"


@pytest.mark.parametrize("message_class", CLASSES, ids=lambda c: c.__name__)
def test_definitions_of_standard_and_own_types(message_class):
    definition = MessageDefinitions().find(type_name(message_class))
    assert definition.type_hash.startswith("RIHS01_")
    fields = message_class.get_fields_and_field_types()
    for name in fields:
        assert f" {name}" in definition.text
    assert definition.has_header == (next(iter(fields.values())) == "std_msgs/Header")
    for nested in fields.values():
        element = nested.removeprefix("sequence<").removesuffix(">")
        if "/" in element:
            assert f"MSG: {element}" in definition.text


@pytest.mark.parametrize("seconds", [0, 1, 1_700_000_000, 2_147_483_647])
def test_stamp_of_a_serialised_message(seconds):
    message = LaserScan()
    message.header.stamp.sec = seconds
    message.header.stamp.nanosec = 999_999_999
    assert header_stamp_ns(serialize_message(message)) == seconds * 10**9 + 999_999_999


def test_big_endian_stamp():
    data = bytes([0, 0, 0, 0]) + (7).to_bytes(4, "big") + (8).to_bytes(4, "big")
    assert header_stamp_ns(data) == 7_000_000_008


def test_too_short_for_a_stamp():
    with pytest.raises(BagError, match="too short"):
        header_stamp_ns(b"\0\1\0\0")


def test_unknown_type():
    with pytest.raises(RecorderError, match="no definition of no_such_msgs/msg/Thing"):
        MessageDefinitions().find("no_such_msgs/msg/Thing")


def test_publisher_with_another_definition():
    with pytest.raises(RecorderError, match="differs from the one installed"):
        MessageDefinitions().find("sensor_msgs/msg/Image", "RIHS01_" + "0" * 64)
