import pytest

from vla_recorder.message_definitions import MessageDefinition, RecordedTopic
from vla_recorder.ring_buffer import Received, RingBuffer

TOPIC = RecordedTopic("/scan", MessageDefinition("sensor_msgs/msg/LaserScan", "", "", True))
NS = 1_000_000_000


def filled(ring, seconds, data=b"abcd", start_s=0.0):
    for second in range(seconds):
        moment_s = start_s + second
        ring.add(Received(moment_s, TOPIC, int(moment_s * NS), data))
    return ring


def times(messages):
    return [message.received_s for message in messages]


def test_keeps_what_is_recent_and_nothing_else():
    ring = filled(RingBuffer(3.0, 1000), 10)
    assert times(ring.recent(0.0, 9.0)) == [6.0, 7.0, 8.0, 9.0]
    assert times(ring.recent(1.0, 9.0)) == [8.0, 9.0]
    assert times(ring.recent(1.0, 9.5)) == [9.0]
    assert ring.size_bytes == 4 * 4


def test_what_is_old_by_now_is_not_recent():
    ring = filled(RingBuffer(3.0, 1000), 4)
    assert ring.recent(0.0, 100.0) == []


def test_memory_is_bounded():
    ring = filled(RingBuffer(100.0, 10), 50)
    assert times(ring.recent(0.0, 49.0)) == [48.0, 49.0]
    assert ring.size_bytes <= 10


def test_message_larger_than_the_limit_is_let_go():
    ring = filled(RingBuffer(100.0, 3), 2)
    assert ring.recent(0.0, 1.0) == []
    assert ring.size_bytes == 0


def test_nothing_is_kept_without_a_duration():
    assert filled(RingBuffer(0.0, 1000), 5).recent(0.0, 4.0) == []


@pytest.mark.parametrize(("jump_ns", "kept"), [(-2 * NS, 1), (-NS // 2, 3), (5 * NS, 3)])
def test_simulation_that_begins_anew_is_not_mixed_with_the_old_one(jump_ns, kept):
    ring = filled(RingBuffer(100.0, 1000), 2, start_s=10.0)
    ring.add(Received(12.0, TOPIC, 11 * NS + jump_ns, b"new"))
    assert len(ring.recent(0.0, 12.0)) == kept
