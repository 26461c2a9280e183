"""SDFormat elements of bodies and shapes.

SDFormat 1.9: Gazebo Fortress reads it, and Harmonic, for which the files are meant, converts it.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from vla_core.geometry import Pose2D
from vla_simulation.description.media import MEDIA, mesh_file, texture_file
from vla_simulation.description.parts import Material, Part, Shape
from vla_simulation.description.rotations import Quaternion, Vector, rpy_of
from vla_simulation.description.xml_text import document, element, group, names_of, numbers

SDF_VERSION = "1.9"
_BRIGHTNESS_IN_SHADE = 0.6
_OPAQUE_FROM = 0.5


def sdf_file(root: ET.Element) -> str:
    """Text of a file with this one model or world."""
    return document(element("sdf", root, version=SDF_VERSION))


def model_config(name: str, description: str, file: str = "model.sdf") -> str:
    """Text of the ``model.config`` that lets Gazebo find a model by name."""
    return document(
        element(
            "model",
            element("name", name),
            element("version", "1.0"),
            element("sdf", file, version=SDF_VERSION),
            group(
                "author",
                {"name": "VLA docking maintainers", "email": "maintainers@vla-docking.example"},
            ),
            element("description", description),
        )
    )


def pose(position: Vector, rpy: Vector = (0.0, 0.0, 0.0), **attributes: str) -> ET.Element:
    """``<pose>``: x y z [m], roll pitch yaw [rad]."""
    return element("pose", numbers(*position, *rpy), **attributes)


def planar_pose(at: Pose2D) -> ET.Element:
    """``<pose>`` on the floor."""
    return pose((at.x, at.y, 0.0), (0.0, 0.0, at.yaw))


def link(part: Part, name: str, *extra: ET.Element, relative_to: str = "") -> ET.Element:
    """A body as ``<link>`` with its visuals and collisions.

    Args:
        part: the body.
        name: of the link.
        extra: further children, such as sensors.
        relative_to: frame of its position, or empty for the model's.
    """
    result = element("link", name=name)
    if any(part.position):
        placed = pose(part.position)
        if relative_to:
            placed.set("relative_to", relative_to)
        result.append(placed)
    if part.inertia is not None:
        ixx, iyy, izz = part.inertia.moments_kgm2
        moments: dict[str, str | float] = {"ixx": ixx, "ixy": 0.0, "ixz": 0.0}
        moments |= {"iyy": iyy, "iyz": 0.0, "izz": izz}
        mass = element("mass", part.inertia.mass_kg)
        tensor = group("inertia", moments)
        result.append(element("inertial", pose(part.inertia.centre), mass, tensor))
    result.extend(collisions(part.shapes))
    result.extend(visuals(part.shapes))
    result.extend(extra)
    return result


def static_model(name: str, part: Part, at: Pose2D | None = None) -> ET.Element:
    """A body that never moves, as a ``<model>`` of one link."""
    placed = [] if at is None else [planar_pose(at)]
    return element("model", element("static", True), *placed, link(part, "link"), name=name)


def collisions(shapes: Iterable[Shape]) -> list[ET.Element]:
    """``<collision>`` of each solid shape."""
    solid = [shape for shape in shapes if shape.solid]
    names = names_of("collision", (shape.name for shape in solid))
    return [
        element(
            "collision",
            *_placed(shape.position, shape.orientation),
            geometry(shape),
            *_surface(shape.friction),
            name=name,
        )
        for name, shape in zip(names, solid, strict=True)
    ]


def visuals(shapes: Iterable[Shape]) -> list[ET.Element]:
    """``<visual>`` of each drawn shape; painted shadows are left to Gazebo's lights."""
    drawn = [
        (shape, shape.material)
        for shape in shapes
        if shape.material is not None and shape.material.rgba[3] >= _OPAQUE_FROM
    ]
    # Siblings share one name space, whatever they are.
    given = (shape.name and f"{shape.name}_visual" for shape, _ in drawn)
    names = names_of("visual", given)
    return [
        element(
            "visual",
            *_placed(shape.position, shape.orientation),
            geometry(shape),
            surface(material),
            name=name,
        )
        for name, (shape, material) in zip(names, drawn, strict=True)
    ]


def geometry(shape: Shape) -> ET.Element:
    """``<geometry>`` of a shape; SDFormat says full lengths where MuJoCo says half ones."""
    size = shape.size
    if shape.kind == "box":
        inner = element("box", element("size", numbers(*(2 * half for half in size))))
    elif shape.kind in ("cylinder", "capsule"):
        inner = group(shape.kind, {"radius": size[0], "length": 2 * size[1]})
    elif shape.kind == "sphere":
        inner = group("sphere", {"radius": size[0]})
    elif shape.kind == "mesh":
        inner = group("mesh", {"uri": f"model://{MEDIA}/{mesh_file(shape.mesh)}"})
    else:
        inner = element("ellipsoid", element("radii", numbers(*size)))
    return element("geometry", inner)


def surface(material: Material) -> ET.Element:
    """``<material>`` of a colour, or of a texture that is multiplied by it."""
    red, green, blue, alpha = material.rgba
    shade = [_BRIGHTNESS_IN_SHADE * c for c in (red, green, blue)]
    glow = [material.emission * c for c in (red, green, blue)]
    result = group(
        "material",
        {
            "ambient": numbers(*shade, alpha),
            "diffuse": numbers(red, green, blue, alpha),
            "specular": numbers(*[0.2 * material.specular] * 3, 1.0),
            "emissive": numbers(*glow, 1.0),
        },
    )
    if material.texture:
        uri = f"model://{MEDIA}/{texture_file(material.texture)}"
        metal = group("metal", {"albedo_map": uri, "metalness": 0.0, "roughness": 0.8})
        result.append(element("pbr", metal))
    return result


def plugin(filename: str, name: str, *children: ET.Element) -> ET.Element:
    """A Gazebo system."""
    return element("plugin", *children, filename=filename, name=f"gz::sim::systems::{name}")


def _placed(position: Vector, orientation: Quaternion) -> list[ET.Element]:
    rpy = rpy_of(orientation)
    return [pose(position, rpy)] if any((*position, *rpy)) else []


def _surface(friction: float) -> list[ET.Element]:
    """``<surface>``, where the friction is not Gazebo's own."""
    if friction == 1.0:
        return []
    # Gazebo's default engine, DART, reads the coefficients of <ode>.
    coefficients = group("ode", {"mu": friction, "mu2": friction})
    return [element("surface", element("friction", coefficients))]
