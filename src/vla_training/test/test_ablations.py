"""Ablations: what is changed, what it is trained on, and what the figures may say."""

import h5py
import pytest
from finished_runs import made_up
from tiny_runs import TINY

from vla_training.benchmarks import ablations
from vla_training.benchmarks.ablation_data import AblationData, scenes_for
from vla_training.benchmarks.ablation_figures import conclusion, effect, effects
from vla_training.benchmarks.ablation_page import markdown
from vla_training.benchmarks.ablation_variants import SENTENCE, all_variants, choose
from vla_training.benchmarks.markdown_page import BEGIN, END
from vla_training.dataset.file import DatasetFile
from vla_training.errors import BenchmarkError, ConfigurationError
from vla_training.evaluation.evaluate import evaluate
from vla_training.evaluation.intervals import student_interval
from vla_training.training_config import load_training_config

COMMON = ("threads=1", "batch_size=8", "precision=float32", "validation_samples=8")


def test_every_variant_is_a_configuration_that_differs_from_the_reference(tmp_path):
    variants = all_variants(200)
    configs = {
        name: load_training_config("", "", overrides=variant.overrides)
        for name, variant in variants.items()
    }
    for name, variant in variants.items():
        if name == "reference":
            continue
        same_training = configs[name] == configs["reference"]
        same_data = variant.data == variants["reference"].data
        changed = [not same_training, not same_data, bool(variant.options), variant.pretrained]
        assert any(changed), name
    assert "demonstrations_200" not in variants, "that is the reference"
    assert {"demonstrations_25", "demonstrations_800"} < set(variants)
    flat = configs["no_augmentation"].augmentation
    assert flat.mirror == flat.light.gamma_probability == flat.dropout.scan == 0.0
    assert configs["no_chunking"].model.head.horizon == 1


def test_the_reference_is_always_there():
    variants = all_variants(200, (25,))
    chosen = [variant.name for variant in choose(variants, ["clean", "demonstrations_25"])]
    assert chosen == ["reference", "clean", "demonstrations_25"]
    with pytest.raises(BenchmarkError, match="--only cleen is unknown; choose of reference, no_ch"):
        choose(variants, ["cleen"])


def test_the_interval_over_trainings_is_students():
    # Three values with mean 2 and deviation 1: 2 -+ 4.303 / sqrt(3).
    assert student_interval([1.0, 2.0, 3.0]) == pytest.approx((-0.4843, 4.4843), abs=1e-3)
    low, high = student_interval([float(value) for value in range(21)])
    assert (high - low) / 2 == pytest.approx(2.086 * 6.2048 / 21**0.5, abs=2e-3)
    assert student_interval([0.5]) is None


def test_effects_are_over_trainings_and_none_is_said_to_be_none(tmp_path):
    outcomes = {
        "reference": [[1] * 18 + [0] * 2, [1] * 17 + [0] * 3, [1] * 18 + [0] * 2],
        "clean": [[1] * 4 + [0] * 16, [1] * 3 + [0] * 17, [1] * 5 + [0] * 15],
        "plain": [[1] * 18 + [0] * 2, [1] * 10 + [0] * 10, [1] * 19 + [0]],
        "alone": [[0] * 20],
    }
    runs = made_up(tmp_path, outcomes)
    found = {run.name: {"success_rate": sum(outcomes[run.preset][run.seed]) / 20} for run in runs}
    figures = effects(runs, found, "reference")
    assert list(figures) == ["clean", "plain", "alone"]
    clean = figures["clean"]["success_rate"]
    assert clean["differences"] == [-0.7, -0.7, -0.65]
    assert clean["low"] < clean["difference"] < clean["high"] < 0.0
    assert figures["clean"]["conclusion"] == "docks less often"
    assert figures["plain"]["conclusion"] == "no effect is shown"
    assert figures["plain"]["episodes"]["difference"] == pytest.approx(-0.1)
    assert figures["alone"]["success_rate"]["low"] is None
    assert "nothing about the way of training" in figures["alone"]["conclusion"]
    assert conclusion(effect([0.1, 0.11, 0.12])) == "docks more often"


def test_sizes_count_what_is_driven():
    assert scenes_for(1, "single") == 1
    assert scenes_for(7, "single") == 7
    assert scenes_for(40, "nominal") < 40, "scenes have several stations"


