"""The contract: one file that names every stream once, for recording, training and serving.

See `contracts/simulated_amr.yaml` of `vla_bringup` for a commented example of the format.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vla_core.contract_parsing import (
    action_to_dict,
    parse_action,
    parse_streams,
    stream_to_dict,
)
from vla_core.contract_safety import SafetySpec, parse_safety, safety_to_dict
from vla_core.contract_specs import (
    ActionSpec,
    ImageDecoder,
    OdometryDecoder,
    QosSpec,
    ScanDecoder,
    StreamSpec,
)
from vla_core.errors import ContractError
from vla_core.strict_yaml import Section, YamlSyntaxError, load_yaml

__all__ = [
    "ActionSpec",
    "Contract",
    "ImageDecoder",
    "OdometryDecoder",
    "QosSpec",
    "ScanDecoder",
    "StreamSpec",
]

# How a message travels does not change what a policy sees or does: a bundle trained in simulation
# fits a robot that names its topics otherwise.
_TRANSPORT_OF_STREAM = ("topic", "type", "qos", "rate_hz")
_TRANSPORT_OF_ACTION = ("topic", "type", "label_topic")


@dataclass(frozen=True)
class Contract:
    """What a robot offers to a policy and accepts from it.

    Attributes:
        name: of the contract.
        version: of the contract, counted up by its author.
        robot: which robot it describes.
        streams: observations; their order is the order of `Frame.valid`.
        action: the velocity command.
        base_frame: frame of the base, REP-105.
        dock_pose_topic: geometry_msgs/PoseStamped with the pose of the commanded station in the
            base frame, an auxiliary label for training; None where nobody knows it.
        safety: what guards the robot beyond the limits of the action; None for nothing.
    """

    name: str
    version: int
    robot: str
    streams: tuple[StreamSpec, ...]
    action: ActionSpec
    base_frame: str = "base_link"
    dock_pose_topic: str | None = None
    safety: SafetySpec | None = None

    @classmethod
    def load(cls, path: str | Path) -> Contract:
        """Read a contract file.

        Raises:
            ContractError: if the file cannot be read or anything in it is wrong; all mistakes are
                reported together.
        """
        path = Path(path)
        try:
            text = path.read_bytes()
        except OSError as error:
            raise ContractError(
                f"contract {path}: cannot be read ({error.strerror or error}); "
                "give the path of a contract file (YAML)"
            ) from error
        return cls.from_yaml(text, source=str(path))

    @classmethod
    def from_yaml(cls, text: str | bytes, source: str = "contract") -> Contract:
        """Parse the text of a contract file.

        Args:
            text: YAML; bytes are UTF-8 or UTF-16 with a byte order mark.
            source: what to call it in an error.

        Raises:
            ContractError: if anything in it is wrong; all mistakes are reported together.
        """
        try:
            values = load_yaml(text)
        except YamlSyntaxError as error:
            raise ContractError(f"{source}: {error}", [str(error)]) from error
        return cls.from_dict(values, source=source)

    @classmethod
    def from_dict(cls, values: Any, source: str = "contract") -> Contract:
        """Build a contract from the mapping that a contract file holds.

        Args:
            values: the mapping, such as `to_dict` returns; anything else is an error.
            source: what to call it in an error.

        Raises:
            ContractError: if anything in it is wrong; all mistakes are reported together.
        """
        mistakes: list[str] = []
        root = Section(values, "", mistakes)
        section = root.section("action")
        streams = parse_streams(root, mistakes)
        action = parse_action(section, mistakes) if section is not None else None
        parts: dict[str, Any] = {
            "name": root.text("name"),
            "version": root.integer("version", 1, 1_000_000),
            "robot": root.text("robot"),
            "streams": streams,
            "action": action,
            "base_frame": root.ros_name("base_frame"),
            "dock_pose_topic": root.ros_name("dock_pose_topic", optional=True),
            "safety": parse_safety(root, action.fields if action else (), streams),
        }
        root.finish()
        if mistakes:
            count = f"{len(mistakes)} mistakes: " if len(mistakes) > 1 else ""
            raise ContractError(f"{source}: {count}{'; '.join(mistakes)}", mistakes)
        return cls(**parts)

    def to_dict(self) -> dict[str, Any]:
        """The mapping that `from_dict` reads, made of plain values."""
        values = {
            "name": self.name,
            "version": self.version,
            "robot": self.robot,
            "base_frame": self.base_frame,
            "dock_pose_topic": self.dock_pose_topic,
            "streams": [stream_to_dict(stream) for stream in self.streams],
            "action": action_to_dict(self.action),
        }
        if self.safety is not None:
            values["safety"] = safety_to_dict(self.safety, self.action.fields)
        return values

    def to_yaml(self) -> str:
        """The contract as YAML text."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the streams, in order."""
        return tuple(stream.key for stream in self.streams)

    def stream(self, key: str) -> StreamSpec:
        """The stream of this key.

        Raises:
            ContractError: if the contract has none.
        """
        for stream in self.streams:
            if stream.key == key:
                return stream
        raise ContractError(
            f"contract {self.name!r}: has no stream {key!r}, only {', '.join(self.keys)}"
        )

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of everything a policy depends on.

        That is, in order, each stream's key, shape, decoding, unit, maximum age and normalisation,
        and the action's fields, limits, rate, chunk length and normalisation. Names, frames,
        topics, message types, QoS, nominal rates and the `safety` part do not count.
        """
        canonical = json.dumps(self._semantics(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def _semantics(self) -> dict[str, Any]:
        streams = [stream_to_dict(stream) for stream in self.streams]
        return {
            "streams": [_without(stream, _TRANSPORT_OF_STREAM) for stream in streams],
            "action": _without(action_to_dict(self.action), _TRANSPORT_OF_ACTION),
        }

    def differences(
        self, other: Contract, self_name: str = "here", other_name: str = "there"
    ) -> list[str]:
        """What makes a policy for this contract unfit for the other one.

        Args:
            other: the contract to compare with.
            self_name: what to call this side, such as "in the bundle".
            other_name: what to call the other side, such as "live".

        Returns:
            One sentence each, such as "stream 'image': shape (96, 128, 3) in the bundle,
            (120, 160, 3) live". Empty if and only if the hashes are equal.
        """
        mine = {stream.key: stream for stream in self.streams}
        theirs = {stream.key: stream for stream in other.streams}
        sentences = [f"stream {key!r}: only {self_name}" for key in mine if key not in theirs]
        sentences += [f"stream {key!r}: only {other_name}" for key in theirs if key not in mine]
        if not sentences and self.keys != other.keys:
            order, other_order = ", ".join(self.keys), ", ".join(other.keys)
            sentences.append(f"order of streams: {order} {self_name}, {other_order} {other_name}")

        def compare(what: str, ours: Mapping[str, Any], others: Mapping[str, Any]) -> None:
            for name in [*ours, *(name for name in others if name not in ours)]:
                if ours.get(name) != others.get(name):
                    sentences.append(
                        f"{what}: {name} {_plain(ours.get(name))} {self_name}, "
                        f"{_plain(others.get(name))} {other_name}"
                    )

        for key in (key for key in self.keys if key in theirs):
            compare(f"stream {key!r}", _stream_facts(mine[key]), _stream_facts(theirs[key]))
        compare("action", _action_facts(self.action), _action_facts(other.action))
        return sentences


def _without(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _stream_facts(stream: StreamSpec) -> dict[str, Any]:
    """What the hash covers, flat and with the shape first, since people look at that."""
    facts = _without(stream_to_dict(stream), _TRANSPORT_OF_STREAM)
    decoder = facts.pop("decoder")
    for name in ("height_px", "width_px", "beams"):  # said by the shape already
        decoder.pop(name, None)
    return {"shape": stream.shape, "dtype": stream.dtype, **facts, **decoder}


def _action_facts(action: ActionSpec) -> dict[str, Any]:
    facts = _without(action_to_dict(action), _TRANSPORT_OF_ACTION)
    facts.pop("fields")
    return {
        **facts,
        "fields": action.fields,
        "low": action.low,
        "high": action.high,
        "max_acceleration": action.max_acceleration,
        "deadband": action.deadband,
    }


def _plain(value: Any) -> str:
    if value is None:
        return "absent"
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{name} {item}" for name, item in value.items()) + ")"
    return str(value) if not isinstance(value, list) else str(tuple(value))
