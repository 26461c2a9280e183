"""Our exports in LeRobot's own LeRobotDataset, and its recordings in ours.

LeRobot pins other versions than this project, so it runs in an environment of its own:

    VLA_LEROBOT_ENVIRONMENT=DIR [VLA_LEROBOT_DATA=data.h5] pytest test_lerobot_itself.py
"""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from dataset_making import episode_rows, write_dataset

from vla_training.benchmarks.lerobot_environment import lerobot_python, run_in
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.head import SplitChoice
from vla_training.dataset.layout import ACTION, VALID, observation
from vla_training.lerobot.exporting import export_dataset
from vla_training.lerobot.importing import import_dataset

SCRIPT = Path(__file__).with_name("lerobot_in_its_environment.py")


@pytest.fixture(scope="module")
def python() -> Path:
    folder = os.environ.get("VLA_LEROBOT_ENVIRONMENT")
    if not folder:
        pytest.skip("needs VLA_LEROBOT_ENVIRONMENT, a folder with LeRobot installed")
    return lerobot_python(Path(folder), install=False)


@pytest.fixture(scope="module")
def data(contract, tmp_path_factory) -> Path:
    if given := os.environ.get("VLA_LEROBOT_DATA"):
        return Path(given)
    lengths = (9, 6, 8, 7, 5)
    episodes = [episode_rows(contract, length, seed) for seed, length in enumerate(lengths)]
    return write_dataset(
        tmp_path_factory.mktemp("data") / "data.h5",
        contract,
        episodes,
        instructions=["dock left", "왼쪽 충전소로 가", "dock right"],
        split=SplitChoice(0.3, 0.2),
    )


@pytest.mark.timeout(1800)
def test_lerobot_reads_what_we_export(python, data, tmp_path):
    root = tmp_path / "exported"
    summary = export_dataset(data, root, progress=False)
    answer = run_in(python, SCRIPT, {"task": "read", "root": str(root)})
    with DatasetFile(data) as file:
        episodes = sorted(file.episodes, key=lambda e: (e.split, e.start))
        assert answer["frames"] == file.frames
        assert answer["lengths"] == [episode.length for episode in episodes]
        assert answer["fps"] == file.contract.action.rate_hz
        assert answer["robot_type"] == file.contract.robot
        assert set(summary.features) < set(answer["statistics"])
        for episode, theirs in zip(episodes, answer["episodes"], strict=True):
            assert theirs["task"] == episode.instruction
            for feature, array in summary.features.items():
                rows = file.read(array, episode.rows)
                rows = rows.astype(np.float32) if array == VALID else rows
                assert theirs["sha256"][feature] == hashlib.sha256(rows.tobytes()).hexdigest()
        first = episodes[0].start
        np.testing.assert_array_equal(
            np.array(answer["chunk"], np.float32), file.read(ACTION, slice(first, first + 5))
        )
    print(
        f"{summary.episodes} episodes, {summary.frames} frames, {summary.size_bytes / 1e6:.1f} MB, "
        f"exported in {summary.duration_s:.1f} s: all equal in LeRobot"
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("video", [False, True], ids=["image", "video"])
def test_we_read_what_lerobot_records(python, contract, tmp_path, video):
    if video:
        pytest.importorskip("av", reason="reading videos needs PyAV")
    root, values = tmp_path / "recorded", tmp_path / "values.npz"
    wanted = {"root": str(root), "values": str(values), "video": video, "fps": 20}
    answer = run_in(python, SCRIPT, {"task": "record", **wanted})
    import_dataset(root, tmp_path / "data.h5", contract, progress=False)
    theirs = np.load(values)
    with DatasetFile(tmp_path / "data.h5") as file:
        assert [e.length for e in file.episodes] == answer["lengths"]
        sentences = [e.instruction for e in file.episodes for _ in range(e.length)]
        assert sentences == answer["tasks"]
        rows = slice(0, file.frames)
        for name, array in {
            "observation.state": observation("odometry"),
            "observation.scan": observation("scan"),
            "action": ACTION,
        }.items():
            np.testing.assert_array_equal(file.read(array, rows), theirs[name])
        assert file.read(VALID, rows).all()
        pictures = theirs["observation.images.front"].transpose(0, 2, 3, 1) * 255.0
        difference = np.abs(file.read(observation("image"), rows) - pictures)
        # Of a video, the two convert colours with different libraries.
        assert difference.max() < (6.0 if video else 1e-3)
