"""What a dock database tells about a station: its outline for a scanner, and its marker."""

import functools

import numpy as np

from vla_simulation.config import SimulationConfig
from vla_simulation.controllers.markers import Marker, upright_marker
from vla_simulation.controllers.outline import section, seen_from
from vla_simulation.scenes.station_model import MARKER_HEIGHT_M, MARKER_SIZE_M
from vla_simulation.scenes.station_shapes import station_solids

MARKER_GAP_M = 0.001
"""From the panel to the marker in front of it."""

_VIEW_X_M = (-2.5, -1.2, -0.5, 0.15)
_VIEW_Y_M = (-1.0, -0.4, 0.0, 0.4, 1.0)


@functools.cache
def scan_outline(shape: str, config: SimulationConfig) -> np.ndarray:
    """(S, 2, 2) [m] what a scanner in front of a station sees of it, in the dock frame.

    Args:
        shape: of the station's body.
        config: dimensions of the station, and height of the scanner.
    """
    cut = section(station_solids(shape, config.station), config.scanner.z_m)
    viewpoints = np.array([[x, y] for x in _VIEW_X_M for y in _VIEW_Y_M])
    return seen_from(cut, viewpoints)


def station_marker(number: int, config: SimulationConfig) -> Marker:
    """The marker that a station carries; it is in the same place on every body.

    Args:
        number: of the station, from the left.
        config: dimensions of the station.
    """
    front_m = config.station.panel_front_m - MARKER_GAP_M
    return Marker(number, MARKER_SIZE_M, upright_marker(front_m, MARKER_HEIGHT_M))
