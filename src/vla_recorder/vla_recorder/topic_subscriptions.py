"""Raw subscriptions that follow what the publishers in the graph offer."""

from __future__ import annotations

import importlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from rclpy.callback_groups import CallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.task import Future
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)

from vla_recorder.errors import RecorderError
from vla_recorder.message_definitions import MessageDefinitions, RecordedTopic
from vla_recorder.recording_plan import TopicRequest

QUEUE_DEPTH: Final = 500
"""Messages the middleware keeps for us while Python is busy: seconds at any sensor's rate."""

_LATCHED_DEPTH: Final = 10
_MATCHING_S: Final = 0.25
_NS_PER_S: Final = 1_000_000_000

MessageCallback = Callable[[RecordedTopic, bytes], None]


@dataclass
class _Subscribed:
    topic: RecordedTopic
    subscription: Subscription
    created_s: float
    latched: deque[bytes] = field(default_factory=lambda: deque(maxlen=_LATCHED_DEPTH))


class TopicSubscriptions:
    """Subscribes to each requested topic once it has a publisher.

    The subscription is reliable where every publisher is, so that nothing is lost, and asks for
    past messages where every publisher keeps them; these are kept here for the next episode too.
    """

    def __init__(
        self,
        node: Node,
        requests: Iterable[TopicRequest],
        definitions: MessageDefinitions,
        on_message: MessageCallback,
        callback_group: CallbackGroup,
    ) -> None:
        self._node = node
        self._requests = tuple(requests)
        self._definitions = definitions
        self._on_message = on_message
        self._callback_group = callback_group
        self._subscribed: dict[str, _Subscribed] = {}
        self._problems: dict[str, RecorderError] = {}
        self._warnings: set[str] = set()

    @property
    def topics(self) -> tuple[RecordedTopic, ...]:
        """The topics that are subscribed to."""
        return tuple(entry.topic for entry in self._subscribed.values())

    def latched(self, topic: RecordedTopic) -> tuple[bytes, ...]:
        """Past messages of a topic whose publishers keep them for late joiners."""
        return tuple(self._subscribed[topic.name].latched)

    def refresh(self) -> tuple[RecordedTopic, ...]:
        """Subscribe to the topics that have got a publisher since the last call.

        Returns:
            The topics that were added. What stands in the way of others is logged, once.
        """
        added = []
        for request in self._requests:
            if request.name in self._subscribed:
                continue
            self._problems.pop(request.name, None)
            publishers = self._node.get_publishers_info_by_topic(request.name)
            if not publishers:
                continue
            try:
                entry = self._subscribe(request, publishers)
            except RecorderError as problem:
                self._problems[request.name] = problem
                self._warn_once(str(problem))
                continue
            self._subscribed[request.name] = entry
            added.append(entry.topic)
        return tuple(added)

    def take_waiting(self) -> None:
        """Deliver what has been received and acknowledged, but that nobody has taken yet."""
        waiting = [entry.subscription for entry in self._subscribed.values()]
        for _ in range(QUEUE_DEPTH):  # so that it ends, whatever comes meanwhile
            waiting = [subscription for subscription in waiting if _take(subscription)]
            if not waiting:
                return

    async def wait_until_ready(
        self,
        timeout_s: float,
        pause: Callable[[], Future],
        should_stop: Callable[[], bool],
    ) -> None:
        """Wait until every required topic is published and discovery has come to rest.

        Args:
            timeout_s: how long this may take.
            pause: a future that is done after a moment.
            should_stop: polled; true ends the wait.

        Raises:
            RecorderError: says what is missing or cannot be recorded.
        """
        self._adapt()
        deadline_s = time.monotonic() + timeout_s
        while True:
            self.refresh()
            if self._problems:
                raise next(iter(self._problems.values()))
            missing = [r.name for r in self._requests if r.required]
            missing = [name for name in missing if name not in self._subscribed]
            if not missing and self._settled():
                return
            if should_stop():
                raise RecorderError("cancelled before it began")
            if time.monotonic() >= deadline_s:
                if not missing:
                    raise RecorderError("discovery of the publishers did not come to an end")
                raise RecorderError(
                    f"no publisher on {', '.join(missing)} for {timeout_s:g} s; start the drivers "
                    f"of the robot, or the simulator, or correct the contract's topics"
                )
            await pause()

    def destroy(self) -> None:
        """Drop all subscriptions."""
        for entry in self._subscribed.values():
            self._node.destroy_subscription(entry.subscription)
        self._subscribed.clear()

    def _adapt(self) -> None:
        """Drop subscriptions that some publisher, new since they were made, cannot serve.

        Messages on their way to the old subscription may be lost: not for use during an episode.
        """
        for name, entry in list(self._subscribed.items()):
            publishers = self._node.get_publishers_info_by_topic(name)
            if not publishers:
                continue
            types = {publisher.topic_type for publisher in publishers}
            wanted, present = _subscription_qos(publishers), entry.subscription.qos_profile
            if (types, wanted.reliability, wanted.durability) != (
                {entry.topic.definition.type},
                present.reliability,
                present.durability,
            ):
                self._node.destroy_subscription(entry.subscription)
                del self._subscribed[name]

    def _settled(self) -> bool:
        """Whether every subscription is matched with all of its publishers.

        Both ends have to learn of each other; only our own can be asked, so a moment is left for
        the other one.
        """
        now_s = time.monotonic()
        return all(
            now_s - entry.created_s >= _MATCHING_S
            and entry.subscription.get_publisher_count()
            >= len(self._node.get_publishers_info_by_topic(name))
            for name, entry in self._subscribed.items()
        )

    def _warn_once(self, text: str) -> None:
        if text not in self._warnings:
            self._warnings.add(text)
            self._node.get_logger().warning(text)

    def _subscribe(self, request: TopicRequest, publishers: list[TopicEndpointInfo]) -> _Subscribed:
        types = sorted({publisher.topic_type for publisher in publishers})
        if len(types) > 1:
            raise RecorderError(
                f"topic {request.name} is published with several types ({', '.join(types)}); "
                f"stop one of the publishers"
            )
        if request.types and types[0] not in request.types:
            raise RecorderError(
                f"topic {request.name} is published as {types[0]}, the contract expects "
                f"{' or '.join(request.types)}; correct the contract or the publisher"
            )
        if request.types and types[0] != request.types[0]:
            self._warn_once(
                f"topic {request.name} is published as {types[0]}, the contract says "
                f"{request.types[0]}; recording what is published"
            )
        definition = self._definitions.find(types[0], _announced_hash(publishers))
        topic = RecordedTopic(request.name, definition, tuple(_bag_qos(p) for p in publishers))
        qos = _subscription_qos(publishers)
        latched: deque[bytes] = deque(maxlen=_LATCHED_DEPTH)
        keep = qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
        subscription = self._node.create_subscription(
            message_class(types[0]),
            request.name,
            partial(self._on_data, topic, latched if keep else None),
            qos,
            callback_group=self._callback_group,
            # The default ones would double what the executor waits for, at every message.
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            raw=True,
        )
        return _Subscribed(topic, subscription, time.monotonic(), latched)

    def _on_data(self, topic: RecordedTopic, latched: deque[bytes] | None, data: bytes) -> None:
        if latched is not None:
            latched.append(data)
        self._on_message(topic, data)


