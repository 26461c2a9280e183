"""Whether the live graph publishes what the policy was made for. No ROS.

The hash of the contract says that policy and robot agree on paper. This looks at the messages: a
camera that was set to another format, a scanner that was turned around or replaced, odometry of
another frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from vla_core import keys
from vla_core.contract import Contract, ImageDecoder, OdometryDecoder, ScanDecoder, StreamSpec
from vla_core.contract_specs import COMPRESSED_IMAGE_TYPE
from vla_policy_node.sensing.streams import StreamState

_ASPECT_TOLERANCE = 0.03
_RANGE_TOLERANCE_M = 0.05
_SLOW, _TOO_SLOW = 0.7, 0.25
_MIN_MESSAGES_S = 2.0


class DeployCheck:
    """Compares messages with the contract, each time that their form changes.

    Messages come in from several threads; what is found is kept per stream and replaced as a whole.

    Args:
        contract: of the robot, with the hash of the policy's.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._forms: dict[str, tuple[Any, ...]] = {}
        self._differences: dict[str, tuple[str, ...]] = {}
        self._slow: dict[str, str] = {}

    def look_at(self, key: str, message: Any) -> tuple[str, ...]:
        """Take a message of a stream in.

        Returns:
            Differences that were not known before, one sentence each with what was expected and
            received; almost always empty.
        """
        stream = self._contract.stream(key)
        form = _form(stream, message)
        if self._forms.get(key) == form:
            return ()
        self._forms[key] = form
        before = self._differences.get(key, ())
        self._differences[key] = tuple(_differences(stream, self._contract.base_frame, message))
        return tuple(each for each in self._differences[key] if each not in before)

    def look_at_dock_pose(self, message: Any) -> tuple[str, ...]:
        """Take a dock pose in; returns what is new, as `look_at`."""
        frame = message.header.frame_id.lstrip("/")
        before = self._differences.get(keys.DOCK_POSE, ())
        found = _frame_difference("dock pose", frame, self._contract.base_frame)
        self._differences[keys.DOCK_POSE] = found
        return tuple(each for each in found if each not in before)

    def judge_rates(self, streams: tuple[StreamState, ...]) -> tuple[str, ...]:
        """Compare rates with the nominal ones; returns what is new.

        To be called while no goal runs: a rate that drops on the way shows in the age of the
        stream, which the robot brakes for anyway.
        """
        new = []
        for state in streams:
            nominal_hz = self._contract.stream(state.key).rate_hz
            counted = state.messages >= max(2.0, _MIN_MESSAGES_S * _TOO_SLOW * nominal_hz)
            if not (counted and state.valid and state.rate_hz < _TOO_SLOW * nominal_hz):
                self._slow.pop(state.key, None)
                continue
            sentence = (
                f"{state.key} ({state.topic}): {state.rate_hz:.1f} messages per second "
                f"received, {nominal_hz:g} expected"
            )
            if state.key not in self._slow:
                new.append(sentence)
            self._slow[state.key] = sentence
        return tuple(new)

    @property
    def differences(self) -> tuple[str, ...]:
        """All that is known to differ, one sentence each."""
        found = [each for of_stream in list(self._differences.values()) for each in of_stream]
        return (*found, *list(self._slow.values()))


def is_slow(state: StreamState, nominal_hz: float) -> bool:
    """Whether a stream comes notably slower than the contract says."""
    return state.valid and 0.0 < state.rate_hz < _SLOW * nominal_hz


def type_differences(
    contract: Contract, publishers_of: Callable[[str], list[Any]]
) -> tuple[str, ...]:
    """Streams that somebody publishes in a way that will never be received.

    Args:
        contract: of the robot.
        publishers_of: endpoint descriptions of a topic, as
            `rclpy.node.Node.get_publishers_info_by_topic` returns them.
    """
    found = []
    for stream in contract.streams:
        for publisher in publishers_of(stream.topic):
            place = f"{stream.key} ({stream.topic})"
            if publisher.topic_type != stream.type:
                found.append(
                    f"{place}: {publisher.node_name} publishes {publisher.topic_type}, "
                    f"{stream.type} expected"
                )
                continue
            offered = publisher.qos_profile
            for wanted, what in (
                (stream.qos.reliability == "reliable", "reliability"),
                (stream.qos.durability == "transient_local", "durability"),
            ):
                policy = getattr(offered, what).name.lower()
                weaker = {"reliability": "best_effort", "durability": "volatile"}[what]
                if wanted and policy == weaker:
                    found.append(
                        f"{place}: {publisher.node_name} publishes {policy}, "
                        f"{getattr(stream.qos, what)} expected"
                    )
    return tuple(found)


