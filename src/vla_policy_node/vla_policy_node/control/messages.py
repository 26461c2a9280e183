"""What node, control process and watchdog say to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from vla_core.clearance import Surroundings
from vla_core.command_pipeline import Command
from vla_core.geometry import Pose2D
from vla_core.safety_envelope import Intervention


@dataclass(frozen=True)
class Setup:
    """The first thing that control process and watchdog are told.

    Attributes:
        contract: YAML text of the contract.
        mode: how chunks are executed.
        replan_steps: ticks from chunk to chunk, except in open loop.
        topic: full name of the command topic, remapped.
        namespace: of the node.
        node_name: of the node; those of the processes begin with it.
        domain_id: of DDS.
        simulated: whether the node's clock is simulated; its time is sent then.
        priority: real-time priority of the tick (SCHED_FIFO); 0 to do without.
        silence_s: a node that is silent for longer counts as hung.
        fault_stop_s: time in which a fault brings the command to zero.
        diagnostics_topic: full name, remapped.
    """

    contract: str
    mode: str
    replan_steps: int
    topic: str
    namespace: str
    node_name: str
    domain_id: int
    simulated: bool
    priority: int
    silence_s: float
    fault_stop_s: float = 0.0
    diagnostics_topic: str = "/diagnostics"


@dataclass(frozen=True)
class Ready:
    """The process has its publisher and waits for work.

    Attributes:
        scheduling: how the kernel schedules it.
        error: why it cannot work; empty if it can.
    """

    scheduling: str = ""
    error: str = ""


@dataclass(frozen=True)
class Alive:
    """A sign of life of the node, and what it knows of its streams.

    Attributes:
        valid_from_ns: from here on, by the node's clock, no stream is from the future.
        valid_to_ns: until here no stream is too old, if nothing more arrives.
    """

    valid_from_ns: int
    valid_to_ns: int


@dataclass(frozen=True)
class Seen:
    """What the newest scan shows, for robots that brake for obstacles.

    Attributes:
        stamp_ns: of the scan.
        points_mm: x and y in turn, in the base frame, in whole millimetres.
        dock_from_base: x, y and yaw of the base in the dock frame; None if it is not measured.
    """

    stamp_ns: int
    points_mm: Sequence[int]
    dock_from_base: Sequence[float] | None

    @classmethod
    def of(cls, surroundings: Surroundings) -> Seen:
        """The message for this scan."""
        pose = surroundings.dock_from_base
        return cls(
            surroundings.stamp_ns,
            np.rint(1e3 * surroundings.points).astype(int).ravel().tolist(),
            None if pose is None else (pose.x, pose.y, pose.yaw),
        )

    @property
    def surroundings(self) -> Surroundings:
        """What the message says."""
        points = 1e-3 * np.array(self.points_mm, np.float64).reshape(-1, 2)
        pose = None if self.dock_from_base is None else Pose2D(*self.dock_from_base)
        return Surroundings(points, self.stamp_ns, pose)


@dataclass(frozen=True)
class ClockTime:
    """The simulated time.

    Attributes:
        now_ns: the node's clock.
    """

    now_ns: int


@dataclass(frozen=True)
class Begin:
    """A goal begins.

    Attributes:
        goal: number of the goal.
    """

    goal: int


@dataclass(frozen=True)
class Move:
    """What to do from the next tick on, see `ControlLoop.set_motion`.

    Attributes:
        goal: number of the goal.
        motion: name of a `Motion`.
        back_off_mps: speed of backing off.
        turn_radps: turning rate of backing off.
    """

    goal: int
    motion: str
    back_off_mps: float
    turn_radps: float


@dataclass(frozen=True)
class AddChunk:
    """A chunk of the policy.

    Attributes:
        goal: number of the goal.
        stamp_ns: time of the observation that it was computed from.
        actions: (H, A), [m/s, rad/s].
    """

    goal: int
    stamp_ns: int
    actions: Sequence[Sequence[float]]


@dataclass(frozen=True)
class End:
    """A goal ends: zeros for a while if the robot has moved, then silence.

    Attributes:
        goal: number of the goal.
        zero_hold_s: how long zeros follow.
    """

    goal: int
    zero_hold_s: float


@dataclass(frozen=True)
class Halt:
    """Be silent at once, after one zero command if the robot is being commanded.

    Attributes:
        goal: number of the goal.
    """

    goal: int


@dataclass(frozen=True)
class Trip:
    """A fault: stand still until the next goal.

    Attributes:
        reason: one sentence.
    """

    reason: str


@dataclass(frozen=True)
class Report:
    """What the control process did last.

    Attributes:
        goal: number of the goal.
        running: whether a goal runs, or zero commands still follow one.
        at_rest: whether the robot was last told to stand still, or nothing.
        interventions_total: commands that the safety envelope has changed.
        tick_ns: the tick, by the node's clock; None if this is no tick.
        sent_ns: when its command left, by the monotonic clock.
        values: (A,) the command, [m/s, rad/s]; None if there was none.
        interventions: why it is not what the policy asked for.
        buffer_depth: ticks for which there are actions.
        fault: why the goal can move the robot no more; empty as long as it can.
    """

    goal: int
    running: bool
    at_rest: bool
    interventions_total: int
    tick_ns: int | None = None
    sent_ns: int = 0
    values: Sequence[float] | None = None
    interventions: Sequence[str] = ()
    buffer_depth: int = 0
    fault: str = ""

    @property
    def command(self) -> Command | None:
        """The command that was published at this tick."""
        if self.values is None:
            return None
        reasons = tuple(Intervention(reason) for reason in self.interventions)
        return Command(np.array(self.values), reasons, self.buffer_depth)


@dataclass(frozen=True)
class Announcement:
    """What the control process is about to do, for the watchdog.

    Attributes:
        goal: number of the goal.
        running: whether a goal runs.
        commanding: whether the robot may be moving by its commands.
        stamp_ns: stamp of the command that is published next.
        values: (A,) that command; None if this is a sign of life only.
    """

    goal: int
    running: bool
    commanding: bool
    stamp_ns: int = 0
    values: Sequence[float] | None = None


Message: TypeAlias = (
    Setup
    | Ready
    | Alive
    | Seen
    | ClockTime
    | Begin
    | Move
    | AddChunk
    | End
    | Halt
    | Trip
    | Report
    | Announcement
)