@pytest.fixture(scope="module")
def ablated(contract, tmp_path_factory):
    """The reference, the same policy with ensembling, and one without language."""
    folder = tmp_path_factory.mktemp("ablated")
    (folder / "contract.yaml").write_text(contract.to_yaml())
    docs = folder / "ablations.md"
    docs.write_text(f"# Ablations\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")
    options = {
        "out": folder / "out",
        "contract": folder / "contract.yaml",
        "only": ["ensembling", "no_language"],
        "demonstrations": 4,
        "sizes": (),
        "steps": 6,
        "episodes": 1,
        "jobs": 1,
        "set": [*(each for each in TINY if not each.startswith("steps")), *COMMON],
        "docs": docs,
    }
    return options, ablations.run(quick=True, **options)


def test_variants_are_trained_and_evaluated_as_they_say(ablated, monkeypatch):
    options, summary = ablated
    assert (summary["planned"], summary["finished"], summary["failed"]) == (3, 3, {})
    assert list(summary["variants"]) == ["reference", "ensembling", "no_language"]
    assert list(summary["effects"]) == ["ensembling", "no_language"]
    out = options["out"]
    assert not (out / "ensembling" / "seed_0" / "bundle").exists(), "it runs the reference's"
    assert (
        '"mode": "temporal_ensemble"'
        in (out / "ensembling" / "seed_0" / "evaluation.json").read_text()
    )
    assert (
        f'"sentence": "{SENTENCE}"'
        in (out / "no_language" / "seed_0" / "evaluation.json").read_text()
    )
    with DatasetFile(out / "data" / "one_sentence_4.h5") as silent:
        assert {each.instruction for each in silent.episodes} == {SENTENCE}
        assert {each.paraphrases for each in silent.episodes} == {"[]"}
        with DatasetFile(out / "data" / "demonstrations_4.h5") as full:
            assert [each.length for each in silent.episodes] == [
                each.length for each in full.episodes
            ]
            assert SENTENCE not in {each.instruction for each in full.episodes}
    text = options["docs"].read_text()
    assert text.startswith("# Ablations\n")
    assert text.endswith("After.\n")
    assert "| without language: always the same sentence |" in text
    assert "old" not in text
    # The largest effect comes first, whatever its sign.
    shown = {**summary, "effects": dict(summary["effects"])}
    for name, difference in (("ensembling", -0.1), ("no_language", 0.3)):
        changed = {**summary["effects"][name]["success_rate"], "difference": difference}
        shown["effects"][name] = {**summary["effects"][name], "success_rate": changed}
    rows = [line for line in markdown(shown).splitlines() if line.startswith("| with")]
    assert ["without language" in row for row in rows] == [True, False]

    def refuse(*args, **how):
        raise AssertionError("done before")

    with monkeypatch.context() as patch:
        for name in ("evaluate", "export_bundle"):
            patch.setattr(f"vla_training.benchmarks.preset_runs.{name}", refuse)
        patch.setattr("vla_training.benchmarks.preset_runs.subprocess.Popen", refuse)
        patch.setattr("vla_training.benchmarks.ablation_data.rollout", refuse)
        again = ablations.run(quick=True, **{**options, "docs": None})
    assert again["runs"] == summary["runs"]


def test_sizes_share_their_rows(ablated, contract):
    options, _ = ablated
    data = AblationData(options["out"] / "data", contract, 4, SENTENCE, jobs=1)
    path = data.make("demonstrations_2")
    with h5py.File(path) as small, h5py.File(data.path("demonstrations")) as large:
        assert 0 < len(small["episodes/start"]) < len(large["episodes/start"])
    (part, *_) = sorted(path.with_suffix(".parts").iterdir())
    assert part.stat().st_nlink >= 3


def test_a_policy_without_a_stream_never_sees_it(bundle):
    without = evaluate(bundle.path, "single", 1, jobs=1, always="no_scan", progress=False)
    spoilt = evaluate(bundle.path, "single", 1, jobs=1, disturb=["no_scan"], progress=False)
    (own,), (disturbed,) = without.results, spoilt.disturbed
    assert own.to_dict() == {**disturbed.to_dict(), "disturbance": ""}
    assert without.to_dict()["always"] == "no_scan"


def test_mistakes_are_told_before_anything_is_driven(contract, tmp_path):
    path = tmp_path / "contract.yaml"
    path.write_text(contract.to_yaml())
    out = tmp_path / "out"
    with pytest.raises(ConfigurationError, match=r"reference: .*no_such_key"):
        ablations.run(quick=True, out=out, contract=path, set=["no_such_key=1"])
    with pytest.raises(BenchmarkError, match=r"--seeds is 0.*--steps and --minutes are both given"):
        ablations.run(out=out, contract=path, seeds=0, steps=5, minutes=1.0)
    assert not out.exists()
