"""Errors that a user of the simulator sees."""

from vla_core.errors import VlaError


class SimulationError(VlaError):
    """The simulator was asked for something that it cannot do."""


class RenderingError(SimulationError):
    """No picture can be rendered: the OpenGL library is missing or refuses to work."""


class SuiteError(SimulationError):
    """A suite's name is unknown, or its description has mistakes."""
