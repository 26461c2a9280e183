"""Fine-tuning as a whole, in the simulator."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from bag_making import make_contract
from small_policies import saved, small_checkpoint

from vla_core import keys
from vla_training.checkpoints import load_checkpoint
from vla_training.errors import ConfigurationError, TrainingError
from vla_training.evaluation.workers import load_any_policy
from vla_training.reinforcement.config import (
    STATE_FILE,
    FinetuneConfig,
    check_finetuning,
    load_finetune_config,
)
from vla_training.reinforcement.driving import EpisodeJob, drive_episode, forget_simulator
from vla_training.reinforcement.experience import Experience
from vla_training.reinforcement.finetuner import (
    TUNED_FILE,
    Finetuner,
    finetune,
)
from vla_training.reinforcement.fused_policy import FEATURES
from vla_training.reinforcement.learner import Learner
from vla_training.run_log import METRICS_FILE

SHORT = (
    "threads=1",
    "drive.episodes=3",
    "drive.dock_share=0",
    "drive.duration_s=1",
    "drive.replan_steps=4",
    "check.every=0",
    "ppo.minibatch=8",
    "ppo.warmup=0",
    "ppo.largest_kl=10",
)


@pytest.fixture(autouse=True)
def closed_simulator():
    yield
    forget_simulator()


@pytest.fixture
def blind(tmp_path: Path) -> str:
    """A policy with a scanner and odometry, which stands still: nothing is to be rendered."""
    contract = make_contract()
    streams = tuple(stream for stream in contract.streams if stream.key != keys.IMAGE)
    checkpoint = small_checkpoint(contract=dataclasses.replace(contract, streams=streams))
    checkpoint.weights["action_center"].zero_()
    for name, value in checkpoint.weights.items():
        if name.startswith("head."):
            value.mul_(0.1)
    return saved(checkpoint, tmp_path / "initial.pt")


def config_of(initial: str, folder: Path, *overrides: str) -> FinetuneConfig:
    return load_finetune_config(initial, folder, overrides=[*SHORT, *overrides])


def returns_without_noise(checkpoint: Path, config: FinetuneConfig, seeds: range) -> np.ndarray:
    """How much each episode came closer, in units of the potential."""
    still = dataclasses.replace(
        config,
        noise=dataclasses.replace(
            config.noise, linear_mps=1e-5, angular_radps=1e-5, relative=0.0, learned=False
        ),
    )
    driven = [
        drive_episode(EpisodeJob(still, checkpoint, 0, number, seed, at_dock=False))
        for number, seed in enumerate(seeds)
    ]
    forget_simulator()
    return np.array([each.potentials[-1] - each.potentials[0] for each in driven])


def states_of(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, object]]]:
    """Weights and figures of a run, without the time that it took."""
    lines = (folder / METRICS_FILE).read_text().splitlines()
    records = [{k: v for k, v in json.loads(line).items() if k != "spent_s"} for line in lines]
    return load_checkpoint(folder / STATE_FILE).weights, records


def test_a_resumed_run_ends_with_the_bits_of_one_without_a_break(blind, tmp_path):
    """Also where it goes on in processes of its own, whose episodes end in any order."""
    options = ("drive.episodes=2", "noise.learned=true", "ppo.entropy_weight=0.01")
    whole, parts = (config_of(blind, tmp_path / name, *options) for name in ("whole", "parts"))
    Finetuner(whole, workers=1, progress=False).run(stop_after=2)
    Finetuner(parts, workers=1, progress=False).run(stop_after=1)
    Finetuner(parts, resume=True, workers=2, progress=False).run(stop_after=2)
    (weights, records), (others, other_records) = map(
        states_of, (tmp_path / "whole", tmp_path / "parts")
    )
    assert records == other_records
    assert [record["step"] for record in records] == [1, 2]
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    moved = [n for n, v in weights.items() if not torch.equal(v, load_checkpoint(blind).weights[n])]
    assert moved
    assert {name.split(".")[0] for name in moved} == {"head", "fusion"}
    longer = dataclasses.replace(parts, ppo=dataclasses.replace(parts.ppo, clip=0.1))
    with pytest.raises(TrainingError, match=r"cannot be resumed: ppo is .*'clip': 0\.1"):
        Finetuner(longer, resume=True, workers=1, progress=False)


def test_what_drove_is_what_is_learned_from(tmp_path):
    path = Path(saved(small_checkpoint(), tmp_path / "initial.pt"))
    for number, groups in enumerate((["head", "fusion"], ["head", "vision"])):
        config = config_of(
            str(path),
            tmp_path / str(number),
            f"groups={groups}",
            "drive.duration_s=0.5",
            "ppo.epochs=1",
        )
        run = Finetuner(config, workers=1, progress=False)
        run.run(stop_after=0)
        state = tmp_path / str(number) / STATE_FILE
        driven = drive_episode(EpisodeJob(config, state, 0, 0, 500_000, at_dock=True))
        assert (FEATURES in driven.inputs) == ("vision" not in groups)
        assert driven.outcome == "left"
        assert driven.ticks.sum() == 10
        experience = Experience.of([driven])
        learner = Learner(config, load_checkpoint(path), torch.device("cpu"))
        asked = learner._ask(experience)
        white = (experience.chunks - asked["reference"]) / experience.scales
        assert 0.2 < white.std().item() < 3.0
        figures = learner.learn(experience, iteration=5)
        assert figures["policy_steps"] == 1
        assert figures["reference_kl"] < 1e-6  # but for rounding: nothing had moved before it
        assert figures["kl"] < 1e-6


def test_the_verdict_is_in_the_result_that_other_verbs_take(blind, tmp_path):
    config = config_of(
        blind,
        tmp_path / "run",
        "iterations=1",
        "drive.episodes=1",
        "verdict.suite=single",
        "verdict.episodes=1",
    )
    result = finetune(config, workers=1, progress=False)
    assert not result.verdict.kept  # one pair shows nothing
    assert "no improvement is shown" in result.verdict.reason
    told = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert told["kept"] is False
    assert told["success"]["pairs"] == 1
    unchanged, tuned = load_checkpoint(result.checkpoint), load_checkpoint(result.tuned)
    begun = load_checkpoint(blind).weights
    assert all(torch.equal(value, begun[name]) for name, value in unchanged.weights.items())
    assert result.tuned == tmp_path / "run" / TUNED_FILE
    assert not all(torch.equal(value, begun[name]) for name, value in tuned.weights.items())
    assert tuned.dataset["finetuning"] == {"iterations": 1}
    assert load_any_policy(str(tmp_path / "run")).bundle.contract == unchanged.contract


def test_all_mistakes_are_told_together_before_anything_is_driven(blind, tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        load_finetune_config(
            blind,
            tmp_path,
            overrides=["ppo.clip=2", "groups=[hands]", "reward.luck=1", "verdict.figure=speed"],
        )
    told = str(caught.value)
    for part in ("ppo.clip", "hands", "reward.luck is unknown", "verdict.figure", "4 mistakes"):
        assert part in told
    config = config_of(
        blind,
        tmp_path,
        "groups=[vision]",
        "drive.suite=paraphrase",
        "drive.first_seed=899000",
        "drive.episodes=100",
        "drive.replan_steps=10",
        "check.suite=new_station",
        "verdict.suite=nowhere",
    )
    saved(load_checkpoint(blind), tmp_path / "checkpoint.pt")
    with pytest.raises(ConfigurationError) as caught:
        check_finetuning(config, load_checkpoint(blind))
    told = str(caught.value)
    for part in (
        "holds the checkpoint of another run",
        "has no camera",
        "drive.suite: suite 'paraphrase' is for evaluation only",
        "reach into those that choose among policies",
        "does not last",
        "check.suite 'new_station' is for evaluation only",
        "verdict.suite",
    ):
        assert part in told


def test_no_seed_that_is_held_out_is_ever_driven(blind, tmp_path):
    config = config_of(blind, tmp_path, "drive.first_seed=899999", "iterations=60000")
    with pytest.raises(ConfigurationError, match="held out for evaluation"):
        check_finetuning(config, load_checkpoint(blind))


def test_a_policy_that_stands_learns_to_drive_to_the_dock(blind, tmp_path):
    config = config_of(
        blind,
        tmp_path / "run",
        "drive.mode=receding_horizon",
        "drive.replan_steps=9",
        "drive.episodes=12",
        "drive.duration_s=1.85",
        "noise.linear_mps=0.2",
        "noise.angular_radps=0.2",
        "noise.smooth_s=1",
        "ppo.learning_rate=3e-3",
        "ppo.critic_rate=3e-3",
        "ppo.minibatch=24",
        "ppo.epochs=8",
        "ppo.clip=0.4",
        "ppo.largest_kl=1",
        "ppo.reference_weight=0",
    )
    state, start = tmp_path / "run" / STATE_FILE, tmp_path / "start.pt"
    assert Finetuner(config, workers=1, progress=False).run(stop_after=0) is None
    start.write_bytes(state.read_bytes())
    Finetuner(config, workers=1, progress=False).run(stop_after=6)
    seeds = range(700_000, 700_006)
    before = returns_without_noise(start, config, seeds)
    after = returns_without_noise(state, config, seeds)
    gain = after - before
    assert (gain > 0.0).all(), gain  # by chance in 1 of 64
    assert gain.mean() > 2.5 * gain.std(ddof=1) / np.sqrt(len(gain)), gain
