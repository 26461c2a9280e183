"""Everything that a configured node holds, and the little that binds it together. No ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vla_core import keys
from vla_core.bundle import PolicyBundle
from vla_core.contract import ActionSpec, Contract
from vla_policy_node.control.client import ControlClient
from vla_policy_node.control.guard import Guard
from vla_policy_node.control.intervention_tally import InterventionTally
from vla_policy_node.control.messages import Report, Setup
from vla_policy_node.docking.goal import Situation
from vla_policy_node.docking.request import verification_limits
from vla_policy_node.docking.verification import DockEvidence, VerificationLimits
from vla_policy_node.errors import DockingError, ParameterError
from vla_policy_node.inference.confidence import ConfidenceJudge
from vla_policy_node.inference.loop import InferenceLoop, InferenceSettings, Logger
from vla_policy_node.inference.worker import WorkerSpec
from vla_policy_node.observability.shadow import SHADOW_TOPIC
from vla_policy_node.sensing.streams import StreamHub

if TYPE_CHECKING:
    from vla_policy_node.parameters import PolicyParameters


@dataclass(frozen=True)
class GraphPlace:
    """Where a node is in the graph, for processes that join it on the node's behalf.

    Attributes:
        name: of the node.
        namespace: of the node.
        domain_id: of DDS.
        simulated: whether its clock is simulated.
        resolve_topic: makes a topic absolute, with the node's namespace and remappings.
    """

    name: str
    namespace: str
    domain_id: int
    simulated: bool
    resolve_topic: Callable[[str], str]


class PolicyStack:
    """A verified bundle, the streams it sees, its inference and the control loop.

    Args:
        parameters: of the node.
        place: where the node is in the graph.
        clock: the present [ns], on the clock that stamps the data.
        log: for what a person has to know.
        on_report: called with what the control process did at each tick.

    Raises:
        VlaError: a path is missing, the bundle is damaged, or it does not fit the contract.
    """

    def __init__(
        self,
        parameters: PolicyParameters,
        place: GraphPlace,
        clock: Callable[[], int],
        log: Logger,
        on_report: Callable[[Report], None],
    ) -> None:
        self.parameters = parameters
        self.contract = Contract.load(_path("contract", parameters.contract))
        policy = _path("policy", parameters.policy)
        if parameters.runtime != "torch":  # whose checkpoints the inference process alone can read
            self._accept(PolicyBundle.load(policy, variant=parameters.variant))
        self._clock = clock
        self.streams = StreamHub(
            self.contract, None if place.simulated else lambda reason: self.control.trip(reason)
        )
        self.evidence = DockEvidence(
            self.contract.stream(keys.ODOMETRY),
            next((stream for stream in self.contract.streams if stream.key == keys.SCAN), None),
        )
        replan_steps = _replan_steps(self.contract.action, parameters)
        self.control = ControlClient(
            Setup(
                contract=self.contract.to_yaml(),
                mode=parameters.execution_mode,
                replan_steps=replan_steps,
                topic=place.resolve_topic(
                    SHADOW_TOPIC if parameters.shadow else self.contract.action.topic
                ),
                namespace=place.namespace,
                node_name=place.name,
                domain_id=place.domain_id,
                simulated=place.simulated,
                priority=parameters.control_priority,
                silence_s=parameters.control_silence_s,
                fault_stop_s=parameters.fault_stop_s,
                diagnostics_topic=place.resolve_topic("/diagnostics"),
            ),
            self.contract,
            validity_ns=lambda: self.streams.validity_ns(clock()),
            log=log,
            on_report=on_report,
        )
        self.interventions = InterventionTally()
        self.confidence = ConfidenceJudge(log)
        self.guard = Guard(self.contract, parameters, trip=self.control.trip, log=log)
        self._pose_limits = verification_limits(parameters, self.contract)
        self.inference = InferenceLoop(
            WorkerSpec(
                policy,
                parameters.runtime,
                parameters.inference_threads,
                parameters.variant,
                parameters.torch_device,
                parameters.remote_uri,
                parameters.inference_timeout_s,
            ),
            InferenceSettings(
                timeout_s=parameters.inference_timeout_s,
                start_timeout_s=parameters.worker_start_timeout_s,
                max_restarts=parameters.max_worker_restarts,
                workers=parameters.inference_workers,
                # Ticks come a little early or late.
                spacing_s=(replan_steps - 0.5) / self.contract.action.rate_hz,
            ),
            assemble=self.streams.assemble,
            judge=self.confidence.judge,
            log=log,
            on_fault=self.control.trip,
        )

    def start(self) -> None:
        """Start all processes and wait until they are ready.

        Raises:
            WorkerError: one of them cannot serve.
            BundleError: what it has loaded does not fit the contract.
        """
        self.control.start()
        self._accept(self.inference.start())
        self.confidence.use(self.bundle)
        self.control.wait_until_ready()

    def _accept(self, bundle: PolicyBundle) -> None:
        bundle.check_contract(self.contract)
        self.bundle = bundle

    def begin(self, instruction: str | None, parameters: PolicyParameters | None = None) -> None:
        """Start a goal: nothing is commanded yet.

        Args:
            instruction: chunks for it are computed and buffered; None for a goal without policy.
            parameters: as they are at the start of the goal; None: as of configuring.
        """
        self.interventions.begin()
        self.confidence.begin(parameters or self.parameters)
        self.streams.give_another_chance()
        self.control.begin()
        if instruction is not None:
            self.inference.begin(instruction, self.control)

    def look_around(self) -> None:
        """Tell the control process what the newest scan shows, while it has to know."""
        surroundings = self.streams.surroundings
        if surroundings is None or not self.control.running:
            return
        pose = self.evidence.dock_from_base(self._clock(), self._pose_limits)
        self.control.look(replace(surroundings, dock_from_base=pose))

    def note_command(self, report: Report) -> None:
        """Remember what the robot was told, and why it was not what the policy wanted."""
        if report.values is not None and report.tick_ns is not None:
            self.interventions.add(report.interventions)
            command = dict(zip(self.contract.action.fields, report.values, strict=True))
            self.streams.note_command(
                command.get("linear.x", 0.0), command.get("angular.z", 0.0), report.tick_ns
            )

    def end(self, zero_hold_s: float) -> None:
        """End a goal: the robot is held at zero for a while, then left alone."""
        self.inference.end()
        self.control.end(self._clock(), zero_hold_s)

    def situation(self, limits: VerificationLimits, interruption: DockingError | None) -> Situation:
        """All that the state machine of a goal looks at, now."""
        now_ns = self._clock()
        return Situation(
            now_ns=now_ns,
            streams=self.streams.states(now_ns),
            chunk_ready=self.control.buffer_depth(now_ns) > 0,
            at_rest=self.control.at_rest,
            speed_mps=self.evidence.speed_mps(now_ns),
            dock_from_base=self.evidence.dock_from_base(now_ns, limits),
            charging=self.evidence.charging(now_ns, limits),
            standing_s=self.evidence.standing_s(now_ns, limits),
            odometry=self.evidence.odometry_pose(now_ns),
            contact_speed_mps=self.evidence.contact_speed_mps(limits),
            rear=self.evidence.rear(now_ns, limits),
            trail_m=self.evidence.trail_m,
            inference_fault=self.inference.state.fault or self.control.fault,
            doubt=self.confidence.state.doubt,
            interruption=interruption,
        )

    def close(self) -> None:
        """End all processes."""
        self.control.close()
        self.inference.close()


def _replan_steps(action: ActionSpec, parameters: PolicyParameters) -> int:
    steps = max(1, round(action.rate_hz / parameters.inference_rate_hz))
    if steps >= action.chunk_length:
        raise ParameterError(
            f"parameter inference_rate_hz is {parameters.inference_rate_hz:g}: a chunk every "
            f"{steps} actions, but a chunk has {action.chunk_length}; expected more than "
            f"{action.rate_hz / action.chunk_length:g}"
        )
    return steps


def _path(parameter: str, value: str) -> Path:
    if not value:
        what = "policy bundle" if parameter == "policy" else "contract file of the robot"
        raise ParameterError(
            f"parameter {parameter} is empty, expected the path of a {what}: "
            f"set it before the node is configured (-p {parameter}:=PATH)"
        )
    return Path(value).expanduser()
