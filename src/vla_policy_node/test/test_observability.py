"""What the node shows of itself, and that it costs nothing while nobody looks."""

import math

import numpy as np
import pytest
import rclpy
from policy_fixtures import HORIZON, contract
from policy_rig import wait_until
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image
from visualization_msgs.msg import Marker

from vla_core.geometry import Pose2D
from vla_policy_node.control.loop import Chunk
from vla_policy_node.control.messages import Report
from vla_policy_node.observability import outputs
from vla_policy_node.observability.geometry import PinholeCamera, predicted_path, swath
from vla_policy_node.observability.latency import LatencyHistogram
from vla_policy_node.observability.outputs import Observability
from vla_policy_node.observability.parameters import ObservabilityParameters
from vla_policy_node.observability.picture import annotate
from vla_policy_node.sensing.streams import StreamHub

STAMP_NS = 1_700_000_000_000_000_000
CHUNK = Chunk(STAMP_NS, np.tile(np.array([0.2, 0.4], np.float32), (HORIZON, 1)))
CAMERA = PinholeCamera(0.0, 0.46, math.radians(20.0), 1.647)


class Audience:
    """A node that shows what it does, and another one that looks at what a test asks for."""

    def __init__(self, domain_id):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self._shower = rclpy.create_node("shower", context=self._context)
        self._viewer = rclpy.create_node("viewer", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._viewer)
        self._publishers = {}
        self.seen = {}
        self.observability = Observability(
            contract(),
            ObservabilityParameters(debug_image_rate_hz=30.0),
            StreamHub(contract()),
            self._advertise,
        )

    def _advertise(self, kind, topic, depth):
        publisher = self._shower.create_publisher(kind, topic, depth)
        self._publishers[topic.removeprefix("~/")] = (kind, publisher)
        return publisher

    def look_at(self, *names):
        for name in names:
            kind, publisher = self._publishers[name]
            self.seen[name] = []
            self._viewer.create_subscription(kind, f"shower/{name}", self.seen[name].append, 10)
            wait_until(lambda publisher=publisher: publisher.get_subscription_count() > 0)

    def wait_for(self, name, count=1):
        """The messages of a topic, once there are that many."""

        def arrived():
            self._executor.spin_once(0.02)
            return len(self.seen[name]) >= count

        wait_until(arrived)
        return self.seen[name]

    def show(self, chunk=CHUNK, latency_s=0.012, **changes):
        changes = {"values": (0.2, 0.1), "tick_ns": STAMP_NS, "buffer_depth": 8} | changes
        report = Report(1, running=True, at_rest=False, interventions_total=0, **changes)
        self.observability.on_report(report, chunk, "dock at the orange charger", latency_s)

    def close(self):
        self._executor.shutdown()
        self._shower.destroy_node()
        self._viewer.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def audience(domain):
    audience = Audience(domain)
    yield audience
    audience.close()


def camera_image():
    data = bytes(range(40)) * 90
    return Image(height=30, width=40, encoding="rgb8", step=120, data=data)


def test_nothing_is_computed_while_nobody_looks(audience, monkeypatch):
    def expensive(*_arguments, **_more):
        raise RuntimeError("worked for nobody")

    for name in (
        "predicted_path",
        "chunk_message",
        "path_message",
        "markers_message",
        "annotate",
        "reading_from_message",
    ):
        monkeypatch.setattr(outputs, name, expensive)
    audience.observability.on_image(camera_image())
    audience.show()
    assert audience.observability._image is None, "the picture is not even kept"
    audience.look_at("predicted_path")
    with pytest.raises(RuntimeError, match="worked for nobody"):
        audience.show(Chunk(STAMP_NS, CHUNK.actions))


