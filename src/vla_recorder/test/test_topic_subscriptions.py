"""What the middleware has received, and nobody has taken yet."""

import pytest
import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.duration import Duration
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from recorder_rig import WAIT_S, wait_for
from std_msgs.msg import String

from vla_recorder.message_definitions import MessageDefinitions
from vla_recorder.recording_plan import TopicRequest
from vla_recorder.topic_subscriptions import TopicSubscriptions


@pytest.fixture
def nodes(domain):
    """Two in contexts of their own, as in two processes; nobody spins."""
    contexts = [rclpy.Context(), rclpy.Context()]
    made = []
    for number, context in enumerate(contexts):
        rclpy.init(context=context, domain_id=domain)
        made.append(rclpy.create_node(f"node_{number}", context=context))
    yield made
    for node, context in zip(made, contexts, strict=True):
        node.destroy_node()
        context.shutdown()


def test_what_was_acknowledged_is_delivered_in_order_though_nobody_spins(nodes):
    robot, recorder = nodes
    publishers = [robot.create_publisher(String, topic, QoSProfile(depth=100)) for topic in "ab"]
    heard = {"/a": [], "/b": []}
    topics = TopicSubscriptions(
        recorder,
        [TopicRequest("/a"), TopicRequest("/b")],
        MessageDefinitions(),
        lambda topic, data: heard[topic.name].append(data),
        MutuallyExclusiveCallbackGroup(),
    )
    wait_for(lambda: topics.refresh() or len(topics.topics) == 2, "both are subscribed to")
    sent = []
    for publisher in publishers:
        wait_for(publisher.get_subscription_count, "the recorder is known")
    for number in range(60):
        sent.append(serialize_message(String(data=str(number))))
        for publisher in publishers:
            publisher.publish(sent[-1])
    for publisher in publishers:
        assert publisher.wait_for_all_acked(Duration(seconds=WAIT_S))
    assert heard == {"/a": [], "/b": []}
    topics.take_waiting()
    assert heard == {"/a": sent, "/b": sent}
    topics.take_waiting()
    assert heard == {"/a": sent, "/b": sent}
    topics.destroy()
