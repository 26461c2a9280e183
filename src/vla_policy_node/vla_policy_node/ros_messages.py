"""Between the node's plain data and ROS messages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from vla_msgs.msg import PolicyStatus, StreamStatus

from vla_core.command_pipeline import Command
from vla_core.contract import QosSpec
from vla_core.safety_envelope import Intervention
from vla_policy_node.control.command_messages import time_message
from vla_policy_node.control.guard import Guard
from vla_policy_node.control.loop import Chunk
from vla_policy_node.inference.confidence import CONFIDENT, ConfidenceState
from vla_policy_node.inference.loop import InferenceState
from vla_policy_node.sensing.streams import StreamState, describe_stale

EMERGENCY_STOP_PROFILES: Final = tuple(
    QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=durability)
    for durability in (DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL)
)
"""One hears every reliable publisher from now on, the other what a latched one said before."""

INTERVENTION_TEXTS: Final = {
    Intervention.EMERGENCY_STOP: "the emergency stop is pressed",
    Intervention.FAULT: "the policy failed",
    Intervention.STALE: "a stream is too old or missing",
    Intervention.STARVED: "the policy has no action for this moment",
    Intervention.NAN: "the policy commanded NaN or infinity",
    Intervention.VELOCITY: "the policy wanted to go faster than the contract allows",
    Intervention.DEADBAND: "the policy wanted less than moves the robot",
    Intervention.ACCELERATION: "the policy wanted to change speed faster than allowed",
    Intervention.JERK: "the policy wanted to change acceleration faster than allowed",
    Intervention.OBSTACLE: "the scan shows an obstacle within the braking distance",
}
"""Each intervention of the safety envelope as a sentence."""


def qos_profile(spec: QosSpec) -> QoSProfile:
    """The subscription profile that a contract asks for."""
    reliable = spec.reliability == "reliable"
    latched = spec.durability == "transient_local"
    return QoSProfile(
        depth=spec.depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def stream_statuses(streams: tuple[StreamState, ...]) -> list[StreamStatus]:
    """Every stream for feedback and status."""
    return [
        StreamStatus(
            key=stream.key,
            topic=stream.topic,
            rate_hz=stream.rate_hz,
            age_s=stream.age_s,
            messages=stream.messages,
            valid=stream.valid,
        )
        for stream in streams
    ]


def policy_status(
    now_ns: int,
    instruction: str,
    command: Command | None,
    chunk: Chunk | None,
    latency_s: float,
    streams: tuple[StreamState, ...],
    fault: str = "",
    confidence: ConfidenceState = CONFIDENT,
) -> PolicyStatus:
    """What the node did in one tick; chunk and command are empty where there is none.

    Args:
        now_ns: the tick.
        instruction: of the goal.
        command: what was published.
        chunk: the newest one.
        latency_s: of that chunk.
        streams: every stream.
        fault: why the goal can move the robot no more; empty as long as it can.
        confidence: of the policy in itself.
    """
    message = PolicyStatus(instruction=instruction, inference_latency_s=latency_s)
    message.confidence_score, message.doubt = confidence.score, confidence.doubt
    message.reason = "; ".join(part for part in (fault, describe_stale(streams)) if part)
    message.header.stamp = time_message(now_ns)
    if chunk is not None:
        message.chunk_stamp = time_message(chunk.stamp_ns)
        message.horizon, message.action_size = chunk.actions.shape
        message.chunk = chunk.actions.ravel().tolist()
    if command is not None:
        message.command = command.values.tolist()
        message.buffer_depth = command.buffer_depth
        message.interventions = [str(reason) for reason in command.interventions]
        message.reason = message.reason or _in_words(command)
    message.streams = stream_statuses(streams)
    return message


def _in_words(command: Command) -> str:
    reasons = [INTERVENTION_TEXTS[reason] for reason in command.interventions]
    return "; ".join(reasons)


def diagnostic_array(
    name: str,
    now_ns: int,
    streams: tuple[StreamState, ...],
    inference: InferenceState,
    interventions: int,
    state: str,
    guard: Guard,
    reasons: Mapping[str, int],
) -> DiagnosticArray:
    """Health of streams, inference and guards for /diagnostics."""
    array = DiagnosticArray()
    array.header.stamp = time_message(now_ns)
    array.status = [
        _inference_diagnostic(name, inference, interventions, state),
        _guard_diagnostic(name, guard, reasons),
        *(_stream_diagnostic(name, stream) for stream in streams),
    ]
    return array


def _inference_diagnostic(
    name: str, inference: InferenceState, interventions: int, state: str
) -> DiagnosticStatus:
    level, text = DiagnosticStatus.OK, state
    if not inference.ready:
        level, text = DiagnosticStatus.ERROR, "no inference process"
    elif inference.fault:
        level, text = DiagnosticStatus.ERROR, inference.fault
    values = {
        "state": state,
        "inference latency [ms]": _number(1e3 * inference.latency_s, 1),
        "chunks": str(inference.chunks),
        "inference process restarts": str(inference.restarts),
        "commands changed by the safety envelope": str(interventions),
    }
    return _diagnostic(level, f"{name}: policy", text, values)


def confidence_status(name: str, confidence: ConfidenceState, calibrated: bool) -> DiagnosticStatus:
    """How sure the policy is of itself, for /diagnostics; a warning while it doubts."""
    text = confidence.doubt or ("sure" if calibrated else "the policy was not calibrated")
    level = DiagnosticStatus.WARN if confidence.doubt else DiagnosticStatus.OK
    values = {
        "score, 1 at the limit": _number(confidence.score, 3),
        "measure that gives it": confidence.worst or "none",
        "doubts": str(confidence.doubts),
    }
    return _diagnostic(level, f"{name}: confidence", text, values)


def _guard_diagnostic(name: str, guard: Guard, reasons: Mapping[str, int]) -> DiagnosticStatus:
    differences = guard.differences
    level, text = DiagnosticStatus.OK, "ok"
    if guard.emergency_stop:
        level, text = DiagnosticStatus.ERROR, guard.emergency_stop
    elif differences:
        level, text = DiagnosticStatus.ERROR, f"{len(differences)} differences from the contract"
    values = {f"difference {index}": each for index, each in enumerate(differences, 1)}
    values |= {f"commands changed: {reason}": str(count) for reason, count in reasons.items()}
    return _diagnostic(level, f"{name}: safety", text, values)


def _stream_diagnostic(name: str, stream: StreamState) -> DiagnosticStatus:
    if stream.fault or stream.problem:
        level, text = DiagnosticStatus.ERROR, stream.fault or stream.problem
    elif stream.valid:
        level, text = DiagnosticStatus.OK, "ok"
    elif stream.messages:
        level, text = DiagnosticStatus.ERROR, f"older than {stream.max_age_s:g} s"
    else:
        level, text = DiagnosticStatus.STALE, "nothing received"
    values = {
        "topic": stream.topic,
        "rate [1/s]": _number(stream.rate_hz, 1),
        "age [s]": _number(stream.age_s, 3),
        "messages": str(stream.messages),
    }
    return _diagnostic(level, f"{name}: {stream.key}", text, values)


def _diagnostic(level: bytes, name: str, message: str, values: dict[str, str]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, values=pairs)


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "none"
