"""Who drives in an evaluation: a learned policy as the robot would run it, or the expert.

The classical peers are in `classical`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

import numpy as np

from vla_core.action_chunks import ExecutionMode
from vla_core.chunk_policy import ChunkPolicy
from vla_core.command_pipeline import CommandPipeline
from vla_core.frames import FrameAssembler
from vla_core.keys import IMAGE, ODOMETRY, SCAN
from vla_simulation.config import CONTROL_PERIOD_NS, SimulationConfig
from vla_simulation.controllers.expert import expert_action
from vla_simulation.environment import DockingEnv
from vla_training.errors import EvaluationError
from vla_training.evaluation.disturbance import Disturbance

ENVIRONMENT_FIELDS = ("linear.x", "angular.z")


class Driver(Protocol):
    """Gives one command per control period.

    Class attributes say what it needs; nothing else is simulated.
    """

    @property
    def streams(self) -> frozenset[str]:
        """Keys of the sensors that it looks at; the expert looks at none."""

    @property
    def hardware(self) -> SimulationConfig:
        """The robot that it drives."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Options of `DockingEnv.reset` for its episodes."""

    interventions: Counter[str]
    """How often the safety envelope changed a command, by reason, since the reset."""

    inferences: int
    """How often a policy was asked since the reset."""

    def reset(self, env: DockingEnv) -> None:
        """Forget everything: an episode of this environment begins."""

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
        disturbances: By name, for `disturbed`.

    Attributes:
        sentence: What the policy is told instead of the environment's sentence, or empty.

    Raises:
        EvaluationError: If the policy does not fit the environment.
    """

    streams: ClassVar = frozenset({IMAGE, SCAN, ODOMETRY})
    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        policy: ChunkPolicy,
        mode: ExecutionMode | str = ExecutionMode.RECEDING_HORIZON,
        latency_ticks: int = 1,
        replan_steps: int = 1,
        disturbances: Mapping[str, Disturbance] | None = None,
    ) -> None:
        action = policy.bundle.contract.action
        if action.fields != ENVIRONMENT_FIELDS or action.period_ns != CONTROL_PERIOD_NS:
            raise EvaluationError(
                f"policy {policy.bundle.path} commands {', '.join(action.fields)} at "
                f"{action.rate_hz} Hz, the simulated robot takes {', '.join(ENVIRONMENT_FIELDS)} "
                f"at {1e9 / CONTROL_PERIOD_NS:.0f} Hz; evaluate a policy of this robot"
            )
        self.hardware = SimulationConfig()
        self.sentence = ""
        self._disturbances = dict(disturbances or {})
        self._disturbance: Disturbance | None = None
        self._policy = policy
        self._latency_ns = latency_ticks * action.period_ns
        self._assembler = FrameAssembler(policy.bundle.contract)
        self._pipeline = CommandPipeline(
            policy.bundle.contract, mode, replan_steps=replan_steps, lead_ns=self._latency_ns
        )
        self._forget()

    @contextmanager
    def disturbed(self, name: str) -> Iterator[None]:
        """Spoil what the policy sees meanwhile; the safety envelope goes on seeing the truth."""
        self._disturbance = self._disturbances[name]
        try:
            yield
        finally:
            self._disturbance = None

    def reset(self, env: DockingEnv) -> None:
        """Forget everything: an episode of this environment begins."""
        self._forget()

    def _forget(self) -> None:
        self._assembler.clear()
        self._pipeline.reset()
        self._pending: tuple[int, int, np.ndarray] | None = None
        self.interventions = Counter[str]()
        self.inferences = 0

    def command(self, env: DockingEnv) -> np.ndarray:
        """The command (2,) [m/s, rad/s] for what the environment shows now."""
        now_ns = env.stamp_ns
        for sample in env.samples():
            if sample.key in self._policy.bundle.contract.keys:
                self._assembler.push(sample.key, sample.stamp_ns, sample.reading)
        frame = self._assembler.assemble(now_ns)
        self._deliver(now_ns)
        if self._pending is None and self._pipeline.needs_inference(now_ns):
            seen = self._disturbance(frame, env.seed) if self._disturbance else frame
            chunk = self._policy(seen, self.sentence or env.instruction)
            self.inferences += 1
            self._pending = (now_ns + self._latency_ns, now_ns, chunk)
            self._deliver(now_ns)
        command = self._pipeline.step(now_ns, frame.valid)
        self.interventions.update(str(reason) for reason in command.interventions)
        return command.values

    def planned(self, env: DockingEnv) -> np.ndarray:
        """The commands (N, 2) that it would give from now on if it were not asked again."""
        now_ns, buffer = env.stamp_ns, self._pipeline.buffer
        times_ns = [now_ns + k * CONTROL_PERIOD_NS for k in range(buffer.depth(now_ns))]
        known = (buffer.action_at(time_ns) for time_ns in times_ns)
        actions = [action for action in known if action is not None]
        return np.array(actions).reshape(-1, len(ENVIRONMENT_FIELDS))

    def _deliver(self, now_ns: int) -> None:
        if self._pending is not None and self._pending[0] <= now_ns:
            _, stamp_ns, chunk = self._pending
            self._pending = None
            self._pipeline.add_chunk(stamp_ns, chunk)


class ExpertDriver:
    """The scripted expert, which knows the true pose."""

    streams: ClassVar[frozenset[str]] = frozenset()
    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self) -> None:
        self.hardware = SimulationConfig()
        self.interventions = Counter[str]()
        self.inferences = 0

    def reset(self, env: DockingEnv) -> None:
        """Nothing to forget: the expert is a function of the state."""

    def command(self, env: DockingEnv) -> np.ndarray:
        """The command (2,) [m/s, rad/s] for what the environment shows now."""
        return np.array(expert_action(env.truth.dock_from_base))
