"""Why a goal ends without success: one exception class per error code of `Dock` and `Undock`.

Names and numbers from 901 to 907 and 999 are those of `nav2_msgs/action/DockRobot`; those from 951
on are our own.
"""

from __future__ import annotations

from typing import ClassVar

from vla_core.errors import VlaError


class WorkerError(VlaError):
    """The inference process did not start, died, or answered with an error."""


class ServerError(VlaError):
    """A policy server cannot listen where it was told to."""


class ParameterError(VlaError):
    """A parameter has a value that the node cannot work with."""


class GraphError(VlaError):
    """The live graph publishes streams in a way that the node can never receive."""


class DockingError(VlaError):
    """A docking goal failed; `code` is the `error_code` of its result."""

    code: ClassVar[int] = 999


class DockNotInDatabase(DockingError):  # noqa: N818 (named like the error code)
    """The station is named by an identifier that this server does not know."""

    code = 901


class DockNotValid(DockingError):  # noqa: N818
    """The goal itself cannot be served: no instruction, or a value out of range."""

    code = 902


class FailedToStage(DockingError):  # noqa: N818
    """The robot could not be brought in front of the station."""

    code = 903


class FailedToDetectDock(DockingError):  # noqa: N818
    """What the policy needs to see never arrived, or arrived too old."""

    code = 904


class FailedToControl(DockingError):  # noqa: N818
    """The approach broke off: a stream or the inference failed on the way."""

    code = 905


class FailedToCharge(DockingError):  # noqa: N818
    """The robot stands at the station and the battery does not charge."""

    code = 906


class DockTimeout(DockingError):  # noqa: N818
    """The goal took longer than it was given."""

    code = 907


class Canceled(DockingError):  # noqa: N818
    """The client wants no more."""

    code = 951


class Preempted(DockingError):  # noqa: N818
    """A newer goal took over."""

    code = 952


class NotDocked(DockingError):  # noqa: N818
    """There is no dock to leave."""

    code = 953


class ManagerLost(DockingError):  # noqa: N818
    """The lifecycle manager, which watches over the node, fell silent."""

    code = 954


class EmergencyStopped(DockingError):  # noqa: N818
    """The emergency stop is pressed, or was, since the goal began."""

    code = 955


class GraphMismatch(DockingError):  # noqa: N818
    """What the live graph publishes is not what the policy was made for."""

    code = 956


class PolicyUnsure(DockingError):  # noqa: N818
    """The policy doubts itself: what it sees is unlike its training; another way has to do."""

    code = 957


class UnknownFault(DockingError):  # noqa: N818
    """Anything else, such as a node that is deactivated under a running goal."""

    code = 999
