"""URDF, xacro and bridge against SDFormat and against what the simulator node publishes."""

import logging
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import yaml
from sdf_reading import BRIDGE, ROBOT_SDF, URDF, XACRO, floats, sdf_model, sdf_pose, urdf_origin

from vla_simulation.description import interface

FRAMES = {"base_link", "camera_link", "camera_optical_frame", "scanner_link"}


@pytest.fixture(scope="module")
def urdf():
    return ET.parse(URDF).getroot()


def base_from_link(urdf, name):
    """Pose of a link in the root."""
    for joint in urdf.findall("joint"):
        if joint.find("child").get("link") == name:
            parent = joint.find("parent").get("link")
            return base_from_link(urdf, parent) @ urdf_origin(joint)
    return np.eye(4)


def test_links_are_one_tree(urdf):
    links = [link.get("name") for link in urdf.findall("link")]
    children = [joint.find("child").get("link") for joint in urdf.findall("joint")]
    assert len(set(links)) == len(links)
    assert set(links) - set(children) == {"base_link"}
    assert sorted(children) == sorted(set(links) - {"base_link"})
    assert set(links) >= FRAMES


def test_same_robot_as_in_sdformat(urdf):
    model = sdf_model(ROBOT_SDF)
    links = {link.get("name"): link for link in urdf.findall("link")}
    for link in model.findall("link"):
        name = link.get("name")
        own = links["chassis_link" if name == "base_link" else name]
        np.testing.assert_allclose(
            base_from_link(urdf, own.get("name"))[:3, 3], sdf_pose(link)[:3, 3], atol=1e-8
        )
        inertial = own.find("inertial")
        mass = float(inertial.find("mass").get("value"))
        assert mass == pytest.approx(float(link.findtext("inertial/mass")))
        tensor = inertial.find("inertia")
        for axis in ("ixx", "iyy", "izz"):
            expected = float(link.findtext(f"inertial/inertia/{axis}"))
            assert float(tensor.get(axis)) == pytest.approx(expected)
            assert expected > 0
        for kind in ("visual", "collision"):
            assert len(own.findall(kind)) == len(link.findall(kind))
            for shape, other in zip(own.findall(kind), link.findall(kind), strict=True):
                np.testing.assert_allclose(urdf_origin(shape), sdf_pose(other), atol=1e-6)
                assert numbers_of(shape.find("geometry")[0]) == pytest.approx(
                    texts_of(other.find("geometry")[0])
                )


def numbers_of(shape):
    return [value for text in shape.attrib.values() for value in floats(text)]


def texts_of(shape):
    return [value for child in shape for value in floats(child.text)]


def test_sensor_frames(urdf):
    for frame in sdf_model(ROBOT_SDF).findall("frame"):
        np.testing.assert_allclose(
            base_from_link(urdf, frame.get("name")), sdf_pose(frame), atol=1e-8
        )
    # REP-103: z of the optical frame is the direction that the camera looks, x is to its right.
    camera, optical = (
        base_from_link(urdf, name)[:3, :3] for name in ("camera_link", "camera_optical_frame")
    )
    np.testing.assert_allclose(optical[:, 2], camera[:, 0], atol=1e-8)
    np.testing.assert_allclose(optical[:, 0], -camera[:, 1], atol=1e-8)


def test_wheels_turn_about_y(urdf):
    joints = {joint.get("name"): joint for joint in urdf.findall("joint")}
    for side in ("left", "right"):
        joint = joints[f"{side}_wheel_joint"]
        assert joint.get("type") == "continuous"
        assert floats(joint.find("axis").get("xyz")).tolist() == [0.0, 1.0, 0.0]
    moving = [name for name, joint in joints.items() if joint.get("type") != "fixed"]
    assert moving == ["left_wheel_joint", "right_wheel_joint"]  # what joint_states tells


def test_xacro_gives_the_same_robot(urdf):
    xacro = pytest.importorskip("xacro", reason="xacro is not installed")
    expanded = ET.fromstring(xacro.process_file(str(XACRO)).toxml())
    compare(expanded, urdf)


def compare(found, expected):
    assert found.tag == expected.tag
    assert set(found.attrib) == set(expected.attrib)
    for name, text in expected.attrib.items():
        try:
            np.testing.assert_allclose(floats(found.get(name)), floats(text), atol=1e-8)
        except ValueError:
            assert found.get(name) == text
    assert len(found) == len(expected)
    for child, other in zip(found, expected, strict=True):
        compare(child, other)


