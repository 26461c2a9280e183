"""What a contract asks the recorder to record, watch and write into each bag."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from vla_core import bag_metadata, keys
from vla_core.contract import Contract
from vla_core.contract_specs import ACTION_TYPES
from vla_recorder.software import software_revision

ACTION_MAX_AGE_PERIODS: Final = 10


@dataclass(frozen=True)
class TopicRequest:
    """A topic that is to be recorded.

    Attributes:
        name: absolute, remapped topic name.
        types: message types that are acceptable, the expected one first; empty for any.
        required: whether an episode must not start without a publisher.
    """

    name: str
    types: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class WatchedStream:
    """A topic whose arrival is watched.

    Attributes:
        key: of the stream in the contract, or `vla_core.keys.ACTION`.
        topic: absolute, remapped topic name.
        max_age_s: a newest message older than this is not valid.
        rate_hz: nominal rate.
    """

    key: str
    topic: str
    max_age_s: float
    rate_hz: float


@dataclass(frozen=True)
class RecordingPlan:
    """All that follows from the contract before the first episode.

    Attributes:
        requests: the topics to record, each once.
        watched: the streams of the contract and the action.
        metadata: custom metadata that is the same in every bag.
    """

    requests: tuple[TopicRequest, ...]
    watched: tuple[WatchedStream, ...]
    metadata: dict[str, str]

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the topics without which an episode is of no use."""
        return tuple(request.name for request in self.requests if request.required)

    @classmethod
    def from_contract(
        cls, contract: Contract, extra_topics: Iterable[str], resolve: Callable[[str], str]
    ) -> RecordingPlan:
        """Make the plan.

        Args:
            contract: of the robot.
            extra_topics: to record beyond the contract's.
            resolve: turns a topic name as written into its absolute, remapped one.
        """
        requests: dict[str, TopicRequest] = {}
        names: dict[str, str] = {}

        def request(topic: str, types: Sequence[str] = (), *, required: bool = False) -> str:
            name = names[topic] = resolve(topic)
            requests.setdefault(name, TopicRequest(name, tuple(types), required))
            return name

        watched = [
            WatchedStream(
                stream.key,
                request(stream.topic, [stream.type], required=True),
                stream.max_age_s,
                stream.rate_hz,
            )
            for stream in contract.streams
        ]
        action = contract.action
        action_types = [action.type, *(t for t in ACTION_TYPES if t != action.type)]
        watched.append(
            WatchedStream(
                keys.ACTION,
                request(action.topic, action_types, required=True),
                ACTION_MAX_AGE_PERIODS / action.rate_hz,
                action.rate_hz,
            )
        )
        if action.label_topic:
            request(action.label_topic, action_types)
        if contract.dock_pose_topic:
            request(contract.dock_pose_topic)
        for topic in extra_topics:
            request(topic)
        return cls(
            tuple(requests.values()),
            tuple(watched),
            {
                bag_metadata.ROBOT: contract.robot,
                bag_metadata.CONTRACT: contract.to_yaml(),
                bag_metadata.CONTRACT_HASH: contract.hash,
                bag_metadata.SOFTWARE: software_revision(),
                bag_metadata.TOPICS: json.dumps(names),
            },
        )
