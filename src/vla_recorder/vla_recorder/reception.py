"""What an active recorder receives, and how episodes are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.task import Future

from vla_recorder import parameters
from vla_recorder.episode import Episode, EpisodeRequest
from vla_recorder.recording_plan import RecordingPlan, WatchedStream
from vla_recorder.ring_buffer import RingBuffer
from vla_recorder.stream_monitor import StreamMonitor
from vla_recorder.topic_subscriptions import TopicSubscriptions


@dataclass(frozen=True)
class Reception:
    """What an active recorder receives.

    Attributes:
        plan: what is to be recorded.
        topics: the subscriptions.
        monitors: of the watched streams, by topic.
        ring: the last seconds.
    """

    plan: RecordingPlan
    topics: TopicSubscriptions
    monitors: dict[str, tuple[WatchedStream, StreamMonitor]]
    ring: RingBuffer


def open_episode(
    node: Node,
    request: EpisodeRequest,
    reception: Reception,
    required: tuple[str, ...] = (),
    metadata: Mapping[str, str] | None = None,
) -> Episode:
    """Begin a bag, with what publishers keep for late joiners.

    Args:
        node: whose parameters say where and how.
        request: what was asked for.
        reception: the topics.
        required: topics without which the episode is of no use.
        metadata: custom metadata beyond the plan's.

    Raises:
        RecorderError: the folder cannot be written to.
        BagError: the bag cannot be created.
    """
    now_ns = node.get_clock().now().nanoseconds
    episode = Episode(
        request,
        parameters.output_directory(node),
        parameters.writer_settings(node),
        {**reception.plan.metadata, **(metadata or {})},
        required,
    )
    for topic in reception.topics.topics:
        episode.add_topic(topic)
        for data in reception.topics.latched(topic):
            episode.write(topic.name, now_ns, data)
    return episode


def finish(node: Node, episode: Episode, closed: Future) -> None:
    """Close the bag of an episode; `closed` is done, and the executor awake, when that is done."""

    def on_finished() -> None:
        closed.set_result(None)
        if node.executor is not None:
            node.executor.wake()

    episode.finish(on_finished)
