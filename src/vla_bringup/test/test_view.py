"""`vla view`: what is in a bag is in the Rerun recording made of it."""

import json
import math

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from vla_bringup import cli

pytest.importorskip("rerun", reason="rerun-sdk is not installed (requirements/development.txt)")

from rerun.dataframe import load_recording

STORE = get_typestore(Stores.ROS2_JAZZY)
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 50_000_000
LATE_NS = 3_000_000
TICKS = 6
YAW_RAD = math.pi / 6


def make(name, *values):
    return STORE.types[name](*values)


def header(stamp_ns, frame):
    time = make("builtin_interfaces/msg/Time", *divmod(stamp_ns, 10**9))
    return make("std_msgs/msg/Header", time, frame)


def vector(x, y, z):
    return make("geometry_msgs/msg/Vector3", x, y, z)


def twist(v_mps, w_radps):
    return make("geometry_msgs/msg/Twist", vector(v_mps, 0.0, 0.0), vector(0.0, 0.0, w_radps))


def image(stamp_ns, tick):
    pixels = np.full(4 * 6 * 3, tick, np.uint8)
    return make("sensor_msgs/msg/Image", header(stamp_ns, "camera"), 4, 6, "rgb8", 0, 18, pixels)


def scan(stamp_ns, _tick):
    ranges = np.array([1.0, np.inf, 2.0], np.float32)  # to the right, nothing, to the left
    none = np.zeros(0, np.float32)
    quarter = math.pi / 2
    return make(
        "sensor_msgs/msg/LaserScan",
        header(stamp_ns, "scanner"), -quarter, quarter, quarter, 0.0, 0.1, 0.05, 8.0, ranges, none,
    )  # fmt: skip


def odometry(stamp_ns, tick):
    turn = make(
        "geometry_msgs/msg/Quaternion", 0.0, 0.0, math.sin(YAW_RAD / 2), math.cos(YAW_RAD / 2)
    )
    pose = make(
        "geometry_msgs/msg/Pose", make("geometry_msgs/msg/Point", 0.1 * tick, 2.0, 0.0), turn
    )
    return make(
        "nav_msgs/msg/Odometry",
        header(stamp_ns, "odom"),
        "base_link",
        make("geometry_msgs/msg/PoseWithCovariance", pose, np.zeros(36)),
        make("geometry_msgs/msg/TwistWithCovariance", twist(0.25, 0.5), np.zeros(36)),
    )


def command(stamp_ns, tick):
    return make(
        "geometry_msgs/msg/TwistStamped", header(stamp_ns, "base_link"), twist(0.01 * tick, 0.0)
    )


def clock(stamp_ns, _tick):
    return make(
        "rosgraph_msgs/msg/Clock", make("builtin_interfaces/msg/Time", *divmod(stamp_ns, 10**9))
    )


def transforms(stamp_ns, _tick):
    mounted = make(
        "geometry_msgs/msg/Transform",
        vector(0.3, 0.0, 0.2),
        make("geometry_msgs/msg/Quaternion", 0.0, 0.0, 1.0, 0.0),  # backwards
    )
    stamped = make(
        "geometry_msgs/msg/TransformStamped", header(stamp_ns, "base_link"), "scanner", mounted
    )
    return make("tf2_msgs/msg/TFMessage", [stamped])


TOPICS = {
    "/camera/image_raw": image,
    "/scan": scan,
    "/odom": odometry,
    "/cmd_vel": command,
    "/clock": clock,
}


@pytest.fixture
def bag(tmp_path):
    path = tmp_path / "bag"
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        writer.set_custom_data("vla.instruction", "dock at the orange charger")
        for tick in range(TICKS):
            stamp_ns = START_NS + tick * PERIOD_NS
            builders = TOPICS if tick else {"/tf_static": transforms, **TOPICS}
            for topic, build in builders.items():
                message = build(stamp_ns, tick)
                kind = message.__msgtype__
                known = {c.topic: c for c in writer.connections}
                connection = known.get(topic) or writer.add_connection(topic, kind, typestore=STORE)
                writer.write(connection, stamp_ns + LATE_NS, STORE.serialize_cdr(message, kind))
    return path


