import os
import threading
import time
from pathlib import Path

import pytest
from bag_fixtures import STORE, command
from rosbags.highlevel import AnyReader

import vla_recorder.bag_writer
from vla_recorder.bag_writer import BagWriter, RecordedTopic
from vla_recorder.errors import BagError
from vla_recorder.message_definitions import MessageDefinitions
from vla_recorder.writer_settings import WriterSettings

FULL = Path("/dev/full")
TYPE = "geometry_msgs/msg/TwistStamped"
SETTINGS = {
    "mcap": WriterSettings("mcap"),
    "mcap zstd": WriterSettings("mcap", "zstd"),
    "sqlite3": WriterSettings("sqlite3"),
}


@pytest.fixture(scope="module")
def topic():
    return RecordedTopic("/cmd_vel", MessageDefinitions().find(TYPE))


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_bytes_and_metadata_come_back(tmp_path, topic, settings):
    written = [(10 * i, STORE.serialize_cdr(command(i), TYPE)) for i in range(1, 200)]
    writer = BagWriter(tmp_path / "bag", settings)
    writer.add_topic(topic)
    for stamp_ns, data in written:
        writer.write(topic.name, stamp_ns, bytes(data))
    closed = threading.Event()
    writer.finish({"vla.instruction": "fahr an: µ"}, on_finished=closed.set)
    assert writer.wait(10.0)
    assert closed.is_set()
    assert writer.failure is None
    assert writer.written_messages == writer.messages == len(written)
    with AnyReader([tmp_path / "bag"]) as reader:
        assert [(stamp, data) for _, stamp, data in reader.messages()] == written
        (connection,) = reader.connections
        assert connection.digest == STORE.hash_rihs01(TYPE)
        custom = reader.readers[0].storage.metadata.custom
    assert custom == {"vla.instruction": "fahr an: µ"}


def test_discarded_bag_is_gone(tmp_path, topic):
    writer = BagWriter(tmp_path / "bag", SETTINGS["mcap"])
    writer.add_topic(topic)
    writer.write(topic.name, 1, b"\0" * 64)
    writer.finish({}, discard=True)
    assert writer.wait(10.0)
    assert writer.failure is None
    assert not (tmp_path / "bag").exists()


def test_existing_bag_is_left_alone(tmp_path):
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "precious").touch()
    with pytest.raises(BagError, match="exists already"):
        BagWriter(tmp_path / "bag", SETTINGS["mcap"])
    assert [f.name for f in (tmp_path / "bag").iterdir()] == ["precious"]


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BagError, match="cannot create the bag"):
        BagWriter(tmp_path / "file" / "bag", SETTINGS["mcap"])


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_full_disk_closes_the_bag_with_what_it_has(tmp_path, topic, settings, monkeypatch):
    writer = BagWriter(tmp_path / "bag", settings)
    writer.add_topic(topic)
    data = bytes(STORE.serialize_cdr(command(5), TYPE))
    for stamp_ns in range(1, 11):
        writer.write(topic.name, stamp_ns, data)
    deadline_s = time.monotonic() + 10.0
    while writer.written_messages < 10 and time.monotonic() < deadline_s:
        time.sleep(0.01)

    class Usage:
        free = 0

    monkeypatch.setattr(vla_recorder.bag_writer.shutil, "disk_usage", lambda path: Usage)
    object.__setattr__(settings, "disk_reserve_bytes", 1)
    time.sleep(0.6)  # the disk is looked at twice a second
    writer.write(topic.name, 99, data)
    writer.finish({"vla.outcome": "unknown"})
    assert writer.wait(10.0)
    object.__setattr__(settings, "disk_reserve_bytes", 0)
    assert "nearly full" in str(writer.failure)
    with AnyReader([tmp_path / "bag"]) as reader:
        assert [stamp for _, stamp, _ in reader.messages()] == list(range(1, 11))


def test_full_disk_refuses_a_new_bag(tmp_path):
    with pytest.raises(BagError, match="nearly full"):
        BagWriter(tmp_path / "bag", WriterSettings(disk_reserve_bytes=10**15))
    assert not (tmp_path / "bag").exists()


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_write_error_is_reported_and_ends_in_no_sound_bag(tmp_path, topic):
    writer = BagWriter(tmp_path / "bag", SETTINGS["mcap"])
    writer.add_topic(topic)
    with FULL.open("wb") as full:
        os.dup2(full.fileno(), _descriptor_of(tmp_path / "bag" / "bag.mcap"))
    for stamp_ns in range(1, 5):
        writer.write(topic.name, stamp_ns, b"\0" * 1_000_000)
    writer.finish({})
    assert writer.wait(10.0)
    assert "No space left" in str(writer.failure)
    assert "must not be used" in str(writer.failure)
    assert not (tmp_path / "bag" / "metadata.yaml").exists()


def _descriptor_of(path):
    (link,) = [link for link in Path("/proc/self/fd").iterdir() if link.resolve() == path]
    return int(link.name)


def test_slow_disk_drops_and_counts(tmp_path, topic):
    writer = BagWriter(tmp_path / "bag", WriterSettings(queue_limit_bytes=1_000_000))
    writer.add_topic(topic)
    gate = threading.Event()
    original = writer._check_disk  # a disk that stands still for a while
    writer._check_disk = lambda: (gate.wait(10.0), original())
    for stamp_ns in range(1, 31):
        writer.write(topic.name, stamp_ns, b"\0" * 100_000)
    assert writer.dropped == 19
    gate.set()
    writer.finish({})
    assert writer.wait(10.0)
    assert writer.written_messages == writer.messages == 11


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"storage": "bag"}, "storage 'bag' is unknown"),
        ({"compression": "rar"}, "compression 'rar' is unknown"),
        ({"storage": "sqlite3", "compression": "zstd"}, "needs storage 'mcap'"),
    ],
)
def test_settings_are_checked(values, message):
    with pytest.raises(BagError, match=message):
        WriterSettings(**values)
