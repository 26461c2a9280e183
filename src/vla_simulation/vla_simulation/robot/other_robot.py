"""MJCF of another robot in the same scene: seen, scanned and touched, moved from outside."""

from xml.etree import ElementTree

from vla_simulation.config import SimulationConfig
from vla_simulation.mjcf import ROBOT_GROUP, SOLID_GROUP, numbers
from vla_simulation.robot.robot_model import robot_body

_FAR_BELOW_M = (0.0, 0.0, -20.0)
# What only a robot that drives itself has.
_LEFT_OUT = ("freejoint", "joint", "inertial", "camera", "site")


def other_robot_body(config: SimulationConfig, name: str) -> str:
    """The robot's own body without joints, lens and scanner, as part of its surroundings.

    Args:
        config: dimensions.
        name: of the body, and first part of the names of its geoms.
    """
    body = ElementTree.fromstring(robot_body(config))
    for parent in list(body.iter()):
        for child in list(parent):
            if child.tag in _LEFT_OUT:
                parent.remove(child)
    for element in body.iter():
        if "name" in element.attrib:
            element.set("name", f"{name}_{element.get('name')}")
        if element.tag == "geom":
            _make_surroundings(element)
    body.set("name", name)
    body.set("mocap", "true")
    body.set("pos", numbers(_FAR_BELOW_M))
    return ElementTree.tostring(body, encoding="unicode")


def _make_surroundings(geom: ElementTree.Element) -> None:
    """What is drawn of it is seen by the scanner, too; what collides does so with the robot."""
    if geom.get("group") == str(ROBOT_GROUP):
        geom.set("group", str(SOLID_GROUP))
    if geom.get("contype") == "1":
        geom.set("contype", "2")
        geom.set("conaffinity", "1")
