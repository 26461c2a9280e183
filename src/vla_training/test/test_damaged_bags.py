"""Damaged bags: a clear refusal or right rows, never a silently wrong one, a crash or a hang.

The default run makes 1,200 damaged bags; VLA_DAMAGED_BAGS sets another number.
"""

import os
import re
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bag_making import TYPES, T, twist
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from small_bags import (
    KEYS,
    METADATA,
    MS,
    SMALL_CONTRACT,
    STORAGES,
    TOPICS,
    assert_rows_equal,
    copy_bag,
    decoded,
    expected_rows,
    rows_of,
    small_messages,
    write_small_bag,
)

from vla_core import keys
from vla_core.bag_checksums import FILE_NAME
from vla_core.errors import DecodeError
from vla_core.testing.damage import FILE_DAMAGES, damage_bytes
from vla_recorder.bag_inspection import inspect_bag
from vla_training.conversion.alignment import LABEL_MAX_AGE_NS
from vla_training.conversion.bags import open_folder
from vla_training.conversion.messages import BagMessages
from vla_training.conversion.pipeline import convert
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    AGE_NS,
    DOCK_POSE,
    DOCK_POSE_VALID,
    TICK_NS,
    VALID,
    observation,
)
from vla_training.errors import ConversionError

BAGS = int(os.environ.get("VLA_DAMAGED_BAGS", "1200"))
MESSAGES = small_messages()
EXPECTED = expected_rows(MESSAGES)


def many(share: float):
    return settings(
        max_examples=max(1, round(share * BAGS)),
        deadline=30_000,
        suppress_health_check=list(HealthCheck),
        derandomize="VLA_DAMAGED_BAGS" not in os.environ,
        database=None,
    )


