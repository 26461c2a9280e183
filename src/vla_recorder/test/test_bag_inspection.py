import io
import json
import subprocess
import sys
from dataclasses import replace

import pytest
from bag_fixtures import PERIOD_NS, START_NS, Recording, contract, image, odometry
from rich.console import Console
from rosbags.rosbag2 import StoragePlugin

from vla_core.bag_checksums import FILE_NAME, write_checksums
from vla_core.contract import Contract
from vla_recorder.bag_contents import read_contents
from vla_recorder.bag_files import find_bags
from vla_recorder.bag_inspection import inspect_bag
from vla_recorder.bag_table import print_inspection
from vla_recorder.errors import BagError


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_sound_bag(tmp_path, storage):
    inspection = inspect_bag(Recording().write(tmp_path / "bag", storage))
    assert inspection.ok
    assert inspection.warnings == ()
    topic = inspection.topic("camera/image_raw")
    assert topic.count == 40
    assert topic.rate_hz == pytest.approx(20.0)
    assert topic.largest_gap_s == pytest.approx(0.05)
    assert topic.missing() == 0
    assert topic.skew_s == pytest.approx((0.002, 0.002, 0.002))
    assert inspection.contents.storage == storage.name.lower()
    assert inspection.contents.duration_s == pytest.approx(39 * 0.05)


def test_every_missing_message_is_counted(tmp_path):
    bag = Recording(skipped={"/scan": {5, 6, 20}}).write(tmp_path / "bag")
    inspection = inspect_bag(bag)
    assert inspection.topic("scan").missing(0.05) == 3
    assert inspection.topic("scan").largest_gap_s == pytest.approx(0.15)
    assert inspection.ok  # shorter than the contract's maximum age
    assert inspection.warnings == ("scan: about 3 messages missing in gaps",)


@pytest.mark.parametrize(
    ("ticks", "expected"),
    [
        (range(10, 16), "image: a gap of 0.350 s, the contract allows 0.25 s"),
        (range(8), "image: begins 0.400 s after the others"),
        (range(30, 40), "image: ends 0.500 s before the others"),
        (range(1, 40, 2), "image: 10.0 Hz, the contract says 20 Hz"),
        (range(40), "image: no message on camera/image_raw"),
    ],
)
def test_silence_violates(tmp_path, ticks, expected):
    bag = Recording(skipped={"/camera/image_raw": set(ticks)}).write(tmp_path / "bag")
    assert expected in inspect_bag(bag).violations


def test_missing_topics_violate(tmp_path):
    recording = Recording()
    del recording.builders["/scan"], recording.builders["/cmd_vel"]
    violations = inspect_bag(recording.write(tmp_path / "bag")).violations
    assert violations == ("scan: no topic scan", "action: no topic cmd_vel")


def test_wrong_type_violates(tmp_path):
    recording = Recording()
    recording.builders["/scan"] = odometry
    (violation,) = inspect_bag(recording.write(tmp_path / "bag")).violations
    assert violation == (
        "scan: /scan holds nav_msgs/msg/Odometry, the contract says sensor_msgs/msg/LaserScan"
    )


def test_stamps_that_do_not_rise_violate(tmp_path):
    recording = Recording()
    swapped = {7: 8, 8: 7}

    def disordered(stamp_ns):
        tick = (stamp_ns - START_NS) // PERIOD_NS
        return odometry(START_NS + swapped.get(tick, tick) * PERIOD_NS)

    recording.builders["/odom"] = disordered
    (violation,) = inspect_bag(recording.write(tmp_path / "bag")).violations
    assert violation == "odometry: 1 stamps are not later than the one before"


def test_unstamped_messages_violate(tmp_path):
    recording = Recording()
    recording.builders["/odom"] = lambda stamp_ns: odometry(0)
    assert "odometry: 40 messages without a header stamp" in (
        inspect_bag(recording.write(tmp_path / "bag")).violations
    )


def test_clocks_that_differ(tmp_path):
    late = inspect_bag(Recording(skew_ns=2_000_000_000).write(tmp_path / "late"))
    assert late.violations[0].startswith("image: received 2.000 s after its stamps (median)")
    early = inspect_bag(Recording(skew_ns=-20_000_000).write(tmp_path / "early"))
    assert early.ok
    assert "image: stamped up to 0.020 s in the future" in early.warnings


def test_a_file_that_was_changed_after_the_recording_violates(tmp_path):
    bag = Recording().write(tmp_path / "bag")
    write_checksums(bag)
    assert inspect_bag(bag).ok
    file = bag / "metadata.yaml"
    file.write_text(file.read_text() + "\n")
    (violation,) = inspect_bag(bag).violations
    assert "metadata.yaml is not what was recorded" in violation
    (bag / FILE_NAME).write_text("0" * 64 + "  gone.mcap\n")
    assert inspect_bag(bag).violations == ("gone.mcap is missing; copy the whole folder",)
    (bag / FILE_NAME).write_text("nothing")
    (violation,) = inspect_bag(bag).violations
    assert "SHA256SUMS is damaged" in violation


