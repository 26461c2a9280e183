import json
import math

import numpy as np
import pytest
import torch
from scipy import stats

from vla_core import keys
from vla_core.geometry import Pose2D
from vla_simulation.config import SimulationConfig
from vla_simulation.scenes.starts import sample_episode
from vla_simulation.suites import load_suite
from vla_training.dataset.windows import DOCK_POSE_KNOWN, DockingDataset
from vla_training.errors import EvaluationError
from vla_training.evaluation.correlation import (
    correlate,
    correlation_rows,
    permutation_p,
    spearman,
    spearman_interval,
)
from vla_training.evaluation.evaluate import evaluate
from vla_training.evaluation.first_frames import FirstFrames, _docks_from, right_station_figures
from vla_training.evaluation.offline import (
    Prediction,
    _Errors,
    headline,
    offline_report,
    offline_rows,
)


@pytest.fixture(scope="module")
def data(dataset):
    return DockingDataset(dataset, "validation", storage="mapped")


@pytest.fixture(scope="module")
def report(trained, dataset):
    return offline_report(trained.checkpoint, dataset)


def figures_of(data, change, turn=0.0):
    """Errors of a policy that is off the labels by a constant."""
    batch = data.batch(torch.arange(len(data)))
    pose = batch[keys.DOCK_POSE].numpy() + np.array([0.03, -0.02, turn])
    errors = _Errors(0.05)
    errors.add(batch, Prediction(batch[keys.ACTION].numpy() + np.float32(change), pose))
    return errors.figures(), batch


def test_a_perfect_policy_has_no_error(data):
    figures, batch = figures_of(data, (0.0, 0.0))
    assert set(figures["chunk"]["mean_error"].values()) == {0.0}
    assert set(figures["chunk"]["end"].values()) == {0.0}
    near = batch[keys.DOCK_POSE][:, :2].norm(dim=1) < 0.4
    assert figures["terminal"]["samples"] == int((near & batch[DOCK_POSE_KNOWN]).sum())


def test_constant_errors_are_found(data):
    figures, _ = figures_of(data, (0.1, 0.0), turn=math.tau - 0.01)
    chunk = figures["chunk"]
    assert chunk["step_error"]["linear.x"] == pytest.approx([0.1] * 10, abs=1e-5)
    assert chunk["mean_error"]["angular.z"] == pytest.approx(0.0, abs=1e-7)
    # Half a second of 0.1 m/s too much; aside only as far as the way bends.
    assert chunk["end"]["longitudinal_mm"] == pytest.approx(50.0, abs=1.0)
    assert chunk["end"]["lateral_mm"] < 8.0
    assert chunk["end"]["yaw_deg"] == pytest.approx(0.0, abs=1e-3)
    assert figures["dock_pose"] == {
        "x_mm": pytest.approx(30.0, abs=0.01),
        "y_mm": pytest.approx(20.0, abs=0.01),
        "yaw_deg": pytest.approx(math.degrees(0.01), abs=1e-3),
    }
    turning, _ = figures_of(data, (0.0, 0.2))
    assert turning["chunk"]["end"]["yaw_deg"] == pytest.approx(math.degrees(0.1), abs=1e-3)


def test_a_bundle_has_the_errors_of_its_checkpoint(report, bundle, dataset):
    other = offline_report(bundle.path, dataset)
    for part in ("chunk", "terminal"):
        for name, values in report[part]["step_error"].items():
            assert other[part]["step_error"][name] == pytest.approx(values, abs=1e-4)
    assert "dock_pose" in report
    assert "dock_pose" not in other  # the graph gives actions alone
    assert set(other["headline"]) < set(report["headline"])


