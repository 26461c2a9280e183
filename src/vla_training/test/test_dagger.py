"""DAgger from the first policy to the learning curve, and people's corrections."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import TINY

from vla_training.checkpoints import load_checkpoint
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    DRIVER,
    DRIVERS,
    observation,
    row_specs,
)
from vla_training.dataset.windows import DockingDataset
from vla_training.dataset.writer import DatasetWriter, EpisodeSource
from vla_training.errors import DatasetError, RolloutError
from vla_training.rollouts.corrections import keep_corrections
from vla_training.rollouts.dagger import Round, dagger, why_over
from vla_training.rollouts.dagger_config import (
    CheckConfig,
    DaggerConfig,
    FitConfig,
    VisitConfig,
)

LONE_STATION_SEED = 950_004
"""A seed of a scene with one station, so that the check is one episode."""


@pytest.fixture(scope="module")
def config(dataset, trained, takeovers, tmp_path_factory) -> DaggerConfig:
    return DaggerConfig(
        output=tmp_path_factory.mktemp("dagger"),
        datasets=(dataset,),
        initial=trained.checkpoint,
        corrections=(takeovers,),
        rounds=1,
        visit=VisitConfig(scenes=2, seed=700, duration_s=0.6, segment_s=0.2),
        fit=FitConfig(overrides=("validate_every=2",), steps=2, learning_rate=1e-4),
        check=CheckConfig(episodes=1, seed=LONE_STATION_SEED, target=1.0),
        workers=1,
    )


@pytest.fixture(scope="module")
def result(config):
    return dagger(config, progress=False)


def test_a_round_adds_the_states_that_the_policy_visits(config, result, dataset):
    assert [each.number for each in result.rounds] == [0, 1]
    assert result.stopped == "rounds"
    with DatasetFile(config.output / "round_1" / "data.h5") as file:
        visited = [episode for episode in file.episodes if episode.bag.startswith("policy_")]
        assert {episode.seed for episode in visited} == {700, 701}
        drivers = file.gather(DRIVER, visited)
        assert DRIVERS.index("policy") in drivers
        with DatasetFile(dataset) as before:
            corrections = [episode for episode in file.episodes if episode.bag == "bag_1"]
            assert len(file.episodes) == len(before.episodes) + len(visited) + len(corrections)
            assert len(corrections) == 1
        training = sum(episode.length for episode in file.split("training"))
    assert [each.labels for each in result.rounds] == [result.rounds[0].labels, training]
    assert training > result.rounds[0].labels


def test_a_round_trains_on_from_the_last_weights(config, result, trained):
    checkpoint = load_checkpoint(result.rounds[1].checkpoint)
    assert checkpoint.config.initial == str(trained.checkpoint)
    assert checkpoint.config.optimizer.learning_rate == 1e-4
    assert checkpoint.step == 2
    before = load_checkpoint(trained.checkpoint)
    assert checkpoint.config.model == before.config.model
    moved = [
        float((checkpoint.weights[name] - value).abs().max())
        for name, value in before.weights.items()
        if value.is_floating_point() and value.shape == checkpoint.weights[name].shape
    ]
    assert max(moved) > 0.0
    assert np.median(moved) < 0.01


def test_a_learning_curve_is_left(config, result):
    curve = json.loads((config.output / "learning_curve.json").read_text())["rounds"]
    assert [point["labels"] for point in curve] == [each.labels for each in result.rounds]
    assert all(0.0 <= p["wilson_low"] <= p["success_rate"] <= p["wilson_high"] for p in curve)
    assert (config.output / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_done_is_not_done_again(config, result):
    def stamps() -> dict[Path, int]:
        rounds = [path for k in (0, 1) for path in (config.output / f"round_{k}").rglob("*")]
        return {path: path.stat().st_mtime_ns for path in rounds}

    before = stamps()
    lines: list[str] = []
    assert dagger(config, progress=False, say=lines.append) == result
    assert (stamps(), lines) == (before, [])


def test_a_run_that_was_interrupted_in_a_round_goes_on(config, result):
    state = config.output / "dagger.json"
    known = json.loads(state.read_text())
    known["rounds"].pop()  # as if it had ended while the policy of the round was judged
    state.write_text(json.dumps(known))
    part = next((config.output / "round_1" / "visited.parts").iterdir()).stat().st_mtime_ns
    trained = (config.output / "round_1" / "training" / "checkpoint.pt").stat().st_mtime_ns
    assert dagger(config, progress=False).rounds == result.rounds
    parts = (config.output / "round_1" / "visited.parts").iterdir()
    assert next(parts).stat().st_mtime_ns == part
    assert (config.output / "round_1" / "training" / "checkpoint.pt").stat().st_mtime_ns == trained


def test_other_settings_need_another_folder(config, result):
    other = replace(config, visit=replace(config.visit, expert_share=0.9))
    with pytest.raises(RolloutError, match=r"expert_share 0\.5 there, 0\.9 now"):
        dagger(other, progress=False)
    # How long it goes on may change.
    done = dagger(replace(config, check=replace(config.check, target=0.0)), progress=False)
    assert (done.stopped, len(done.rounds)) == ("target", 1)


def rounds_with(*rates: float) -> list[Round]:
    return [
        Round(k, 100 * k, 10, round(10 * rate), rate, 0.0, 1.0, 0, 0, "", "")
        for k, rate in enumerate(rates)
    ]


@pytest.mark.parametrize(
    ("rates", "reason"),
    [
        ((0.2, 0.9), "target"),
        ((0.2, 0.5, 0.5), ""),
        ((0.2, 0.5, 0.5, 0.4), "patience"),
        ((0.2, 0.3, 0.4, 0.5, 0.6), "rounds"),
    ],
)
def test_a_run_ends_when_it_is_good_or_no_longer_gets_better(rates, reason, config):
    wanted = replace(config, rounds=4, check=replace(config.check, target=0.9, patience=2))
    assert why_over(rounds_with(*rates), wanted) == reason


def test_mistakes_are_told_together(config):
    with pytest.raises(RolloutError) as caught:
        DaggerConfig(
            output=config.output,
            datasets=(),
            rounds=4,
            visit=VisitConfig(scenes=100, seed=899_700),
            check=CheckConfig(seed=1_000_000),
        )
    for part in ("seed is 899700, expected 0 to 899600", "validation seed is 1000000", "no data"):
        assert part in str(caught.value)


@pytest.fixture(scope="module")
def takeovers(dataset, contract, tmp_path_factory) -> Path:
    """Two episodes of a policy, in the second of which a person drives from row 10 to row 19."""
    path = tmp_path_factory.mktemp("takeovers") / "takeovers.h5"
    with DatasetFile(dataset) as source, DatasetWriter(path, contract) as writer:
        for number, episode in enumerate(source.episodes[:2]):
            rows = {s.name: source.read(s.name, episode.rows) for s in row_specs(contract)}
            rows[DRIVER] = np.full(episode.length, DRIVERS.index("policy"), np.uint8)
            if number == 1:
                rows[DRIVER][10:20] = DRIVERS.index("person")
            writer.append(rows)
            source_of = EpisodeSource(
                -1, "dock", "success", "policy", f"bag_{number}", f"b{number}"
            )
            writer.end_episode(source_of)
        writer.finish(validation_fraction=0.0)
    return path


def test_of_a_takeover_the_persons_actions_alone_are_learned(takeovers, tmp_path):
    assert keep_corrections(takeovers, tmp_path / "kept.h5") == 10
    with DatasetFile(tmp_path / "kept.h5") as kept, DatasetFile(takeovers) as source:
        (episode,) = kept.episodes
        assert episode.bag == "bag_1"
        known = kept.read(ACTION_VALID, episode.rows)
        assert np.flatnonzero(known).tolist() == list(range(10, 20))
        wanted = source.episodes[1].rows
        for name in (ACTION, DRIVER, observation("image")):
            np.testing.assert_array_equal(kept.read(name, episode.rows), source.read(name, wanted))
    samples = DockingDataset(tmp_path / "kept.h5")
    assert len(samples) == 10
    assert samples[9]["action_is_pad"].tolist() == [False] + [True] * 9


def test_data_without_a_person_are_no_corrections(dataset, tmp_path):
    with pytest.raises(DatasetError, match="no row that a person drove"):
        keep_corrections(dataset, tmp_path / "kept.h5")


def test_without_a_policy_the_first_one_is_trained(config, dataset, tmp_path):
    own = DaggerConfig(
        output=tmp_path,
        datasets=(dataset,),
        fit=FitConfig(overrides=(*TINY, "validate_every=2"), first_steps=2),
        check=replace(config.check, target=0.0),
        workers=1,
    )
    done = dagger(own, progress=False)
    assert (done.stopped, len(done.rounds)) == ("target", 1)
    assert load_checkpoint(done.best.checkpoint).step == 2
