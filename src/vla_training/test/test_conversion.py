import dataclasses
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from bag_making import (
    PERIOD_NS,
    START_NS,
    Message,
    T,
    twist,
    write_bag,
    write_recording,
)

from vla_core.frames import MISSING_AGE_NS, FrameAssembler
from vla_core.normalization import FieldStatistics
from vla_training.conversion.bags import find_bags, open_folder
from vla_training.conversion.messages import BagMessages
from vla_training.conversion.pipeline import convert
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    AGE_NS,
    DOCK_POSE,
    DOCK_POSE_VALID,
    TEST,
    TICK_NS,
    TRAINING,
    VALID,
    VALIDATION,
    assign_splits,
    observation,
)
from vla_training.dataset.statistics import sampled
from vla_training.errors import ConversionError, DatasetError

ALL = slice(None)


def convert_one(tmp_path, contract, messages, name="bag", **options):
    write_bag(tmp_path / name, messages, {"vla.outcome": "success"})
    out = tmp_path / f"{name}.h5"
    convert([tmp_path / name], out, contract, jobs=1, progress=False, strict=True, **options)
    return DatasetFile(out)


def without(recording, topic, first=0, last=10**9):
    """Messages without those of a topic in a range of ticks."""
    return [
        m
        for m in recording.messages
        if m.topic != topic or not first <= (m.stamp_ns - START_NS) // PERIOD_NS < last
    ]


def test_rows_equal_what_was_recorded(dataset, recordings, contract):
    with DatasetFile(dataset) as data:
        assert [episode.seed for episode in data.episodes] == [r.seed for r in recordings]
        for episode, recording in zip(data.episodes, recordings, strict=True):
            assert episode.length == len(recording.labels)
            assert episode.instruction == recording.instruction
            assert episode.outcome == "success"
            assert episode.operator == "expert"
            assert len(episode.bag_sha256) == 64
            rows = episode.rows
            np.testing.assert_array_equal(
                data.read(ACTION, rows), np.array(recording.labels, np.float32)
            )
            poses = np.array([(p.x, p.y, p.yaw) for p in recording.poses])
            np.testing.assert_allclose(data.read(DOCK_POSE, rows), poses, atol=1e-6)
            assert data.read(VALID, rows).all()
            assert data.read(ACTION_VALID, rows).all()
            assert data.read(DOCK_POSE_VALID, rows).all()
            assert (data.read(AGE_NS, rows) == 0).all()
            ticks = START_NS + PERIOD_NS * np.arange(episode.length)
            np.testing.assert_array_equal(data.read(TICK_NS, rows), ticks)


def test_live_and_offline_frames_agree_bit_for_bit(dataset, recordings, contract):
    """The frames that a policy assembles from driver readings are those of the file."""
    with DatasetFile(dataset) as data:
        for episode, recording in zip(data.episodes[:2], recordings, strict=False):
            live = FrameAssembler(contract)
            for row, (stamp_ns, readings) in enumerate(recording.readings, episode.start):
                for key, reading in readings.items():
                    live.push(key, stamp_ns, reading)
                frame = live.assemble(stamp_ns)
                one = slice(row, row + 1)
                for key in contract.keys:
                    stored = data.read(observation(key), one)[0]
                    assert stored.tobytes() == frame.arrays[key].tobytes()
                np.testing.assert_array_equal(data.read(VALID, one)[0], frame.valid)


def test_a_gap_is_marked_and_not_filled(tmp_path, recordings, contract):
    messages = without(recordings[0], "/scan", 10, 20)
    with convert_one(tmp_path, contract, messages) as data:
        valid = data.read(VALID, ALL)
        # 0.25 s may be bridged: the tick of the last scan and five more.
        expected = np.ones(len(valid), bool)
        expected[15:20] = False
        np.testing.assert_array_equal(valid[:, 1], expected)
        assert valid[:, [0, 2]].all()
        age = data.read(AGE_NS, ALL)[:, 1]
        np.testing.assert_array_equal(age[9:20], PERIOD_NS * np.arange(11))


def test_a_stream_that_dies_leaves_rows_marked_to_the_end(tmp_path, recordings, contract):
    messages = without(recordings[0], "/camera/image_raw", 20)
    with convert_one(tmp_path, contract, messages) as data:
        assert data.frames == len(recordings[0].labels)
        assert not data.read(VALID, ALL)[25:, 0].any()
        assert data.read(VALID, ALL)[25:, 1:].all()


