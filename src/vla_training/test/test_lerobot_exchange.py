"""Export to LeRobot's format and back; `test_lerobot_itself` asks LeRobot about it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_making import episode_rows, write_dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_bags import SMALL_CONTRACT

from vla_core import keys
from vla_core.contract import Contract
from vla_core.frames import MISSING_AGE_NS
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.head import SplitChoice
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    AGE_NS,
    DOCK_POSE_VALID,
    DRIVER,
    TICK_NS,
    VALID,
    Rows,
    observation,
    row_specs,
)
from vla_training.errors import DatasetError
from vla_training.lerobot import tables
from vla_training.lerobot.exporting import export_dataset
from vla_training.lerobot.importing import contract_of, import_dataset
from vla_training.lerobot.mapping import parse_pairs

IMAGE = observation(keys.IMAGE)
DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
SENTENCES = ("dock left", "왼쪽 충전소로 가", 'say "no"\nthen dock', "")


def odd_rows(length: int, seed: int) -> Rows:
    """Rows in which every array has values that are not the usual ones."""
    rng = np.random.default_rng(seed)
    rows = episode_rows(SMALL_CONTRACT, length, seed)
    valid = rng.random((length, 3)) < 0.7
    age_ns = np.where(valid, rng.integers(0, 10**9, (length, 3)), MISSING_AGE_NS)
    start_ns = int(rng.integers(0, 2**62))
    return {
        **rows,
        VALID: valid,
        AGE_NS: age_ns,
        TICK_NS: start_ns + np.arange(length) * 50_000_000,
        DRIVER: rng.integers(0, 4, length).astype(np.uint8),
        ACTION: rng.normal(size=(length, 2)).astype(np.float32),
        ACTION_VALID: rng.random(length) < 0.7,
        DOCK_POSE_VALID: rng.random(length) < 0.7,
    }


def assert_equal_data_sets(first: Path, second: Path) -> None:
    """Every row the same bit for bit, and the table but for where the rows are."""
    with DatasetFile(first) as one, DatasetFile(second) as two:
        assert [replace(e, part="") for e in one.episodes] == [
            replace(e, part="") for e in two.episodes
        ]
        assert one.contract == two.contract
        assert one.frames == two.frames
        for spec in row_specs(one.contract):
            a, b = (file.read(spec.name, slice(0, one.frames)) for file in (one, two))
            assert a.dtype == b.dtype
            assert a.tobytes() == b.tobytes(), spec.name
        for key, field in one.statistics.fields.items():
            other = two.statistics.fields[key]
            assert field.count == other.count
            np.testing.assert_allclose(field.mean, other.mean)
            np.testing.assert_allclose(field.std, other.std, atol=1e-12)


def there_and_back(data: Path, folder: Path, **chosen: str) -> Path:
    """Path of the data set after an export and an import."""
    shutil.rmtree(folder, ignore_errors=True)
    export_dataset(data, folder / "lerobot", progress=False, **chosen)
    contract = contract_of(folder / "lerobot")
    import_dataset(folder / "lerobot", folder / "back.h5", contract, progress=False)
    return folder / "back.h5"


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
    shares=st.sampled_from([(0.0, 0.0), (0.3, 0.2), (0.5, 0.0)]),
    packed=st.booleans(),
)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_there_and_back_is_the_same(tmp_path, lengths, seed, shares, packed):
    shutil.rmtree(tmp_path, ignore_errors=True)
    data = write_dataset(
        tmp_path / "data.h5",
        SMALL_CONTRACT,
        [odd_rows(length, seed + i) for i, length in enumerate(lengths)],
        instructions=SENTENCES,
        split=SplitChoice(*shares, seed),
        packed=packed,
    )
    assert_equal_data_sets(data, there_and_back(data, tmp_path / "work"))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    rows = [odd_rows(length, length) for length in (5, 3, 8, 4, 6)]
    split = SplitChoice(0.3, 0.2)
    folder = tmp_path_factory.mktemp("data")
    return write_dataset(
        folder / "data.h5", SMALL_CONTRACT, rows, instructions=SENTENCES, split=split
    )


@pytest.fixture(scope="module")
def exported(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "lerobot"
    export_dataset(data, folder, progress=False)
    return folder


@pytest.fixture
def copy(exported, tmp_path) -> Path:
    """An export that may be damaged."""
    return shutil.copytree(exported, tmp_path / "copy")


@pytest.fixture
def foreign(copy) -> Path:
    """An export without anything of ours, as if LeRobot had recorded it."""
    (copy / "meta" / "vla.json").unlink()
    edit_json(copy / "meta" / "info.json", lambda info: info.update(splits={"train": "0:5"}))
    table = pq.read_table(copy / EPISODES)
    own = [name for name in table.schema.names if name.startswith("vla/")]
    pq.write_table(table.drop_columns(own), copy / EPISODES)
    frames = pq.read_table(copy / DATA)
    own = [name for name in frames.schema.names if name.startswith("vla.")]
    own.append("observation.valid")
    pq.write_table(frames.drop_columns(own), copy / DATA)
    edit_json(
        copy / "meta" / "info.json", lambda info: [info["features"].pop(name) for name in own]
    )
    return copy


def edit_json(path: Path, change) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def edit_column(path: Path, name: str, change) -> None:
    table = pq.read_table(path)
    values = change(table.column(name).to_pylist())
    index = table.schema.get_field_index(name)
    column = pa.array(values, None if name == "action" else table.schema.field(name).type)
    pq.write_table(table.set_column(index, name, column), path)


def read(folder: Path, out: Path, contract: Contract = SMALL_CONTRACT, **options) -> Path:
    import_dataset(folder, out, contract, progress=False, **options)
    return out


def test_the_description_is_what_lerobot_expects(data, exported):
    info = json.loads((exported / "meta/info.json").read_text())
    with DatasetFile(data) as file:
        splits = [episode.split for episode in file.episodes]
        episodes = sorted(file.episodes, key=lambda e: (e.split, e.start))
    assert info["codebase_version"] == "v3.0"
    assert (info["fps"], info["robot_type"]) == (20, "small")
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (5, 26, 4)
    train, validation = splits.count(0), splits.count(1)
    assert info["splits"]["train"] == f"0:{train}"
    assert info["splits"]["validation"] == f"{train}:{train + validation}"
    features = info["features"]
    picture = {"dtype": "image", "shape": [4, 6, 3], "names": ["height", "width", "channels"]}
    assert features["observation.images.image"] == picture
    assert features["observation.state"]["names"] == ["linear.x", "angular.z"]
    frames = pq.read_table(exported / DATA)
    assert set(frames.schema.names) == set(features)
    assert frames.column("index").to_pylist() == list(range(26))
    assert frames.column("timestamp").to_pylist()[:3] == pytest.approx([0.0, 0.05, 0.1])
    table = pq.read_table(exported / EPISODES).to_pylist()
    assert [row["tasks"] for row in table] == [[e.instruction] for e in episodes]
    assert [row["dataset_to_index"] - row["dataset_from_index"] for row in table] == [
        e.length for e in episodes
    ]
    tasks = pq.read_table(exported / "meta/tasks.parquet")
    pandas = json.loads(tasks.schema.metadata[b"pandas"])
    assert pandas["index_columns"] == ["__index_level_0__"]


def test_statistics_are_those_of_all_frames(data, exported):
    statistics = json.loads((exported / "meta/stats.json").read_text())
    with DatasetFile(data) as file:
        rows = slice(0, file.frames)
        pictures = file.read(IMAGE, rows) / 255.0
        actions = file.read(ACTION, rows)
    found = statistics["observation.images.image"]
    np.testing.assert_allclose(np.ravel(found["mean"]), pictures.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(np.ravel(found["std"]), pictures.std(axis=(0, 1, 2)))
    assert np.shape(found["q99"]) == (3, 1, 1)
    np.testing.assert_allclose(statistics["action"]["min"], actions.min(axis=0))
    median = np.quantile(actions, 0.5, axis=0, method="inverted_cdf")
    np.testing.assert_allclose(statistics["action"]["q50"], median, rtol=0.004)
    assert statistics["action"]["count"] == [26]
    # Those of the episodes add up to them.
    table = pq.read_table(exported / EPISODES).to_pylist()
    counts = np.array([row["stats/action/count"][0] for row in table])
    means = np.array([row["stats/action/mean"] for row in table])
    np.testing.assert_allclose(counts @ means / 26, statistics["action"]["mean"])


def test_many_files_are_as_good_as_one(data, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "FILE_MB", 0)
    monkeypatch.setattr(tables, "FILES_PER_CHUNK", 2)
    back = there_and_back(data, tmp_path / "work")
    files = (tmp_path / "work/lerobot/data").rglob("*.parquet")
    assert {str(path.relative_to(path.parents[1])) for path in files} == {
        f"chunk-00{number // 2}/file-00{number % 2}.parquet" for number in range(5)
    }
    assert_equal_data_sets(data, back)


def test_features_may_be_named(data, tmp_path):
    pairs = parse_pairs(["observation.images.front=image", "observation.lidar=scan"])
    back = there_and_back(data, tmp_path / "work", features=pairs)
    info = json.loads((tmp_path / "work/lerobot/meta/info.json").read_text())
    assert {"observation.images.front", "observation.lidar"} < info["features"].keys()
    assert_equal_data_sets(data, back)


def test_a_foreign_data_set_is_marked_as_what_it_is(data, foreign, tmp_path):
    summary = import_dataset(
        foreign, tmp_path / "data.h5", SMALL_CONTRACT, split=SplitChoice(0.3, 0.0), progress=False
    )
    assert summary.split_episodes["validation"] >= 1
    assert summary.ignored == ()
    with DatasetFile(tmp_path / "data.h5") as file, DatasetFile(data) as original:
        order = sorted(original.episodes, key=lambda e: (e.split, e.start))
        for episode, known in zip(file.episodes, order, strict=True):
            for name in (IMAGE, ACTION):
                found = file.read(name, episode.rows)
                np.testing.assert_array_equal(found, original.read(name, known.rows))
            assert episode.instruction == known.instruction
            assert (episode.outcome, episode.seed) == ("unknown", -1)
        rows = slice(0, file.frames)
        assert file.read(VALID, rows).all()
        assert file.read(ACTION_VALID, rows).all()
        assert not file.read(DOCK_POSE_VALID, rows).any()
        assert not file.read(AGE_NS, rows).any()
        ticks = file.read(TICK_NS, file.episodes[0].rows)
        np.testing.assert_array_equal(ticks, np.arange(len(ticks)) * 50_000_000)
        assert len({e.group for e in file.episodes}) == 5


def test_splits_of_a_foreign_data_set_are_kept(foreign, tmp_path):
    splits = {"train": "0:2", "val": "2:4", "test": "4:5"}
    edit_json(foreign / "meta/info.json", lambda info: info.update(splits=splits))
    with DatasetFile(read(foreign, tmp_path / "data.h5")) as file:
        assert [episode.split for episode in file.episodes] == [0, 0, 1, 1, 2]
    edit_json(foreign / "meta/info.json", lambda info: info.update(splits={"mine": "0:5"}))
    with pytest.raises(DatasetError, match="split 'mine' is unknown"):
        read(foreign, tmp_path / "data.h5")


def test_the_only_camera_is_the_camera_and_is_resized(foreign, tmp_path):
    def rename(info):
        info["features"]["observation.images.top"] = info["features"].pop(
            "observation.images.image"
        )

    edit_json(foreign / "meta/info.json", rename)
    table = pq.read_table(foreign / DATA)
    names = [
        "observation.images.top" if n == "observation.images.image" else n
        for n in table.schema.names
    ]
    pq.write_table(table.rename_columns(names), foreign / DATA)
    values = SMALL_CONTRACT.to_dict()
    values["streams"][0]["decoder"].update(height_px=2, width_px=3)
    smaller = Contract.from_dict(values)
    with DatasetFile(read(foreign, tmp_path / "data.h5", smaller)) as file:
        small = file.read(IMAGE, slice(0, file.frames)).astype(float)
    with DatasetFile(read(foreign, tmp_path / "whole.h5")) as file:
        whole = file.read(IMAGE, slice(0, file.frames)).astype(float)
    means = whole.reshape(len(whole), 2, 2, 3, 2, 3).mean(axis=(2, 4))
    assert np.abs(small - means).max() <= 1.0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "meta/info.json").unlink(), "info.json is missing; expected the folder"),
        (lambda f: (f / "meta/info.json").write_text("{"), "cannot be read as JSON"),
        (lambda f: (f / "meta/tasks.parquet").unlink(), "tasks.parquet is missing"),
        (lambda f: (f / DATA).unlink(), "file-000.parquet is missing"),
        (lambda f: (f / DATA).write_bytes((f / DATA).read_bytes()[:-40]), "is damaged"),
        (lambda f: (f / DATA).write_bytes(b""), "is damaged"),
        (lambda f: (f / EPISODES).write_bytes(b"PAR1 PAR1"), "is damaged"),
        (lambda f: edit_column(f / DATA, "index", lambda v: v[::-1]), "index is 25, expected 0"),
        (lambda f: edit_column(f / DATA, "task_index", lambda v: [9] * 26), "task_index is 9"),
        (
            lambda f: edit_column(f / DATA, "timestamp", lambda v: [t * 1.5 for t in v]),
            "expected 0.05 s at 20 frames per second",
        ),
        (
            lambda f: edit_column(f / DATA, "action", lambda v: [[float("nan"), 0.0]] * 26),
            "'action' is not finite",
        ),
        (lambda f: edit_column(f / DATA, "action", lambda v: [[0.0]] * 26), "expected 2"),
        (
            lambda f: edit_column(
                f / DATA, "observation.images.image", lambda v: [{"bytes": b"GIF"}] * 26
            ),
            "is not supported",
        ),
        (
            lambda f: pq.write_table(pq.read_table(f / DATA).slice(0, 20), f / DATA),
            "has 20 frames, its episodes 26",
        ),
        (
            lambda f: pq.write_table(pq.read_table(f / DATA).drop_columns(["action"]), f / DATA),
            "has no column 'action'",
        ),
        (
            lambda f: edit_column(f / EPISODES, "tasks", lambda v: [["a", "b"]] * 5),
            "has 2 tasks, expected one",
        ),
        (
            lambda f: edit_column(f / EPISODES, "length", lambda v: [1] * 5),
            "has 1 frames, from 0 to",
        ),
        (
            lambda f: edit_json(f / "meta/info.json", lambda i: i.update(codebase_version="v2.1")),
            "has LeRobot's format v2.1, expected v3.0; convert it with LeRobot",
        ),
        (
            lambda f: edit_json(f / "meta/info.json", lambda i: i.update(total_frames=27)),
            "26 frames, .* 27",
        ),
        (
            lambda f: edit_json(f / "meta/info.json", lambda i: i.update(fps=30)),
            "has 30 frames per second, contract 'small' 20",
        ),
        (
            lambda f: edit_json(
                f / "meta/info.json",
                lambda i: i["features"]["observation.state"].update(shape=[6]),
            ),
            r"shape \(6,\) .* --map FEATURE=odometry",
        ),
        (
            lambda f: edit_json(
                f / "meta/info.json", lambda i: i["features"].pop("observation.scan")
            ),
            "no feature 'observation.scan' for 'scan'",
        ),
        (
            lambda f: edit_json(f / "meta/info.json", lambda i: i.update(fps=10**400)),
            "its description is damaged",
        ),
        (lambda f: (f / "meta/info.json").write_text("[" * 5000), "cannot be read as JSON"),
    ],
)
def test_damage_is_told_in_one_line(copy, tmp_path, damage, message):
    damage(copy)
    with pytest.raises(DatasetError, match=message) as caught:
        read(copy, tmp_path / "out" / "data.h5")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out/*"))


@given(place=st.floats(0.0, 1.0, exclude_max=True), bit=st.integers(0, 7))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_flipped_bit_changes_a_row(data, exported, tmp_path, place, bit):
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(exported, copy)
    content = bytearray((copy / DATA).read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    (copy / DATA).write_bytes(content)
    message = DATA  # of the error, if there is one
    try:
        back = read(copy, tmp_path / "back.h5")
    except DatasetError as error:
        message = str(error)
    else:
        assert_equal_data_sets(data, back)
    assert DATA in message
    assert "\n" not in message


def test_what_is_there_is_not_replaced(data, tmp_path):
    (tmp_path / "folder").mkdir()
    export_dataset(data, tmp_path / "folder", progress=False)
    with pytest.raises(DatasetError, match="exists already; name a new folder"):
        export_dataset(data, tmp_path / "folder", progress=False)
    with pytest.raises(DatasetError, match="has no 'gripper'"):
        export_dataset(data, tmp_path / "new", features={"a": "gripper"}, progress=False)
    with pytest.raises(DatasetError, match="would hold both"):
        export_dataset(data, tmp_path / "new", features={"action": "scan"}, progress=False)
    with pytest.raises(DatasetError, match="expected FEATURE=KEY"):
        parse_pairs(["image"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder"]
