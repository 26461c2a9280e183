"""What the 20 Hz tick does: one command from the policy, a stop, or silence. No ROS."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_core.clearance import Surroundings
from vla_core.command_pipeline import Command, CommandPipeline
from vla_core.contract import Contract
from vla_core.safety_envelope import Intervention
from vla_policy_node.docking.goal import Motion

_BACK_OFF_FIELDS = ("linear.x", "angular.z")


@dataclass(frozen=True)
class Chunk:
    """A chunk as it came from the policy.

    Attributes:
        stamp_ns: time of the observation that it was computed from.
        actions: (H, A) float32, [m/s, rad/s].
    """

    stamp_ns: int
    actions: npt.NDArray[np.float32]


class ControlLoop:
    """Turns chunks into one command per tick while a goal runs, and into silence otherwise.

    Chunks come from the inference thread, motions from the thread of the goal, ticks from the
    timer. A lock that nobody holds for longer than one step of the pipeline keeps them apart.

    Args:
        contract: control period and limits.
        mode: how chunks are executed.
        replan_steps: ticks from chunk to chunk, except in open loop.
        fault_stop_s: time in which a fault brings the command to zero, see `EnvelopeLimits`.
    """

    def __init__(
        self, contract: Contract, mode: str, replan_steps: int, fault_stop_s: float = 0.0
    ) -> None:
        action = contract.action
        # One period of lead: in open loop the next chunk is asked for on the last action.
        self._pipeline = CommandPipeline(
            contract,
            mode,
            replan_steps=replan_steps,
            lead_ns=action.period_ns,
            fault_stop_s=fault_stop_s,
        )
        self._half_period_ns = action.period_ns // 2
        self._chunk_shape = (action.chunk_length, action.size)
        self._fields = tuple(action.fields)
        self._lock = threading.Lock()
        self._motion: Motion | None = None
        self._back_off = (0.0, 0.0)
        self._has_commanded = False
        self._silent_at_ns: int | None = None
        self._chunk: Chunk | None = None
        self._surroundings: Surroundings | None = None
        self.interventions = 0

    @property
    def running(self) -> bool:
        """Whether a goal runs, or zero commands still follow one."""
        return self._motion is not None

    @property
    def commanding(self) -> bool:
        """Whether a goal has been given a command, so that the robot may be moving."""
        return self._motion is not None and self._has_commanded

    @property
    def at_rest(self) -> bool:
        """Whether the robot was last told to stand still, or nothing."""
        return not self._has_commanded or self._pipeline.at_rest

    @property
    def chunk(self) -> Chunk | None:
        """The newest chunk of the goal."""
        return self._chunk

    @property
    def latched(self) -> tuple[Intervention, ...]:
        """Why the goal can move the robot no more; empty as long as it can."""
        return self._pipeline.latched

    def look(self, surroundings: Surroundings) -> None:
        """Take the newest scan in, for robots that brake for obstacles."""
        self._surroundings = surroundings

    def begin(self) -> None:
        """Start a goal: nothing is commanded before the first `Motion.FOLLOW`."""
        with self._lock:
            self._pipeline.reset()
            self._has_commanded = False
            self._silent_at_ns = None
            self._chunk = None
            self._surroundings = None  # the robot may have been moved since
            self._motion = Motion.WAIT

    def set_motion(
        self, motion: Motion, back_off_mps: float = 0.0, turn_radps: float = 0.0
    ) -> None:
        """Say what to do from the next tick on.

        Args:
            motion: follow the policy or not.
            back_off_mps: speed of `Motion.BACK_OFF`, positive.
            turn_radps: turning rate of `Motion.BACK_OFF`.
        """
        with self._lock:
            if self._motion is None:
                return
            if motion is not self._motion and self._motion is Motion.BACK_OFF:
                self._pipeline.buffer.clear()
            self._motion = motion
            self._back_off = (-back_off_mps, turn_radps)

    def end(self, now_ns: int, zero_hold_s: float) -> None:
        """End a goal: zeros for a while if the robot has moved, then silence."""
        with self._lock:
            self._motion = Motion.STOP if self._has_commanded else None
            self._silent_at_ns = now_ns + round(zero_hold_s * 1e9)

    def halt(self) -> bool:
        """Be silent from now on; returns whether the robot was being commanded."""
        with self._lock:
            was_commanding = self._motion is not None and self._has_commanded
            self._motion = None
            self._has_commanded = False
            self._pipeline.reset()
            return was_commanding

    def wants_chunk(self, now_ns: int) -> bool:
        """Whether a chunk computed from the frame of this tick would be used."""
        with self._lock:
            if self._motion not in (Motion.WAIT, Motion.FOLLOW):
                return False
            # Ticks come a little early or late: half a period decides which one is meant.
            return self._pipeline.needs_inference(now_ns + self._half_period_ns)

    def add_chunk(self, stamp_ns: int, actions: npt.NDArray[np.float32]) -> None:
        """Take a chunk.

        Args:
            stamp_ns: tick of the frame that it was computed from.
            actions: (H, A), [m/s, rad/s].
        """
        with self._lock:
            if self._motion in (Motion.WAIT, Motion.FOLLOW):
                self._pipeline.add_chunk(stamp_ns, actions)
                self._chunk = Chunk(stamp_ns, actions)

    def buffer_depth(self, now_ns: int) -> int:
        """Actions left from `now_ns` on."""
        with self._lock:
            return self._pipeline.buffer.depth(now_ns)

    def tick(self, now_ns: int, streams_valid: bool) -> Command | None:
        """The command of this tick, None to publish nothing.

        Args:
            now_ns: the node's clock.
            streams_valid: whether every stream is recent enough to act on.
        """
        with self._lock:
            if self._motion is None:
                return None
            if self._motion is Motion.FOLLOW:
                command = self._step(now_ns, streams_valid)
            elif not self._has_commanded and self._motion is not Motion.BACK_OFF:
                return None
            else:
                command = self._manoeuvre(now_ns, streams_valid)
            self._has_commanded = True
            self.interventions += bool(command.interventions)
            if self._silent_at_ns is not None and now_ns >= self._silent_at_ns:
                self._motion = None if self._pipeline.at_rest else self._motion
            return command

    def _manoeuvre(self, now_ns: int, streams_valid: bool) -> Command:
        if self._motion is Motion.BACK_OFF:
            chunk = np.zeros(self._chunk_shape, np.float32)
            for field, value in zip(_BACK_OFF_FIELDS, self._back_off, strict=True):
                if field in self._fields:
                    chunk[:, self._fields.index(field)] = value
            self._pipeline.buffer.clear()
            self._pipeline.add_chunk(now_ns, chunk)
            return self._step(now_ns, streams_valid)
        return self._step(now_ns, streams_valid, stop=True)

    def _step(self, now_ns: int, streams_valid: bool, stop: bool = False) -> Command:
        return self._pipeline.step(
            now_ns, streams_valid, surroundings=self._surroundings, stop=stop
        )