def test_rows_begin_when_every_stream_and_the_action_have_spoken(tmp_path, recordings, contract):
    messages = without(recordings[0], "/expert/cmd_vel", 0, 7)
    with convert_one(tmp_path, contract, messages) as data:
        assert data.read(TICK_NS, ALL)[0] == START_NS + 7 * PERIOD_NS
        assert (data.read(AGE_NS, ALL) != MISSING_AGE_NS).all()


def test_header_stamps_count_and_not_the_time_of_reception(tmp_path, recordings, contract):
    """Images arrive 0.2 s late and out of order: the rows are the same."""
    messages = [
        dataclasses.replace(m, received_ns=m.stamp_ns + 200_000_000 - 7 * (i % 3) * 10_000_000)
        if m.topic == "/camera/image_raw"
        else m
        for i, m in enumerate(recordings[1].messages)
    ]
    with (
        convert_one(tmp_path, contract, messages, "late") as late,
        convert_one(tmp_path, contract, recordings[1].messages, "prompt") as prompt,
    ):
        for name in (observation("image"), VALID, AGE_NS, ACTION, TICK_NS):
            np.testing.assert_array_equal(late.read(name, ALL), prompt.read(name, ALL))


@pytest.mark.parametrize("lag_s", [4, 9])
def test_a_topic_may_lag_behind_the_others(tmp_path, recordings, contract, lag_s):
    """Written by a busy recorder beside a simulation that runs faster than real time."""
    messages = [
        dataclasses.replace(m, received_ns=m.stamp_ns + lag_s * 10**9) if m.topic == "/scan" else m
        for m in recordings[5].messages
    ]
    with convert_one(tmp_path, contract, messages) as data:
        assert data.read(VALID, ALL).all()
        assert data.frames == len(recordings[5].labels)


def test_without_a_label_topic_commands_are_the_action(tmp_path, recordings, contract):
    messages = without(recordings[0], "/expert/cmd_vel")
    with convert_one(tmp_path, contract, messages) as data:
        executed = np.array(recordings[0].labels, np.float32) + np.float32([0.01, 0.0])
        np.testing.assert_allclose(data.read(ACTION, ALL), executed, atol=1e-6)


def test_twist_without_header_uses_the_time_of_reception(tmp_path, recordings, contract):
    messages = [m for m in recordings[0].messages if m.topic not in ("/cmd_vel", "/expert/cmd_vel")]
    for tick, (linear, angular) in enumerate(recordings[0].labels):
        # Received just before its tick.
        at = START_NS + tick * PERIOD_NS - 1_000_000
        messages.append(Message("/cmd_vel", at, twist(linear, angular), received_ns=at))
    with convert_one(tmp_path, contract, messages) as data:
        labels = np.array(recordings[0].labels, np.float32)
        np.testing.assert_array_equal(data.read(ACTION, ALL), labels)


def test_action_that_ends_early_is_marked(tmp_path, recordings, contract):
    messages = without(recordings[0], "/expert/cmd_vel", 20)
    with convert_one(tmp_path, contract, messages) as data:
        valid = data.read(ACTION_VALID, ALL)
        assert valid[:30].all()
        assert not valid[30:].any()


def test_topics_in_a_namespace_are_found(tmp_path, recordings, contract):
    messages = [dataclasses.replace(m, topic=f"/robot_1{m.topic}") for m in recordings[0].messages]
    with convert_one(tmp_path, contract, messages) as data:
        assert data.frames == len(recordings[0].labels)


