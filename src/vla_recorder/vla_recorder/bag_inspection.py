"""The verdict on a bag: what violates the contract, and what a person should look at."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vla_core import bag_metadata
from vla_core.bag_checksums import changed_files
from vla_core.bag_metadata import Outcome
from vla_core.contract import Contract, StreamSpec
from vla_core.contract_specs import ACTION_TYPES, ActionSpec
from vla_core.decoding import decode, reading_from_message
from vla_core.errors import ContractError, VlaError
from vla_recorder.bag_contents import BagContents, TopicContents, read_contents

SLOW: Final = 0.8
"""A stream at less than this fraction of its nominal rate is a violation."""

FUTURE_S: Final = 0.005
"""Stamps further ahead of the receive time than this point at clocks that differ."""

_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True)
class Inspection:
    """What was found in a bag.

    Attributes:
        contents: of the bag; None if it cannot be read.
        path: of the bag.
        violations: sentences; a bag with one must not be trained on.
        warnings: sentences.
        topics: by topic in the contract, the topic of the bag.
        contract: that it was judged by; None for none.
    """

    path: Path
    contents: BagContents | None
    violations: tuple[str, ...]
    warnings: tuple[str, ...]
    topics: Mapping[str, str]
    contract: Contract | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing violates the contract."""
        return not self.violations

    def topic(self, contract_topic: str) -> TopicContents | None:
        """Contents of a topic that the contract names; None if the bag has none."""
        if self.contents is None:
            return None
        return self.contents.topics.get(self.topics.get(contract_topic, contract_topic))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; seconds and hertz, and null where a value does not exist."""
        values: dict[str, Any] = {
            "path": str(self.path),
            "ok": self.ok,
            "violations": list(self.violations),
            "warnings": list(self.warnings),
        }
        contents = self.contents
        if contents is not None:
            values |= {
                "storage": contents.storage,
                "size_bytes": contents.size_bytes,
                "duration_s": contents.duration_s,
                "messages": contents.messages,
                "custom": dict(contents.custom),
                "topics": [_topic_dict(topic) for topic in contents.topics.values()],
            }
        return values


def inspect_bag(path: Path, contract: Contract | None = None) -> Inspection:
    """Read a bag and judge it.

    Args:
        path: folder of a rosbag2 bag, or a single storage file.
        contract: to judge by; None for the one that the bag was recorded with, if any.
    """
    try:
        contents = read_contents(path)
    except VlaError as error:
        return Inspection(path, None, (str(error),), (), {})
    verdict = _Verdict(contents)
    verdict.violations += changed_files(path)
    try:
        recorded = _recorded_contract(contents)
    except ContractError as error:
        recorded = None
        verdict.violations.append(f"the contract in the bag's metadata is damaged: {error}")
    if contract is not None and recorded is not None:
        verdict.violations += [
            f"recorded with another contract: {difference}"
            for difference in recorded.differences(contract, "in the bag", "in the given contract")
        ]
    judge_by = contract or recorded
    if judge_by is None:
        verdict.warnings.append("no contract in the bag and none given: only stamps are checked")
        verdict.judge_stamps()
    else:
        verdict.judge(judge_by)
    verdict.judge_labels()
    return Inspection(
        path, contents, tuple(verdict.violations), tuple(verdict.warnings), verdict.names, judge_by
    )


class _Verdict:
    """Collects what is wrong with a bag, in the order of the contract."""

    def __init__(self, contents: BagContents) -> None:
        self.violations: list[str] = []
        self.warnings: list[str] = []
        self.names: dict[str, str] = {}
        self._contents = contents
        self._recorded_names = _recorded_names(contents)

    def judge(self, contract: Contract) -> None:
        """Compare with a contract."""
        starts, ends = [], []
        for stream in contract.streams:
            topic = self._find(stream.topic)
            if topic is not None and topic.count:
                starts.append(int(topic.timeline_ns.min()))
                ends.append(int(topic.timeline_ns.max()))
        for stream in contract.streams:
            topic = self._find(stream.topic)
            if self._has_messages(stream.key, stream.topic, topic) and topic is not None:
                self._judge_stream(stream, topic, min(starts), max(ends))
        self._judge_action(contract.action)
        for optional in (contract.action.label_topic, contract.dock_pose_topic):
            if optional is not None:
                self._find(optional)

    def judge_stamps(self) -> None:
        """Check what can be checked without a contract."""
        for topic in self._contents.topics.values():
            self._judge_order(topic.name, topic)

    def judge_labels(self) -> None:
        """Check what the metadata say about the episode."""
        custom = self._contents.custom
        if custom.get(bag_metadata.REPAIRED):
            self.warnings.append(f"repaired: {custom[bag_metadata.REPAIRED]}")
        if not custom.get(bag_metadata.INSTRUCTION):
            self.warnings.append("no instruction in the metadata")
        if custom.get(bag_metadata.OUTCOME, Outcome.UNKNOWN.value) == Outcome.UNKNOWN.value:
            self.warnings.append("outcome unknown")

    def _find(self, contract_topic: str) -> TopicContents | None:
        """The bag's topic: as the recorder noted it, by its name, or the same in a namespace."""
        topics = self._contents.topics
        absolute = f"/{contract_topic.lstrip('/')}"
        candidates = [self._recorded_names.get(contract_topic, absolute), absolute]
        namespaced = [name for name in topics if name.endswith(absolute)]
        if len(namespaced) == 1:
            candidates += namespaced
        for name in candidates:
            if name in topics:
                self.names[contract_topic] = name
                return topics[name]
        return None

    def _has_messages(self, key: str, contract_topic: str, topic: TopicContents | None) -> bool:
        if topic is None or not topic.count:
            what = "no topic" if topic is None else "no message on"
            self.violations.append(f"{key}: {what} {contract_topic}")
            return False
        return True

    def _judge_stream(
        self, stream: StreamSpec, topic: TopicContents, start_ns: int, end_ns: int
    ) -> None:
        key = stream.key
        if topic.type != stream.type:
            self.violations.append(
                f"{key}: {topic.name} holds {topic.type}, the contract says {stream.type}"
            )
            return
        self._judge_order(key, topic)
        self._judge_decoding(stream, topic)
        rate_hz = topic.rate_hz
        if not rate_hz >= SLOW * stream.rate_hz:  # NaN is too slow as well
            self.violations.append(
                f"{key}: {rate_hz:.1f} Hz, the contract says {stream.rate_hz:g} Hz"
            )
        if topic.largest_gap_s > stream.max_age_s:
            self.violations.append(
                f"{key}: a gap of {topic.largest_gap_s:.3f} s, the contract allows "
                f"{stream.max_age_s:g} s"
            )
        missing = topic.missing(1.0 / stream.rate_hz)
        if missing:
            self.warnings.append(f"{key}: about {missing} messages missing in gaps")
        timeline = topic.timeline_ns
        for silence_ns, where in (
            (int(timeline.min()) - start_ns, "begins {:.3f} s after the others"),
            (end_ns - int(timeline.max()), "ends {:.3f} s before the others"),
        ):
            if silence_ns > stream.max_age_ns:
                self.violations.append(f"{key}: {where.format(silence_ns / _NS_PER_S)}")
        self._judge_skew(stream, topic)

    def _judge_order(self, key: str, topic: TopicContents) -> None:
        if topic.unstamped:
            self.violations.append(f"{key}: {topic.unstamped} messages without a header stamp")
        elif topic.out_of_order:
            self.violations.append(
                f"{key}: {topic.out_of_order} stamps are not later than the one before"
            )

    def _judge_decoding(self, stream: StreamSpec, topic: TopicContents) -> None:
        if topic.first_message is None:
            self.violations.append(f"{stream.key}: cannot be deserialised: {topic.error}")
            return
        try:
            decode(stream, reading_from_message(stream, topic.first_message))
        except VlaError as error:
            self.violations.append(f"{stream.key}: {error}")

    def _judge_skew(self, stream: StreamSpec, topic: TopicContents) -> None:
        skew = topic.skew_s
        if skew is None:
            return
        least_s, median_s, _ = skew
        if abs(median_s) > stream.max_age_s:
            self.violations.append(
                f"{stream.key}: received {median_s:.3f} s after its stamps (median), the contract "
                f"allows {stream.max_age_s:g} s; synchronise the clocks"
            )
        elif least_s < -FUTURE_S:
            self.warnings.append(f"{stream.key}: stamped up to {-least_s:.3f} s in the future")

    def _judge_action(self, action: ActionSpec) -> None:
        topic = self._find(action.topic)
        if not self._has_messages("action", action.topic, topic) or topic is None:
            return
        if topic.type not in ACTION_TYPES:
            self.violations.append(
                f"action: {topic.name} holds {topic.type}, expected {' or '.join(ACTION_TYPES)}"
            )
            return
        self._judge_order("action", topic)
        if not topic.rate_hz >= SLOW * action.rate_hz:
            self.warnings.append(
                f"action: {topic.rate_hz:.1f} Hz, the contract says {action.rate_hz:g} Hz"
            )


def _recorded_contract(contents: BagContents) -> Contract | None:
    text = contents.custom.get(bag_metadata.CONTRACT)
    return None if text is None else Contract.from_yaml(text, source=f"{contents.path}")


def _recorded_names(contents: BagContents) -> dict[str, str]:
    try:
        names = json.loads(contents.custom.get(bag_metadata.TOPICS, "{}"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(names, dict):
        return {}
    return {key: name for key, name in names.items() if isinstance(name, str)}


def _topic_dict(topic: TopicContents) -> dict[str, Any]:
    skew = topic.skew_s
    return {
        "name": topic.name,
        "type": topic.type,
        "messages": topic.count,
        "rate_hz": _finite(topic.rate_hz),
        "period_s": _finite(topic.period_s),
        "largest_gap_s": _finite(topic.largest_gap_s),
        "missing": topic.missing(),
        "out_of_order": topic.out_of_order,
        "unstamped": topic.unstamped,
        "has_header": topic.stamps_ns is not None,
        "skew_s": None if skew is None else dict(zip(("min", "median", "max"), skew, strict=True)),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
