import os
import threading
import time
from pathlib import Path

import pytest
from bag_fixtures import STORE, command
from rosbags.highlevel import AnyReader

import vla_recorder.disk_reserve
from vla_core.bag_checksums import FILE_NAME, ChecksumError, check, read_checksums
from vla_recorder.bag_writer import BagWriter
from vla_recorder.errors import BagError
from vla_recorder.message_definitions import MessageDefinitions, RecordedTopic
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


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_every_flipped_bit_of_a_bag_shows(tmp_path, topic, settings):
    folder = tmp_path / "bag"
    writer = BagWriter(folder, settings)
    writer.add_topic(topic)
    for index in range(40):
        writer.write(topic.name, index, bytes(STORE.serialize_cdr(command(index), TYPE)))
    writer.finish({"vla.instruction": "dock"})
    assert writer.wait(10.0)
    files = sorted(file for file in folder.iterdir() if file.name != FILE_NAME)
    checksums = read_checksums(folder)
    assert sorted(checksums) == [file.name for file in files]
    for file in files:
        check(checksums, file)
        whole = file.read_bytes()
        for position in range(0, len(whole), max(1, len(whole) // 40)):
            file.write_bytes(flipped(whole, position))
            with pytest.raises(ChecksumError, match="is not what was recorded"):
                check(checksums, file)
        file.write_bytes(whole)


@pytest.mark.parametrize("name", ["mcap", "mcap zstd"])
def test_readers_see_flipped_bits_in_the_chunks_of_an_mcap_file(tmp_path, topic, name):
    writer = BagWriter(tmp_path / "bag", SETTINGS[name])
    writer.add_topic(topic)
    size = 0
    for index in range(30_000):  # several chunks
        data = bytes(STORE.serialize_cdr(command(index), TYPE))
        writer.write(topic.name, index, data)
        size += len(data)
    writer.finish({})
    assert writer.wait(10.0)
    assert size > 2 * 2**20
    file = tmp_path / "bag" / "bag.mcap"
    whole = file.read_bytes()
    for position in (1000, 3000, 9000):
        file.write_bytes(flipped(whole, position))
        with pytest.raises(Exception, match=r"(?i)checksum|corrupt|decompress|zstd") as caught:
            read_all(tmp_path / "bag")
        assert not isinstance(caught.value, AssertionError)
    file.write_bytes(whole)
    assert read_all(tmp_path / "bag") == 30_000


def wait_until(condition, what):
    deadline_s = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline_s, f"timed out: {what}"
        time.sleep(0.01)


def read_all(folder):
    with AnyReader([folder]) as reader:
        return sum(1 for _ in reader.messages())


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :]


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
    wait_until(lambda: writer.written_messages == 10, "all are written")

    class Usage:
        free = 0

    monkeypatch.setattr(vla_recorder.disk_reserve.shutil, "disk_usage", lambda path: Usage)
    writer._disk._reserve_bytes = 1
    wait_until(lambda: writer.failure, "the disk is looked at twice a second, messages or not")
    writer.write(topic.name, 99, data)
    writer.finish({"vla.outcome": "unknown"})
    assert writer.wait(10.0)
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
    due_s = writer._next_flush_s
    wait_until(lambda: writer._next_flush_s > due_s, "a flush with nothing to be written")
    assert writer.failure is None  # a device cannot be synchronised, which is no write error
    for stamp_ns in range(1, 5):
        writer.write(topic.name, stamp_ns, b"\0" * 1_000_000)
    writer.finish({})
    assert writer.wait(10.0)
    assert "No space left" in str(writer.failure)
    assert "inspect --repair" in str(writer.failure)
    assert not (tmp_path / "bag" / "metadata.yaml").exists()


def _descriptor_of(path):
    (link,) = [link for link in Path("/proc/self/fd").iterdir() if link.resolve() == path]
    return int(link.name)


def test_slow_disk_drops_and_counts(tmp_path, topic):
    writer = BagWriter(tmp_path / "bag", WriterSettings(queue_limit_bytes=1_000_000))
    writer.add_topic(topic)
    gate = threading.Event()
    original = writer._disk.check  # a disk that stands still for a while
    writer._disk.check = lambda size: (gate.wait(10.0), original(size))
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