def test_the_report_can_be_written_and_shown(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["headline"] == headline(report)
    assert ("chunk linear.x", f"{report['chunk']['mean_error']['linear.x']:.4g}") in offline_rows(
        report
    )


def test_a_policy_of_another_robot_is_refused(bundle, tmp_path, bags):
    from small_bags import METADATA, SMALL_CONTRACT, small_messages, write_small_bag

    from vla_training.conversion.pipeline import convert

    write_small_bag(tmp_path / "bag", small_messages(40, 1), metadata=METADATA)
    write_small_bag(tmp_path / "other", small_messages(40, 2), metadata=METADATA)
    out = tmp_path / "data.h5"
    convert([tmp_path], out, SMALL_CONTRACT, validation_fraction=0.5, jobs=1, progress=False)
    with pytest.raises(EvaluationError, match="do not fit"):
        offline_report(bundle.path, out)


def test_the_right_station_is_the_nearest_to_the_predicted_pose():
    stations = np.array([[2.0, 0.8], [2.0, 0.0], [2.0, -0.9]])
    frames = FirstFrames(
        torch.arange(4), (stations,) * 4, (0, 1, 1, 2), ("colour", "colour", "side", "side"), 1
    )
    poses = np.array([[1.9, 0.5, 0.0], [2.3, 0.3, 0.0], [2.0, -0.6, 0.0], [9.0, -9.0, 0.0]])
    figures = right_station_figures(frames, poses)
    assert (figures["all"]["successes"], figures["all"]["episodes"]) == (3, 4)
    assert figures["colour"]["success_rate"] == 1.0
    assert figures["side"]["successes"] == 1
    assert figures["side"]["wilson_low"] < 0.5 < figures["side"]["wilson_high"]


def test_docks_are_where_the_robot_would_see_them():
    suite = load_suite("nominal")
    seed = next(
        seed
        for seed in range(1_000_000, 1_000_100)
        if len(sample_episode(seed, suite, SimulationConfig().station)[0].stations) == 3
    )
    scene, world_from_base = sample_episode(seed, suite, SimulationConfig().station)
    docks = _docks_from(scene.world_from_dock.relative_to(world_from_base), scene)
    for dock, station in zip(docks, scene.stations, strict=True):
        there = world_from_base @ Pose2D(*dock.tolist())
        assert (there.x, there.y) == pytest.approx(
            (station.world_from_dock.x, station.world_from_dock.y)
        )


@pytest.mark.parametrize("ties", [False, True])
def test_spearman_is_scipys(ties):
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 6))
    if ties:
        a = np.round(a)
    expected = stats.spearmanr(a, b).statistic
    assert spearman(a, b) == pytest.approx(expected)
    exact = stats.permutation_test(
        (a,),
        lambda x, axis=-1: np.abs(np.apply_along_axis(lambda row: spearman(row, b), axis, x)),
        permutation_type="pairings",
        alternative="greater",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert permutation_p(a, b) == pytest.approx(exact.pvalue, abs=1e-6)


def test_many_policies_get_a_p_by_drawing():
    rng = np.random.default_rng(6)
    a = rng.normal(size=30)
    b = a + rng.normal(size=30)
    expected = stats.spearmanr(a, b)
    assert permutation_p(a, b) == pytest.approx(expected.pvalue, abs=0.01)
    assert permutation_p(a, rng.normal(size=30)) > 0.05
    low, high = spearman_interval(expected.statistic, 30)
    assert -1.0 < low < expected.statistic < high < 1.0
    assert math.isnan(spearman(np.ones(5), np.arange(5)))


def test_the_interval_of_a_correlation_covers_it():
    """Of pairs with a known Spearman correlation, 95 % of the intervals hold it."""
    rng = np.random.default_rng(7)
    pearson = 0.6
    true = 6 / math.pi * math.asin(pearson / 2)
    inside = 0
    for _ in range(1000):
        x = rng.normal(size=12)
        y = pearson * x + math.sqrt(1 - pearson**2) * rng.normal(size=12)
        low, high = spearman_interval(spearman(x, y), 12)
        inside += low <= true <= high
    assert 0.92 <= inside / 1000 <= 0.98


def test_offline_metrics_are_correlated_with_success(report, tmp_path):
    closed = evaluate("expert", episodes=10, jobs=1, progress=False).to_dict()
    offline_paths, closed_paths = [], []
    for number, successes in enumerate((2, 5, 7, 10)):
        better = {**report, "policy": f"p{number}"}
        better["headline"] = {"chunk linear.x": 0.1 - 0.02 * number, "same": 1.0}
        offline_paths.append(tmp_path / f"{number}_offline.json")
        offline_paths[-1].write_text(json.dumps(better))
        closed_paths.append(tmp_path / f"{number}.json")
        closed_paths[-1].write_text(json.dumps({**closed, "successes": successes}))
    found = correlate(offline_paths, closed_paths)
    assert found["success_rate"] == [0.2, 0.5, 0.7, 1.0]
    assert found["metrics"]["chunk linear.x"]["rho"] == -1.0
    assert found["metrics"]["chunk linear.x"]["p"] == pytest.approx(2 / 24)
    assert found["metrics"]["same"]["rho"] is None
    assert correlation_rows(found)[-1] == ("same", "constant")
    with pytest.raises(EvaluationError, match="at least 4"):
        correlate(offline_paths[:3], closed_paths[:3])
    with pytest.raises(EvaluationError, match="expected slip"):
        correlate(offline_paths, closed_paths, "slip")
    with pytest.raises(EvaluationError, match="no report of offline metrics"):
        correlate(closed_paths, closed_paths)
    for wrong in ('{"policy": "p", "headline": {"same": [1]}}', "[" * 5000):
        offline_paths[1].write_text(wrong)
        with pytest.raises(EvaluationError, match="no report of offline metrics"):
            correlate(offline_paths, closed_paths)
    offline_paths[1] = offline_paths[0]
    for name, value in (("successes", None), ("episodes", 0), ("successes", 11)):
        closed_paths[1].write_text(json.dumps({**closed, "successes": 5, name: value}))
        with pytest.raises(EvaluationError, match="succe"):
            correlate(offline_paths, closed_paths)
