"""Trainings side by side."""

import json
from pathlib import Path

import pytest
import yaml
from tiny_runs import TINY

from vla_training import sweeping
from vla_training.checkpoints import load_checkpoint
from vla_training.errors import ConfigurationError, TrainingError
from vla_training.sweep_config import Interval, load_sweep
from vla_training.sweeping import sweep, table_lines


def write(folder: Path, **content) -> Path:
    path = folder / "sweep.yaml"
    common = [*TINY, "steps=2", "validation_samples=8", "optimizer.warmup=0.5"]
    path.write_text(yaml.safe_dump({"set": common, **content}, sort_keys=False))
    return path


def test_what_is_drawn_depends_on_seed_and_number_alone(tmp_path):
    values = {
        "optimizer.learning_rate": {"low": "1e-4", "high": "1e-2", "log": True},
        "augmentation.mirror": {"low": 0.0, "high": 0.5},
        "model.width": {"low": 16, "high": 19, "whole": True},
        "batch_size": [4, 8],
    }
    few = load_sweep(write(tmp_path, trials=5, values=values)).overrides()
    many = load_sweep(write(tmp_path, trials=400, values=values)).overrides()
    assert many[:5] == few
    other = load_sweep(write(tmp_path, trials=5, seed=1, values=values)).overrides()
    assert other != few
    rates = [row["optimizer.learning_rate"] for row in many]
    assert min(rates) >= 1e-4
    assert max(rates) <= 1e-2
    assert 0.4 < sum(rate < 1e-3 for rate in rates) / 400 < 0.6  # as many below as above
    assert {row["model.width"] for row in many} == {16, 17, 18, 19}
    assert {row["batch_size"] for row in many} == {4, 8}
    assert 0.2 < sum(row["augmentation.mirror"] for row in many) / 400 < 0.3


def test_a_grid_is_every_combination(tmp_path):
    config = load_sweep(write(tmp_path, method="grid", values={"seed": [1, 2], "steps": [3, 4, 5]}))
    rows = [tuple(row.values()) for row in config.overrides()]
    assert rows == [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)]


def test_a_sweep_trains_ranks_and_goes_on(dataset, tmp_path, monkeypatch):
    values = {"optimizer.learning_rate": [1e-7, 3e-3], "model.fusion.layers": [1]}
    file = write(tmp_path, method="grid", trials=1, values=values)
    first = sweep(load_sweep(file), dataset, tmp_path / "out", progress=False)
    assert [record["number"] for record in first["trials"]] == [0]
    # What is done is not done again.
    trained = []
    train = sweeping.train
    monkeypatch.setattr(
        sweeping, "train", lambda config, **how: trained.append(config) or train(config, **how)
    )
    file = write(tmp_path, method="grid", values=values)
    table = sweep(load_sweep(file), dataset, tmp_path / "out", progress=False)
    assert [config.optimizer.learning_rate for config in trained] == [3e-3]
    assert table == json.loads((tmp_path / "out" / "sweep.json").read_text())
    ranked = [record["value"] for record in table["trials"]]
    assert ranked == sorted(ranked)
    assert table["best"] == table["trials"][0]
    for record in table["trials"]:
        checkpoint = load_checkpoint(record["folder"])
        rate = checkpoint.config.optimizer.learning_rate
        assert rate == record["values"]["optimizer.learning_rate"]
        assert record["value"] == checkpoint.metrics["loss"]
    lines = table_lines(table)
    assert lines[0].split() == [
        "trial",
        "loss",
        "optimizer.learning_rate",
        "model.fusion.layers",
        "steps",
        "s",
    ]
    numbers = [line.split()[0] for line in lines[1:]]
    assert numbers == [str(record["number"]) for record in table["trials"]]
    other = write(tmp_path, method="grid", values={"optimizer.learning_rate": [2e-7]})
    with pytest.raises(TrainingError, match="has another trial"):
        sweep(load_sweep(other), dataset, tmp_path / "out", progress=False)


def test_a_training_that_fails_is_a_result(dataset, tmp_path):
    file = write(tmp_path, method="grid", metric="beauty", values={"seed": [0]})
    table = sweep(load_sweep(file), dataset, tmp_path / "out", progress=False)
    assert table["best"] is None
    assert "metric beauty is none of those of the run: loss" in table["trials"][0]["error"]
    assert table_lines(table)[1].split()[1] == "failed"


def test_a_dask_cluster_trains(dataset, tmp_path):
    distributed = pytest.importorskip("distributed")
    file = write(tmp_path, method="grid", values={"seed": [0, 1]})
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        table = sweep(
            load_sweep(file),
            dataset,
            tmp_path / "out",
            scheduler=cluster.scheduler_address,
            progress=False,
        )
    assert sorted(record["number"] for record in table["trials"]) == [0, 1]
    assert all(load_checkpoint(record["folder"]).step == 2 for record in table["trials"])


def test_all_mistakes_of_a_sweep_are_told_together(dataset, tmp_path):
    bad = {
        "steps": {"low": 5, "high": 1},
        "seed": 3,
        "batch_size": {"low": 0, "high": 8, "log": True},
        "threads": {"low": 0, "high": 2, "wide": True},
    }
    path = write(tmp_path, method="rough", trials=0, speed=3, values=bad)
    with pytest.raises(ConfigurationError) as caught:
        load_sweep(path)
    text = "\n".join(caught.value.mistakes)
    for part in ("values.steps", "values.seed", "values.batch_size", "values.threads"):
        assert part in text
    assert "method has to be one of" in text
    assert "speed is unknown" in text
    file = write(tmp_path, method="grid", values={"seed": [0, -1], "batchsize": [3]})
    with pytest.raises(ConfigurationError) as caught:
        sweep(load_sweep(file), dataset, tmp_path / "out", progress=False)
    text = "\n".join(caught.value.mistakes)
    assert "trial 0: batchsize is unknown" in text
    assert "trial 1: seed has to be between" in text
    file = write(tmp_path, method="grid", metric="successes", values={"seed": [0]})
    with pytest.raises(ConfigurationError, match="needs closed-loop evaluations"):
        sweep(load_sweep(file), dataset, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff\xfa", "is not YAML"),
        (b"trials: !!int ''", "is not YAML"),
        (b"{values: " * 2000, "is not YAML"),
        (b"method: [grid]\nvalues: {seed: [1]}", "method has to be a text"),
        (b"set: 3\ntrials: 1\nvalues: {seed: [1]}", "set has to be a list"),
        (b"set: [3]\ntrials: 1\nvalues: {seed: [1]}", "set has to be a list"),
        (b"trials: 1\nvalues: {3: [1]}", "values has the key 3"),
        (b"trials: 1\nvalues: {seed: {low: 1, high: .inf, whole: true}}", "expected low < high"),
    ],
)
def test_a_file_that_is_no_sweep_is_refused_in_one_line(content, complaint, tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=complaint):
        load_sweep(file)


def test_the_beginning_of_a_vast_grid_takes_no_time(tmp_path):
    values = {f"loss.{name}": list(range(50)) for name in "abcdefgh"}
    grid = load_sweep(write(tmp_path, method="grid", trials=3, values=values))
    assert [row["loss.h"] for row in grid.overrides()] == [0, 1, 2]


def test_an_interval_of_whole_numbers_reaches_both_ends():
    import numpy as np

    random = np.random.default_rng(0)
    assert {Interval(1, 3, whole=True).draw(random) for _ in range(50)} == {1, 2, 3}
    assert {Interval(1, 3, log=True, whole=True).draw(random) for _ in range(50)} == {1, 2, 3}
