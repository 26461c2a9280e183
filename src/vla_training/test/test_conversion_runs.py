"""Conversion as a whole: what is kept between runs, where it runs, what it writes."""

import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from bag_making import (
    PERIOD_NS,
    START_NS,
    TYPES,
    Message,
    header,
    twist,
    write_bag,
    write_recording,
)
from rosbags.rosbag2 import (
    CompressionFormat,
    CompressionMode,
    Reader,
    StoragePlugin,
    Writer,
)

from vla_training.conversion import messages as messages_module
from vla_training.conversion.pipeline import convert
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    DRIVER,
    DRIVERS,
    TICK_NS,
    VALID,
    parts_folder,
    row_specs,
)
from vla_training.errors import ConversionError, DatasetError

ALL = slice(None)
DOCS = Path(__file__).parents[3] / "docs" / "formats.md"


def assert_same_rows(first: Path, second: Path) -> None:
    with DatasetFile(first) as one, DatasetFile(second) as other:
        assert one.frames == other.frames
        for spec in row_specs(one.contract):
            np.testing.assert_array_equal(one.read(spec.name, ALL), other.read(spec.name, ALL))
        for key, field in one.statistics.fields.items():
            np.testing.assert_array_equal(field.mean, other.statistics.field(key).mean)
        drop = {"part": ""}
        assert [dataclasses.replace(e, **drop) for e in one.episodes] == [
            dataclasses.replace(e, **drop) for e in other.episodes
        ]


@pytest.fixture
def some(tmp_path, recordings):
    """A folder with three bags."""
    for recording in recordings[:3]:
        write_recording(tmp_path / "bags" / f"episode_{recording.seed}", recording)
    return tmp_path / "bags"


def run(bags, out, contract, **options):
    options.setdefault("jobs", 1)
    return convert([bags], out, contract, progress=False, **options)


def test_one_more_bag_costs_one_bag(tmp_path, some, bags, recordings, dataset, contract):
    out = tmp_path / "data.h5"
    shares = {"validation_fraction": 0.3, "test_fraction": 0.0}
    first = run(some, out, contract, **shares)
    assert (first.converted, first.reused) == (3, 0)
    before = {path: path.stat() for path in parts_folder(out).iterdir()}
    for recording in recordings[3:]:
        write_recording(some / f"episode_{recording.seed}", recording)
    second = run(some, out, contract, **shares)
    assert (second.converted, second.reused) == (3, 3)
    for path, status in before.items():
        assert path.stat().st_mtime_ns == status.st_mtime_ns
        assert path.stat().st_ino == status.st_ino
    assert_same_rows(out, run(bags, tmp_path / "once.h5", contract, **shares).path)


def test_a_touched_bag_is_read_but_not_converted(tmp_path, some, contract):
    out = tmp_path / "data.h5"
    run(some, out, contract)
    for file in some.rglob("*.mcap"):
        os.utime(file, ns=(1, 1))
    before = {path: path.stat().st_mtime_ns for path in parts_folder(out).iterdir()}
    assert run(some, out, contract).reused == 3
    assert {path: path.stat().st_mtime_ns for path in parts_folder(out).iterdir()} == before


def test_other_options_give_other_parts_and_the_old_ones_go(tmp_path, some, contract):
    out = tmp_path / "data.h5"
    run(some, out, contract)
    before = set(parts_folder(out).iterdir())
    assert run(some, out, contract, action_delay_s=0.1).converted == 3
    assert not before & set(parts_folder(out).iterdir())
    assert len(set(parts_folder(out).iterdir())) == 3


def test_an_interrupted_conversion_goes_on(tmp_path, some, contract):
    """In strict mode a damaged bag stops the run; what was done before is not done again."""
    out = tmp_path / "data.h5"
    (storage,) = (some / "episode_2").glob("*.mcap")
    whole = storage.read_bytes()
    storage.write_bytes(whole[:-100])
    with pytest.raises(ConversionError, match="episode_2"):
        run(some, out, contract, strict=True)
    assert not out.exists()
    storage.write_bytes(whole)
    summary = run(some, out, contract, strict=True)
    assert (summary.converted, summary.reused) == (1, 2)