@pytest.fixture(scope="module")
def intact(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("intact")
    return {
        name: write_small_bag(folder / str(number) / "bag", MESSAGES, storage)
        for number, (name, storage) in enumerate(STORAGES.items())
    }


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("damaged")


def count(outcome: str) -> None:
    """For `--hypothesis-show-statistics`."""
    with suppress(InvalidArgument):  # outside of a property test
        event(outcome)


def attempt(path: Path):
    """Rows and metadata, or the refusal, which has to be one clear line that names the bag."""
    try:
        result = rows_of(path)
        count("rows")
        return result, None
    except ConversionError as error:
        text = str(error)
        count("refused")
        assert str(path) in text
        assert "\n" not in text
        assert len(text) < 2000
        return None, text


# What was recorded is strange


def with_stamp(message, stamp_ns: int):
    """The same message with another header stamp."""
    stamp = T["Time"](stamp_ns // 10**9, stamp_ns % 10**9)
    header = T["Header"](stamp, message.message.header.frame_id)
    return replace(
        message,
        message=replace(message.message, header=header),
        received_ns=message.stamp_ns + 2 * MS,
    )


index = st.integers(0, len(MESSAGES) - 1)
topic = st.sampled_from(sorted(KEYS))
drop = st.tuples(st.just("drop"), topic, st.integers(0, 12), st.integers(1, 12))
late = st.tuples(st.just("late"), index, st.integers(-400, 3000))
restamp = st.tuples(st.just("restamp"), index, st.integers(-900, 900))
twin = st.tuples(st.just("twin"), index, st.integers(0, 60))
jump = st.tuples(st.just("jump"), topic, st.integers(0, 12), st.integers(-50_000, 50_000))
shift = st.tuples(st.just("shift"), st.just(0), st.integers(-50_000, 50_000))
changes = st.lists(drop | late | restamp | twin | jump | shift, min_size=1, max_size=4)


def changed(messages, change):
    """Apply one change to a list of messages."""
    kind, where, *amounts = change
    messages = list(messages)
    if kind == "drop":
        first, count = amounts
        own = [m for m in messages if m.topic == where][first : first + count]
        return [m for m in messages if not any(m is gone for gone in own)]
    if kind in ("late", "restamp", "twin"):
        if not messages:
            return messages
        where %= len(messages)
        message, amount_ns = messages[where], amounts[0] * MS
        if kind == "late":
            messages[where] = replace(message, received_ns=message.stamp_ns + amount_ns)
        elif kind == "restamp":
            messages[where] = with_stamp(message, message.stamp_ns + amount_ns)
        else:
            other = small_messages(seed=1)[where % len(MESSAGES)]
            if other.topic == message.topic:
                twin = with_stamp(other, message.stamp_ns)
                messages.append(replace(twin, received_ns=message.stamp_ns + amount_ns))
        return messages
    if kind == "jump":
        first, amount_ns = amounts[0], amounts[1] * MS
        own = [m for m in messages if m.topic == where][first:]
        return [
            with_stamp(m, m.stamp_ns + amount_ns) if any(m is other for other in own) else m
            for m in messages
        ]
    return [replace(m, received_ns=m.stamp_ns + amounts[0] * MS) for m in messages]


@many(0.3)
@given(changes=changes)
def test_lost_late_reordered_repeated_and_jumping_messages(work, changes):
    messages = MESSAGES
    for change in changes:
        messages = changed(messages, change)
    path = write_small_bag(copy_target(work), messages)
    result, _ = attempt(path)
    if result is not None:
        assert_rows_equal(result[0], expected_rows(messages))


def copy_target(work: Path) -> Path:
    """A place for a bag where nothing is yet."""
    path = work / "bag"
    if path.exists():
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    return path


@pytest.mark.parametrize(
    "change",
    [
        ("drop", "/scan", 2, 2),
        ("drop", "/dock_pose", 0, 12),
        ("late", 30, 700),
        ("late", 30, -300),
        ("restamp", 30, -200),
        ("twin", 30, 5),
        ("shift", 0, -40_000),
        ("shift", 0, 40_000),
    ],
    ids=str,
)
def test_what_can_be_put_right_is_not_refused(tmp_path, change):
    messages = changed(MESSAGES, change)
    rows, _ = rows_of(write_small_bag(tmp_path / "bag", messages))
    assert_rows_equal(rows, expected_rows(messages))


def test_a_gap_is_marked(tmp_path):
    messages = changed(MESSAGES, ("drop", "/camera/image_raw", 4, 5))
    rows, _ = rows_of(write_small_bag(tmp_path / "bag", messages))
    valid = rows[VALID][:, SMALL_CONTRACT.keys.index(keys.IMAGE)]
    assert valid.tolist() == [True] * 6 + [False] * 3 + [True] * 2


NUMBERS = [float("nan"), float("inf"), -float("inf"), 1e300, -0.0, 1e-320]


strange_number = st.tuples(index, st.sampled_from(NUMBERS), st.integers(0, 3))


def with_number(message, value: float, which: int):
    """The message with a number that cannot be right."""
    inner = message.message
    if message.topic in ("/expert/cmd_vel", "/cmd_vel"):
        pair = (value, 0.1) if which % 2 else (0.1, value)
        inner = replace(inner, twist=twist(*pair))
    elif message.topic == "/odom":
        inner = replace(inner, twist=replace(inner.twist, twist=twist(value, 0.1)))
    elif message.topic == "/dock_pose":
        position = T["Point"](value if which % 2 else 0.5, 0.0, 0.0)
        inner = replace(inner, pose=T["Pose"](position, T["Quaternion"](0.0, 0.0, value, value)))
    elif message.topic == "/scan":
        name = ("ranges", "range_max", "angle_min", "angle_increment")[which]
        with np.errstate(over="ignore"):
            number = np.float32(value)
        inner = replace(inner, **{name: np.full(10, number) if name == "ranges" else float(number)})
    return replace(message, message=inner)


@many(0.1)
@given(numbers=st.lists(strange_number, min_size=1, max_size=3))
def test_numbers_that_cannot_be_right(work, numbers):
    messages = list(MESSAGES)
    for at, value, which in numbers:
        messages[at] = with_number(MESSAGES[at], value, which)
    touched = {KEYS.get(MESSAGES[at].topic) for at, *_ in numbers}
    result, refusal = attempt(write_small_bag(copy_target(work), messages))
    if result is None:
        named = {key for key in TOPICS if key in refusal.replace("dock pose", "dock_pose")}
        assert named & touched, refusal
        return
    rows = result[0]
    for name, values in rows.items():
        assert np.isfinite(values).all(), name
    try:
        expected = expected_rows(messages)
    except DecodeError:
        return  # in a message that no row takes
    assert_rows_equal(rows, expected)


FOREIGN_MESSAGES = [
    twist(0.1, 0.2),
    T["String"]("hello"),
    MESSAGES[0].message.header,
    *{type(m.message): m.message for m in MESSAGES}.values(),
]


@many(0.1)
@given(
    where=topic,
    first=st.integers(0, 11),
    count=st.integers(1, 12) | st.just(12),
    other=st.integers(0, len(FOREIGN_MESSAGES) - 1),
)
def test_topics_of_another_type(work, where, first, count, other):
    own = [m for m in MESSAGES if m.topic == where]
    first %= len(own)
    swapped = own[first : first + count]
    message = FOREIGN_MESSAGES[other]
    messages = [
        replace(m, message=message) if any(m is s for s in swapped) else m for m in MESSAGES
    ]
    result, refusal = attempt(write_small_bag(copy_target(work), messages))
    kind, whole = message.__msgtype__, len(swapped) == len(own)
    fits = kind == messages_type(where) or (
        where == "/expert/cmd_vel" and whole and kind == "geometry_msgs/msg/Twist"
    )
    if result is None:
        assert not fits or "no row" in refusal or "no episode" in refusal, refusal
    else:
        assert fits
        assert_rows_equal(result[0], expected_rows(messages))


def messages_type(topic: str) -> str:
    return next(m.message.__msgtype__ for m in MESSAGES if m.topic == topic)


# What was recorded is no longer what is on the disk


def is_storage(file: Path) -> bool:
    return file.suffix in (".mcap", ".db3")


@st.composite
def file_damage(draw):
    """A function that damages a file's bytes, and whether it does no more than flip bits."""
    kind = draw(st.sampled_from(["flip", "flip", *FILE_DAMAGES]))
    places = draw(st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=1, max_size=3))
    bit = draw(st.integers(0, 7))
    filling = draw(st.binary(min_size=1, max_size=40))

    def damage(data: bytes) -> bytes:
        return damage_bytes(data, kind, places, bit, filling)

    return kind, damage


def damaged_copy(intact: Path, work: Path, which: int, damage) -> tuple[Path, bool]:
    """A copy with one file damaged, and whether its bytes differ."""
    path = copy_bag(intact, work / "bag")
    files = sorted(path.iterdir(), key=lambda file: (not is_storage(file), file.name))
    file = files[which % len(files)]
    before = file.read_bytes()
    after = damage(before)
    file.write_bytes(after)
    return path, before != after


@many(0.25)
@given(
    name=st.sampled_from([name for name in STORAGES if name.startswith("ours")]),
    which=st.sampled_from([0, 0, 0, 1, 2]),
    damage=file_damage(),
)
def test_damage_to_our_own_bags_always_shows(intact, work, name, which, damage):
    path, differs = damaged_copy(intact[name], work, which, damage[1])
    result, refusal = attempt(path)
    if result is None:
        assert differs, refusal
        return
    # Harmless: bytes that nothing depends on, such as the index of an MCAP file.
    rows, metadata = result
    assert_rows_equal(rows, EXPECTED)
    assert metadata == METADATA


@many(0.25)
@given(
    name=st.sampled_from([name for name in STORAGES if name.startswith("foreign")]),
    which=st.sampled_from([0, 0, 0, 0, 1]),
    damage=file_damage(),
)
def test_damage_to_bags_without_checksums(intact, work, name, which, damage):
    path, _ = damaged_copy(intact[name], work, which, damage[1])
    result, _ = attempt(path)
    if result is None:
        return
    rows, _ = result
    assert_are_real(rows, altered_stamps(path))


def altered_stamps(path: Path) -> set[int]:
    """Stamps and times of reception of messages that are not what was written."""
    written = Counter((m.topic, bytes(serialised(m.message))) for m in MESSAGES)
    altered = set()
    with BagMessages(open_folder(path)) as bag:
        for channel in bag.channels:
            track = bag.track(channel)
            for number, stamp_ns in enumerate(track.stamps_ns):
                if not written[channel.topic, bytes(bag.data(track, number))]:
                    altered.add(int(stamp_ns))
    return altered


def serialised(message):
    return TYPES.serialize_cdr(message, message.__msgtype__)


BY_STAMP = {
    (KEYS[m.topic], m.stamp_ns): decoded(SMALL_CONTRACT, KEYS[m.topic], m.message)
    for m in MESSAGES
    if m.topic in KEYS
}


def assert_are_real(rows, altered: set[int]) -> None:
    """Every value in the rows is what an undamaged message of that stamp says.

    Args:
        rows: of the converter.
        altered: stamps of messages without a checksum whose bytes are others now: what they say
            cannot be known to be wrong.
    """
    for position, key in enumerate(SMALL_CONTRACT.keys):
        ages = rows[AGE_NS][:, position]
        for row, (tick, age) in enumerate(zip(rows[TICK_NS], ages, strict=True)):
            if not rows[VALID][row, position] or int(tick - age) in altered:
                continue
            np.testing.assert_array_equal(
                rows[observation(key)][row], BY_STAMP[key, int(tick - age)]
            )
    for name, valid, key in (
        (ACTION, ACTION_VALID, keys.ACTION),
        (DOCK_POSE, DOCK_POSE_VALID, keys.DOCK_POSE),
    ):
        own = sorted(stamp for k, stamp in BY_STAMP if k == key)
        for row in np.flatnonzero(rows[valid]):
            tick = int(rows[TICK_NS][row])
            if any(stamp <= tick for stamp in altered):
                continue
            # Where the newest was made unreadable as to its time, an older one may be there.
            recent = [stamp for stamp in own if 0 <= tick - stamp <= LABEL_MAX_AGE_NS]
            assert any((rows[name][row] == BY_STAMP[key, stamp]).all() for stamp in recent)


@pytest.mark.parametrize("name", STORAGES)
def test_files_that_are_missing_or_empty_are_named(intact, tmp_path, name):
    for file in sorted(intact[name].iterdir()):
        for number, harm in enumerate((Path.unlink, lambda path: path.write_bytes(b""))):
            path = copy_bag(intact[name], tmp_path / f"{number}-{file.name}")
            harm(path / file.name)
            result, refusal = attempt(path)
            if file.name == FILE_NAME:
                assert_rows_equal(result[0], EXPECTED)
            else:
                assert result is None
                assert "damaged" in refusal or "metadata.yaml" in refusal


def test_metadata_beyond_all_measure_are_as_if_there_were_none(tmp_path):
    vast, deep = "9" * 30, "[" * 5000
    strange = {
        "vla.seed": vast,
        "vla.goal": vast,
        "vla.start_ns": vast,
        "vla.paraphrases": deep,
        "vla.topics": deep,
    }
    path = write_small_bag(tmp_path / "bag", MESSAGES, metadata={**METADATA, **strange})
    rows, _ = rows_of(path)
    assert_rows_equal(rows, EXPECTED)
    found = open_folder(path).metadata
    assert (found.seed, found.goal, found.start_ns, found.paraphrases) == (None, None, 0, ())
    assert inspect_bag(path, SMALL_CONTRACT).contents is not None


@pytest.mark.parametrize("wrong", ["soon", 1.5e300])
def test_a_time_in_sqlite_that_is_none_is_refused(intact, tmp_path, wrong):
    path = copy_bag(intact["foreign, sqlite3"], tmp_path / "bag")
    (file,) = path.glob("*.db3")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE messages SET timestamp = ? WHERE id = 3", (wrong,))
    result, refusal = attempt(path)
    assert result is None
    assert refusal


LIES = {
    "message_count: ": "message_count: 1",
    "camera/image_raw": "camera/image_rav",
    "sensor_msgs/msg/Image": "sensor_msgs/msg/LaserScan",
    "bag.mcap": "other.mcap",
    "version: 9": "version: 99",
    "storage_identifier: mcap": "storage_identifier: sqlite3",
    "custom_data:": "custom_data: [",
    "rosbag2_bagfile_information": "rosbag2",
    "starting_time": "started",
}


@pytest.mark.parametrize("name", ["ours", "foreign"])
@pytest.mark.parametrize(("truth", "lie"), LIES.items())
def test_metadata_that_lie(intact, tmp_path, name, truth, lie):
    path = copy_bag(intact[name], tmp_path / "bag")
    file = path / "metadata.yaml"
    text = file.read_text()
    assert truth in text
    file.write_text(re.sub(re.escape(truth), lie, text))
    result, _ = attempt(path)
    if name == "ours":
        assert result is None
    elif result is not None:
        assert_rows_equal(result[0], EXPECTED)


def test_a_change_of_our_metadata_is_refused_with_the_remedy(intact, tmp_path):
    path = copy_bag(intact["ours"], tmp_path / "bag")
    file = path / "metadata.yaml"
    file.write_text(file.read_text().replace("orange", "violet"))
    _, refusal = attempt(path)
    assert "is not what was recorded" in refusal
    (path / FILE_NAME).unlink()
    _, metadata = rows_of(path)
    assert metadata["vla.instruction"] == "dock at the violet charger"


def test_the_data_set_has_the_good_bags_and_names_the_others(tmp_path):
    bags = {
        number: write_small_bag(
            tmp_path / "bags" / f"bag_{number}", small_messages(seed=number), storage
        )
        for number, storage in enumerate(STORAGES.values())
    }
    for number in (0, 4):
        (file,) = (file for file in bags[number].iterdir() if is_storage(file))
        data = bytearray(file.read_bytes())
        data[len(data) // 3] ^= 4
        file.write_bytes(data)
    out = tmp_path / "data.h5"
    summary = convert([tmp_path / "bags"], out, SMALL_CONTRACT, jobs=1, progress=False)
    assert [skip.bag.name for skip in summary.skipped] == ["bag_0", "bag_4"]
    with DatasetFile(out) as data:
        assert [episode.bag for episode in data.episodes] == ["bag_1", "bag_2", "bag_3", "bag_5"]
        for episode in data.episodes:
            expected = expected_rows(small_messages(seed=int(episode.bag[-1])))
            rows = {name: data.read(name, episode.rows) for name in expected}
            assert_rows_equal(rows, expected)