def test_two_robots_in_one_bag_are_ambiguous(tmp_path, recordings, contract):
    messages = [
        dataclasses.replace(m, topic=f"/{name}{m.topic}")
        for m in recordings[0].messages
        for name in ("robot_1", "robot_2")
    ]
    with pytest.raises(ConversionError, match=r"ambiguous: /robot_1.*/robot_2"):
        convert_one(tmp_path, contract, messages)


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_clock_that_jumps_is_named(tmp_path, recordings, contract, jump_s):
    jump_ns = int(jump_s * 1e9)
    messages = [
        dataclasses.replace(
            m,
            message=dataclasses.replace(
                m.message,
                header=T["Header"](
                    stamp=T["Time"]((m.stamp_ns + jump_ns) // 10**9, 0), frame_id="base_link"
                ),
            ),
        )
        if m.topic == "/odom" and m.stamp_ns > START_NS + 20 * PERIOD_NS
        else m
        for m in recordings[0].messages
    ]
    with pytest.raises(ConversionError, match=rf"jumps by \{jump_s:+.0f}.*'odometry'"):
        convert_one(tmp_path, contract, messages)


def test_wrong_type_and_missing_topic_are_named(tmp_path, recordings, contract):
    wrong = without(recordings[0], "/scan")
    wrong.append(Message("/scan", START_NS, twist(0.0, 0.0)))
    with pytest.raises(ConversionError, match=r"/scan is geometry_msgs/msg/Twist.*LaserScan"):
        convert_one(tmp_path, contract, wrong, "wrong")
    with pytest.raises(ConversionError, match=r"no topic scan .*the bag has /camera/image_raw"):
        convert_one(tmp_path, contract, without(recordings[0], "/scan"), "missing")


def test_only_wanted_outcomes_are_used(tmp_path, recordings, contract):
    write_recording(tmp_path / "bags" / "good", recordings[0])
    write_recording(tmp_path / "bags" / "bad", recordings[1], outcome="failure")
    out = tmp_path / "data.h5"
    summary = convert([tmp_path / "bags"], out, contract, jobs=1, progress=False)
    assert summary.episodes == 1
    assert [skip.bag.name for skip in summary.skipped] == ["bad"]
    assert not summary.skipped[0].damaged
    both = convert(
        [tmp_path / "bags"], out, contract, include=("success", "failure"), jobs=1, progress=False
    )
    assert both.episodes == 2


def test_held_out_seeds_stay_out(tmp_path, recordings, contract):
    metadata = {"vla.outcome": "success", "vla.seed": "1000003"}
    write_bag(tmp_path / "evaluation", recordings[0].messages, metadata)
    write_recording(tmp_path / "training", recordings[0])
    summary = convert([tmp_path], tmp_path / "x.h5", contract, jobs=1, progress=False)
    assert summary.episodes == 1
    assert "1000003, which is held out" in summary.skipped[0].reason


def test_remapped_topics_are_found_by_the_recorder_s_note(tmp_path, recordings, contract):
    remapped = [
        dataclasses.replace(m, topic="/front/lidar") if m.topic.endswith("/scan") else m
        for m in recordings[0].messages
    ]
    note = {"vla.outcome": "success", "vla.topics": '{"scan": "/front/lidar"}'}
    write_bag(tmp_path / "bag", remapped, note)
    out = tmp_path / "x.h5"
    convert([tmp_path / "bag"], out, contract, jobs=1, progress=False, strict=True)
    with DatasetFile(out) as data:
        assert data.read(VALID, slice(None)).all()


def truncate(bag: Path) -> None:
    (file,) = bag.glob("*.mcap")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip_bits(bag: Path) -> None:
    (file,) = bag.glob("*.mcap")
    data = bytearray(file.read_bytes())
    data[data.index(b"rgb8")] ^= 0xFF
    file.write_bytes(data)


def drop_metadata(bag: Path) -> None:
    (bag / "metadata.yaml").unlink()


def empty_storage(bag: Path) -> None:
    (file,) = bag.glob("*.mcap")
    file.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "jobs"),
    [(truncate, 1), (truncate, 2), (flip_bits, 1), (drop_metadata, 1), (empty_storage, 1)],
)
def test_a_damaged_bag_is_named_and_left_out(tmp_path, recordings, contract, damage, jobs):
    for recording in recordings[:3]:
        write_recording(tmp_path / "bags" / f"episode_{recording.seed}", recording)
    damage(tmp_path / "bags" / "episode_1")
    out = tmp_path / "data.h5"
    summary = convert([tmp_path / "bags"], out, contract, jobs=jobs, progress=False)
    assert [skip.bag.name for skip in summary.skipped] == ["episode_1"]
    assert "episode_1" in summary.skipped[0].reason
    with DatasetFile(out) as data:
        assert [episode.bag for episode in data.episodes] == ["episode_0", "episode_2"]
        assert data.frames == sum(len(recordings[i].labels) for i in (0, 2))
        np.testing.assert_array_equal(
            data.read(ACTION, data.episodes[1].rows), np.array(recordings[2].labels, np.float32)
        )
    out.unlink()
    with pytest.raises(ConversionError, match="episode_1"):
        convert([tmp_path / "bags"], out, contract, jobs=jobs, strict=True, progress=False)
    assert not out.exists()
    assert not list((tmp_path / "data.parts").glob(".*"))


