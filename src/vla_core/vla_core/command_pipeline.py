"""From chunks to commands, one per control tick: the same in the policy node and in evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_core.action_chunks import DEFAULT_EXECUTION_MODE, ActionChunkBuffer, ExecutionMode
from vla_core.clearance import Surroundings
from vla_core.contract import Contract
from vla_core.contract_safety import SafetySpec
from vla_core.safety_envelope import EnvelopeLimits, Intervention, Moment, limit_command

_NS_PER_S = 1e9


@dataclass(frozen=True)
class Command:
    """What to publish at one tick.

    Attributes:
        values: (A,) float64 [m/s, rad/s].
        interventions: why it differs from what the policy asked for; empty if it does not.
        buffer_depth: ticks for which there are actions, this one included.
    """

    values: np.ndarray
    interventions: tuple[Intervention, ...]
    buffer_depth: int


class CommandPipeline:
    """Chunk buffer and safety envelope behind one call per tick.

    Not thread-safe: whoever infers in another thread or process hands the chunk over first.
    """

    def __init__(
        self,
        contract: Contract,
        mode: ExecutionMode | str = DEFAULT_EXECUTION_MODE,
        *,
        ensemble_decay: float = 0.01,
        replan_steps: int = 1,
        lead_ns: int = 0,
        safety: SafetySpec | None = None,
        fault_stop_s: float = 0.0,
    ) -> None:
        """Start at rest and with no actions.

        Args:
            contract: control period and limits.
            mode: how overlapping chunks become one action.
            ensemble_decay: see `ActionChunkBuffer`.
            replan_steps: see `ActionChunkBuffer`.
            lead_ns: see `ActionChunkBuffer`.
            safety: guards of the robot, if not those of the contract.
            fault_stop_s: see `EnvelopeLimits.from_action`.

        Raises:
            ValueError: if a value is out of range.
        """
        action = contract.action
        self.buffer = ActionChunkBuffer(
            action.period_ns, mode, ensemble_decay, replan_steps=replan_steps, lead_ns=lead_ns
        )
        self.limits = EnvelopeLimits.from_action(action, safety or contract.safety, fault_stop_s)
        self._shape = (action.chunk_length, action.size)
        self._period_ns = action.period_ns
        self._previous = np.zeros(action.size)
        self._acceleration = np.zeros(action.size)
        self._last_ns: int | None = None
        self._latched: set[Intervention] = set()
        self._components = (self.limits.linear, self.limits.angular)

    def reset(self) -> None:
        """Forget everything, at the start of an episode: no actions, robot at rest."""
        self.buffer.clear()
        self._previous = np.zeros_like(self._previous)
        self._acceleration = np.zeros_like(self._previous)
        self._last_ns = None
        self._latched.clear()

    @property
    def latched(self) -> tuple[Intervention, ...]:
        """Why the robot stays where it is until the next `reset`; empty if it may move."""
        return tuple(reason for reason in Intervention if reason in self._latched)

    @property
    def at_rest(self) -> bool:
        """Whether the last command was to stand still."""
        return not self._previous.any()

    def add_chunk(self, stamp_ns: int, chunk: np.ndarray) -> None:
        """Take the policy's answer.

        Args:
            stamp_ns: tick of the frame that it was computed from [ns].
            chunk: (H, A) [m/s, rad/s].

        Raises:
            ValueError: if the chunk has another shape than the contract says.
        """
        if np.shape(chunk) != self._shape:
            raise ValueError(f"got a chunk of shape {np.shape(chunk)}, expected {self._shape}")
        self.buffer.add(stamp_ns, chunk)

    def needs_inference(self, now_ns: int) -> bool:
        """Whether a chunk should be computed from the frame of this tick."""
        return self.buffer.needs_inference(now_ns)

    def step(
        self,
        now_ns: int,
        frame_valid: bool | np.ndarray,
        *,
        surroundings: Surroundings | None = None,
        emergency_stop: bool = False,
        fault: bool = False,
        stop: bool = False,
    ) -> Command:
        """The command for this tick.

        After an emergency stop, a fault, or an action that was not finite, the robot stays at rest
        until `reset`: nothing that came before moves it again.

        Args:
            now_ns: the tick, of the clock that stamps chunks [ns].
            frame_valid: `Frame.valid`, (S,) bool, or a single truth value: with any stream
                invalid the robot brakes.
            surroundings: the newest scan. Where the robot brakes for obstacles it must be there.
            emergency_stop: whether it is pressed.
            fault: whether whoever computes the chunks has failed.
            stop: come to rest instead of following the chunks.

        Returns:
            The command. The time step of the acceleration limit is the time since the last call,
            but at most two control periods, so that a late tick causes no jump.
        """
        now_ns = int(now_ns)
        elapsed_ns = self._period_ns if self._last_ns is None else now_ns - self._last_ns
        if elapsed_ns < 0:
            # The clock was set back: what the chunks say about this moment was meant for another.
            self.buffer.clear()
            elapsed_ns = self._period_ns
        self._last_ns = now_ns
        if emergency_stop:
            self._latched.add(Intervention.EMERGENCY_STOP)
        if fault:
            self._latched.add(Intervention.FAULT)
        elapsed_s = min(elapsed_ns, 2 * self._period_ns) / _NS_PER_S
        values, interventions = limit_command(
            None if stop else self.buffer.take(now_ns),
            self._previous,
            elapsed_s,
            self.limits,
            Moment(
                stale=not np.all(frame_valid),
                fault=bool({Intervention.FAULT, Intervention.NAN} & self._latched),
                emergency_stop=Intervention.EMERGENCY_STOP in self._latched,
                stop=stop,
                acceleration=self._acceleration,
                surroundings=self._now(surroundings, now_ns),
            ),
        )
        if Intervention.NAN in interventions:
            self._latched.add(Intervention.NAN)
        if elapsed_s > 0.0:
            self._acceleration = (values - self._previous) / elapsed_s
        self._previous = values
        return Command(values.copy(), interventions, self.buffer.depth(now_ns))

    def _now(self, surroundings: Surroundings | None, now_ns: int) -> Surroundings | None:
        if surroundings is None or self.limits.obstacles is None:
            return None
        speeds = (0.0 if i is None else self._previous[i] for i in self._components)
        return surroundings.predicted(now_ns, *speeds)
