"""Live and offline agree: one bag through the policy node and through the converter.

The bag's bytes are published again, reach a real policy node over DDS and its subscriptions, and
the frames that the node assembles are compared with the rows that the converter makes of the bag,
bit for bit.
"""

import time
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread

import domain_coordinator
import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from policy_fixtures import contract
from rclpy.executors import MultiThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image, LaserScan

from vla_core import keys
from vla_core.contract import Contract
from vla_core.contract_specs import COMPRESSED_IMAGE_TYPE
from vla_core.opencv import cv2
from vla_policy_node.control.command_messages import message_class
from vla_policy_node.policy_node import PolicyNode

rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="needs rosbags")
typesys = pytest.importorskip("rosbags.typesys", reason="needs rosbags")
messages_module = pytest.importorskip("vla_training.conversion.messages", reason="needs h5py")

from vla_training.conversion.alignment import BagAlignment  # noqa: E402
from vla_training.conversion.bags import open_folder  # noqa: E402
from vla_training.dataset.layout import AGE_NS, TICK_NS, VALID, observation  # noqa: E402

S = 1_000_000_000
MS = 1_000_000
START_NS = 1_700_000_000 * S
DURATION_S = 5.0
LATEST_ARRIVAL_NS = 90 * MS


@dataclass(frozen=True)
class Sent:
    """A message as a bag has it."""

    topic: str
    type: str
    stamp_ns: int
    received_ns: int
    data: bytes


def stamped(message, stamp_ns, frame):
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, S)
    message.header.frame_id = frame
    return message


def image(rng, number):
    """Cameras differ: order of colours, padded rows, grey."""
    encoding, channels = (("bgr8", 3), ("rgb8", 3), ("rgba8", 4), ("mono8", 1))[number % 4]
    padding = 5 * (number % 3)
    step = 40 * channels + padding
    data = rng.integers(0, 256, 30 * step, np.uint8).tobytes()
    return Image(height=30, width=40, encoding=encoding, step=step, data=data)


def compressed_image(rng, number):
    pixels = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (40, 30))
    suffix = (".jpg", ".png")[number % 2]
    return CompressedImage(format=suffix[1:], data=cv2.imencode(suffix, pixels)[1].tobytes())


def scan(rng, number):
    ranges = rng.uniform(0.1, 9.0, 50).astype(np.float32)
    ranges[number % 50], ranges[(3 * number) % 50] = np.nan, np.inf
    return LaserScan(
        angle_min=-2.0, angle_increment=0.08, range_min=0.05, range_max=8.0, ranges=ranges.tolist()
    )


def odometry(rng, number):
    message = Odometry(child_frame_id="base_link")
    message.twist.twist.linear.x, message.twist.twist.angular.z = rng.normal(size=2).tolist()
    return message


def command(rng, number):
    message = TwistStamped()
    message.twist.linear.x, message.twist.angular.z = rng.uniform(0.0, 0.2, 2).tolist()
    return message


def recording(live: Contract, seed=0) -> list[Sent]:
    """Five seconds of sensors with their own rates, jitter, delays and a camera that drops out."""
    rng = np.random.default_rng(seed)
    camera = live.stream(keys.IMAGE)
    is_compressed = camera.type == COMPRESSED_IMAGE_TYPE
    sources = (
        (camera.topic, 30.0, compressed_image if is_compressed else image, "camera"),
        ("scan", 10.0, scan, "scanner_link"),
        ("odom", 50.0, odometry, "odom"),
        ("cmd_vel", 20.0, command, "base_link"),
    )
    sent = []
    for topic, rate_hz, make, frame in sources:
        for number in range(int(DURATION_S * rate_hz)):
            jitter_ns = int(rng.integers(0, int(0.3 * S / rate_hz)))
            stamp_ns = START_NS + round(number * S / rate_hz) + jitter_ns
            if make in (image, compressed_image) and 2.0 < number / rate_hz < 3.5:
                continue
            message = stamped(make(rng, number), stamp_ns, frame)
            # Delays are longer than a period of the odometry, whose messages overtake each other.
            received_ns = stamp_ns + int(rng.integers(MS, LATEST_ARRIVAL_NS))
            kind = f"{type(message).__module__.split('.')[0]}/msg/{type(message).__name__}"
            sent.append(Sent(topic, kind, stamp_ns, received_ns, bytes(serialize_message(message))))
    return sorted(sent, key=lambda each: each.received_ns)


