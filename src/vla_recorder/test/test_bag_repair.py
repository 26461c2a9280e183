"""Bags whose recording was cut off: copies of the files as they stood while they were written."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from bag_fixtures import STORE, Recording, command, image, wait_until_flushed
from mcap.reader import NonSeekingReader, SeekingReader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2.storage_mcap import McapReader

import vla_recorder.bag_writer
from vla_core.bag_checksums import changed_files
from vla_core.bag_metadata import JOURNAL_FILE
from vla_recorder.bag_inspection import inspect_bag
from vla_recorder.bag_repair import repair_bag
from vla_recorder.bag_writer import BagWriter
from vla_recorder.errors import BagError
from vla_recorder.message_definitions import MessageDefinitions, RecordedTopic
from vla_recorder.writer_settings import WriterSettings

SETTINGS = {
    "mcap": WriterSettings("mcap"),
    "mcap zstd": WriterSettings("mcap", "zstd"),
    "sqlite3": WriterSettings("sqlite3"),
}
BUILDERS = {"/cmd_vel": command, "/camera/image_raw": image}
METADATA = {"vla.instruction": "fahr an: µ", "vla.outcome": "unknown"}


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """By kind of storage: a bag that is not finished, its messages, and the finished one."""
    made = {}
    definitions = MessageDefinitions()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vla_recorder.bag_writer, "_FLUSH_PERIOD_S", 0.02)
        for name, settings in SETTINGS.items():
            folder = tmp_path_factory.mktemp("bags")
            writer = BagWriter(folder / "bag", settings, METADATA)
            messages = []
            for topic, build in BUILDERS.items():
                kind = build(1).__msgtype__
                writer.add_topic(RecordedTopic(topic, definitions.find(kind)))
            for index in range(1, 41):
                for topic, build in BUILDERS.items():
                    message = build(index * 1_000_000)
                    data = bytes(STORE.serialize_cdr(message, message.__msgtype__))
                    writer.write(topic, index * 1_000_000, data)
                    messages.append((topic, index * 1_000_000, data))
                if index % 5 == 0:  # a chunk or transaction each
                    wait_until_flushed(writer)
            shutil.copytree(folder / "bag", folder / "cut")
            with pytest.raises(BagError, match="being written by another process"):
                repair_bag(folder / "bag")
            writer.finish({**METADATA, "vla.outcome": "success"})
            assert writer.wait(10.0)
            assert writer.failure is None
            made[name] = folder / "cut", messages, folder / "bag"
    return made


@pytest.fixture(params=SETTINGS)
def case(request, unfinished, tmp_path):
    """A fresh copy of an unfinished bag, and its messages."""
    cut, messages, _ = unfinished[request.param]
    shutil.copytree(cut, tmp_path / "cut")
    return tmp_path / "cut", messages


def read(bag):
    with AnyReader([bag]) as reader:
        messages = [(c.topic, stamp_ns, bytes(data)) for c, stamp_ns, data in reader.messages()]
        return messages, reader.readers[0].storage.metadata.custom


def storage_of(bag):
    (file,) = [f for f in bag.iterdir() if f.suffix in (".mcap", ".db3")]
    return file


def test_unfinished_bag_is_named_and_then_finished(case, unfinished):
    bag, messages = case
    inspection = inspect_bag(bag)
    assert "was never closed" in inspection.violations[0]
    assert f"vla inspect --repair {bag}" in inspection.violations[0]
    repair = repair_bag(bag)
    assert (repair.messages, repair.cut_bytes) == (len(messages), 0)
    found, custom = read(bag)
    assert found == messages
    assert custom == {**METADATA, "vla.repaired": repair.text}
    assert f"repaired: {repair.text}" in inspect_bag(bag).warnings
    assert changed_files(bag) == []
    assert not (bag / JOURNAL_FILE).exists()
    assert repair_bag(bag) is None
    with AnyReader([bag]) as reader:
        digests = {connection.topic: connection.digest for connection in reader.connections}
    assert digests == {t: STORE.hash_rihs01(b(1).__msgtype__) for t, b in BUILDERS.items()}


def test_repaired_file_is_what_the_recorder_would_have_written(unfinished, tmp_path):
    cut, _, finished = unfinished["mcap"]
    shutil.copytree(cut, tmp_path / "bag")
    repair_bag(tmp_path / "bag")
    summaries = []
    for bag in (finished, tmp_path / "bag"):
        reader = McapReader(storage_of(bag))
        reader.open()
        summaries.append((dict(reader.schemas), dict(reader.channels), list(reader.chunks)))
        assert reader.statistics.message_count == 80
        reader.close()
    assert summaries[0] == summaries[1]
    assert len(summaries[0][2]) >= 8
    chunks = storage_of(cut).read_bytes()
    for bag in (finished, tmp_path / "bag"):
        assert storage_of(bag).read_bytes().startswith(chunks)


@pytest.mark.parametrize("name", ["mcap", "mcap zstd"])
def test_cut_off_anywhere_leaves_a_sound_beginning(unfinished, tmp_path, name):
    cut, messages, _ = unfinished[name]
    whole = storage_of(cut).read_bytes()
    counts = set()
    for number, size in enumerate(range(0, len(whole), len(whole) // 30)):
        bag = tmp_path / f"{number}"
        shutil.copytree(cut, bag)
        storage_of(bag).write_bytes(whole[:size])
        if size < 40:  # without its header
            with pytest.raises(BagError, match="nothing can be saved"):
                repair_bag(bag)
            continue
        repair = repair_bag(bag)
        found, _ = read(bag)
        assert found == messages[: len(found)]
        assert repair.messages == len(found)
        rest = storage_of(bag).with_name(storage_of(bag).name + ".cut")
        kept = rest.read_bytes() if rest.exists() else b""
        assert kept == whole[size - repair.cut_bytes : size]
        if repair.cut_bytes:
            assert f"{repair.cut_bytes} bytes were cut off" in repair.text
        counts.add(len(found))
    assert len(counts) >= 8  # every chunk more is some messages more
    assert max(counts) >= len(messages) * 0.75


@pytest.mark.parametrize("name", list(SETTINGS))
@pytest.mark.parametrize("spoil", ["zeros", "flip"])
def test_nothing_damaged_is_accepted(unfinished, tmp_path, name, spoil):
    cut, messages, _ = unfinished[name]
    whole = storage_of(cut).read_bytes()
    refused = shortened = 0
    for number, place in enumerate(range(40, len(whole), len(whole) // 24)):
        bag = tmp_path / f"{number}"
        shutil.copytree(cut, bag)
        if spoil == "zeros":  # a page that did not reach the disk when the power failed
            page = place // 4096 * 4096
            damaged = whole[:page] + bytes(len(whole[page : page + 4096])) + whole[page + 4096 :]
        else:
            damaged = whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]
        storage_of(bag).write_bytes(damaged)
        try:
            repair = repair_bag(bag)
        except BagError:
            refused += 1
            continue
        if name == "sqlite3" and spoil == "flip":
            continue  # SQLite has no checksums; its structure is all that can be checked
        found, _ = read(bag)
        assert found == messages[: len(found)]
        if len(found) < len(messages):
            assert repair.cut_bytes > 0
            assert "cut off" in repair.text
            shortened += 1
    assert refused + shortened > 0 if name == "sqlite3" else shortened + refused > 12


def test_transaction_that_was_not_finished_is_undone(unfinished, tmp_path):
    """A kill within a transaction: its beginning is in the file, its undoing in the journal."""
    cut, messages, _ = unfinished["sqlite3"]
    source = tmp_path / "source"
    shutil.copytree(cut, source)
    connection = sqlite3.connect(storage_of(source))
    connection.execute("PRAGMA cache_size = 1")  # so that it reaches the file before its end
    rows = [(1, stamp_ns, bytes(4000)) for stamp_ns in range(200)]
    connection.executemany("INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)", rows)
    shutil.copytree(source, tmp_path / "bag")
    connection.close()
    assert any(file.name.endswith("-journal") for file in (tmp_path / "bag").iterdir())
    assert repair_bag(tmp_path / "bag").messages == len(messages)
    assert read(tmp_path / "bag")[0] == messages


@pytest.mark.parametrize(
    ("change", "is_saved"),
    [
        ("UPDATE topics SET offered_qos_profiles = ']' WHERE id = 1", True),
        ("UPDATE topics SET offered_qos_profiles = 'depth: 1'", True),
        ("UPDATE topics SET name = x'00ff' WHERE id = 1", False),
        ("UPDATE messages SET timestamp = 'soon' WHERE id = 3", False),
        ("UPDATE messages SET topic_id = 'camera' WHERE id = 3", False),
    ],
)
def test_a_database_of_something_else_is_refused_and_what_matters_little_is_not(
    unfinished, tmp_path, change, is_saved
):
    cut, messages, _ = unfinished["sqlite3"]
    bag = tmp_path / "bag"
    shutil.copytree(cut, bag)
    with closing(sqlite3.connect(storage_of(bag))) as connection, connection:
        connection.execute(change)
    if is_saved:
        assert repair_bag(bag).messages == len(messages)
        return
    with pytest.raises(BagError, match="is damaged"):
        repair_bag(bag)


def test_a_journal_of_something_else_is_none(unfinished, tmp_path):
    cut, messages, _ = unfinished["mcap"]
    shutil.copytree(cut, tmp_path / "bag")
    (tmp_path / "bag" / JOURNAL_FILE).write_text("[" * 5000 + "\n" + '{"metadata": 3}\n')
    assert repair_bag(tmp_path / "bag").messages == len(messages)


def test_repair_that_was_interrupted_is_repeated(unfinished, tmp_path):
    cut, messages, _ = unfinished["mcap"]
    shutil.copytree(cut, tmp_path / "whole")
    repair_bag(tmp_path / "whole")
    repaired = storage_of(tmp_path / "whole").read_bytes()
    start = storage_of(cut).stat().st_size
    for size in range(start, len(repaired), 97):
        bag = tmp_path / f"{size}"
        shutil.copytree(cut, bag)  # the journal is there until the very end
        storage_of(bag).write_bytes(repaired[:size])
        assert repair_bag(bag).messages == len(messages)
        assert read(bag)[0] == messages


@pytest.mark.parametrize("name", ["mcap", "mcap zstd"])
def test_readers_that_are_not_ours_agree(unfinished, tmp_path, name):
    """A finished and a repaired file, by the index and from front to back, with checksums."""
    cut, messages, finished = unfinished[name]
    shutil.copytree(cut, tmp_path / "cut")
    file = storage_of(tmp_path / "cut")
    file.write_bytes(file.read_bytes()[:-500])
    repair = repair_bag(tmp_path / "cut")
    assert 0 < repair.messages < len(messages)
    for bag, expected in ((finished, messages), (tmp_path / "cut", messages[: repair.messages])):
        for reader in (SeekingReader, NonSeekingReader):
            with storage_of(bag).open("rb") as stream:
                found = [
                    (channel.topic, message.log_time, message.data)
                    for _, channel, message in reader(stream, validate_crcs=True).iter_messages()
                ]
            assert found == expected
        with storage_of(bag).open("rb") as stream:
            statistics = SeekingReader(stream).get_summary().statistics
        assert statistics.message_count == len(expected)


@pytest.mark.parametrize("noted", [80, 90])
def test_label_counts_only_if_the_bag_is_whole(unfinished, tmp_path, noted):
    """Killed while it was closed: the outcome is known, and how many messages there should be."""
    cut, messages, _ = unfinished["mcap"]
    assert len(messages) == 80
    shutil.copytree(cut, tmp_path / "bag")
    with (tmp_path / "bag" / JOURNAL_FILE).open("a") as journal:
        entry = {"metadata": {"vla.outcome": "success"}, "messages": noted}
        journal.write(json.dumps(entry) + "\n")
        journal.write('{"metadata": {"vla.outc')  # torn
    repair_bag(tmp_path / "bag")
    expected = "success" if noted == len(messages) else "unknown"
    assert read(tmp_path / "bag")[1]["vla.outcome"] == expected


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_foreign_bag_without_metadata_is_finished(tmp_path, storage):
    bag = Recording().write(tmp_path / "bag", storage)
    before, _ = read(bag)
    (bag / "metadata.yaml").unlink()
    if storage is StoragePlugin.MCAP:
        file = storage_of(bag)
        file.write_bytes(file.read_bytes()[:-200])
    repair = repair_bag(bag)
    assert read(bag)[0] == before
    assert ("no checksums" in repair.text) == (storage is StoragePlugin.MCAP)


def test_what_is_beyond_repair_is_left_as_it_is(unfinished, tmp_path):
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "no.mcap").write_bytes(b"nothing of the kind")
    with pytest.raises(BagError, match="does not begin as an MCAP file"):
        repair_bag(tmp_path / "no")
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "db.db3").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(BagError, match="cannot be repaired"):
        repair_bag(tmp_path / "db")
    for name in ("no", "db"):
        assert len(list((tmp_path / name).iterdir())) == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(BagError, match="found none"):
        repair_bag(tmp_path / "empty")
