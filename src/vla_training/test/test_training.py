import dataclasses
import json
import pickle

import pytest
import torch
import yaml
from tiny_runs import tiny_config

from vla_core.language import Vocabulary
from vla_training.checkpoints import load_checkpoint, take_weights
from vla_training.configuration import preset_names, to_dict
from vla_training.dataset.windows import DockingDataset
from vla_training.errors import ConfigurationError, TrainingError
from vla_training.metrics import offline_metrics
from vla_training.models import build_model
from vla_training.trainer import Trainer, train
from vla_training.training_config import load_training_config


def test_a_run_leaves_checkpoint_configuration_and_metrics(trained):
    result, config = trained, load_checkpoint(trained.checkpoint).config
    assert result.steps == 12
    assert result.samples == 96
    assert result.samples_per_s > 0.0
    assert result.metrics["loss"] > 0.0
    assert result.metrics["dock_y_error_m"] > 0.0
    folder = result.checkpoint.parent
    assert yaml.safe_load((folder / "config.yaml").read_text()) == to_dict(config)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [5, 10, 12]
    checkpoint = load_checkpoint(folder)
    assert checkpoint.config == config
    assert checkpoint.step == 12
    counts = [
        checkpoint.dataset[f"{split}_episodes"] for split in ("training", "validation", "test")
    ]
    assert sum(counts) == len(checkpoint.dataset["bags"]) == 6
    policy = checkpoint.policy()
    assert not policy.training


def test_equal_seeds_give_equal_bits_and_others_do_not(trained, dataset, tmp_path):
    config, result = load_checkpoint(trained.checkpoint).config, trained
    again = train(dataclasses.replace(config, output=str(tmp_path / "again")), progress=False)
    other = train(tiny_config(dataset, tmp_path / "other", "seed=1"), progress=False)
    weights = load_checkpoint(result.checkpoint).weights
    assert same(weights, load_checkpoint(again.checkpoint).weights)
    assert not same(weights, load_checkpoint(other.checkpoint).weights)


def test_a_run_can_begin_with_the_weights_of_another(trained, dataset, tmp_path):
    first = load_checkpoint(trained.checkpoint)
    config = tiny_config(dataset, tmp_path, f"initial={trained.checkpoint}", "steps=1")
    quiet = dataclasses.replace(
        config, optimizer=dataclasses.replace(config.optimizer, learning_rate=1e-7)
    )
    begun = load_checkpoint(train(quiet, progress=False).checkpoint)
    for name, value in first.weights.items():
        torch.testing.assert_close(begun.weights[name], value, atol=1e-5, rtol=0, msg=name)


def test_words_are_taken_one_by_one_and_what_does_not_fit_stays(trained):
    first = load_checkpoint(trained.checkpoint)
    vocabulary = Vocabulary(["zebra", *reversed(first.vocabulary.words)])
    wider = dataclasses.replace(
        first.config.model,
        vision=dataclasses.replace(first.config.model.vision, asked_keypoints=3),
    )
    policy = build_model(wider, first.contract, first.statistics, vocabulary)
    before = policy.language.words.weight.detach().clone()
    left = take_weights(policy, first, vocabulary)
    assert left
    assert all("asked" in name for name in left)
    words = first.weights["language.words.weight"]
    assert torch.equal(policy.language.words.weight[3:], words[2:].flip(0))
    assert torch.equal(policy.language.words.weight[2], before[2])  # nobody knew the zebra


def test_weights_of_another_model_are_refused(trained):
    first = load_checkpoint(trained.checkpoint)
    foreign = dataclasses.replace(first, weights={"layer.weight": torch.zeros(3)})
    with pytest.raises(TrainingError, match="no tensor fits"):
        take_weights(first.policy(), foreign, first.vocabulary)


def test_a_resumed_run_ends_with_the_same_bits(trained, tmp_path):
    config, result = load_checkpoint(trained.checkpoint).config, trained
    config = dataclasses.replace(config, output=str(tmp_path))
    Trainer(config).run(progress=False, stop_after=7)
    assert load_checkpoint(tmp_path).step == 7
    resumed = train(config, resume=True, progress=False)
    expected, got = load_checkpoint(result.checkpoint), load_checkpoint(resumed.checkpoint)
    assert got.step == expected.step
    assert same(got.weights, expected.weights)
    assert same(got.trainer["weights"], expected.trainer["weights"])
    assert got.metrics == expected.metrics
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").open()]
    assert steps == [5, 7, 10, 12]
    train(config, progress=False)
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").open()]
    assert steps == [5, 10, 12]


def test_resuming_another_run_is_refused(trained, dataset, tmp_path):
    config = load_checkpoint(trained.checkpoint).config
    changed = dataclasses.replace(config, batch_size=4, seed=3)
    with pytest.raises(TrainingError, match=r"batch_size is 4 now and 8.*seed is 3 now and 0"):
        train(changed, resume=True, progress=False)


