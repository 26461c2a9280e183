"""Where figures of a run go."""

import json

import pytest
from tiny_runs import tiny_config

from vla_training.errors import ConfigurationError
from vla_training.run_log import RunLog
from vla_training.trainer import Trainer, train
from vla_training.training_checks import check_and_resolve


def record(step: int) -> dict:
    return {"step": step, "rate": 0.5 / step, "training": {"loss": 1.0 / step}, "note": "words"}


def test_what_is_lost_or_cut_off_is_forgotten(tmp_path):
    log = RunLog(tmp_path, "none", 0, {})
    for step in (5, 10, 15):
        log.append(record(step))
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 20, "tr')
    log = RunLog(tmp_path, "none", 10, {})
    log.append(record(12))
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [5, 10, 12]


def test_tensorboard_shows_every_figure_once(dataset, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = ("log=tensorboard", "steps=4", "validate_every=1", "validation_samples=4")
    config = tiny_config(dataset, tmp_path, *options)
    Trainer(config).run(progress=False, stop_after=2)
    train(config, resume=True, progress=False)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    for name, figure in (
        ("training/loss", lambda r: r["training"]["loss"]),
        ("validation/angular.z_error", lambda r: r["validation"]["angular.z_error"]),
        ("learning_rate", lambda r: r["learning_rate"]),
    ):
        points = events.Scalars(name)
        assert [point.step for point in points] == [1, 2, 3, 4]
        assert [point.value for point in points] == pytest.approx([figure(r) for r in records])
    assert "step" not in events.Tags()["scalars"]


def test_mlflow_has_one_run_with_parameters_and_figures(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = tmp_path / "run"
    folder.mkdir()
    for begin, steps in ((0, (1, 2)), (2, (3,))):
        log = RunLog(folder, "mlflow", begin, {"steps": 3, "model.width": 16})
        for step in steps:
            log.append(record(step))
        log.close()
    client = mlflow.MlflowClient()
    (experiment,) = client.search_experiments()
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"steps": "3", "model.width": "16"}
    history = client.get_metric_history(run.info.run_id, "training/loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


def test_mistakes_that_only_the_surroundings_show_are_told_together(trained, dataset, tmp_path):
    file = tmp_path / "file"
    file.write_text("no folder")
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(trained.checkpoint.read_bytes()[:500])
    config = tiny_config(
        tmp_path / "nowhere.h5",
        file,
        "batch_size=7",
        "accumulate=2",
        f"initial={tmp_path / 'nothing.pt'}",
        f"loss.reference={damaged}",
        f"loss.teacher={trained.checkpoint}",
        "select.suite=nonsense",
        "precision=fp16",
        "strategy=fsdp",
    )
    with pytest.raises(ConfigurationError) as caught:
        check_and_resolve(config, 2)
    parts = (
        "batch_size is 7",
        "precision fp16 scales gradients",
        "is a file; name a folder",
        "dataset: data set",
        "initial: checkpoint",
        "loss.reference: checkpoint",
        "select.suite: ",
    )
    assert len(caught.value.mistakes) == len(parts)
    for part in parts:
        assert sum(part in mistake for mistake in caught.value.mistakes) == 1, part
    assert "\n" not in str(caught.value)