def test_a_damaged_part_is_made_again(tmp_path, some, contract):
    out = tmp_path / "data.h5"
    run(some, out, contract)
    shutil.copytree(tmp_path / "data.parts", tmp_path / "kept.parts")
    shutil.copy(out, tmp_path / "kept.h5")
    part = sorted(parts_folder(out).iterdir())[0]
    part.write_bytes(part.read_bytes()[:3000])
    summary = run(some, out, contract)
    assert (summary.converted, summary.reused) == (1, 2)
    assert_same_rows(out, tmp_path / "kept.h5")


def test_a_missing_part_is_named_and_not_read_as_zeros(tmp_path, some, contract):
    out = tmp_path / "data.h5"
    run(some, out, contract)
    part = sorted(parts_folder(out).iterdir())[1]
    part.unlink()
    with pytest.raises(DatasetError, match=rf"part .*{part.name} is missing"):
        DatasetFile(out)


def test_copies_of_a_bag_count_once(tmp_path, some, contract):
    shutil.copytree(some / "episode_1", tmp_path / "again" / "episode_1")
    out = tmp_path / "data.h5"
    summary = convert([some, tmp_path / "again"], out, contract, jobs=1, progress=False)
    assert summary.episodes == 3
    assert "same contents as" in summary.skipped[0].reason


@pytest.mark.parametrize("compression", [None, "lzf", "gzip"])
def test_packed_file_is_the_same_data_set(tmp_path, some, contract, compression):
    packed = tmp_path / "packed.h5"
    run(some, packed, contract, pack=True, compression=compression)
    assert not parts_folder(packed).exists()
    assert_same_rows(packed, run(some, tmp_path / "index.h5", contract).path)
    with DatasetFile(packed) as data:
        assert bool(data.extents("observations/image")) == (compression is None)
        (extent,) = data.extents(ACTION)
        shape = (data.frames, contract.action.size)
        mapped = np.memmap(extent.path, np.float32, "r", extent.offset, shape)
        np.testing.assert_array_equal(mapped, data.read(ACTION, ALL))


def test_compression_without_packing_is_refused(tmp_path, some, contract):
    with pytest.raises(ConversionError, match="--pack"):
        run(some, tmp_path / "x.h5", contract, compression="lzf")


def test_parts_can_be_memory_mapped(dataset):
    with DatasetFile(dataset) as data:
        extents = data.extents("observations/image")
        assert [extent.start for extent in extents] == [e.start for e in data.episodes]
        for extent, episode in zip(extents, data.episodes, strict=True):
            shape = (extent.rows, *data.contract.streams[0].shape)
            mapped = np.memmap(extent.path, np.uint8, "r", extent.offset, shape)
            np.testing.assert_array_equal(mapped, data.read("observations/image", episode.rows))


def test_documentation_s_reader_works(tmp_path, dataset):
    """The example of docs/formats.md, run as it stands, from another folder."""
    (code,) = re.findall(
        r"```python\n(import sys\nimport h5py.*?)```", DOCS.read_text("utf-8"), re.S
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(dataset)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" rows, ") == 2
    assert "brightness 0" not in done.stdout


def test_documentation_names_every_array_column_and_attribute(dataset):
    text = DOCS.read_text("utf-8")
    with h5py.File(dataset) as file:
        names: list[str] = []
        file.visititems(lambda name, found: names.append(name) if hasattr(found, "shape") else None)
        columns = [name.rpartition("/")[2] for name in names if name.startswith("episodes/")]
        arrays = [name for name in names if not name.startswith("episodes/")]
        for name in [*arrays, *columns, *file.attrs]:
            assert f"`{name}`" in text, name


STORAGES = [
    (StoragePlugin.SQLITE3, None),
    (StoragePlugin.MCAP, CompressionMode.STORAGE),
    (StoragePlugin.MCAP, CompressionMode.MESSAGE),
    (StoragePlugin.SQLITE3, CompressionMode.FILE),
]


