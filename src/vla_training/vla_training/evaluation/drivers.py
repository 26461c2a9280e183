"""Who drives in an evaluation: a learned policy as the robot would run it, or the expert."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import numpy as np

from vla_core.action_chunks import ExecutionMode
from vla_core.chunk_policy import ChunkPolicy
from vla_core.command_pipeline import CommandPipeline
from vla_core.frames import FrameAssembler
from vla_simulation.config import CONTROL_PERIOD_NS
from vla_simulation.controllers.expert import expert_action
from vla_simulation.environment import DockingEnv
from vla_training.errors import EvaluationError

ENVIRONMENT_FIELDS = ("linear.x", "angular.z")


class Driver(Protocol):
    """Gives one command per control period."""

    interventions: Counter[str]
    """How often the safety envelope changed a command, by reason, since the reset."""

    inferences: int
    """How often a policy was asked since the reset."""

    def reset(self) -> None:
        """Forget everything: an episode begins."""

    def command(self, env: DockingEnv) -> np.ndarray:
        """The command (2,) [m/s, rad/s] for what the environment shows now."""


class PolicyDriver:
    """Runs a policy in lock-step, with the latency that inference has on a robot.

    A chunk computed from the frame of a tick becomes available `latency_ticks` later; meanwhile the
    policy is busy. Frames, chunk buffer and safety envelope are those of the policy node.

    Args:
        policy: To run.
        mode: How overlapping chunks become one action.
        latency_ticks: Control periods from frame to chunk, 0 for none.
        replan_steps: Control periods between two inferences.

    Raises:
        EvaluationError: If the policy does not fit the environment.
    """

    def __init__(
        self,
        policy: ChunkPolicy,
        mode: ExecutionMode | str = ExecutionMode.RECEDING_HORIZON,
        latency_ticks: int = 1,
        replan_steps: int = 1,
    ) -> None:
        action = policy.bundle.contract.action
        if action.fields != ENVIRONMENT_FIELDS or action.period_ns != CONTROL_PERIOD_NS:
            raise EvaluationError(
                f"policy {policy.bundle.path} commands {', '.join(action.fields)} at "
                f"{action.rate_hz} Hz, the simulated robot takes {', '.join(ENVIRONMENT_FIELDS)} "
                f"at {1e9 / CONTROL_PERIOD_NS:.0f} Hz; evaluate a policy of this robot"
            )
        self._policy = policy
        self._latency_ns = latency_ticks * action.period_ns
        self._assembler = FrameAssembler(policy.bundle.contract)
        self._pipeline = CommandPipeline(
            policy.bundle.contract, mode, replan_steps=replan_steps, lead_ns=self._latency_ns
        )
        self.reset()

    def reset(self) -> None:
        """Forget everything: an episode begins."""
        self._assembler.clear()
        self._pipeline.reset()
        self._pending: tuple[int, int, np.ndarray] | None = None
        self.interventions = Counter[str]()
        self.inferences = 0

    def command(self, env: DockingEnv) -> np.ndarray:
        """The command (2,) [m/s, rad/s] for what the environment shows now."""
        now_ns = env.stamp_ns
        for key, reading in env.readings().items():
            if key in self._policy.bundle.contract.keys:
                self._assembler.push(key, now_ns, reading)
        frame = self._assembler.assemble(now_ns)
        self._deliver(now_ns)
        if self._pending is None and self._pipeline.needs_inference(now_ns):
            chunk = self._policy(frame, env.instruction)
            self.inferences += 1
            self._pending = (now_ns + self._latency_ns, now_ns, chunk)
            self._deliver(now_ns)
        command = self._pipeline.step(now_ns, frame.valid)
        self.interventions.update(str(reason) for reason in command.interventions)
        return command.values

    def _deliver(self, now_ns: int) -> None:
        if self._pending is not None and self._pending[0] <= now_ns:
            _, stamp_ns, chunk = self._pending
            self._pending = None
            self._pipeline.add_chunk(stamp_ns, chunk)


class ExpertDriver:
    """The scripted expert, which knows the true pose."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Nothing to forget: the expert is a function of the state."""
        self.interventions = Counter[str]()
        self.inferences = 0

    def command(self, env: DockingEnv) -> np.ndarray:
        """The command (2,) [m/s, rad/s] for what the environment shows now."""
        return np.array(expert_action(env.truth.dock_from_base))
