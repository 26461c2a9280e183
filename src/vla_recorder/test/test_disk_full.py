"""What happens when a disk is full: on a small one that is real."""

import os
import subprocess
import time

import pytest
from bag_fixtures import messages
from recorder_rig import wait_for
from rosbags.highlevel import AnyReader
from std_msgs.msg import String

from vla_recorder.bag_inspection import inspect_bag
from vla_recorder.bag_repair import repair_bag
from vla_recorder.bag_writer import BagWriter
from vla_recorder.errors import BagError
from vla_recorder.message_definitions import MessageDefinitions, RecordedTopic
from vla_recorder.writer_settings import WriterSettings

SIZE_BYTES = 24 << 20
BULK = 100_000


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        pytest.skip(f"cannot mount a small file system: {error}")
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system (needs root): {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def free_bytes(folder):
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def fill(path):
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_recording_ends_in_time_and_keeps_everything(robot, make_recorder, small_disk, storage):
    reserve_bytes = 8 << 20
    bulk = robot.node.create_publisher(String, "bulk", 50)
    recorder = make_recorder(
        robot,
        output_directory=small_disk,
        disk_reserve_bytes=reserve_bytes,
        extra_topics="[bulk, ground_truth/state]",
        storage=storage,
    ).bring_up()
    wait_for(bulk.get_subscription_count, "bulk is recorded")
    goal = recorder.record(name="large").wait_until_recording()
    sent = []
    below_s = told_s = None
    deadline_s = time.monotonic() + 30.0
    while told_s is None:
        assert time.monotonic() < deadline_s, recorder.text
        sent.append(f"{len(sent)} " + "x" * BULK)
        bulk.publish(String(data=sent[-1]))
        robot.publish(1)
        if below_s is None and free_bytes(small_disk) < reserve_bytes:
            below_s = time.monotonic()
        if "nearly full" in recorder.text:
            told_s = time.monotonic()
    result = goal.result()
    assert below_s is not None
    assert told_s - below_s < 1.0 + max(0.0, goal.hold_up_s(told_s))
    assert not result.success
    assert "nearly full" in result.message
    assert free_bytes(small_disk) > 0

    bag = small_disk / "large"
    inspection = inspect_bag(bag)
    assert not any("damaged" in text or "closed" in text for text in inspection.violations)
    recorded, custom = messages(bag)
    assert custom["vla.outcome"] == "unknown"
    assert "nearly full" in result.message
    assert result.messages == sum(len(found) for found in recorded.values())
    for topic, published in robot.sent.items():
        assert recorded[topic] == published[: len(recorded[topic])]
    assert len(recorded["/bulk"]) * BULK > (SIZE_BYTES - reserve_bytes) / 2
    assert "nearly full" in recorder.record(name="another").result().message


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_disk_without_reserve_costs_the_end_and_nothing_else(small_disk, storage):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(12 << 20))
    writer = BagWriter(small_disk / "bag", WriterSettings(storage), {"vla.instruction": "dock"})
    topic = RecordedTopic("/bulk", MessageDefinitions().find("std_msgs/msg/String"))
    writer.add_topic(topic)
    sent = []
    deadline_s = time.monotonic() + 20.0
    while writer.failure is None and time.monotonic() < deadline_s:
        sent.append(os.urandom(300_000))
        writer.write(topic.name, len(sent), sent[-1])
        time.sleep(0.03)
    writer.finish({"vla.instruction": "dock", "vla.outcome": "success"})
    assert writer.wait(10.0)
    assert f"vla inspect --repair {small_disk / 'bag'}" in str(writer.failure)
    filled = small_disk / "filled"
    with pytest.raises(OSError, match="No space"):
        fill(filled)
    assert not inspect_bag(small_disk / "bag").ok
    if storage == "mcap":
        with pytest.raises(BagError, match="see to the disk"):
            repair_bag(small_disk / "bag")
    filled.unlink()
    ballast.unlink()
    repair_bag(small_disk / "bag")
    with AnyReader([small_disk / "bag"]) as reader:
        found = [bytes(data) for _, _, data in reader.messages()]
        custom = reader.readers[0].storage.metadata.custom
    assert found == sent[: len(found)]
    assert len(sent) - len(found) < 1.0 / 0.03  # what came in the last second
    assert len(found) > 10
    assert (custom["vla.instruction"], custom["vla.outcome"]) == ("dock", "unknown")
