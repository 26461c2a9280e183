"""What can go wrong with fuzzing itself, and what an input must not do."""

from vla_core.errors import VlaError


class FuzzingError(VlaError):
    """The fuzzing cannot be carried out."""


class AcceptedError(Exception):
    """Something was accepted that cannot be right; no error of a user, but a finding."""


class ReportedError(Exception):
    """What was fuzzed has logged a traceback, which is the message."""
