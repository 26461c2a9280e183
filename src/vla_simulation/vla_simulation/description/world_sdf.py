"""The Gazebo world: a warehouse with stations, and the robot in front of them."""

import xml.etree.ElementTree as ET

from vla_core.geometry import Pose2D
from vla_simulation.description import interface as names
from vla_simulation.description.layout import Layout, placed_props
from vla_simulation.description.media import mean_colour
from vla_simulation.description.paint import painted_boxes
from vla_simulation.description.parts import Material, Part, Shape, read_materials, read_shapes
from vla_simulation.description.rotations import IDENTITY
from vla_simulation.description.sdf import (
    planar_pose,
    plugin,
    pose,
    sdf_file,
    static_model,
    surface,
)
from vla_simulation.description.station_sdf import StationChoice
from vla_simulation.description.xml_text import element, group, numbers
from vla_simulation.scenes import scenery, textures
from vla_simulation.scenes.props.prop import DECAL_MATERIAL, Prop

WORLD = "docking"
_STEP_S = 0.001
_FLOOR, _WALL = "concrete", "painted"
_WALL_THICKNESS_M = 0.2
_SYSTEMS = (
    ("gz-sim-physics-system", "Physics"),
    ("gz-sim-user-commands-system", "UserCommands"),
    ("gz-sim-scene-broadcaster-system", "SceneBroadcaster"),
    ("gz-sim-contact-system", "Contact"),
)


def world_sdf(layout: Layout, stations: tuple[StationChoice, ...]) -> str:
    """Text of the world's file.

    Args:
        layout: what stands where.
        stations: one for each dock.
    """
    world = element(
        "world",
        group(
            "physics", {"max_step_size": _STEP_S, "real_time_factor": 1.0}, name="1ms", type="dart"
        ),
        *(plugin(filename, name) for filename, name in _SYSTEMS),
        plugin("gz-sim-sensors-system", "Sensors", element("render_engine", "ogre2")),
        element(
            "scene",
            element("ambient", "0.5 0.5 0.5 1"),
            element("background", "0.52 0.54 0.56 1"),
            element("shadows", True),
        ),
        _light("key", "0.3 0.2 -1", 0.55, shadows=True),
        _light("fill", "-0.5 -0.4 -0.6", 0.25, shadows=False),
        _floor(),
        static_model("walls", _walls(layout)),
        *(static_model(prop.name, _prop(prop), at) for prop, at in placed_props(layout)),
        *(
            _include(choice.model, dock)
            for choice, dock in zip(stations, layout.docks, strict=True)
        ),
        _include(names.ROBOT, layout.start),
        name=WORLD,
    )
    return sdf_file(world)


def _include(model: str, at: Pose2D) -> ET.Element:
    return element("include", element("uri", f"model://{model}"), planar_pose(at))


def _light(name: str, direction: str, strength: float, *, shadows: bool) -> ET.Element:
    return element(
        "light",
        pose((0.0, 0.0, 6.0)),
        element("cast_shadows", shadows),
        element("diffuse", numbers(strength, strength, strength, 1.0)),
        element("specular", "0.1 0.1 0.1 1"),
        element("direction", direction),
        name=name,
        type="directional",
    )


def _floor() -> ET.Element:
    plane = element("plane", element("normal", "0 0 1"), element("size", "40 40"))
    colour = Material((*mean_colour(textures.FLOORS[_FLOOR]()), 1.0), 0.1)
    return element(
        "model",
        element("static", True),
        element(
            "link",
            element("collision", element("geometry", plane), name="collision"),
            element("visual", element("geometry", plane), surface(colour), name="visual"),
            name="link",
        ),
        name="floor",
    )


def _walls(layout: Layout) -> Part:
    """Four boxes around the room; their inner faces are its edges."""
    colour = Material((*mean_colour(textures.WALLS[_WALL]()), 1.0), 0.0)
    half_length, half_width = layout.length_m / 2, layout.width_m / 2
    half, half_height = _WALL_THICKNESS_M / 2, scenery.WALL_HEIGHT_M / 2
    shapes = [
        Shape(f"wall_{k}", "box", (x, y, half_height), IDENTITY, size, colour, True, 1.0)
        for k, (x, y, size) in enumerate(
            (
                (half_length + half, 0.0, (half, half_width, half_height)),
                (0.0, half_width + half, (half_length, half, half_height)),
                (-half_length - half, 0.0, (half, half_width, half_height)),
                (0.0, -half_width - half, (half_length, half, half_height)),
            )
        )
    ]
    return Part("walls", (0.0, 0.0, 0.0), tuple(shapes))


def _prop(prop: Prop) -> Part:
    """A prop as the simulator builds it; of its decals only the paint."""
    shapes = read_shapes(prop.geoms, read_materials(scenery.MATERIALS))
    opaque = [shape for shape in shapes if not is_decal(shape.mesh, prop)]
    paint = [box for name in prop.meshes if is_decal(name, prop) for box in paint_of(prop, name)]
    return Part(prop.name, (0.0, 0.0, 0.0), (*opaque, *paint))


def paint_of(prop: Prop, mesh: str) -> tuple[Shape, ...]:
    """The painted parts of one of a prop's meshes."""
    return painted_boxes(prop.meshes[mesh])


def is_decal(mesh: str, prop: Prop) -> bool:
    """Whether a mesh of a prop is half transparent."""
    return mesh == f"{prop.name}_{DECAL_MATERIAL}"