def _form(stream: StreamSpec, message: Any) -> tuple[Any, ...]:
    """What has to stay the same from message to message."""
    if isinstance(stream.decoder, ImageDecoder):
        if stream.type == COMPRESSED_IMAGE_TYPE:
            return (message.format,)
        return message.width, message.height, message.encoding
    if isinstance(stream.decoder, ScanDecoder):
        count = len(message.ranges)
        span = message.angle_min, message.angle_increment
        return (*span, count, message.range_min, message.range_max)
    return (getattr(message, "child_frame_id", ""),)


def _differences(stream: StreamSpec, base_frame: str, message: Any) -> list[str]:
    place, decoder = f"{stream.key} ({stream.topic})", stream.decoder
    if isinstance(decoder, ScanDecoder):
        return [f"{place}: {text}" for text in _scan_differences(decoder, message)]
    if isinstance(decoder, OdometryDecoder):
        frame = getattr(message, "child_frame_id", "").lstrip("/")
        return list(_frame_difference(place, frame, base_frame))
    if stream.type == COMPRESSED_IMAGE_TYPE:
        return []  # its size is known once it is decoded, and unknown formats are refused there
    return [f"{place}: {text}" for text in _image_differences(decoder, message)]


def _image_differences(decoder: ImageDecoder, message: Any) -> list[str]:
    top, bottom, left, right = decoder.crop
    width = message.width * (1.0 - left - right)
    height = message.height * (1.0 - top - bottom)
    size, wanted = f"{message.width} x {message.height} pixels", (decoder.width, decoder.height)
    if min(width, height) <= 0.0:
        return [f"{size} received, a picture expected"]
    found = []
    if width < wanted[0] - 1.0 or height < wanted[1] - 1.0:
        found.append(
            f"{size} received, at least {wanted[0]} x {wanted[1]} expected after cropping; "
            "set the camera to a larger picture"
        )
    aspect, expected = width / height, wanted[0] / wanted[1]
    if abs(math.log(aspect / expected)) > _ASPECT_TOLERANCE:
        found.append(
            f"{size} received, after cropping {aspect:.3f} times as wide as high, {expected:.3f} "
            "expected: the policy would see everything stretched"
        )
    return found


def _scan_differences(decoder: ScanDecoder, message: Any) -> list[str]:
    count, step = len(message.ranges), float(message.angle_increment)
    if count == 0 or step == 0.0:
        return []  # refused by decoding
    ends = message.angle_min, message.angle_min + (count - 1) * step
    low, high = min(ends), max(ends)
    sector = (decoder.angle_max_rad - decoder.angle_min_rad) / decoder.beams
    found = []
    full_turn = (count + 1) * abs(step) >= math.tau
    covers = low - sector <= decoder.angle_min_rad and high + sector >= decoder.angle_max_rad
    if not (full_turn or covers):
        found.append(
            f"angles from {low:.3f} to {high:.3f} rad received, "
            f"{decoder.angle_min_rad:.3f} to {decoder.angle_max_rad:.3f} rad expected"
        )
    if abs(step) > sector * 1.01:
        found.append(
            f"{count} beams {abs(step):.4f} rad apart received, at most {sector:.4f} rad apart "
            f"expected for {decoder.beams} sectors"
        )
    if message.range_max < decoder.range_max_m - _RANGE_TOLERANCE_M:
        found.append(
            f"range_max {message.range_max:g} m received, "
            f"at least {decoder.range_max_m:g} m expected"
        )
    if message.range_min > decoder.range_min_m + _RANGE_TOLERANCE_M:
        found.append(
            f"range_min {message.range_min:g} m received, "
            f"at most {decoder.range_min_m:g} m expected"
        )
    return found


def _frame_difference(place: str, frame: str, base_frame: str) -> tuple[str, ...]:
    if not frame or frame == base_frame.lstrip("/"):
        return ()
    return (f"{place}: measured in frame '{frame}', '{base_frame}' expected",)