def test_each_topic_is_shown_to_whoever_looks(audience):
    audience.look_at("action_chunk", "predicted_path", "markers", "debug_image")
    audience.observability.on_image(camera_image())
    audience.show()
    audience.show()
    line, label = audience.wait_for("markers", 2)[0].markers
    (chunk,) = audience.wait_for("action_chunk")
    assert chunk.fields == ["linear.x", "angular.z"]
    assert np.array(chunk.actions).reshape(chunk.horizon, 2) == pytest.approx(CHUNK.actions)
    assert chunk.period_s == pytest.approx(0.05)
    assert chunk.inference_latency_s == pytest.approx(0.012)
    assert (chunk.header.frame_id, chunk.header.stamp.sec) == ("base_link", STAMP_NS // 10**9)
    (path,) = audience.wait_for("predicted_path")
    assert len(path.poses) == HORIZON + 1
    end = path.poses[-1]
    assert end.header.stamp.nanosec == 500_000_000, "it says when the pose is reached"
    assert end.pose.position.x == pytest.approx(0.1, abs=0.002)
    assert 2.0 * math.atan2(end.pose.orientation.z, end.pose.orientation.w) == pytest.approx(0.2)
    assert line.type == Marker.LINE_STRIP
    assert label.text.startswith("dock at the orange charger | command 0.20, 0.10, buffer 8")
    (picture,) = audience.wait_for("debug_image")
    assert picture.encoding == "rgb8"
    assert len(picture.data) == picture.height * picture.step


def test_markers_say_why_the_robot_is_held_back(audience):
    audience.look_at("markers")
    audience.show(interventions=["obstacle"])
    audience.show(fault="the policy hangs")
    held, failed = (array.markers for array in audience.wait_for("markers", 2))
    assert "held back: obstacle" in held[1].text
    assert "the policy hangs" in failed[1].text
    assert held[0].color.r > held[0].color.g


def test_a_picture_that_cannot_be_decoded_is_left_to_the_stream(audience):
    audience.look_at("debug_image", "markers")
    audience.observability.on_image(Image(height=30, width=40, encoding="32FC1", step=160))
    audience.show()
    audience.wait_for("markers")
    assert not audience.seen["debug_image"]


def test_latencies_are_counted_once_per_chunk(audience):
    for index in range(4):
        chunk = Chunk(STAMP_NS + index, CHUNK.actions)
        for _ in range(2):
            audience.show(chunk, latency_s=0.004 * (index + 1))
    values = {pair.key: pair.value for pair in audience.observability.latency_status("n").values}
    assert values["chunks"] == "4"
    assert values["up to 5 ms"] == "1"
    assert values["up to 10 ms"] == "1"
    assert values["up to 20 ms"] == "2"
    assert values["mean [ms]"] == "10.0"


def test_quantiles_of_a_histogram_bound_those_of_the_sample():
    histogram = LatencyHistogram()
    assert math.isnan(histogram.quantile_ms(0.5))
    sample_s = np.random.default_rng(3).lognormal(-4.5, 0.8, 2000)
    for latency_s in [*sample_s, math.nan, math.inf]:
        histogram.add(latency_s)
    assert histogram.count == 2000
    for share in (0.1, 0.5, 0.99):
        exact_ms = 1e3 * np.quantile(sample_s, share)
        assert exact_ms <= histogram.quantile_ms(share) <= 2.6 * exact_ms
    assert histogram.quantile_ms(1.0) == pytest.approx(1e3 * sample_s.max())


def test_the_predicted_path_follows_an_arc():
    poses = predicted_path(np.tile([0.5, 1.0], (20, 1)), ("linear.x", "angular.z"), 0.05)
    assert poses[0] == Pose2D()
    end = poses[-1]
    assert (end.x, end.y) == pytest.approx((0.5 * math.sin(1.0), 0.5 * (1.0 - math.cos(1.0))))
    assert end.yaw == pytest.approx(1.0)
    backward = predicted_path(np.tile([1.0, -0.5], (4, 1)), ("angular.z", "linear.x"), 0.1)
    assert backward[-1].x < 0.0
    assert predicted_path(np.full((2, 1), 0.3), ("linear.x",), 1.0)[-1] == Pose2D(0.6, 0.0, 0.0)


def test_a_point_on_the_axis_of_the_camera_is_in_the_middle():
    distance = CAMERA.z_m / math.tan(CAMERA.pitch_rad)
    pixels = CAMERA.project(np.array([[distance, 0.0], [distance, 0.1], [0.5, 0.0]]), 160, 120)
    assert pixels[0] == pytest.approx([79.5, 59.5])
    assert pixels[1][0] < 79.5, "left is left"
    assert pixels[2][1] > 59.5, "near is low"
    assert np.isnan(CAMERA.project(np.array([[-3.0, 0.0]]), 160, 120)).all()


def test_the_swath_is_as_wide_as_the_robot():
    edges = swath(predicted_path(np.tile([0.3, 0.5], (5, 1)), ("linear.x", "angular.z"), 0.1), 0.2)
    assert np.hypot(*(edges[0] - edges[1]).T) == pytest.approx(np.full(6, 0.4))


def test_the_path_is_drawn_where_it_leads_and_the_rest_is_the_picture():
    rgb = np.full((240, 320, 3), 90, np.uint8)
    straight = predicted_path(np.tile([0.5, 0.0], (40, 1)), ("linear.x", "angular.z"), 0.05)
    drawn = annotate(rgb, straight, 0.2, CAMERA, ["dock"], stopped=False)
    column, row = np.rint(CAMERA.project(np.array([[0.8, 0.0]]), 320, 240)[0]).astype(int)
    green = drawn[row - 1 : row + 2, column - 1 : column + 2, 1].max()
    assert green > 180
    assert (drawn[60:80, :40] == 90).all(), "away from path and text nothing changes"
    assert (drawn[2:10, 300:] < 90).all(), "behind the text it is darker"
    red = annotate(rgb, straight, 0.2, CAMERA, ["dock"], stopped=True)
    assert red[row - 1 : row + 2, column - 1 : column + 2, 0].max() > 180
    assert rgb.min() == rgb.max() == 90, "a copy"
    assert annotate(rgb[:30, :40], [], 0.2, CAMERA, [], stopped=False).shape == (240, 320, 3)