@pytest.mark.parametrize(("plugin", "mode"), STORAGES)
def test_every_storage_gives_the_same_rows(tmp_path, recordings, contract, plugin, mode):
    plain = write_recording(tmp_path / "plain" / "bag", recordings[0])
    path = tmp_path / "other" / "bag"
    path.parent.mkdir()
    writer = Writer(path, version=9, storage_plugin=plugin)
    if mode is not None:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with Reader(plain) as reader, writer:
        for key, value in reader.storage.metadata.custom.items():
            writer.set_custom_data(key, value)
        connections = {
            c.id: writer.add_connection(c.topic, c.msgtype, typestore=TYPES)
            for c in reader.connections
        }
        for connection, received_ns, data in reader.messages():
            writer.write(connections[connection.id], received_ns, data)
    out = run(path, tmp_path / "other.h5", contract, strict=True).path
    reference = run(plain, tmp_path / "plain.h5", contract, strict=True).path
    with DatasetFile(out) as one, DatasetFile(reference) as other:
        for spec in row_specs(contract):
            np.testing.assert_array_equal(one.read(spec.name, ALL), other.read(spec.name, ALL))
    assert not [p for p in parts_folder(out).iterdir() if p.suffix != ".h5"]


def test_pages_may_be_let_go_at_any_time(tmp_path, recordings, contract, monkeypatch):
    bag = write_recording(tmp_path / "bag", recordings[3])
    before = run(bag, tmp_path / "one.h5", contract).path
    monkeypatch.setattr(messages_module, "_RELEASE_BYTES", 4096)
    assert_same_rows(run(bag, tmp_path / "other.h5", contract).path, before)


def test_action_delay_shifts_the_labels_alone(tmp_path, recordings, contract):
    bag = write_recording(tmp_path / "bag", recordings[0])
    plain = run(bag, tmp_path / "a.h5", contract).path
    shifted = run(bag, tmp_path / "b.h5", contract, action_delay_s=0.15).path
    with DatasetFile(plain) as a, DatasetFile(shifted) as b:
        np.testing.assert_array_equal(b.read(ACTION, ALL)[:-3], a.read(ACTION, ALL)[3:])
        np.testing.assert_array_equal(b.read(TICK_NS, ALL), a.read(TICK_NS, ALL))
        np.testing.assert_array_equal(
            b.read("observations/scan", ALL), a.read("observations/scan", ALL)
        )
    with pytest.raises(ConversionError, match="action delay is nan"):
        run(bag, tmp_path / "c.h5", contract, action_delay_s=float("nan"))


@pytest.mark.parametrize(
    ("operator", "driver"),
    [("docking_expert", "expert"), ("policy", "policy"), ("Ada", "person"), ("", "unknown")],
)
def test_rows_say_who_drove(tmp_path, recordings, contract, operator, driver):
    bag = write_recording(tmp_path / "bag", recordings[0], **{"vla.operator": operator})
    with DatasetFile(run(bag, tmp_path / "x.h5", contract).path) as data:
        assert set(data.read(DRIVER, ALL).tolist()) == {DRIVERS.index(driver)}


def later(messages: list[Message], delay_ns: int) -> list[Message]:
    """The same messages again, stamped and received later."""
    return [
        dataclasses.replace(
            m,
            stamp_ns=m.stamp_ns + delay_ns,
            message=dataclasses.replace(m.message, header=header(m.stamp_ns + delay_ns)),
        )
        for m in messages
    ]


@pytest.mark.parametrize("pause_s", [5, 3600])
def test_a_plain_bag_is_cut_at_pauses(tmp_path, recordings, contract, pause_s):
    """Without the recorder's notes; the pause is longer than any accepted clock jump."""
    messages = recordings[4].messages
    write_bag(tmp_path / "plain", [*messages, *later(messages, pause_s * 10**9)])
    with pytest.raises(ConversionError, match="has outcome unknown"):
        run(tmp_path / "plain", tmp_path / "x.h5", contract)
    summary = run(
        tmp_path / "plain",
        tmp_path / "x.h5",
        contract,
        include=["unknown"],
        instruction="dock at the charger",
        strict=True,
    )
    with DatasetFile(summary.path) as data:
        assert [episode.segment for episode in data.episodes] == [0, 1]
        assert {episode.instruction for episode in data.episodes} == {"dock at the charger"}
        assert len({episode.group for episode in data.episodes}) == 1
        assert len({episode.split for episode in data.episodes}) == 1
        first, second = (data.read(ACTION, episode.rows) for episode in data.episodes)
        np.testing.assert_array_equal(first, second)
        assert data.read(VALID, ALL).all()
    (record,) = summary.records
    assert [round(dropped["duration_s"]) for dropped in record["dropped"]] == [
        round(pause_s - (len(recordings[4].labels) - 1) * PERIOD_NS * 1e-9)
    ]


