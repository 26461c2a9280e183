"""RViz configuration, Foxglove and PlotJuggler layouts show topics and fields that exist."""

import json
import re
import xml.etree.ElementTree as ElementTree
from importlib import import_module

import pytest
import yaml
from documentation import ROOT

from vla_bringup.graph import GRAPHS, OnExit
from vla_bringup.graph_arguments import GraphOptions
from vla_bringup.node_process import node_command
from vla_bringup.preflight import PreflightError, check_graph
from vla_bringup.resources import default_contract, rviz_configuration
from vla_core.contract import Contract

PACKAGE = ROOT / "src" / "vla_bringup"
CONTRACT = Contract.load(default_contract())
RVIZ_TYPES = {
    "LaserScan": "sensor_msgs/msg/LaserScan",
    "Odometry": "nav_msgs/msg/Odometry",
    "Path": "nav_msgs/msg/Path",
    "MarkerArray": "visualization_msgs/msg/MarkerArray",
    "Pose": "geometry_msgs/msg/PoseStamped",
    "Image": "sensor_msgs/msg/Image",
}


def topics():
    """Types of the topics: the contract's, and those of docs/interfaces.md."""
    text = (ROOT / "docs" / "interfaces.md").read_text()
    found = {}
    node = ""
    for line in text.splitlines():
        node = line.removeprefix("## ") if line.startswith("## ") else node
        row = re.match(r"\| (`[^|]+`) \| (?:in|out) \| `(\w+)/(\w+)`", line)
        if row:
            for name in re.findall(r"`([^`]+)`", row[1]):
                found[name.replace("~", node)] = f"{row[2]}/msg/{row[3]}"
    found |= {stream.topic: stream.type for stream in CONTRACT.streams}
    return found | {CONTRACT.action.topic: CONTRACT.action.type}


def check_field(path, separator):
    """A path such as /odom.twist.twist.linear.x: topic, then fields of its message."""
    known = topics()
    topic = max((t for t in known if path.startswith(f"/{t}{separator}")), key=len, default=None)
    assert topic is not None, f"{path}: no such topic"
    package, _, name = known[topic].split("/")
    message = getattr(import_module(f"{package}.msg"), name)()
    for field in path.removeprefix(f"/{topic}{separator}").split(separator):
        assert hasattr(message, field), f"{path}: {type(message).__name__} has no {field}"
        message = getattr(message, field)


def test_rviz_shows_topics_that_exist():
    configuration = yaml.safe_load((PACKAGE / "rviz" / "docking.rviz").read_text())
    manager = configuration["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == "odom"
    displays = [display for display in manager["Displays"] if "Topic" in display]
    known = topics()
    for display in displays:
        topic, kind = display["Topic"]["Value"], display["Class"].partition("/")[2]
        assert known.get(topic.lstrip("/")) == RVIZ_TYPES[kind], display["Name"]
    shown = {display["Topic"]["Value"] for display in displays}
    assert {stream.topic for stream in CONTRACT.streams} <= shown


def test_foxglove_shows_topics_that_exist():
    layout = json.loads((PACKAGE / "layouts" / "foxglove_docking.json").read_text())
    panels = layout["configById"]
    known = topics()
    for name in panels["3D!plan"]["topics"]:
        assert name.lstrip("/") in known, name
    camera = panels["Image!camera"]["imageMode"]
    assert known[camera["imageTopic"].lstrip("/")] == "sensor_msgs/msg/Image"
    assert known[camera["calibrationTopic"].lstrip("/")] == "sensor_msgs/msg/CameraInfo"
    paths = [path["value"] for panel in panels.values() for path in panel.get("paths", ())]
    assert len(paths) > 5
    for path in [*paths, panels["RawMessages!why"]["topicPath"]]:
        check_field(path, ".")

    def leaves(node):
        return [node] if isinstance(node, str) else leaves(node["first"]) + leaves(node["second"])

    assert sorted(leaves(layout["layout"])) == sorted(panels)


def test_plotjuggler_shows_fields_that_exist():
    path = PACKAGE / "layouts" / "plotjuggler_docking.xml"
    curves = [curve.get("name") for curve in ElementTree.parse(path).getroot().iter("curve")]
    assert len(curves) > 8
    for curve in curves:
        check_field(curve, "/")


def test_rviz_is_part_of_the_graph_where_asked_for(monkeypatch, tmp_path):
    values = {"rviz": "true", "namespace": "robot_1", "use_sim_time": "true"}
    graph, _options = GRAPHS["dock"].from_values(values)
    spec = graph.node("rviz")
    assert spec.full_name == "/robot_1/rviz"
    assert spec.on_exit is OnExit.IGNORE
    assert not spec.lifecycle
    assert "rviz" not in graph.node("lifecycle_manager").parameters["node_names"]

    assert not GraphOptions().rviz
    # An installation of rviz2 as ROS's index knows one.
    (tmp_path / "share/ament_index/resource_index/packages").mkdir(parents=True)
    (tmp_path / "share/ament_index/resource_index/packages/rviz2").touch()
    program = tmp_path / "lib/rviz2/rviz2"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path), prepend=":")
    command = node_command(spec)
    assert command[:4] == [str(program), "-d", str(rviz_configuration()), "--ros-args"]


def test_rviz_that_is_not_installed_is_told_before_the_start(monkeypatch, tmp_path):
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    graph, options = GRAPHS["dock"].from_values({"rviz": "true", "contract": str(tmp_path)})
    with pytest.raises(PreflightError, match="ros-jazzy-rviz2"):
        check_graph(graph, options)