def test_processes_give_the_same_file(tmp_path, bags, dataset, contract):
    out = tmp_path / "parallel.h5"
    convert([bags], out, contract, validation_fraction=0.3, jobs=2, progress=False)
    with h5py.File(out) as parallel, h5py.File(dataset) as serial:
        assert set(parallel.attrs) == set(serial.attrs)
        for name, value in serial.attrs.items():
            np.testing.assert_array_equal(parallel.attrs[name], value)
        names = []
        serial.visit(names.append)
        for name in names:
            if isinstance(serial[name], h5py.Dataset):
                np.testing.assert_array_equal(parallel[name][:], serial[name][:])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parallel.h5", "parallel.parts"]
    assert len(list((tmp_path / "parallel.parts").iterdir())) == 6


def test_statistics_are_those_of_the_training_rows(dataset, contract):
    with DatasetFile(dataset) as data:
        training = data.split("training")
        assert 0 < len(training) < len(data.episodes)
        for key, name in [("image", observation("image")), ("scan", observation("scan"))]:
            rows = data.gather(name, training)
            expected = FieldStatistics.from_array(sampled(rows) if key == "image" else rows)
            found = data.statistics.field(key)
            np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9)
            np.testing.assert_allclose(found.std, expected.std, rtol=1e-7, atol=1e-9)
            np.testing.assert_array_equal(found.min, expected.min)
            np.testing.assert_array_equal(found.max, expected.max)
            assert found.count == expected.count


def test_split_keeps_groups_together_and_does_not_move():
    groups = [f"seed {i // 2}" for i in range(400)]
    splits = assign_splits(groups, 0.1, 0.1, split_seed=0)
    assert splits[::2] == splits[1::2]
    assert 20 <= splits.count(VALIDATION) <= 60
    assert 20 <= splits.count(TEST) <= 60
    assert assign_splits([*groups, "seed 999"], 0.1, 0.1, 0)[:-1] == splits
    assert assign_splits(groups, 0.1, 0.1, 1) != splits
    # Who is held back for validation does not depend on whether there is a test split.
    alone = assign_splits(groups, 0.1, 0.0, split_seed=0)
    assert [s == VALIDATION for s in alone] == [s == VALIDATION for s in splits]


@pytest.mark.parametrize("count", [3, 4, 10])
@pytest.mark.parametrize("shares", [(0.001, 0.001), (0.998, 0.001), (0.001, 0.998), (0.3, 0.3)])
def test_no_split_that_was_asked_for_is_empty(count, shares):
    groups = [f"seed {i}" for i in range(count)]
    assert set(assign_splits(groups, *shares)) == {TRAINING, VALIDATION, TEST}
    assert set(assign_splits(groups, 0.0, 0.0)) == {TRAINING}
    assert set(assign_splits(groups, 0.999)) == {TRAINING, VALIDATION}


def test_paths_without_a_bag_are_refused(tmp_path):
    with pytest.raises(ConversionError, match="does not exist"):
        find_bags([tmp_path / "nowhere"])
    with pytest.raises(ConversionError, match="no bag in"):
        find_bags([tmp_path])
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ConversionError, match="is no bag"):
        find_bags([tmp_path / "notes.txt"])


def test_storage_file_alone_is_a_bag(tmp_path, bags):
    (file,) = (bags / "episode_0").glob("*.mcap")
    copy = tmp_path / "single.mcap"
    shutil.copy(file, copy)
    with BagMessages(open_folder(copy)) as bag:
        assert bag.metadata.outcome == "unknown"
        assert bag.find("scan", ["sensor_msgs/msg/LaserScan"]) is not None


def test_foreign_or_damaged_data_sets_are_refused(tmp_path, dataset):
    with pytest.raises(DatasetError, match="does not exist"):
        DatasetFile(tmp_path / "none.h5")
    text = tmp_path / "text.h5"
    text.write_text("no HDF5")
    with pytest.raises(DatasetError, match="no readable HDF5 file"):
        DatasetFile(text)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(DatasetError, match="no data set of this project"):
        DatasetFile(tmp_path / "foreign.h5")
    newer = tmp_path / "newer.h5"
    shutil.copy(dataset, newer)
    with h5py.File(newer, "a") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(DatasetError, match="format version 99"):
        DatasetFile(newer)
