"""Who drives in an evaluation: a learned policy as the robot would run it, or the expert.

The classical peers are in `classical`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import numpy as np

from vla_core.action_chunks import DEFAULT_EXECUTION_MODE, ExecutionMode
from vla_core.chunk_policy import ChunkPolicy
from vla_core.clearance import Surroundings, scan_points
from vla_core.command_pipeline import CommandPipeline
from vla_core.confidence import ConfidenceLimits, ConfidenceMonitor
from vla_core.contract_safety import Footprint, ObstacleSpec, SafetySpec
from vla_core.frames import Frame, FrameAssembler
from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE, ODOMETRY, SCAN
from vla_core.readings import ScanReading
from vla_simulation.config import CONTROL_PERIOD_NS, SimulationConfig
from vla_simulation.controllers.expert import expert_action
from vla_simulation.environment import DockingEnv
from vla_training.errors import EvaluationError

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

    A chunk computed from the frame of a tick becomes available `latency_ticks` later. Meanwhile the
    policy is busy, unless several inferences may be under way: then the next one begins
    `replan_steps` after the one before it. Frames, chunk buffer and safety envelope are those of
    the policy node.

    Args:
        policy: To run.
        mode: How overlapping chunks become one action.
        latency_ticks: Control periods from frame to chunk, 0 for none.
        replan_steps: Control periods between two inferences.
        disturbances: By name, for `disturbed`.
        in_flight: Inferences that may be under way at once.
        always: Name of a disturbance that is there whenever no other one is; empty for none.

    Attributes:
        sentence: What the policy is told instead of the environment's sentence, or empty.
        confidence: Judges every chunk.
        slow: What chunks are multiplied with while the policy is in doubt.
        highest_score: Of confidence since the reset; None if the bundle was not calibrated.
        doubts: How often a doubt began since the reset.

    Raises:
        EvaluationError: If the policy does not fit the environment.
    """

    streams: ClassVar = frozenset({IMAGE, SCAN, ODOMETRY})
    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        policy: ChunkPolicy,
        mode: ExecutionMode | str = DEFAULT_EXECUTION_MODE,
        latency_ticks: int = 1,
        replan_steps: int = 1,
        disturbances: Mapping[str, Callable[[Frame, int], Frame]] | None = None,
        in_flight: int = 1,
        always: str = "",
    ) -> None:
        action = policy.bundle.contract.action
        if action.fields != ENVIRONMENT_FIELDS or action.period_ns != CONTROL_PERIOD_NS:
            raise EvaluationError(
                f"policy {policy.bundle.path} commands {', '.join(action.fields)} at "
                f"{action.rate_hz} Hz, the simulated robot takes {', '.join(ENVIRONMENT_FIELDS)} "
                f"at {1e9 / CONTROL_PERIOD_NS:.0f} Hz; evaluate a policy of this robot"
            )
        self.hardware = SimulationConfig()
        self._obstacles = obstacles_of(self.hardware)
        self.sentence = ""
        self._disturbances = dict(disturbances or {})
        self._disturbance = self._disturbances[always] if always else None
        self._policy = policy
        self.slow = 1.0
        self.confidence = ConfidenceMonitor(
            ConfidenceLimits.of(policy.bundle), policy.bundle.contract.action
        )
        self._latency_ns = latency_ticks * action.period_ns
        self._replan_ns = replan_steps * action.period_ns
        self._in_flight = in_flight
        self._assembler = FrameAssembler(policy.bundle.contract)
        self._pipeline = CommandPipeline(
            policy.bundle.contract,
            mode,
            replan_steps=replan_steps,
            lead_ns=self._latency_ns,
            safety=replace(
                policy.bundle.contract.safety or SafetySpec(), obstacles=self._obstacles
            ),
        )
        self._forget()

    @contextmanager
    def disturbed(self, name: str) -> Iterator[None]:
        """Spoil what the policy sees meanwhile; the safety envelope goes on seeing the truth."""
        before, self._disturbance = self._disturbance, self._disturbances[name]
        try:
            yield
        finally:
            self._disturbance = before

    def reset(self, env: DockingEnv) -> None:
        """Forget everything: an episode of this environment begins."""
        self._forget()

    def _forget(self) -> None:
        self._assembler.clear()
        self._pipeline.reset()
        self._pending: list[tuple[int, np.ndarray]] = []
        self._surroundings: Surroundings | None = None
        self.interventions = Counter[str]()
        self.inferences = 0
        self.confidence.forget()
        self.highest_score: float | None = None
        self.doubts = 0

    def command(self, env: DockingEnv) -> np.ndarray:
        """The command (2,) [m/s, rad/s] for what the environment shows now."""
        now_ns = env.stamp_ns
        for sample in env.samples():
            if sample.key in self._policy.bundle.contract.keys:
                self._assembler.push(sample.key, sample.stamp_ns, sample.reading)
            if isinstance(sample.reading, ScanReading):
                points = scan_points(sample.reading, self._obstacles)
                self._surroundings = Surroundings(points, sample.stamp_ns)
        frame = self._assembler.assemble(now_ns)
        self._deliver(now_ns)
        if self._may_ask(now_ns) and self._pipeline.needs_inference(now_ns):
            seen = self._disturbance(frame, env.seed) if self._disturbance else frame
            chunk = self._policy(seen, self.sentence or env.instruction)
            self.inferences += 1
            self._judge(now_ns, chunk)
            if self.confidence.doubt:
                chunk = chunk * self.slow
            self._pending.append((now_ns, chunk))
            self._deliver(now_ns)
        command = self._pipeline.step(now_ns, frame.valid, surroundings=self._seen(env))
        self.interventions.update(str(reason) for reason in command.interventions)
        return command.values

    def _judge(self, now_ns: int, chunk: np.ndarray) -> None:
        doubted = self.confidence.doubt
        score = self.confidence.update(now_ns, chunk, self._policy.distances)
        self.doubts += self.confidence.doubt and not doubted
        if not np.isnan(score):
            self.highest_score = max(score, self.highest_score or 0.0)

    def planned(self, env: DockingEnv) -> np.ndarray:
        """The commands (N, 2) that it would give from now on if it were not asked again."""
        now_ns, buffer = env.stamp_ns, self._pipeline.buffer
        times_ns = [now_ns + k * CONTROL_PERIOD_NS for k in range(buffer.depth(now_ns))]
        known = (buffer.action_at(time_ns) for time_ns in times_ns)
        actions = [action for action in known if action is not None]
        return np.array(actions).reshape(-1, len(ENVIRONMENT_FIELDS))

    def _seen(self, env: DockingEnv) -> Surroundings | None:
        """The newest scan, and where the station is: on a robot its pose source says so."""
        if self._surroundings is None:
            return None
        return replace(self._surroundings, dock_from_base=env.truth.dock_from_base)

    def _may_ask(self, now_ns: int) -> bool:
        if not self._pending:
            return True
        newest_ns, _ = self._pending[-1]
        return len(self._pending) < self._in_flight and now_ns - newest_ns >= self._replan_ns

    def _deliver(self, now_ns: int) -> None:
        while self._pending and self._pending[0][0] + self._latency_ns <= now_ns:
            self._pipeline.add_chunk(*self._pending.pop(0))


def obstacles_of(hardware: SimulationConfig) -> ObstacleSpec:
    """What the simulated robot needs to brake for obstacles."""
    robot, scanner = hardware.robot, hardware.scanner
    front_m = max(robot.bumper_front_m, robot.pin_tip_m)
    footprint = Footprint(front_m, robot.length_m / 2, robot.width_m / 2)
    return ObstacleSpec(footprint, Pose2D(scanner.x_m, 0.0, 0.0))


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
