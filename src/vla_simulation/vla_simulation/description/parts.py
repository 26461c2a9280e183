"""Bodies and shapes as plain values, read from the MJCF that the simulator is compiled from.

The descriptions for Gazebo and for ROS are written from these values, so that no dimension is
said twice. MJCF that would not be understood completely is refused rather than half translated.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from vla_simulation.description.rotations import IDENTITY, Quaternion, Vector, rotation_of
from vla_simulation.errors import SimulationError
from vla_simulation.mjcf import DRAWN_GROUPS

Colour = tuple[float, float, float, float]

_KINDS = ("box", "cylinder", "sphere", "capsule", "ellipsoid", "mesh")
_GEOM_ATTRIBUTES = {
    *("type", "pos", "quat", "size", "group", "mass", "contype", "conaffinity", "name"),
    *("material", "rgba", "condim", "priority", "friction", "user", "mesh", "axisangle"),
}
_FRICTIONLESS_CONDIM = 1


@dataclass(frozen=True)
class Material:
    """A surface.

    Attributes:
        rgba: its colour; with a texture, what the texture is multiplied by.
        texture: name of the texture, or empty.
        specular: strength of the highlight, 0 to 1.
        emission: share of the colour that it shines with, 0 to 1.
    """

    rgba: Colour
    specular: float = 0.5
    emission: float = 0.0
    texture: str = ""


@dataclass(frozen=True)
class Shape:
    """One solid in the frame of its body.

    Attributes:
        name: or empty.
        kind: box, cylinder, sphere, capsule, ellipsoid or mesh.
        position: of its centre [m].
        orientation: quaternion w, x, y, z.
        size: as MuJoCo means it: half lengths of a box or an ellipsoid; radius and half length of a
            cylinder or a capsule; radius of a sphere [m].
        material: or None for a shape that is not drawn.
        solid: whether it collides.
        friction: sliding friction coefficient; 0 for a frictionless contact.
        mesh: name of its mesh, or empty.
    """

    name: str
    kind: str
    position: Vector
    orientation: Quaternion
    size: tuple[float, ...]
    material: Material | None
    solid: bool
    friction: float
    mesh: str = ""


@dataclass(frozen=True)
class Inertia:
    """Mass, centre of mass and principal moments about it along the body's axes."""

    mass_kg: float
    centre: Vector
    moments_kgm2: Vector


@dataclass(frozen=True)
class Joint:
    """Hinge or slide of a body against its parent; the body's origin lies on the axis.

    Attributes:
        name: of the joint.
        kind: hinge or slide.
        axis: unit vector in the body's frame.
        limits: lower and upper [rad or m], or None.
        stiffness: of its spring [N m/rad or N/m].
        spring_reference: position at which the spring is relaxed.
        damping: [N m s/rad or N s/m].
        friction: dry friction [N m or N].
    """

    name: str
    kind: str
    axis: Vector
    limits: tuple[float, float] | None
    stiffness: float
    spring_reference: float
    damping: float
    friction: float


@dataclass(frozen=True)
class Part:
    """A rigid body with its shapes.

    Attributes:
        name: of the body.
        position: in its parent's frame [m].
        shapes: in its own frame.
        inertia: None for what stands still.
        joint: None for a root.
        children: bodies that are jointed to it.
    """

    name: str
    position: Vector
    shapes: tuple[Shape, ...]
    inertia: Inertia | None = None
    joint: Joint | None = None
    children: tuple["Part", ...] = ()


def read_materials(elements: str, recoloured: Mapping[str, Colour] | None = None) -> dict:
    """Materials by name.

    Args:
        elements: MJCF ``<material>`` elements.
        recoloured: colours that replace those of some materials, as a drawn scene does.

    Returns:
        Materials by name.
    """
    recoloured = recoloured or {}
    materials = {}
    for element in ET.fromstring(f"<asset>{elements}</asset>"):
        name = element.get("name", "")
        colour = recoloured.get(name) or _floats(element.get("rgba", "1 1 1 1"))
        red, green, blue, alpha = np.clip(colour, 0.0, 1.0).tolist()
        materials[name] = Material(
            (red, green, blue, alpha),
            float(element.get("specular", "0.5")),
            float(element.get("emission", "0")),
            element.get("texture", ""),
        )
    return materials


def read_part(body: str, materials: Mapping[str, Material]) -> Part:
    """A body and its children.

    Args:
        body: MJCF ``<body>`` element.
        materials: by name.

    Raises:
        SimulationError: it holds something that has no translation.
    """
    return _part(ET.fromstring(body), materials)


def read_shapes(geoms: Iterable[str], materials: Mapping[str, Material]) -> tuple[Shape, ...]:
    """Shapes of MJCF ``<geom>`` elements.

    Raises:
        SimulationError: one has no translation.
    """
    return tuple(_shape(ET.fromstring(geom), materials) for geom in geoms)


