"""Presets side by side: trained, exported, evaluated, interrupted, and laid in a table."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from finished_runs import made_up
from tiny_runs import TINY, TINY_PRESETS

from vla_training.benchmarks import preset_runs, preset_training, presets
from vla_training.benchmarks.markdown_page import BEGIN, END
from vla_training.benchmarks.preset_figures import paired_figures
from vla_training.benchmarks.preset_page import markdown
from vla_training.benchmarks.preset_runs import PresetRun, Trials, train_apart
from vla_training.benchmarks.preset_training import write_record
from vla_training.configuration import to_dict
from vla_training.errors import BenchmarkError, ConfigurationError
from vla_training.training_config import load_training_config

COMMON = ("threads=1", "batch_size=8", "precision=float32", "validation_samples=8")


def tiny_files(folder: Path, *names: str) -> list[str]:
    """Presets of the same parts, shrunk, as files."""
    folder.mkdir(exist_ok=True)
    for name in names:
        config = load_training_config("", "", preset=name, overrides=TINY_PRESETS[name])
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(to_dict(config)))
    return [str(folder / f"{name}.yaml") for name in names]


@pytest.fixture(scope="module")
def compared(dataset, tmp_path_factory):
    """Two presets, one seed."""
    folder = tmp_path_factory.mktemp("compared")
    docs = folder / "docs" / "presets.md"
    docs.parent.mkdir()
    docs.write_text(f"# Presets\n\nBefore.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")
    options = {
        "out": folder / "out",
        "data": dataset,
        "presets": tiny_files(folder / "presets", "docking", "mini_vla"),
        "steps": 6,
        "episodes": 2,
        "swap": True,
        "jobs": 1,
        "set": COMMON,
        "docs": docs,
    }
    return options, presets.run(quick=True, **options)


def test_every_preset_is_trained_exported_and_evaluated(compared):
    options, summary = compared
    assert summary["planned"] == summary["finished"] == 2
    assert summary["failed"] == {}
    assert list(summary["runs"]) == ["docking, seed 0", "mini_vla, seed 0"]
    for name, figures in summary["presets"].items():
        folder = options["out"] / name / "seed_0"
        training = json.loads((folder / "training.json").read_text())
        evaluation = json.loads((folder / "evaluation.json").read_text())
        bundle = json.loads((folder / "bundle" / "manifest.json").read_text())["extra"]
        assert figures["steps"] == training["steps"] == bundle["training"]["steps"] == 6
        assert training["samples"] == 48
        assert figures["parameters"] == bundle["parameters"]
        assert evaluation["held_out"]
        assert [record["seed"] for record in evaluation["records"]] == [1_000_000, 1_000_001]
        assert figures["success_rate"]["mean"] == evaluation["success_rate"]
        assert figures["both_right_rate"]["mean"] == evaluation["both_right_rate"]
        assert 50.0 < figures["peak_memory_mb"]["mean"] < 5000.0
        assert 0.0 < figures["latency_ms"]["p50"] < 1000.0
        assert 0.01 < figures["bundle_mb"] < 50.0
    own = summary["against_reference"]["mini_vla"]["seeds"]["0"]
    assert own["pairs"] == 2
    assert json.loads((options["out"] / "summary.json").read_text()) == summary


def test_the_table_goes_between_the_marks(compared):
    options, summary = compared
    text = options["docs"].read_text()
    assert text.startswith(f"# Presets\n\nBefore.\n\n{BEGIN}\n2 of 2 runs are done.")
    assert text.endswith(f"{END}\n\nAfter.\n")
    assert "old" not in text
    assert f"{summary['data']['training_episodes']} training episodes" in text
    for name, figures in summary["presets"].items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` | 1 |")]
        cells = [cell.strip() for cell in row.split("|")[1:-1]]
        assert float(cells[2]) == 100.0 * figures["success_rate"]["mean"]
        assert float(cells[-1]) == pytest.approx(figures["latency_ms"]["p50"], abs=0.01)
    assert "images/presets.svg" in text
    assert "mini_vla" in (options["docs"].parent / "images" / "presets.svg").read_text()
    assert "(presets.svg)" in (options["out"] / "table.md").read_text()


def test_what_is_done_is_not_done_again(compared, monkeypatch):
    options, summary = compared

    def refuse(*args, **how):
        raise AssertionError("done before")

    with monkeypatch.context() as patch:
        for module, name in ((preset_runs.subprocess, "Popen"), (preset_runs, "export_bundle")):
            patch.setattr(module, name, refuse)
        patch.setattr(preset_runs, "evaluate", refuse)
        again = presets.run(quick=True, **{**options, "docs": None})
    assert again["runs"] == summary["runs"]
    # Other episodes are another evaluation of the same trainings.
    with monkeypatch.context() as patch:
        patch.setattr(preset_runs.subprocess, "Popen", refuse)
        fewer = presets.run(
            quick=True,
            **{**options, "docs": None, "episodes": 1, "presets": options["presets"][:1]},
        )
    assert fewer["runs"]["docking, seed 0"]["episodes"] == 1
    assert (
        fewer["runs"]["docking, seed 0"]["training_s"]
        == (summary["runs"]["docking, seed 0"]["training_s"])
    )
    with pytest.raises(BenchmarkError, match="is of another training: steps was 6 and is 7"):
        presets.run(quick=True, **{**options, "steps": 7, "docs": None})


def test_a_training_that_fails_is_told_and_the_others_go_on(compared):
    options, _ = compared
    # What is written as a file is a folder there.
    (options["out"] / "mdn" / "seed_0" / "training" / "config.yaml").mkdir(parents=True)
    files = [*tiny_files(options["out"].parent / "presets", "mdn"), options["presets"][0]]
    summary = presets.run(quick=True, **{**options, "docs": None, "presets": files})
    assert list(summary["presets"]) == ["docking"]
    assert (summary["planned"], summary["finished"]) == (2, 1)
    assert "cannot be written" in summary["failed"]["mdn, seed 0"]
    assert "Failed: mdn, seed 0: " in (options["out"] / "table.md").read_text()


def test_a_training_ends_with_its_parent_and_goes_on(dataset, tmp_path):
    more = ("steps=60", "validate_every=10", "validation_samples=8")
    config = load_training_config(dataset, tmp_path / "training", overrides=[*TINY, *more])
    wanted, record = tmp_path / "wanted.json", tmp_path / "training.json"
    write_record(wanted, {"config": to_dict(config), "data": "hash"})
    process = subprocess.Popen(
        [sys.executable, "-m", preset_training.__name__, str(wanted), str(record)],
        stdin=subprocess.PIPE,
    )
    while not (tmp_path / "training" / "checkpoint.pt").is_file():
        assert process.poll() is None
        time.sleep(0.02)
    process.stdin.close()  # as when the parent is killed
    assert process.wait(60.0) == 1
    assert not record.exists()
    log = tmp_path / "training" / "metrics.jsonl"
    first = log.read_text().splitlines()[0]
    found = train_apart(config, "hash", record)
    assert found["steps"] == 60
    assert log.read_text().splitlines()[0] == first
    assert [json.loads(line)["step"] for line in log.open()] == list(range(10, 61, 10))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "training.json",
        "wanted.json",
    ]


def test_an_equal_time_gives_the_faster_preset_more_steps(tmp_path, monkeypatch):
    taken = {"docking": [0.5, 0.1, 0.2], "mini_vla": [0.02, 0.01, 0.04]}
    order = []

    def known(config, hashed, path):
        name = path.parent.parent.name
        order.append(name)
        assert config.steps == 20
        return taken[name][int(path.parent.name.removeprefix("probe_"))]

    monkeypatch.setattr(presets, "seconds_per_step", known)
    files = tiny_files(tmp_path, "docking", "mini_vla")
    trainings = presets._Trainings(presets._sources(files), Path("data.h5"), tmp_path, COMMON)
    assert trainings.steps_in(60.0, "hash", 3) == {"docking": 300, "mini_vla": 3000}
    assert order == ["docking", "mini_vla"] * 3


def test_the_time_of_a_step_is_measured_in_a_real_training(dataset, tmp_path):
    trainings = presets._Trainings(
        presets._sources(tiny_files(tmp_path, "mini_vla")), dataset, tmp_path, COMMON
    )
    found = trainings.steps_in(10.0, "hash", 1)["mini_vla"]
    log = tmp_path / "mini_vla" / "probe_0" / "training" / "metrics.jsonl"
    spent = {line["step"]: line["training_s"] for line in map(json.loads, log.open())}
    assert list(spent) == [5, 10, 15, 20]
    # The first steps are slower, and left out.
    assert found == max(1, round(10.0 * 15 / (spent[20] - spent[5])))
    assert not list(tmp_path.rglob("checkpoint.pt"))


def test_presets_are_paired_with_the_reference_seed_by_seed(tmp_path):
    outcomes = {
        "docking": [[1] * 18 + [0] * 2] * 2,
        "worse": [[1] * 2 + [0] * 18, [1] * 3 + [0] * 17],
        "unsure": [[1] * 17 + [0] * 3, [1] * 2 + [0] * 18],
        "equal": [[1] * 18 + [0] * 2] * 2,
        "lucky": [[1] * 18 + [0, 1]],
    }
    found = paired_figures(made_up(tmp_path, outcomes), "docking")
    assert list(found) == ["worse", "unsure", "equal", "lucky"]
    worse = found["worse"]
    assert worse["difference"] == pytest.approx(-0.775)
    assert worse["low"] < -0.775 < worse["high"] < 0.0
    assert [worse["seeds"][seed]["difference"] for seed in ("0", "1")] == [-0.8, -0.75]
    # Adjusted for seven tests.
    assert worse["seeds"]["0"]["adjusted_p"] == pytest.approx(7 * 2 / 2**16)
    assert worse["verdict"] == "docks less often, from every training seed"
    assert (
        found["unsure"]["verdict"] == "docks less often from 1 of 2 training seeds, else not shown"
    )
    assert found["equal"]["verdict"] == "no difference is shown"
    assert found["lucky"]["seeds"].keys() == {"0"}
    assert found["lucky"]["verdict"] == "no difference is shown"


def test_an_unfinished_comparison_has_a_table(compared):
    _, summary = compared
    runs = {"docking, seed 0": summary["runs"]["docking, seed 0"]}
    part = {
        **summary,
        "finished": 1,
        "runs": runs,
        "presets": {"docking": {**summary["presets"]["docking"], "latency_ms": None}},
        "against_reference": {},
    }
    text = markdown(part)
    assert text.startswith("1 of 2 runs are done.")
    assert "mini_vla" not in text
    assert markdown({**part, "finished": 0, "runs": {}, "presets": {}}).startswith("0 of 2")


def test_mistakes_are_told_before_anything_is_computed(dataset, tmp_path):
    files = tiny_files(tmp_path / "presets", "docking", "mini_vla")
    out = tmp_path / "out"
    with pytest.raises(ConfigurationError) as caught:
        presets.run(out=out, data=dataset, presets=files, set=["batch_size=7", "shards=2"])
    assert [text.split(":")[0] for text in caught.value.mistakes] == ["docking", "mini_vla"]
    with pytest.raises(BenchmarkError, match=r"--seeds is 0.*--steps and --minutes are both given"):
        presets.run(out=out, data=dataset, presets=files, seeds=0, steps=5, minutes=1.0)
    with pytest.raises(BenchmarkError, match="have equal names"):
        presets.run(out=out, data=dataset, presets=[files[0], "docking"])
    plain = tmp_path / "plain.md"
    plain.write_text("# Nothing\n")
    with pytest.raises(BenchmarkError, match="has no place for the table"):
        presets.run(out=out, data=dataset, presets=files, docs=plain)
    assert not out.exists()


def test_a_damaged_record_is_told(tmp_path):
    config = load_training_config("data.h5", tmp_path / "training")
    run = PresetRun("docking", 0, tmp_path, config, "hash")
    (tmp_path / "training.json").write_text('{"config"')
    with pytest.raises(BenchmarkError, match=r"training.json is damaged .*; delete it"):
        run.training()
    assert run.evaluation(Trials()) is None
    write_record(tmp_path / "training.json", {"config": to_dict(config), "data": "other"})
    with pytest.raises(BenchmarkError, match="the data set has other episodes"):
        run.training()
    # Where the files are does not matter.
    write_record(
        tmp_path / "training.json",
        {"config": {**to_dict(config), "output": "x", "dataset": "y"}, "data": "hash"},
    )
    assert run.training()["config"]["output"] == "x"
    assert [path.name for path in tmp_path.iterdir()] == ["training.json"]
