"""Between the node's plain data and ROS messages."""

from __future__ import annotations

import importlib
import math
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from vla_msgs.msg import PolicyStatus, StreamStatus

from vla_core.command_pipeline import Command
from vla_core.contract import Contract, QosSpec
from vla_core.contract_specs import TWIST_STAMPED_TYPE
from vla_core.decoding import fill_action_message
from vla_policy_node.control import Chunk
from vla_policy_node.inference_loop import InferenceState
from vla_policy_node.streams import StreamState

_NS_PER_S = 1_000_000_000


def message_class(type_name: str) -> Any:
    """The class of a message type such as "sensor_msgs/msg/Image"."""
    package, namespace, name = type_name.split("/")
    return getattr(importlib.import_module(f"{package}.{namespace}"), name)


def qos_profile(spec: QosSpec) -> QoSProfile:
    """The subscription profile that a contract asks for."""
    reliable = spec.reliability == "reliable"
    latched = spec.durability == "transient_local"
    return QoSProfile(
        depth=spec.depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def time_message(time_ns: int) -> Time:
    """Nanoseconds as a time message."""
    return Time(sec=time_ns // _NS_PER_S, nanosec=time_ns % _NS_PER_S)


def command_message(contract: Contract, values: Any, now_ns: int) -> Twist | TwistStamped:
    """A command in the contract's message type, (A,) [m/s, rad/s]."""
    if contract.action.type == TWIST_STAMPED_TYPE:
        message = TwistStamped()
        message.header.stamp = time_message(now_ns)
        message.header.frame_id = contract.base_frame
    else:
        message = Twist()
    fill_action_message(contract.action, values, message)
    return message


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
) -> PolicyStatus:
    """What the node did in one tick; chunk and command are empty where there is none."""
    message = PolicyStatus(instruction=instruction, inference_latency_s=latency_s)
    message.header.stamp = time_message(now_ns)
    if chunk is not None:
        message.chunk_stamp = time_message(chunk.stamp_ns)
        message.horizon, message.action_size = chunk.actions.shape
        message.chunk = chunk.actions.ravel().tolist()
    if command is not None:
        message.command = command.values.tolist()
        message.buffer_depth = command.buffer_depth
        message.interventions = [str(reason) for reason in command.interventions]
    message.streams = stream_statuses(streams)
    return message


def diagnostic_array(
    name: str,
    now_ns: int,
    streams: tuple[StreamState, ...],
    inference: InferenceState,
    interventions: int,
    state: str,
) -> DiagnosticArray:
    """Health of streams and inference for /diagnostics."""
    array = DiagnosticArray()
    array.header.stamp = time_message(now_ns)
    array.status = [
        _inference_diagnostic(name, inference, interventions, state),
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


def _stream_diagnostic(name: str, stream: StreamState) -> DiagnosticStatus:
    if stream.problem:
        level, text = DiagnosticStatus.ERROR, stream.problem
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