def test_bfloat16_learns_too(dataset, tmp_path):
    data = DockingDataset(dataset, "training")

    def error(steps):
        config = tiny_config(dataset, tmp_path / str(steps), "precision=bf16", f"steps={steps}")
        policy = load_checkpoint(train(config, progress=False).checkpoint).policy()
        return offline_metrics(policy, data, config.loss, torch.device("cpu"))["action_loss"]

    assert error(60) < 0.95 * error(2)


def test_a_loss_that_explodes_stops_the_run(dataset, tmp_path):
    config = tiny_config(
        dataset, tmp_path, "optimizer.learning_rate=1.0", "optimizer.clip_norm=1000"
    )
    trainer = Trainer(config)
    with torch.no_grad():
        trainer._state.policy.fusion.queries.fill_(float("inf"))
    with pytest.raises(TrainingError, match=r"loss is nan at step 1.*learning_rate"):
        trainer.run(progress=False)


def test_damaged_and_foreign_checkpoints_are_refused(trained, tmp_path):
    result = trained
    with pytest.raises(TrainingError, match="does not exist"):
        load_checkpoint(tmp_path)
    short = tmp_path / "short.pt"
    short.write_bytes(result.checkpoint.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="damaged or no checkpoint"):
        load_checkpoint(short)
    foreign = tmp_path / "foreign.pt"
    torch.save({"weights": torch.zeros(1)}, foreign)
    with pytest.raises(TrainingError, match="damaged or no checkpoint"):
        load_checkpoint(foreign)
    (tmp_path / "code.pt").write_bytes(pickle.dumps(Trainer))
    with pytest.raises(TrainingError, match="damaged or no checkpoint"):
        load_checkpoint(tmp_path / "code.pt")


def test_all_mistakes_of_a_configuration_are_told_together(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        load_training_config(
            "d.h5",
            tmp_path,
            overrides=[
                "steps=0",
                "batchsize=3",
                "optimizer.learning_rate=fast",
                "augmentation.mirror=1.5",
                "precision=int4",
                "model.vision.cnn.channels=[8, 8]",
                "model.fusion.heads=3",
                "seed",
            ],
        )
    mistakes = "\n".join(caught.value.mistakes)
    for part in (
        "'seed' is not of the form",
        "steps has to be between 1 and 1e+08, got 0",
        "batchsize is unknown (did you mean batch_size?)",
        "optimizer.learning_rate has to be a number, got 'fast'",
        "augmentation.mirror has to be between 0 and 1, got 1.5",
        "precision has to be one of bf16, fp16, float32, got 'int4'",
        "model.vision.cnn.channels has to be a list of 4 values",
        "dataset d.h5 does not exist",
    ):
        assert part in mistakes
    assert "\n" not in str(caught.value)


def test_values_that_contradict_each_other_are_told(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"model: width 128 is not divisible by fusion\.heads 3"
    ):
        load_training_config("d.h5", tmp_path, overrides=["model.fusion.heads=3"])


def test_every_preset_loads(tmp_path):
    assert "docking" in preset_names()
    for name in preset_names():
        assert load_training_config("d.h5", tmp_path, preset=name).name == name
    with pytest.raises(ConfigurationError, match=r"'nonsense' is unknown; choose one of .*docking"):
        load_training_config("d.h5", tmp_path, preset="nonsense")


def test_a_preset_may_be_a_file_and_overrides_win(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nsteps: 7\noptimizer: {learning_rate: 1e-4}\n")
    config = load_training_config(
        "d.h5", tmp_path, preset=file, overrides=["steps=8", "seed=2"], seed=5
    )
    assert (config.name, config.steps, config.seed) == ("mine", 8, 5)
    assert config.optimizer.learning_rate == 1e-4
    file.write_text("- steps")
    with pytest.raises(ConfigurationError, match="is not a mapping"):
        load_training_config("d.h5", tmp_path, preset=file)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff\xfa", "is not YAML"),
        (b"steps: !!timestamp x", "is not YAML"),
        (b"[" * 2000, "is not YAML"),
        (b"steps: &a [*a]", r"steps has to be a whole number, got \["),
        (b"seed: " + b"9" * 4000, r"seed has to be between 0 .* got 9999"),
        (b"seed: " + b"9" * 5000, "is not YAML"),
        (b"optimizer: {learning_rate: " + b"9" * 400 + b"}", "has to be a number, got 9999"),
        (b"? " + b"9" * 4000 + b"\n: 1", "9999.* is unknown"),
        (b"steps: 1\nsteps: 2", "key 'steps' is there twice"),
    ],
)
def test_a_file_that_is_no_preset_is_refused_in_a_short_line(content, complaint, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        load_training_config(__file__, tmp_path, preset=file)
    assert len(str(caught.value)) < 1000
    text = content.decode("latin-1")
    with pytest.raises(ConfigurationError):
        load_training_config(__file__, tmp_path, overrides=[f"optimizer={text}"])


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