def test_undecodable_stream_violates(tmp_path):
    recording = Recording()
    recording.builders["/camera/image_raw"] = lambda stamp_ns: image(stamp_ns, "rgb16")
    (violation,) = inspect_bag(recording.write(tmp_path / "bag")).violations
    assert violation.startswith("image: ")
    assert "rgb16" in violation


def test_another_contract_names_the_difference(tmp_path):
    bag = Recording().write(tmp_path / "bag")
    scan = contract().stream("scan")
    streams = tuple(
        replace(s, decoder=replace(scan.decoder, beams=6)) if s.key == "scan" else s
        for s in contract().streams
    )
    other = replace(contract(), streams=streams)
    violations = inspect_bag(bag, other).violations
    assert any("scan" in v and "in the bag" in v and "given contract" in v for v in violations)
    assert inspect_bag(bag, contract()).ok


def test_labels_are_missed_but_do_not_violate(tmp_path):
    inspection = inspect_bag(Recording(custom={}).write(tmp_path / "bag"))
    assert inspection.ok
    assert inspection.warnings == (
        "no contract in the bag and none given: only stamps are checked",
        "no instruction in the metadata",
        "outcome unknown",
    )


def test_remapped_and_namespaced_topics_are_found(tmp_path):
    recording = Recording()
    recording.builders = {
        {"/scan": "/front/lidar"}.get(name, f"/robot1{name}"): build
        for name, build in recording.builders.items()
    }
    recording.custom["vla.topics"] = json.dumps({"scan": "/front/lidar"})
    inspection = inspect_bag(recording.write(tmp_path / "bag"))
    assert inspection.ok, inspection.violations
    assert inspection.topic("scan").name == "/front/lidar"
    assert inspection.topic("odom").name == "/robot1/odom"


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_bag_that_was_never_closed(tmp_path, storage):
    bag = Recording().write(tmp_path / "bag", storage)
    (bag / "metadata.yaml").unlink()
    inspection = inspect_bag(bag)
    assert not inspection.ok
    assert "was never closed" in inspection.violations[0]
    assert find_bags(tmp_path) == [bag]  # not overlooked


@pytest.mark.parametrize("storage", list(StoragePlugin))
@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9])
def test_truncated_storage_is_damaged(tmp_path, storage, fraction):
    bag = Recording().write(tmp_path / "bag", storage)
    (file,) = [f for f in bag.iterdir() if f.name != "metadata.yaml"]
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * fraction)])
    (violation,) = inspect_bag(bag).violations
    assert "is damaged" in violation


def test_metadata_without_storage_is_damaged(tmp_path):
    bag = Recording().write(tmp_path / "bag")
    (bag / "bag.mcap").unlink()
    assert "no storage file" in inspect_bag(bag).violations[0]


def test_no_bag(tmp_path):
    with pytest.raises(BagError, match="does not exist"):
        find_bags(tmp_path / "nothing")
    with pytest.raises(BagError, match="no bag in"):
        find_bags(tmp_path)
    with pytest.raises(BagError, match="is no bag"):
        read_contents(tmp_path)


def test_single_storage_file(tmp_path):
    bag = Recording().write(tmp_path / "bag")
    inspection = inspect_bag(bag / "bag.mcap", contract())
    assert inspection.ok


def test_json_and_table_of_good_and_bad_bags(tmp_path):
    good = inspect_bag(Recording().write(tmp_path / "good"))
    empty = inspect_bag(Recording(ticks=1, skipped={"/scan": {0}}).write(tmp_path / "empty"))
    values = json.loads(json.dumps([good.to_dict(), empty.to_dict()], allow_nan=False))
    assert [value["ok"] for value in values] == [True, False]
    assert values[0]["topics"][0]["messages"] == 40
    assert values[1]["topics"][0]["rate_hz"] is None
    console = Console(width=100, record=True, file=io.StringIO())
    for inspection in (good, empty):
        print_inspection(console, inspection)
    text = console.export_text()
    assert "sound" in text
    assert "not fit for training" in text
    assert "/camera/image_raw" in text


def test_inspection_needs_no_ros(tmp_path):
    bag = Recording().write(tmp_path / "bag")
    code = (
        "import sys; from pathlib import Path; from vla_recorder.bag_inspection import inspect_bag;"
        f"assert inspect_bag(Path({str(bag)!r})).ok;"
        "found = {'rclpy', 'ament_index_python', 'torch', 'sensor_msgs'} & set(sys.modules);"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_contract_of_the_fixtures_is_valid():
    assert isinstance(contract(), Contract)