def test_xacro_properties_are_used(tmp_path):
    xacro = pytest.importorskip("xacro", reason="xacro is not installed")
    text = XACRO.read_text()
    wider = text.replace('name="track_width" value="0.36"', 'name="track_width" value="0.5"')
    assert wider != text
    path = tmp_path / "wider.urdf.xacro"
    path.write_text(wider)
    robot = ET.fromstring(xacro.process_file(str(path)).toxml())
    assert base_from_link(robot, "left_wheel_link")[1, 3] == pytest.approx(0.25)
    assert base_from_link(robot, "right_wheel_link")[1, 3] == pytest.approx(-0.25)


# ---------------------------------------------------------------------- what ROS sees


@pytest.fixture(scope="module")
def bridge():
    return {entry["ros_topic_name"]: entry for entry in yaml.safe_load(BRIDGE.read_text())}


def test_topics_and_frames_are_those_of_the_simulator_node(bridge):
    pytest.importorskip("rclpy", reason="ROS is not installed")
    from vla_simulation.ros import publishers, ros_messages

    for constant in ("BASE", "ODOMETRY", "CAMERA", "OPTICAL", "SCANNER"):
        name = f"{constant}_FRAME"
        assert getattr(interface, name) == getattr(ros_messages, name)
    node = TopicList()
    publishers.RobotPublishers(node, clock=True)
    # What only a simulator knows stays with MuJoCo; tf_static comes from robot_state_publisher.
    robot_s = {
        topic: kind
        for topic, kind in node.types.items()
        if not topic.startswith("ground_truth/") and topic != "/tf_static"
    }
    assert len(robot_s) >= 7
    for topic, kind in robot_s.items():
        assert bridge[topic]["direction"] == "GZ_TO_ROS"
        assert bridge[topic]["ros_type_name"] == kind


def test_a_robot_s_namespace_holds_all_that_is_its_own():
    pytest.importorskip("rclpy", reason="ROS is not installed")
    from vla_simulation.ros import publishers

    alone, named = TopicList(), TopicList()
    publishers.RobotPublishers(alone, clock=True)
    publishers.RobotPublishers(named, clock=True, namespace="robot_1")
    own = {topic.lstrip("/") for topic in alone.types if topic != "/clock"}
    assert set(named.types) == {f"robot_1/{topic}" for topic in own} | {"/clock"}


class TopicList:
    """In a node's place: notes which topics are asked for."""

    def __init__(self):
        self.types = {}

    def create_lifecycle_publisher(self, kind, topic, qos):
        self.types[topic] = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"

    def get_logger(self):
        return logging.getLogger("test")


def test_commands_go_to_gazebo(bridge):
    entry = bridge["cmd_vel"]
    assert entry["direction"] == "ROS_TO_GZ"
    assert entry["ros_type_name"] == "geometry_msgs/msg/TwistStamped"
    assert entry["gz_type_name"] == "gz.msgs.Twist"


def test_every_gazebo_topic_is_spoken_or_heard(bridge):
    model = sdf_model(ROBOT_SDF)
    spoken = {element.text for element in model.iter() if element.tag.endswith("topic")}
    spoken |= {"clock", "model/docking_robot/battery/battery/state"}
    for entry in bridge.values():
        assert entry["gz_topic_name"].removeprefix("/") in spoken


def test_charging_chain_is_connected():
    """Touch, trigger and battery are three systems that know each other by topic only."""
    model = sdf_model(ROBOT_SDF)
    plugins = {plugin.get("name").rpartition("::")[2]: plugin for plugin in model.findall("plugin")}
    touch, trigger = plugins["TouchPlugin"], plugins["TriggeredPublisher"]
    battery = plugins["LinearBatteryPlugin"]
    assert trigger.find("input").get("topic") == f"/{touch.findtext('namespace')}/touched"
    recharge = (
        f"/model/{model.get('name')}/battery/{battery.findtext('battery_name')}/recharge/start"
    )
    assert trigger.find("output").get("topic") == recharge
    watched = [
        collision.text
        for sensor in model.iter("sensor")
        if sensor.get("type") == "contact"
        for collision in sensor.iter("collision")
    ]
    assert touch.findtext("collision") in watched
    collisions = {
        collision.get("name")
        for link in model.findall("link")
        for collision in link.findall("collision")
    }
    assert set(watched) <= collisions
