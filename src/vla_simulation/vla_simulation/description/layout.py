"""What stands where in the Gazebo world; the origin is the room's centre, on the floor."""

import math
from dataclasses import dataclass

from vla_core.geometry import Pose2D
from vla_simulation.description.station_sdf import StationChoice
from vla_simulation.scenes import scenery
from vla_simulation.scenes.props.prop import Prop

_EAST, _NORTH, _WEST, _SOUTH = (k * math.pi / 2 for k in range(4))


@dataclass(frozen=True)
class Layout:
    """A room.

    Attributes:
        length_m: along x.
        width_m: along y.
        start: of the robot.
        docks: docked poses, left to right as the robot sees them.
        props: what else is there, by the prop's name.
    """

    length_m: float
    width_m: float
    start: Pose2D
    docks: tuple[Pose2D, ...]
    props: dict[str, Pose2D]


LAYOUT = Layout(
    length_m=10.0,
    width_m=8.0,
    start=Pose2D(1.6, 0.25, -0.1),
    docks=(Pose2D(4.35, 0.70, 0.05), Pose2D(4.40, -0.70, -0.04)),
    props={
        # What stands at a wall has its back to it; x points into the room.
        "rack_0": Pose2D(-2.6, 3.45, _SOUTH),
        "rack_1": Pose2D(0.6, 3.45, _SOUTH),
        "rack_3": Pose2D(-1.2, -3.45, _NORTH),
        "switchboard_0": Pose2D(2.9, 3.7, _SOUTH),
        "bin_0": Pose2D(3.4, -3.6, _NORTH),
        "pallet_0": Pose2D(-3.9, -2.6, _EAST),
        "pallet_2": Pose2D(-3.9, -1.3, _EAST),
        "pallet_4": Pose2D(-4.1, 0.2, _NORTH),
        "cartons_2": Pose2D(1.4, -3.3, 0.3),
        "drum_0": Pose2D(2.3, -3.4, 0.0),
        "forklift_0": Pose2D(-2.4, 1.35, 0.35),
        "person_0": Pose2D(-0.4, -1.9, 2.2),
        "column_0": Pose2D(0.0, 1.9, _EAST),
        "column_1": Pose2D(2.4, -2.2, _EAST),
        "bollard_0": Pose2D(3.5, 1.9, _EAST),
        "bollard_1": Pose2D(3.5, -1.9, _EAST),
        "roller_door_0": Pose2D(-5.0, -0.4, _EAST),
        "window_0": Pose2D(5.0, 2.6, _WEST),
        "fire_point_0": Pose2D(5.0, -2.6, _WEST),
        "lane_0": Pose2D(-0.2, -0.9, _EAST),
        "lane_1": Pose2D(-0.2, 1.2, _EAST),
    },
)

STATIONS = (StationChoice("orange", "cabinet", 1), StationChoice("blue", "low", 2))
"""What stands at the docks unless others are asked for."""


def placed_props(layout: Layout) -> tuple[tuple[Prop, Pose2D], ...]:
    """The props of a layout with their poses."""
    known = {prop.name: prop for prop in scenery.PROPS}
    return tuple((known[name], pose) for name, pose in layout.props.items())
