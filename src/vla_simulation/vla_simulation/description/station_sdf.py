"""Charging stations as SDFormat models, in the dock frame as in the MuJoCo model."""

from dataclasses import dataclass, replace

from vla_simulation.config import SimulationConfig
from vla_simulation.description.paint import painted_boxes
from vla_simulation.description.parts import Part, read_materials, read_part
from vla_simulation.description.sdf import sdf_file, static_model
from vla_simulation.errors import SimulationError
from vla_simulation.scenes import scenery, station_model
from vla_simulation.scenes.instructions import STATION_COLOURS
from vla_simulation.scenes.station_shapes import SHAPES

_NAME = "station"


@dataclass(frozen=True)
class StationChoice:
    """Which station.

    Attributes:
        colour: one of `STATION_COLOURS`.
        shape: one of `SHAPES`.
        number: on its sign.
    """

    colour: str
    shape: str
    number: int

    @classmethod
    def parse(cls, text: str) -> "StationChoice":
        """Read ``colour:shape:number``, such as ``orange:cabinet:1``.

        Raises:
            SimulationError: one of the three is unknown.
        """
        colour, _, rest = text.partition(":")
        shape, _, number = rest.partition(":")
        known = {"colour": STATION_COLOURS, "shape": SHAPES, "number": _numbers()}
        for name, value in (("colour", colour), ("shape", shape), ("number", number)):
            if value not in known[name]:
                raise SimulationError(
                    f"station '{text}': {name} '{value}' is unknown, expected COLOUR:SHAPE:NUMBER "
                    f"with one of {', '.join(known[name])}"
                )
        return cls(colour, shape, int(number))

    @property
    def model(self) -> str:
        """Name of the model and of its folder."""
        return f"charging_station_{self.colour}_{self.shape}_{self.number}"


def read_station(config: SimulationConfig, choice: StationChoice) -> Part:
    """A station as the simulator builds it, with this look and without a fiducial marker."""
    colour = (*STATION_COLOURS[choice.colour], 1.0)
    recoloured = {f"{_NAME}_{part}": colour for part in station_model.COLOURED_MATERIALS}
    elements = station_model.MATERIALS + station_model.coloured_materials(_NAME)
    materials = read_materials(elements + scenery.MATERIALS, recoloured)
    robot = config.robot
    body = station_model.station_body(
        _NAME, config.station, robot.pin_spacing_m, robot.pin_height_m
    )
    part = read_part(body, materials)
    digit = materials[f"digit_{choice.number}"]
    shapes = [
        replace(shape, material=digit) if shape.mesh == "station_sign" else shape
        for shape in part.shapes
        if not _belongs_to_another(shape.name, choice.shape)
        and shape.mesh not in ("station_marker", "station_decal")
    ]
    paint = painted_boxes(station_model.station_meshes(config.station)["station_decal"])
    return replace(part, shapes=(*shapes, *paint))


def station_sdf(config: SimulationConfig, choice: StationChoice) -> str:
    """Text of a station's ``model.sdf``."""
    return sdf_file(static_model(choice.model, read_station(config, choice)))


def _belongs_to_another(name: str, shape: str) -> bool:
    return any(name.startswith(f"{_NAME}_{other}_") for other in SHAPES if other != shape)


def _numbers() -> list[str]:
    return [str(digit) for digit in station_model.DIGITS]
