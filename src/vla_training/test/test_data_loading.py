import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_making import episode_rows, write_dataset
from tiny_runs import tiny_config

from vla_training.benchmarks import load
from vla_training.benchmarks.lerobot_environment import lerobot_python, run_in
from vla_training.checkpoints import load_checkpoint
from vla_training.dataset.head import SplitChoice
from vla_training.dataset.windows import DockingDataset
from vla_training.errors import BenchmarkError
from vla_training.trainer import train


@pytest.fixture(scope="module")
def path(tmp_path_factory, contract):
    episodes = [episode_rows(contract, 40, seed) for seed in range(10)]
    folder = tmp_path_factory.mktemp("rows")
    return write_dataset(folder / "data.h5", contract, episodes, split=SplitChoice(0.2, 0.0))


def test_how_data_are_loaded_changes_no_bit(path, tmp_path):
    weights = []
    for storage, prefetch in (("memory", 2), ("mapped", 0), ("device", 1)):
        config = tiny_config(path, tmp_path / storage, f"storage={storage}", f"prefetch={prefetch}")
        result = train(config, progress=False)
        assert 0.0 < result.data_wait < 1.0
        weights.append(load_checkpoint(result.checkpoint).weights)
    for name, expected in weights[0].items():
        assert torch.equal(weights[1][name], expected)
        assert torch.equal(weights[2][name], expected)
    # Both are free to change in a resumed run.
    resumed = dataclasses.replace(config, storage="mapped", prefetch=2)
    assert train(resumed, resume=True, progress=False).steps == 12


def test_the_log_says_how_long_steps_waited_for_data(path, tmp_path):
    train(tiny_config(path, tmp_path), progress=False)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert all(0.0 <= json.loads(line)["data_wait"] < 1.0 for line in lines)


def test_the_benchmark_reads_what_the_data_set_has(path, tmp_path):
    figures = load.run(quick=True, data=path, out=tmp_path, frames=100)
    assert figures["batch_size"] == 120
    assert figures["frames"] == 120
    # Per sample: image, scan, odometry, validity, chunk, padding, sentence, pose and whether known.
    sample = 48 * 64 * 3 + 36 * 4 + 2 * 4 + 3 * 4 + 10 * 2 * 4 + 10 + 16 * 8 + 3 * 4 + 1
    assert figures["batch_bytes"] == 120 * sample
    assert {"memory", "mapped"} <= figures["share_of_floor"].keys()
    assert min(figures["samples_per_s"].values()) > 0.0
    assert min(figures["loader_samples_per_s"].values()) > 0.0
    assert not list(tmp_path.iterdir())
    with pytest.raises(BenchmarkError, match="name a data set"):
        load.run(quick=True)


def test_without_a_data_set_the_expert_drives_for_one(contract, tmp_path):
    robot = tmp_path / "contract.yaml"
    robot.write_text(contract.to_yaml(), "utf-8")
    data = DockingDataset(load._driven(tmp_path / "driven.h5", robot, frames=150))
    assert len(data.episodes) == 1
    assert data.frames > 60  # three seconds


def test_the_peer_gets_the_same_frames(path, tmp_path):
    data = DockingDataset(path, limit_episodes=2)
    load.export_frames(data, tmp_path / "frames")
    batch = data.batch(torch.arange(len(data)))
    for name in ("image", "scan", "odometry"):
        np.testing.assert_array_equal(np.load(tmp_path / f"frames/{name}.npy"), batch[name].numpy())
    action = np.load(tmp_path / "frames/action.npy")
    np.testing.assert_array_equal(action, batch["action"][:, 0].numpy())
    episodes = json.loads((tmp_path / "frames/episodes.json").read_text())
    assert [(e["start"], e["length"]) for e in episodes] == [(0, 40), (40, 40)]
    assert episodes[0]["instruction"] == "dock left"


def test_an_environment_without_lerobot_is_told(tmp_path):
    with pytest.raises(BenchmarkError, match=r"no LeRobot .* pip install lerobot=="):
        lerobot_python(tmp_path, install=False)


def test_scripts_answer_from_another_environment_or_fail_with_a_reason(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import json, os, sys\n"
        "asked = json.load(sys.stdin)\n"
        "print('some noise')\n"
        "assert 'PYTHONPATH' not in os.environ\n"
        "print(json.dumps({'twice': 2 * asked['number']}))\n"
    )
    assert run_in(Path(sys.executable), script, {"number": 4}) == {"twice": 8}
    with pytest.raises(BenchmarkError, match=r"script.py failed .*KeyError: 'number'"):
        run_in(Path(sys.executable), script, {})
