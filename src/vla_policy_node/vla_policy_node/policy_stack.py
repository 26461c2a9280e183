"""Everything that a configured node holds, and the little that binds it together. No ROS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vla_core import keys
from vla_core.bundle import PolicyBundle
from vla_core.contract import ActionSpec, Contract
from vla_policy_node.control import ControlLoop
from vla_policy_node.docking_goal import Situation
from vla_policy_node.errors import ParameterError
from vla_policy_node.inference_loop import InferenceLoop, InferenceSettings, Logger
from vla_policy_node.inference_worker import WorkerSpec
from vla_policy_node.streams import StreamHub
from vla_policy_node.verification import DockEvidence, VerificationLimits

if TYPE_CHECKING:
    from vla_policy_node.parameters import PolicyParameters


class PolicyStack:
    """A verified bundle, the streams it sees, its inference and the control loop.

    Args:
        parameters: of the node.
        clock: the present [ns], on the clock that stamps the data.
        log: for what a person has to know.

    Raises:
        VlaError: a path is missing, the bundle is damaged, or it does not fit the contract.
    """

    def __init__(self, parameters: PolicyParameters, clock: Callable[[], int], log: Logger) -> None:
        self.parameters = parameters
        self.contract = Contract.load(_path("contract", parameters.contract))
        self.bundle = PolicyBundle.load(
            _path("policy", parameters.policy), variant=parameters.variant
        )
        self.bundle.check_contract(self.contract)
        self._clock = clock
        self.streams = StreamHub(self.contract)
        self.evidence = DockEvidence(self.contract.stream(keys.ODOMETRY))
        replan_steps = _replan_steps(self.contract.action, parameters)
        self.control = ControlLoop(self.contract, parameters.execution_mode, replan_steps)
        self.inference = InferenceLoop(
            WorkerSpec(
                self.bundle.path,
                parameters.runtime,
                parameters.inference_threads,
                parameters.variant,
            ),
            InferenceSettings(
                timeout_s=parameters.inference_timeout_s,
                start_timeout_s=parameters.worker_start_timeout_s,
                max_restarts=parameters.max_worker_restarts,
            ),
            assemble=self.streams.assemble,
            log=log,
        )

    def start(self) -> None:
        """Start the inference process and wait until it is warm.

        Raises:
            WorkerError: it cannot serve.
        """
        self.inference.start()

    def begin(self, instruction: str) -> None:
        """Start a goal: chunks are computed and buffered, nothing is commanded yet."""
        self.control.begin()
        self.inference.begin(instruction, self.control)

    def end(self, zero_hold_s: float) -> None:
        """End a goal: the robot is held at zero for a while, then left alone."""
        self.inference.end()
        self.control.end(self._clock(), zero_hold_s)

    def situation(
        self, limits: VerificationLimits, *, cancel_requested: bool, stop_reason: str
    ) -> Situation:
        """All that the docking state machine looks at, now."""
        now_ns = self._clock()
        return Situation(
            now_ns=now_ns,
            streams=self.streams.states(now_ns),
            chunk_ready=self.control.buffer_depth(now_ns) > 0,
            at_rest=self.control.at_rest,
            speed_mps=self.evidence.speed_mps(now_ns),
            dock_from_base=self.evidence.dock_from_base(now_ns, limits),
            charging=self.evidence.charging(now_ns, limits),
            inference_fault=self.inference.state.fault,
            cancel_requested=cancel_requested,
            stop_reason=stop_reason,
        )

    def close(self) -> None:
        """End the inference process."""
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
