"""The recorder's parameters: each declared once, with its description and range."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from vla_recorder.errors import RecorderError
from vla_recorder.ring_buffer import RingBuffer
from vla_recorder.writer_settings import (
    COMPRESSIONS,
    STORAGES,
    CompressionName,
    StorageName,
    WriterSettings,
)


@dataclass(frozen=True)
class _Parameter:
    default: Any
    description: str
    constraints: str = ""
    low: float | None = None
    high: float | None = None
    read_only: bool = False


_PARAMETERS: Final = {
    "contract": _Parameter(
        "", "contract of the robot: path of a YAML file", "read when configured", read_only=True
    ),
    "output_directory": _Parameter("bags", "folder that receives one bag per episode"),
    "storage": _Parameter("mcap", "storage of the bags", f"one of {', '.join(STORAGES)}"),
    "compression": _Parameter(
        "none", "compression of MCAP chunks", f"one of {', '.join(COMPRESSIONS)}"
    ),
    "extra_topics": _Parameter(
        [""],
        "topics to record beyond those of the contract, once they have a publisher",
        "empty names are ignored",
        read_only=True,
    ),
    "ring_buffer_s": _Parameter(
        10.0,
        "how long what is received is kept in memory for ~/save_recent and the pre-roll [s]; 0: "
        "not at all",
        low=0.0,
        high=600.0,
        read_only=True,
    ),
    "ring_buffer_limit_bytes": _Parameter(
        400_000_000,
        "memory for that; the oldest messages go first [B]",
        low=1_000_000,
        high=10**12,
        read_only=True,
    ),
    "pre_roll_s": _Parameter(
        0.0,
        "how much of what was received before an episode is put into its bag [s]",
        "at most ring_buffer_s",
        low=0.0,
        high=600.0,
    ),
    "post_roll_s": _Parameter(
        0.0, "how long recording goes on after an episode was stopped [s]", low=0.0, high=60.0
    ),
    "discovery_timeout_s": _Parameter(
        5.0,
        "how long a new episode waits for publishers of the contract's topics [s]",
        low=0.1,
        high=600.0,
    ),
    "disk_reserve_bytes": _Parameter(
        1_000_000_000, "recording ends when less than this is free [B]", low=0, high=10**15
    ),
    "queue_limit_bytes": _Parameter(
        256_000_000,
        "messages that may wait for the disk; further ones are dropped and counted [B]",
        low=1_000_000,
        high=10**12,
    ),
}


def declare_parameters(node: Node) -> None:
    """Declare all parameters of the recorder."""
    for name, parameter in _PARAMETERS.items():
        descriptor = ParameterDescriptor(
            description=parameter.description,
            additional_constraints=parameter.constraints,
            read_only=parameter.read_only,
        )
        if parameter.low is not None and parameter.high is not None:
            if isinstance(parameter.default, int):
                limits = IntegerRange(
                    from_value=int(parameter.low), to_value=int(parameter.high), step=0
                )
                descriptor.integer_range = [limits]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=parameter.low, to_value=parameter.high, step=0.0)
                ]
        node.declare_parameter(name, parameter.default, descriptor)


def contract_path(node: Node) -> Path:
    """Path of the contract.

    Raises:
        RecorderError: the parameter is empty.
    """
    text = node.get_parameter("contract").value
    if not text:
        raise RecorderError("parameter contract is empty; give the path of a contract file (YAML)")
    return Path(text).expanduser()


def extra_topics(node: Node) -> tuple[str, ...]:
    """Topics to record beyond those of the contract, as given."""
    return tuple(name for name in node.get_parameter("extra_topics").value if name)


def seconds(node: Node, name: str) -> float:
    """Value of a parameter in seconds."""
    return float(node.get_parameter(name).value)


def ring_buffer(node: Node) -> RingBuffer:
    """An empty ring buffer."""
    return RingBuffer(
        seconds(node, "ring_buffer_s"), int(node.get_parameter("ring_buffer_limit_bytes").value)
    )


def writer_settings(node: Node) -> WriterSettings:
    """How bags are to be written.

    Raises:
        BagError: the storage or its compression is unknown.
    """
    return WriterSettings(
        storage=cast(StorageName, node.get_parameter("storage").value),
        compression=cast(CompressionName, node.get_parameter("compression").value),
        disk_reserve_bytes=int(node.get_parameter("disk_reserve_bytes").value),
        queue_limit_bytes=int(node.get_parameter("queue_limit_bytes").value),
    )


def output_directory(node: Node) -> Path:
    """The folder of the bags, created if it is missing.

    Raises:
        RecorderError: it cannot be created or written to.
    """
    path = Path(node.get_parameter("output_directory").value).expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass  # permissions, read-only mounts and full disks show only when something is written
    except OSError as error:
        raise RecorderError(
            f"output_directory {path} cannot be written to "
            f"({error.strerror or os.strerror(error.errno or 0)}); choose another folder"
        ) from error
    return path
