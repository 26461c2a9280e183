"""What a goal is made of: its phases, what is known about it at a moment, and its end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from vla_core.geometry import Pose2D
from vla_policy_node.docking.rear_view import UNSEEN, RearView
from vla_policy_node.errors import Canceled, DockingError
from vla_policy_node.sensing.streams import StreamState


class Phase(IntEnum):
    """Phases of a goal, numbered like the states in the feedback of `Dock`."""

    NONE = 0
    NAV_TO_STAGING_POSE = 1
    INITIAL_PERCEPTION = 2
    CONTROLLING = 3
    WAIT_FOR_CHARGE = 4
    RETRY = 5
    RETURN = 6


class Motion(Enum):
    """What the control loop shall do now."""

    WAIT = "stand still and gather chunks"
    FOLLOW = "follow the policy"
    BACK_OFF = "drive back along the approach line"
    STOP = "decelerate to a standstill"


@dataclass(frozen=True)
class Situation:
    """All that one update of the state machine looks at.

    Attributes:
        now_ns: the node's clock.
        streams: every stream of the contract.
        chunk_ready: a chunk of this attempt covers the present.
        at_rest: the last published command was zero, or none was published.
        speed_mps: measured speed of the base, None without fresh odometry.
        standing_s: for how long it has shown a standstill.
        odometry: the base in a frame that stays where it is, None without fresh odometry.
        dock_from_base: measured pose of the base in the dock frame, None without a fresh one.
        charging: whether the battery charges, None without a fresh battery state.
        contact_speed_mps: at which the contacts met, None while it does not charge.
        rear: what the scan shows behind the robot.
        trail_m: how far straight behind the robot its own way reaches.
        inference_fault: why no more chunks will come, empty as long as they may.
        doubt: why the policy is not to be trusted now, empty while it is.
        interruption: why client or node give up on the goal, None if they do not.
        person_drives: whether a person has taken the robot over.
    """

    now_ns: int
    streams: tuple[StreamState, ...]
    chunk_ready: bool
    at_rest: bool
    speed_mps: float | None
    dock_from_base: Pose2D | None
    charging: bool | None
    standing_s: float = 0.0
    odometry: Pose2D | None = None
    contact_speed_mps: float | None = None
    rear: RearView = UNSEEN
    trail_m: float = 0.0
    inference_fault: str = ""
    doubt: str = ""
    interruption: DockingError | None = None
    person_drives: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a goal ended.

    Attributes:
        reason: one sentence.
        error: the failure, None for success.
    """

    reason: str
    error: DockingError | None = None

    @classmethod
    def failure(cls, error: DockingError) -> Outcome:
        """The end by an error, which is the reason, too."""
        return cls(str(error), error)

    @property
    def success(self) -> bool:
        """Whether the goal was reached."""
        return self.error is None

    @property
    def canceled(self) -> bool:
        """Whether the client's cancel request ended it."""
        return isinstance(self.error, Canceled)
