"""The robot as URDF for ``robot_state_publisher``: a xacro file with properties, and its expansion.

Both are written from one list of links whose numbers are expressions over the properties: the xacro
file keeps the expressions, the plain file for machines without xacro holds their values.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass

from vla_simulation.config import SimulationConfig
from vla_simulation.description import interface as names
from vla_simulation.description.parts import Inertia, Material, Part, Shape
from vla_simulation.description.robot_sdf import read_robot
from vla_simulation.description.rotations import rpy_of
from vla_simulation.description.xml_text import document, element, numbers

XACRO_NAMESPACE = "http://www.ros.org/wiki/xacro"
_OPAQUE_FROM = 0.5


@dataclass(frozen=True)
class Property:
    """A dimension that the xacro file names."""

    name: str
    value: float


def properties(config: SimulationConfig) -> tuple[Property, ...]:
    """The dimensions that somebody may want to change in the xacro file."""
    robot, camera, scanner = config.robot, config.camera, config.scanner
    return (
        Property("wheel_radius", robot.wheel_radius_m),
        Property("wheel_width", robot.wheel_width_m),
        Property("track_width", robot.track_width_m),
        Property("pin_tip", robot.pin_tip_m),
        Property("pin_spacing", robot.pin_spacing_m),
        Property("pin_height", robot.pin_height_m),
        Property("camera_x", camera.x_m),
        Property("camera_z", camera.z_m),
        Property("camera_pitch_down", camera.pitch_down_rad),
        Property("scanner_x", scanner.x_m),
        Property("scanner_z", scanner.z_m),
    )


def xacro_file(config: SimulationConfig) -> str:
    """Text of the ``.urdf.xacro`` file."""
    ET.register_namespace("xacro", XACRO_NAMESPACE)
    robot = _robot(config, lambda expression: "${" + expression + "}")
    declarations = []
    for item in properties(config):
        attributes = {"name": item.name, "value": numbers(item.value)}
        declarations.append(ET.Element(f"{{{XACRO_NAMESPACE}}}property", attributes))
    for position, declaration in enumerate(declarations):
        robot.insert(position, declaration)
    return document(robot)


def urdf_file(config: SimulationConfig) -> str:
    """Text of the plain ``.urdf`` file."""
    values = {item.name: float(numbers(item.value)) for item in properties(config)}
    return document(_robot(config, lambda expression: numbers(_evaluate(expression, values))))


def _evaluate(expression: str, values: dict[str, float]) -> float:
    """Value of one of the few forms below: ``a``, ``-a``, ``a/2``, ``-a/2`` over a property."""
    sign = -1.0 if expression.startswith("-") else 1.0
    name, _, divisor = expression.removeprefix("-").partition("/")
    return sign * values[name] / float(divisor or 1)


def _robot(config: SimulationConfig, say: Callable[[str], str]) -> ET.Element:
    base = read_robot(config)
    robot = element("robot", name=names.ROBOT)
    for name, rgba in _palette(base).items():
        robot.append(element("material", element("color", rgba=numbers(*rgba)), name=name))
    # KDL, which robot_state_publisher uses, takes no root link with an inertia.
    robot.append(element("link", name=names.BASE_FRAME))
    robot.append(_link("chassis_link", base.shapes, base.inertia))
    robot.append(_fixed("chassis_joint", names.BASE_FRAME, "chassis_link", "0 0 0", "0 0 0"))
    for child in base.children:
        robot.extend(_moving(child, say))
    robot.extend(_mounts(say))
    return robot


def _moving(part: Part, say: Callable[[str], str]) -> list[ET.Element]:
    """A wheel or a pin with its joint."""
    name = names.link_name(part.name)
    side = "" if part.position[1] > 0 else "-"
    if part.name.endswith("_wheel"):
        position = f"0 {say(f'{side}track_width/2')} {say('wheel_radius')}"
        joint = _joint_element("continuous", part.name, name, position)
        joint.append(element("axis", xyz="0 1 0"))
        link = _link(name, part.shapes, part.inertia)
        for tyre in link.iter("cylinder"):
            _name_tyre(tyre, part, say)
        return [link, joint]
    position = f"{say('pin_tip')} {say(f'{side}pin_spacing/2')} {say('pin_height')}"
    # No sensor reports how far a pin is pressed in.
    return [
        _link(name, part.shapes, part.inertia),
        _fixed(names.joint_name(part.name), names.BASE_FRAME, name, position, "0 0 0"),
    ]


def _name_tyre(cylinder: ET.Element, part: Part, say: Callable[[str], str]) -> None:
    radius, half_width = next(shape.size for shape in part.shapes if shape.solid)
    if cylinder.get("radius") == numbers(radius):
        cylinder.set("radius", say("wheel_radius"))
    if cylinder.get("length") == numbers(2 * half_width):
        cylinder.set("length", say("wheel_width"))


def _mounts(say: Callable[[str], str]) -> list[ET.Element]:
    base = names.BASE_FRAME
    mounts = (
        (names.SCANNER_FRAME, base, f"{say('scanner_x')} 0 {say('scanner_z')}", "0 0 0"),
        (
            names.CAMERA_FRAME,
            base,
            f"{say('camera_x')} 0 {say('camera_z')}",
            f"0 {say('camera_pitch_down')} 0",
        ),
        # REP-103: z forward, x right, y down.
        (
            names.OPTICAL_FRAME,
            names.CAMERA_FRAME,
            "0 0 0",
            numbers(-math.pi / 2, 0.0, -math.pi / 2),
        ),
    )
    elements = []
    for frame, parent, position, rpy in mounts:
        elements.append(element("link", name=frame))
        joint = f"{frame.removesuffix('_link').removesuffix('_frame')}_joint"
        elements.append(_fixed(joint, parent, frame, position, rpy))
    return elements


def _link(name: str, shapes: tuple[Shape, ...], inertia: Inertia | None) -> ET.Element:
    link = element("link", name=name)
    if inertia is not None:
        ixx, iyy, izz = (numbers(moment) for moment in inertia.moments_kgm2)
        link.append(
            element(
                "inertial",
                element("origin", xyz=numbers(*inertia.centre), rpy="0 0 0"),
                element("mass", value=numbers(inertia.mass_kg)),
                element("inertia", ixx=ixx, ixy="0", ixz="0", iyy=iyy, iyz="0", izz=izz),
            )
        )
    for shape in shapes:
        if shape.material is not None and shape.material.rgba[3] >= _OPAQUE_FROM:
            paint = element("material", name=_paint_name(shape.material))
            link.append(element("visual", _origin(shape), _geometry(shape), paint))
    for shape in shapes:
        if shape.solid:
            link.append(element("collision", _origin(shape), _geometry(shape)))
    return link


def _origin(shape: Shape) -> ET.Element:
    rpy = numbers(*rpy_of(shape.orientation))
    return element("origin", xyz=numbers(*shape.position), rpy=rpy)


def _geometry(shape: Shape) -> ET.Element:
    size = shape.size
    if shape.kind == "box":
        inner = element("box", size=numbers(*(2 * half for half in size)))
    elif shape.kind == "sphere":
        inner = element("sphere", radius=numbers(size[0]))
    else:
        inner = element("cylinder", radius=numbers(size[0]), length=numbers(2 * size[1]))
    return element("geometry", inner)


def _joint_element(kind: str, name: str, child: str, position: str) -> ET.Element:
    return element(
        "joint",
        element("parent", link=names.BASE_FRAME),
        element("child", link=child),
        element("origin", xyz=position, rpy="0 0 0"),
        name=names.joint_name(name),
        type=kind,
    )


def _fixed(name: str, parent: str, child: str, position: str, rpy: str) -> ET.Element:
    return element(
        "joint",
        element("parent", link=parent),
        element("child", link=child),
        element("origin", xyz=position, rpy=rpy),
        name=name,
        type="fixed",
    )


def _palette(part: Part) -> dict[str, tuple[float, ...]]:
    """Colours of all drawn shapes by the name that links refer to."""
    shapes = [*part.shapes, *(shape for child in part.children for shape in child.shapes)]
    materials = [shape.material for shape in shapes if shape.material is not None]
    return {_paint_name(material): material.rgba for material in materials}


def _paint_name(material: Material) -> str:
    return "paint_" + "".join(f"{round(255 * c):02x}" for c in material.rgba[:3])