def column(recording, index, entity, component):
    """Index and values of a component of an entity."""
    rows = recording.view(index=index, contents=entity).select().read_all()
    return rows.column(index).to_numpy(), rows.column(f"{entity}:{component}").to_pylist()


def test_a_bag_becomes_a_recording(bag, tmp_path, capsys):
    out = tmp_path / "new" / "recording.rrd"
    assert cli.main(["view", str(bag), "--out", str(out), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["logged"] == {t: TICKS for t in TOPICS if t != "/clock"}
    assert summary["left_out"] == {"/clock": TICKS, "/tf_static": 1}
    assert summary["size_bytes"] == out.stat().st_size
    assert list(out.parent.iterdir()) == [out]

    recording = load_recording(out)
    stamps_ns = START_NS + PERIOD_NS * np.arange(TICKS)
    times, positions = column(recording, "stamp", "/world/base", "Translation3D")
    assert times.astype("datetime64[ns]").astype(np.int64).tolist() == stamps_ns.tolist()
    np.testing.assert_allclose(
        [row[0] for row in positions], [(0.1 * tick, 2.0, 0.0) for tick in range(TICKS)], atol=1e-6
    )
    times, _ = column(recording, "received", "/world/base", "Translation3D")
    assert (
        times.astype("datetime64[ns]").astype(np.int64).tolist() == (stamps_ns + LATE_NS).tolist()
    )

    _, rotations = column(recording, "stamp", "/world/base", "TransformMat3x3")
    by_columns = np.array(rotations[0][0]).reshape(3, 3)
    np.testing.assert_allclose(
        by_columns[0], (math.cos(YAW_RAD), math.sin(YAW_RAD), 0.0), atol=1e-6
    )

    _, points = column(recording, "stamp", "/world/base/scan", "Position3D")
    np.testing.assert_allclose(points[0], [(0.0, -1.0, 0.0), (0.0, 2.0, 0.0)], atol=1e-6)
    _, buffers = column(recording, "stamp", "/camera/camera/image_raw", "ImageBuffer")
    assert [set(row[0]) for row in buffers] == [{tick} for tick in range(TICKS)]
    _, speeds = column(recording, "stamp", "/commands/cmd_vel/linear_x_mps", "Scalar")
    np.testing.assert_allclose([row[0] for row in speeds], [0.01 * tick for tick in range(TICKS)])


def test_where_the_scanner_is(bag, tmp_path):
    out = tmp_path / "recording.rrd"
    assert cli.main(["view", str(bag), "--out", str(out)]) == 0
    recording = load_recording(out)
    entity = "/world/base/scan"
    rows = recording.view(index="stamp", contents=entity).select_static().read_all()
    assert rows.column(f"{entity}:Translation3D").to_pylist()[0][0] == pytest.approx(
        (0.3, 0.0, 0.2)
    )
    turned = np.array(rows.column(f"{entity}:TransformMat3x3").to_pylist()[0][0]).reshape(3, 3)
    np.testing.assert_allclose(turned, np.diag([-1.0, -1.0, 1.0]), atol=1e-6)


def test_what_is_refused(bag, tmp_path, capsys, monkeypatch):
    assert cli.main(["view", str(tmp_path / "nowhere"), "--out", str(tmp_path / "a.rrd")]) == 1
    assert "does not exist" in capsys.readouterr().err
    assert cli.main(["view", str(bag), "--out", str(tmp_path / "a.mp4")]) == 1
    assert "expected .rrd" in capsys.readouterr().err
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert cli.main(["view", str(bag)]) == 1
    assert "--out FILE.rrd" in capsys.readouterr().err