def write_bag(path, sent: list[Sent]):
    store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
    writer = rosbag2.Writer(path, version=9, storage_plugin=rosbag2.StoragePlugin.MCAP)
    with writer:
        writer.set_custom_data("vla.outcome", "success")
        connections = {}
        for each in sent:
            if each.topic not in connections:
                connections[each.topic] = writer.add_connection(
                    f"/{each.topic}", each.type, typestore=store
                )
            writer.write(connections[each.topic], each.received_ns, each.data)
    return path


def converted(path, live: Contract):
    with messages_module.BagMessages(open_folder(path)) as bag:
        blocks = [
            {name: np.array(values) for name, values in rows.items()}
            for rows in BagAlignment(bag, live).blocks(driver=0)
        ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


@contextmanager
def policy_node(domain, contract_file, policy):
    """A configured node that takes in what is published, and another one to publish with."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    executor = MultiThreadedExecutor(4, context=context)
    overrides = [
        Parameter("contract", value=str(contract_file)),
        Parameter("policy", value=str(policy)),
    ]
    node = PolicyNode(context=context, parameter_overrides=overrides)
    sender = rclpy.create_node("replay", context=context)
    for each in (node, sender):
        executor.add_node(each)
    thread = Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        assert node.trigger_configure().name == "SUCCESS"
        yield node, sender
    finally:
        node.close()
        executor.shutdown()
        thread.join()
        for each in (node, sender):
            each.destroy_node()
        rclpy.shutdown(context=context)


def wait_until(condition, timeout_s=20.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.0005)


def replay(node, sender, live: Contract, sent: list[Sent], ticks_ns):
    """Publish everything in the order of reception; the frame of each tick when all is there."""
    hub = node._stack.streams
    topics = {stream.topic: index for index, stream in enumerate(live.streams)}
    publishers = {
        stream.topic: sender.create_publisher(
            message_class(stream.type), stream.topic, QoSProfile(depth=10)
        )
        for stream in live.streams
    }
    for publisher in publishers.values():
        wait_until(lambda publisher=publisher: publisher.get_subscription_count() > 0)
    # A subscription that is matched here may not be matched there yet: what is sent first is lost.
    wanted = [each for each in node.subscriptions if each.topic_name.lstrip("/") in topics]
    wait_until(lambda: all(each.get_publisher_count() > 0 for each in wanted))
    time.sleep(0.5)
    counts = [0] * len(topics)
    frames, remaining = [], list(ticks_ns)
    for each in sent:
        while remaining and each.received_ns > remaining[0] + LATEST_ARRIVAL_NS:
            frames.append(hub.assemble(int(remaining.pop(0))))
        if each.topic not in topics:
            continue
        index = topics[each.topic]
        publishers[each.topic].publish(each.data)
        counts[index] += 1
        wait_until(lambda index=index: hub.states(0)[index].messages == counts[index])
    return frames + [hub.assemble(int(tick)) for tick in remaining]


@pytest.fixture
def quiet_domain():
    """A domain without the robot that other tests leave driving."""
    with domain_coordinator.domain_id() as number:
        yield number


@pytest.mark.parametrize("kind", ["raw", "compressed"])
def test_the_node_and_the_converter_see_the_same_bits(quiet_domain, files, tmp_path, kind):
    live = contract()
    if kind == "compressed":
        values = live.to_dict()
        values["streams"][0]["type"] = COMPRESSED_IMAGE_TYPE
        values["streams"][0]["topic"] = "camera/image_raw/compressed"
        live = Contract.from_dict(values)
    contract_file = tmp_path / "contract.yaml"
    contract_file.write_text(live.to_yaml())
    sent = recording(live)
    rows = converted(write_bag(tmp_path / "bag", sent), live)
    with policy_node(quiet_domain, contract_file, files["approach"]) as (node, sender):
        frames = replay(node, sender, live, sent, rows[TICK_NS])
    assert len(frames) == len(rows[TICK_NS]) > 90
    for row, frame in enumerate(frames):
        assert frame.tick_ns == rows[TICK_NS][row]
        assert frame.valid.tolist() == rows[VALID][row].tolist()
        assert frame.age_ns.tolist() == rows[AGE_NS][row].tolist()
        for key, array in frame.arrays.items():
            stored = rows[observation(key)][row]
            assert (array.dtype, array.shape) == (stored.dtype, stored.shape)
            assert array.tobytes() == stored.tobytes(), (key, row)
    camera = rows[VALID][:, live.keys.index(keys.IMAGE)]
    assert 0 < np.count_nonzero(~camera) < len(camera)
