"""What a docking goal is made of: its rules, what is known about it at a moment, and its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum

from vla_core.docking import DockTolerance
from vla_core.geometry import Pose2D
from vla_policy_node.errors import DockingError
from vla_policy_node.streams import StreamState


class Phase(IntEnum):
    """Phases of a goal, numbered like the states in the feedback of `Dock`."""

    NONE = 0
    INITIAL_PERCEPTION = 2
    CONTROLLING = 3
    WAIT_FOR_CHARGE = 4
    RETRY = 5


class Motion(Enum):
    """What the control loop shall do now."""

    WAIT = "stand still and gather chunks"
    FOLLOW = "follow the policy"
    BACK_OFF = "drive straight back"
    STOP = "decelerate to a standstill"


@dataclass(frozen=True)
class DockingRules:
    """Limits of one goal.

    Attributes:
        timeout_s: of the whole goal, retries included.
        perception_timeout_s: until every stream is valid and the first chunk is there.
        stale_grace_s: how long streams or chunks may fail on the way.
        charge_timeout_s: longest standstill at the station without a verified dock.
        max_retries: how often to back off and come in again.
        retry_backoff_m: way back before a retry.
        retry_speed_mps: speed on that way, positive.
        tolerance: pose, speed and settling time of a docked robot.
    """

    timeout_s: float = 30.0
    perception_timeout_s: float = 5.0
    stale_grace_s: float = 1.0
    charge_timeout_s: float = 5.0
    max_retries: int = 0
    retry_backoff_m: float = 0.4
    retry_speed_mps: float = 0.1
    tolerance: DockTolerance = field(default_factory=DockTolerance)


@dataclass(frozen=True)
class Situation:
    """All that one update of the state machine looks at.

    Attributes:
        now_ns: the node's clock.
        streams: every stream of the contract.
        chunk_ready: a chunk of this attempt covers the present.
        at_rest: the last published command was zero, or none was published.
        speed_mps: measured speed of the base, None without fresh odometry.
        dock_from_base: measured pose of the base in the dock frame, None without a fresh one.
        charging: whether the battery charges, None without a fresh battery state.
        inference_fault: why no more chunks will come, empty as long as they may.
        cancel_requested: the client wants no more.
        stop_reason: why the node itself gives up on the goal, empty if it does not.
    """

    now_ns: int
    streams: tuple[StreamState, ...]
    chunk_ready: bool
    at_rest: bool
    speed_mps: float | None
    dock_from_base: Pose2D | None
    charging: bool | None
    inference_fault: str = ""
    cancel_requested: bool = False
    stop_reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a goal ended.

    Attributes:
        reason: one sentence.
        error: the failure, None for success and for a canceled goal.
        canceled: whether the client's cancel request ended it.
    """

    reason: str
    error: DockingError | None = None
    canceled: bool = False

    @property
    def success(self) -> bool:
        """Whether the robot is docked."""
        return self.error is None and not self.canceled