def _take(subscription: Subscription) -> bool:
    """Deliver the next message of a subscription; false if there is none."""
    with subscription.handle:
        taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
    if taken is None:
        return False
    subscription.callback(taken[0])
    return True


def message_class(message_type: str) -> Any:
    """Import the Python class of a message type such as "sensor_msgs/msg/Image".

    Raises:
        RecorderError: it is not installed.
    """
    package, _, name = message_type.partition("/msg/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise RecorderError(
            f"message type {message_type} cannot be imported ({error}); "
            f"install its package or source its workspace"
        ) from error


def _subscription_qos(publishers: list[TopicEndpointInfo]) -> QoSProfile:
    reliable = all(p.qos_profile.reliability == ReliabilityPolicy.RELIABLE for p in publishers)
    latched = reliable and all(
        p.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in publishers
    )
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=QUEUE_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _announced_hash(publishers: list[TopicEndpointInfo]) -> str:
    """Hash of the message type, or an empty string where the middleware does not transport it."""
    announced = publishers[0].topic_type_hash
    return f"RIHS{announced.version:02}_{announced.value.hex()}" if announced.version == 1 else ""


def _bag_qos(publisher: TopicEndpointInfo) -> Qos:
    profile = publisher.qos_profile

    def seconds(duration: Any) -> QosTime:
        return QosTime(*divmod(duration.nanoseconds, _NS_PER_S))

    return Qos(
        QosHistory(int(profile.history)),
        profile.depth,
        QosReliability(int(profile.reliability)),
        QosDurability(int(profile.durability)),
        seconds(profile.deadline),
        seconds(profile.lifespan),
        QosLiveliness(int(profile.liveliness)),
        seconds(profile.liveliness_lease_duration),
        profile.avoid_ros_namespace_conventions,
    )
