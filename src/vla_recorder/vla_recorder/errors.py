"""Errors that the recorder and the bag inspection show to people."""

from vla_core.errors import VlaError


class RecorderError(VlaError):
    """An episode cannot be started or went wrong while it was recorded."""


class BagError(VlaError):
    """A bag cannot be written or read."""


class TeleopError(VlaError):
    """The robot cannot be driven by hand."""
