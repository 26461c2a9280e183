"""Rollouts: what a row is, who drives, and what is driven again."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vla_core.geometry import Pose2D
from vla_simulation.controllers.expert import expert_action
from vla_simulation.environment import DockingEnv
from vla_simulation.errors import SuiteError
from vla_simulation.suite_mix import SuiteMix
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import (
    ACTION,
    DOCK_POSE,
    DRIVER,
    DRIVERS,
    TICK_NS,
    VALID,
    observation,
    row_specs,
)
from vla_training.errors import RolloutError
from vla_training.rollouts.episode import EpisodeLimits, drive_episode
from vla_training.rollouts.options import RolloutOptions
from vla_training.rollouts.policies import choose_policy
from vla_training.rollouts.rollout import rollout

EXPERT, POLICY = DRIVERS.index("expert"), DRIVERS.index("policy")


@pytest.fixture(scope="module")
def short(contract) -> RolloutOptions:
    """Half-second looks from two places of a scene, towards each station."""
    return RolloutOptions(contract, goals="every", starts="path", looks=2, duration_s=0.5)


@pytest.fixture(scope="module")
def looks(short, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("looks") / "looks.h5"
    rollout(path, range(3), short, workers=1, progress=False)
    return path


@pytest.fixture(scope="module")
def env():
    env = DockingEnv()
    yield env
    env.close()


def read(path: Path) -> dict[str, np.ndarray]:
    with DatasetFile(path) as file:
        return {
            spec.name: file.read(spec.name, slice(0, file.frames))
            for spec in row_specs(file.contract)
        }


def test_rows_are_those_of_a_converted_bag_of_the_same_drive(contract, dataset, tmp_path):
    """Bit for bit: frames as the policy node's, labels as the recorder's."""
    ticks = 40  # as many as the shortest bag has
    options = RolloutOptions(contract, noise=0.0, duration_s=ticks * 0.05)
    rollout(tmp_path / "data.h5", range(2), options, workers=1, progress=False)
    driven = read(tmp_path / "data.h5")
    converted = read(dataset)
    compared = [*map(observation, contract.keys), VALID, ACTION, DOCK_POSE, DRIVER]
    with DatasetFile(dataset) as bags, DatasetFile(tmp_path / "data.h5") as rollouts:
        for mine in rollouts.episodes:
            theirs = next(episode for episode in bags.episodes if episode.seed == mine.seed)
            assert (mine.length, mine.instruction) == (ticks, theirs.instruction)
            assert mine.group == theirs.group
            for name in compared:
                rows = converted[name][theirs.rows][:ticks]
                np.testing.assert_array_equal(driven[name][mine.rows], rows, err_msg=name)


def test_labels_are_the_experts_at_the_visited_state_whatever_is_executed(looks):
    rows = read(looks)
    for station, action in zip(rows[DOCK_POSE], rows[ACTION], strict=True):
        wanted = expert_action(Pose2D(*station.tolist()).inverse())
        assert action == pytest.approx(wanted, abs=2e-3)
    # The disturbance is executed, not learned: the odometry shows other speeds.
    assert np.abs(rows[observation("odometry")][:, 0] - rows[ACTION][:, 0]).max() > 0.05
    assert set(rows[DRIVER]) == {EXPERT}


def test_goals_of_a_start_differ_by_the_sentence_alone(looks):
    rows = read(looks)
    with DatasetFile(looks) as file:
        episodes = file.episodes
        assert {episode.length for episode in episodes} == {10}
        assert len({(e.seed, e.split) for e in episodes}) == len({e.seed for e in episodes})
    pairs = 0
    for one, other in itertools.pairwise(episodes):
        if one.seed != other.seed or other.goal != one.goal + 1:
            continue
        pairs += 1
        assert one.instruction != other.instruction
        for key in ("image", "scan", "odometry"):
            name = observation(key)
            np.testing.assert_array_equal(rows[name][one.start], rows[name][other.start])
        assert np.abs(rows[DOCK_POSE][one.start] - rows[DOCK_POSE][other.start]).max() > 0.3
    assert pairs >= 2


def test_nothing_is_driven_twice_and_what_is_missing_comes_back_the_same(looks, short):
    before = read(looks)
    again = rollout(looks, range(3), short, workers=1, progress=False)
    assert (again.reused, again.new_frames) == (3, 0)
    parts = sorted(looks.with_suffix(".parts").iterdir())
    parts[0].unlink()
    parts[1].write_bytes(parts[1].read_bytes()[:5000])
    mended = rollout(looks, range(3), short, workers=2, progress=False)
    assert mended.reused == 1
    after = read(looks)
    for name, rows in before.items():
        np.testing.assert_array_equal(after[name], rows, err_msg=name)


def test_other_options_replace_the_parts(looks, short):
    other = rollout(looks, [0], replace(short, duration_s=0.1), workers=1, progress=False)
    assert (other.scenes, other.reused) == (1, 0)
    assert len(list(looks.with_suffix(".parts").iterdir())) == 1


def test_a_policy_drives_and_the_expert_labels(bundle, contract, tmp_path):
    policy = choose_policy(bundle.path, contract)
    options = RolloutOptions(
        contract, duration_s=2.0, policy=policy, expert_share=0.5, segment_s=0.25
    )
    summary = rollout(tmp_path / "data.h5", range(2), options, workers=1, progress=False)
    rows = read(tmp_path / "data.h5")
    assert summary.frames == len(rows[DRIVER])
    assert set(rows[DRIVER]) == {EXPERT, POLICY}
    stretches = np.flatnonzero(np.diff(rows[DRIVER].astype(int)))
    assert (np.diff(rows[TICK_NS][stretches + 1]) % 250_000_000 == 0).all()
    for station, action in zip(rows[DOCK_POSE], rows[ACTION], strict=True):
        wanted = expert_action(Pose2D(*station.tolist()).inverse())
        assert action == pytest.approx(wanted, abs=2e-3)


def drive(env, contract, executed, **limits):
    limits = EpisodeLimits(**{"duration_s": None, "settle_s": 0.3, "max_distance_m": 9.0, **limits})
    return drive_episode(
        env, contract, 4, {}, limits, lambda env, clean: (np.array(executed(clean)), POLICY)
    )


def test_an_episode_ends_before_its_states_say_nothing(env, contract):
    hit = drive(env, contract, lambda clean: (-0.3, 0.0))
    assert (hit.reason, hit.outcome.value) == ("collision", "failure")
    limit = np.hypot(*hit.rows[DOCK_POSE][0, :2]) + 0.2
    away = drive(env, contract, lambda clean: (-0.3, 0.0), max_distance_m=limit)
    assert away.reason == "astray"
    assert limit - 0.02 < np.hypot(*away.rows[DOCK_POSE][-1, :2]) <= limit
    blocked = drive(env, contract, lambda clean: clean, can_finish=lambda pose: False)
    assert (blocked.reason, blocked.length) == ("blocked", 0)


def test_the_expert_stays_in_the_dock_for_as_long_as_was_asked(env, contract):
    docked = drive(env, contract, lambda clean: clean)
    assert (docked.reason, docked.outcome.value) == ("docked", "success")
    resting = (np.abs(docked.rows[ACTION]) < 0.01).all(axis=1)
    assert resting[-6:].all()


@pytest.mark.parametrize(
    ("seeds", "reason"),
    [
        (range(999_999, 1_000_001), "held out for evaluation"),
        (range(899_999, 900_001), "reserved for choosing"),
        ([3, 3], "twice"),
        ([], "0 seeds"),
    ],
)
def test_seeds_that_must_not_be_trained_on_are_refused(seeds, reason, short, tmp_path):
    with pytest.raises(RolloutError, match=reason):
        rollout(tmp_path / "data.h5", seeds, short, progress=False)
    assert not any(tmp_path.iterdir())


def test_suites_for_evaluation_are_refused():
    with pytest.raises(SuiteError, match="'new_station' is for evaluation only"):
        SuiteMix.parse("nominal:0.5,new_station:0.5")


def test_options_name_every_mistake(contract):
    with pytest.raises(RolloutError) as caught:
        RolloutOptions(contract, goals="some", looks=3, duration_s=float("nan"), noise=-1.0)
    for part in ("goals is 'some'", "looks is 3 with", "duration is nan", "noise is -1.0"):
        assert part in str(caught.value)