def _part(element: ET.Element, materials: Mapping[str, Material]) -> Part:
    name = element.get("name", "")
    shapes: list[Shape] = []
    children: list[Part] = []
    inertia: Inertia | None = None
    joint: Joint | None = None
    for child in element:
        if child.tag == "geom":
            shapes.append(_shape(child, materials))
        elif child.tag == "body":
            children.append(_part(child, materials))
        elif child.tag == "inertial":
            moments = _vector(child.get("diaginertia", ""))
            inertia = Inertia(float(child.get("mass", "nan")), _vector(child.get("pos")), moments)
        elif child.tag == "joint":
            joint = _joint(child)
        elif child.tag not in ("freejoint", "site", "camera"):
            raise SimulationError(
                f"body '{name}' of the MuJoCo model holds <{child.tag}>, which has no translation "
                "to SDFormat and URDF; teach vla_simulation.description.parts"
            )
    position = (0.0, 0.0, 0.0) if element.get("mocap") else _vector(element.get("pos"))
    return Part(name, position, tuple(shapes), inertia, joint, tuple(children))


def _joint(element: ET.Element) -> Joint:
    limits = _floats(element.get("range", ""))
    return Joint(
        name=element.get("name", ""),
        kind=element.get("type", ""),
        axis=_vector(element.get("axis")),
        limits=(limits[0], limits[1]) if limits else None,
        stiffness=float(element.get("stiffness", "0")),
        spring_reference=float(element.get("springref", "0")),
        damping=float(element.get("damping", "0")),
        friction=float(element.get("frictionloss", "0")),
    )


def _shape(element: ET.Element, materials: Mapping[str, Material]) -> Shape:
    kind, name = element.get("type", "sphere"), element.get("name", "")
    unknown = sorted(set(element.keys()) - _GEOM_ATTRIBUTES)
    if kind not in _KINDS or unknown:
        raise SimulationError(
            f"geom '{name}' of the MuJoCo model is a {kind} with {', '.join(unknown) or 'nothing'} "
            f"that has no translation, expected {', '.join(_KINDS)} with attributes "
            f"{', '.join(sorted(_GEOM_ATTRIBUTES))}; teach vla_simulation.description.parts"
        )
    drawn = int(element.get("group", "0")) in DRAWN_GROUPS
    frictionless = int(element.get("condim", "3")) == _FRICTIONLESS_CONDIM
    shape = Shape(
        name=name,
        kind=kind,
        position=_vector(element.get("pos")),
        orientation=_orientation(element),
        size=tuple(_floats(element.get("size", ""))),
        material=_material(element, materials) if drawn else None,
        solid=element.get("contype") != "0",
        friction=0.0 if frictionless else _floats(element.get("friction", "1"))[0],
        mesh=element.get("mesh", ""),
    )
    return _axis_parallel(shape)


def _material(element: ET.Element, materials: Mapping[str, Material]) -> Material:
    name, rgba = element.get("material"), element.get("rgba")
    material = Material((0.5, 0.5, 0.5, 1.0))
    if name is not None:
        if name not in materials:
            raise SimulationError(
                f"geom '{element.get('name', '')}' of the MuJoCo model has the unknown material "
                f"'{name}', expected one of: {', '.join(sorted(materials))}"
            )
        material = materials[name]
    if rgba is not None:
        material = replace(material, rgba=tuple(_floats(rgba)))  # type: ignore[arg-type]
    return material


def _axis_parallel(shape: Shape) -> Shape:
    """The same box without its rotation, if that only swaps axes (done to turn its texture)."""
    rotation = rotation_of(shape.orientation)
    if shape.kind != "box" or not np.allclose(np.abs(rotation).max(axis=0), 1.0, atol=1e-6):
        return shape
    size = np.abs(np.rint(rotation)) @ np.array(shape.size)
    return replace(shape, orientation=IDENTITY, size=tuple(float(half) for half in size))


def _orientation(element: ET.Element) -> Quaternion:
    if "axisangle" in element.keys():  # noqa: SIM118 - an Element is no dictionary
        x, y, z, angle = _floats(element.get("axisangle", ""))
        half = angle / 2
        return _unit([math.cos(half), *(math.sin(half) * c for c in (x, y, z))])
    return _unit(_floats(element.get("quat", "1 0 0 0")))


def _unit(quaternion: list[float]) -> Quaternion:
    # MJCF has eight digits, which near a right angle are four of the angle.
    norm = math.hypot(*quaternion)
    w, x, y, z = (value / norm for value in quaternion)
    return w, x, y, z


def _floats(text: str) -> list[float]:
    return [float(value) for value in text.split()]


def _vector(text: str | None) -> Vector:
    x, y, z = _floats(text or "0 0 0")
    return x, y, z