def test_a_clock_that_is_set_back_a_little_is_named(tmp_path, recordings, contract):
    """Two seconds: no jump of the whole bag, but rows of two moments would mix."""
    messages = recordings[5].messages
    half = START_NS + 50 * PERIOD_NS
    moved = [
        dataclasses.replace(
            m,
            received_ns=m.stamp_ns,
            message=dataclasses.replace(m.message, header=header(m.stamp_ns - 2 * 10**9)),
        )
        if m.stamp_ns >= half
        else m
        for m in messages
    ]
    write_bag(tmp_path / "bag", moved, {"vla.outcome": "success"})
    with pytest.raises(ConversionError, match=r"is set back by 2\.0 s at its message 50,"):
        run(tmp_path / "bag", tmp_path / "x.h5", contract, strict=True)


def test_unstamped_commands_of_another_type_will_do(tmp_path, recordings, contract):
    """The contract says TwistStamped; the bag has Twist."""
    messages = [m for m in recordings[0].messages if "cmd_vel" not in m.topic]
    for tick, label in enumerate(recordings[0].labels):
        stamp_ns = START_NS + tick * PERIOD_NS
        messages.append(Message("/cmd_vel", stamp_ns, twist(*label), received_ns=stamp_ns))
    write_bag(tmp_path / "bag", messages, {"vla.outcome": "success"})
    with DatasetFile(run(tmp_path / "bag", tmp_path / "x.h5", contract).path) as data:
        np.testing.assert_array_equal(
            data.read(ACTION, ALL), np.array(recordings[0].labels, np.float32)
        )
        assert data.read(ACTION_VALID, ALL).all()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def cluster(tmp_path):
    """Address of a Dask scheduler with two workers, processes of their own."""
    address = f"tcp://127.0.0.1:{free_port()}"
    commands = [
        ["scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2]],
        ["worker", address, "--nworkers", "2", "--nthreads", "1"],
    ]
    log = tmp_path / "dask.log"
    processes: list[subprocess.Popen] = []
    try:
        with log.open("w") as output:
            for command in commands:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "dask", *command, "--no-dashboard"],
                        stdout=output,
                        stderr=output,
                        cwd=tmp_path,
                        start_new_session=True,
                    )
                )
        deadline = time.monotonic() + 60.0
        while log.read_text("utf-8").count("Registered to") < 2:
            assert time.monotonic() < deadline, log.read_text("utf-8")
            time.sleep(0.2)
        yield address
    finally:
        for process in reversed(processes):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def test_a_dask_cluster_gives_the_same_data_set(tmp_path, some, contract, cluster):
    out = tmp_path / "cluster.h5"
    summary = convert([some], out, contract, scheduler=cluster, progress=False)
    assert summary.converted == 3
    assert_same_rows(out, run(some, tmp_path / "here.h5", contract).path)
    log = (tmp_path / "dask.log").read_text("utf-8")
    assert "Receive client connection" in log


def test_no_scheduler_is_said_in_one_line(tmp_path, some, contract, monkeypatch):
    monkeypatch.setattr("vla_training.executors.CONNECTION_TIMEOUT_S", 0.5)
    with pytest.raises(ConversionError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:1 "):
        convert([some], tmp_path / "x.h5", contract, scheduler="tcp://127.0.0.1:1", progress=False)


def test_records_say_what_became_of_every_message(tmp_path, recordings, contract):
    bag = write_recording(tmp_path / "bag", recordings[0])
    (record,) = run(bag, tmp_path / "x.h5", contract).records
    json.dumps(record)
    rows = len(recordings[0].labels)
    assert record["messages"] == len(recordings[0].messages)
    assert record["topics"]["/cmd_vel"] == {
        "type": "geometry_msgs/msg/TwistStamped",
        "messages": rows,
        "used_as": None,
    }
    image = record["streams"]["image"]
    assert (image["messages"], image["used"], image["frame_id"]) == (
        rows,
        rows,
        "camera_optical_frame",
    )
    assert image["rate_hz"] == pytest.approx(20.0)
    assert image["delay_s"]["median"] == pytest.approx(0.003)
    assert image["age_s"]["max"] == 0.0
    histogram = record["action"]["linear.x"]
    expected, _ = np.histogram(np.array(recordings[0].labels, np.float32)[:, 0], histogram["edges"])
    assert histogram["counts"] == expected.tolist()
    assert sum(histogram["counts"]) == rows
