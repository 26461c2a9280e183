"""The worked examples of other robots: each a contract and a parameter file, and no code."""

import math

import numpy as np
import pytest
import rclpy
import yaml
from documentation import ROOT
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image, LaserScan

from vla_bringup.graph import GRAPHS
from vla_bringup.graph_arguments import GraphError
from vla_bringup.node_process import node_command
from vla_bringup.resources import default_contract, share_directory
from vla_core.clearance import scan_points
from vla_core.contract import Contract
from vla_core.decoding import decode, fill_action_message, reading_from_message
from vla_core.keys import IMAGE, ODOMETRY, SCAN
from vla_policy_node.control.command_messages import message_class
from vla_policy_node.policy_node import PolicyNode

ROBOTS = ("turtlebot4", "nav2_amr_realsense")
EVERY_ROBOT = pytest.mark.parametrize("robot", ROBOTS)
SIMULATED = Contract.load(default_contract())


def contract_path(robot):
    return ROOT / "src" / "vla_bringup" / "contracts" / f"{robot}.yaml"


def parameter_path(robot):
    return ROOT / "src" / "vla_bringup" / "config" / f"{robot}.yaml"


def picture(robot):
    """As the robot's camera publishes it, brighter to the right."""
    height, width, encoding = {
        "turtlebot4": (250, 250, "bgr8"),
        "nav2_amr_realsense": (480, 640, "rgb8"),
    }[robot]
    ramp = np.linspace(0, 250, width, dtype=np.uint8)
    pixels = np.repeat(ramp[None, :, None], height, 0).repeat(3, 2)
    return Image(
        height=height, width=width, encoding=encoding, step=3 * width, data=pixels.tobytes()
    )


def scan(contract):
    """A full turn of 360 beams with one return, 1.2 m straight ahead of the robot."""
    yaw = contract.safety.obstacles.base_from_scanner.yaw
    message = LaserScan(
        angle_min=-math.pi,
        angle_max=math.pi - math.radians(1.0),
        angle_increment=math.radians(1.0),
        range_min=0.1,
        range_max=12.0,
    )
    ranges = np.full(360, np.inf, np.float32)
    ranges[round((math.remainder(-yaw, math.tau) + math.pi) / math.radians(1.0)) % 360] = 1.2
    message.ranges = ranges.tolist()
    return message


def decoded(contract, key, message):
    stream = contract.stream(key)
    return decode(stream, reading_from_message(stream, message))


@EVERY_ROBOT
def test_contract_decodes_what_the_robot_publishes(robot):
    contract = Contract.load(contract_path(robot))
    assert contract.name == robot
    image = decoded(contract, IMAGE, picture(robot))
    assert image.shape == (96, 128, 3), "what the presets are made for"
    assert image[:, -1].mean() > image[:, 0].mean() + 200
    odometry = Odometry()
    odometry.twist.twist.linear.x, odometry.twist.twist.angular.z = 0.2, -0.1
    assert decoded(contract, ODOMETRY, odometry) == pytest.approx([0.2, -0.1])
    command = message_class(contract.action.type)()
    fill_action_message(contract.action, np.array([0.1, -0.2]), command)
    twist = command.twist if hasattr(command, "twist") else command
    assert (twist.linear.x, twist.angular.z) == pytest.approx((0.1, -0.2))


@EVERY_ROBOT
def test_what_lies_ahead_is_in_the_middle_of_the_scan(robot):
    """However the scanner is mounted: to the policy, and to the safety envelope."""
    contract = Contract.load(contract_path(robot))
    message = scan(contract)
    sectors = decoded(contract, SCAN, message)
    nearest = int(np.argmin(sectors))
    assert sectors[nearest] == pytest.approx(1.2)
    assert nearest in (35, 36)
    obstacles = contract.safety.obstacles
    scanner = obstacles.base_from_scanner
    reading = reading_from_message(contract.stream(SCAN), message)
    (point,) = scan_points(reading, obstacles)
    assert point == pytest.approx([1.2 + scanner.x, scanner.y], abs=0.03)


@EVERY_ROBOT
def test_the_same_models_fit(robot):
    """Shapes and rates are those of the simulated robot: presets and tools work as they are."""
    contract = Contract.load(contract_path(robot))
    assert [stream.key for stream in contract.streams] == [s.key for s in SIMULATED.streams]
    for stream in contract.streams:
        assert stream.shape == SIMULATED.stream(stream.key).shape
        assert stream.max_age_s > 2.0 / stream.rate_hz, "one lost message must not stop the robot"
    action = contract.action
    assert (action.rate_hz, action.chunk_length) == (20, 10)
    assert action.fields == ("linear.x", "angular.z")
    # A policy of another robot is refused by name, not tried.
    assert contract.hash != SIMULATED.hash


@EVERY_ROBOT
@pytest.mark.parametrize("namespace", ["", "/fleet/robot_1"])
def test_the_node_takes_the_parameter_file(robot, namespace):
    file = parameter_path(robot)
    document = yaml.safe_load(file.read_text())
    assert list(document) == ["/**/vla_policy"]
    entry = document["/**/vla_policy"]
    rclpy.init(args=["--ros-args", "--params-file", str(file), "-r", f"__ns:={namespace or '/'}"])
    try:
        node = PolicyNode()
        try:
            for name, value in entry["ros__parameters"].items():
                assert node.get_parameter(name).value == value, name
        finally:
            node.close()
            node.destroy_node()
    finally:
        rclpy.shutdown()


@EVERY_ROBOT
def test_one_command_starts_it(robot):
    values = {
        "sim": "none",
        "contract": str(contract_path(robot)),
        "params_file": str(parameter_path(robot)),
        "record": "true",
    }
    graph, _ = GRAPHS["dock"].from_values(values)
    for name in ("vla_policy", "vla_recorder"):
        command = node_command(graph.node(name))
        # What the launch arguments say comes last, and counts.
        file = command.index("--params-file")
        assert command[file + 1] == values["params_file"]
        assert file < command.index("-p")
    with pytest.raises(GraphError, match=r"params_file:=/nowhere.yaml: there is no such file"):
        GRAPHS["dock"].from_values({"params_file": "/nowhere.yaml"})


def test_they_are_installed():
    for folder in ("contracts", "config"):
        names = {path.stem for path in (share_directory() / folder).glob("*.yaml")}
        assert set(ROBOTS) <= names
