"""Features of the exported graph, limits from episodes, and what counts as an anomaly."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from vla_core import keys
from vla_core.bundle import PolicyBundle, write_bundle
from vla_core.confidence import CHUNKS, ConfidenceLimits, load_novelty
from vla_core.frames import Frame
from vla_training.checkpoints import load_checkpoint
from vla_training.confidence.anomalies import anomalies
from vla_training.confidence.calibrate import (
    CalibrationOptions,
    alarm_s,
    calibrate,
    find_limits,
)
from vla_training.confidence.drives import Drive, DriveJob, drive, forget_simulator
from vla_training.confidence.features import FeaturePolicy
from vla_training.confidence.fitting import feature_layout, fit_novelty, group_indices
from vla_training.dataset.windows import DockingDataset
from vla_training.errors import DatasetError, EvaluationError, ExportError
from vla_training.evaluation.evaluate import evaluate
from vla_training.onnx_graph import input_names
from vla_training.onnx_session import FeatureRunner


def test_the_graph_gives_the_features_that_pytorch_gives(bundle, trained, dataset):
    policy = load_checkpoint(trained.checkpoint).policy()
    data = DockingDataset(dataset, vocabulary=bundle.vocabulary)
    batch = data.batch(torch.arange(9))
    names = input_names(policy)
    featured = FeaturePolicy(policy)
    with torch.no_grad():
        actions, features = featured(*(batch[name] for name in names))
        featured.remove()
        np.testing.assert_array_equal(actions, policy(*(batch[name] for name in names)))
    run = FeatureRunner(bundle.model_path)
    run({name: batch[name].numpy() for name in names})
    np.testing.assert_allclose(run.features, features.numpy(), atol=1e-4)
    layout = feature_layout(bundle)
    assert layout == list(featured.layout)
    assert sum(size for _, size in layout) == features.shape[1]
    assert [name for name, _ in layout] == ["image/maps", "image/tokens", "scan/tokens", "answer"]
    # Taken off, the hooks see nothing any more: a training goes on as before.
    assert not any(module._forward_hooks for module in policy.modules())


def test_groups_are_each_stream_and_what_is_made_of_all():
    layout = [("image/maps", 4), ("image/tokens", 2), ("scan/tokens", 3), ("answer", 2)]
    groups = {name: found.tolist() for name, found in group_indices(layout).items()}
    assert groups == {
        "image": [0, 1, 2, 3],
        "scan": [6, 7, 8],
        "joint": [4, 5, 6, 7, 8, 9, 10],
    }


def test_familiar_frames_are_near_and_a_covered_camera_is_far(bundle, dataset):
    data = DockingDataset(dataset, "training", bundle.vocabulary)
    model = fit_novelty(bundle, data, len(data), progress=False)
    run = FeatureRunner(bundle.model_path)
    batch = data.batch(torch.arange(16))
    feeds = {name: value.numpy() for name, value in batch.items()}
    run(feeds)
    near = model.distances(run.features)
    assert 0.3 < np.median(near[:, model.names.index("image")]) < 1.5
    run({**feeds, keys.IMAGE: np.full_like(feeds[keys.IMAGE], 255)})
    far = model.distances(run.features)
    assert far[:, model.names.index("image")].min() > near[:, model.names.index("image")].max()
    # The scan is as it was.
    scan = model.names.index("scan")
    np.testing.assert_allclose(far[:, scan], near[:, scan], rtol=1e-4)


def test_too_few_frames_are_refused(bundle, dataset):
    data = DockingDataset(dataset, "training", bundle.vocabulary)
    with pytest.raises(DatasetError, match="10 are to be used, expected"):
        fit_novelty(bundle, data, 10, progress=False)


def test_a_bundle_without_features_has_to_be_exported_again(bundle, dataset, tmp_path):
    old = write_bundle(
        tmp_path / "old",
        bundle.model_path,
        bundle.contract,
        bundle.statistics,
        bundle.vocabulary,
    )
    with pytest.raises(ExportError, match="export the checkpoint again"):
        calibrate(old.path, dataset, progress=False)


def made_drive(seed, values, anomaly="", success=True):
    job = DriveJob("bundle", "nominal", seed, ("image",), 0.5, anomaly)
    # Both measures rise together: each gives the same score.
    measured = tuple(
        (0.1 * i, {"image": value, CHUNKS: 1e-9 * value}) for i, value in enumerate(values)
    )
    return Drive(job, success, 10.0, measured)


@pytest.mark.parametrize(("share", "alarms"), [(0.02, 1), (0.05, 4), (0.5, 49)])
def test_the_limit_leaves_the_wanted_share_of_familiar_episodes_alone(share, alarms):
    random = np.random.default_rng(0)
    drives = [made_drive(seed, random.gamma(2.0, size=40)) for seed in range(100)]
    options = CalibrationOptions(episodes=100, false_alarms=share)
    limits = find_limits([*drives, made_drive(3, [1e9], "covered")], ("image",), options)
    # The k-th highest score is the limit itself: k - 1 episodes pass it.
    assert sum(alarm_s(each, limits) is not None for each in drives) == alarms


def test_new_familiar_episodes_pass_the_limit_as_seldom_as_promised():
    """Over many calibrations, on average: that is what conformal prediction promises."""
    random = np.random.default_rng(1)
    options = CalibrationOptions(episodes=50, false_alarms=0.1)
    passed = []
    for _ in range(60):
        drives = [made_drive(seed, random.gamma(2.0, size=5)) for seed in range(150)]
        limits = find_limits(drives[:50], ("image",), options)
        passed += [alarm_s(each, limits) is not None for each in drives[50:]]
    assert np.mean(passed) == pytest.approx(0.1, abs=0.02)


def test_an_alarm_says_when_and_which_measure():
    limits = {"image": 2.0, CHUNKS: 1.0}
    assert alarm_s(made_drive(0, [1.0, 1.9, 2.1, 9.0]), limits) == (pytest.approx(0.2), "image")
    assert alarm_s(made_drive(0, [1.0, 2.0]), limits) is None


@pytest.mark.parametrize(("episodes", "share"), [(10, 0.05), (100, 0.0), (100, 1.0), (100, 0.009)])
def test_a_rate_that_so_few_episodes_cannot_show_is_refused(episodes, share):
    with pytest.raises(EvaluationError, match="give more episodes or accept more alarms"):
        CalibrationOptions(episodes=episodes, false_alarms=share)


def test_episodes_never_reach_the_seeds_of_evaluations():
    with pytest.raises(EvaluationError, match="seeds are for evaluation"):
        CalibrationOptions(episodes=99_000, check_episodes=2_000)


def test_anomalies_spoil_one_stream_and_keep_its_form(contract):
    random = np.random.default_rng(0)
    arrays = {
        stream.key: (random.uniform(0, 255, stream.shape)).astype(stream.dtype)
        for stream in contract.streams
    }
    valid = np.ones(len(contract.streams), bool)
    frame = Frame(0, arrays, valid, np.zeros(len(valid), np.int64))
    kinds = anomalies(contract)
    assert {"camera covered, grey", "image upside down", "scan mirrored"} <= set(kinds)
    for name, anomaly in kinds.items():
        spoil = anomaly.spoiler()
        seen = spoil(frame, 7)
        changed = [key for key in arrays if not np.array_equal(seen.arrays[key], arrays[key])]
        # A picture that hangs is right once.
        assert changed == ([anomaly.key] if anomaly.change else []), name
        for stream in contract.streams:
            array = seen.arrays[stream.key]
            assert (array.shape, array.dtype) == (stream.shape, stream.dtype), name
    spoil = kinds["image frozen"].spoiler()
    spoil(frame, 7)
    other = dataclasses.replace(frame, arrays={k: np.zeros_like(v) for k, v in arrays.items()})
    later = spoil(other, 7)
    np.testing.assert_array_equal(later.arrays[keys.IMAGE], arrays[keys.IMAGE])
    assert not later.arrays[keys.SCAN].any()


def test_a_bundle_is_calibrated_in_place_and_its_drives_have_a_score(bundle, dataset, tmp_path):
    path = shutil.copytree(bundle.path, tmp_path / "policy")
    before = PolicyBundle.load(path)
    assert ConfidenceLimits.of(before) is None
    options = CalibrationOptions(
        frames=1000, episodes=2, check_episodes=0, anomaly_episodes=0, false_alarms=0.34, jobs=1
    )
    after = calibrate(path, dataset, options, progress=False)
    assert after.path == path
    unchanged = {name: after.manifest.files[name] for name in before.manifest.files}
    assert unchanged == before.manifest.files
    assert after.manifest.extra == before.manifest.extra
    figures = after.manifest.confidence
    assert figures["calibration"]["episodes"] == 2
    assert figures["calibration"]["with_alarm"] == 0
    limits = ConfidenceLimits.of(after)
    model = load_novelty(after)
    assert limits is not None
    assert model is not None
    assert limits.names == model.names == ("image", "scan", "joint")
    # With the camera covered the image is further away than before.
    job = DriveJob(str(path), "nominal", 900_000, limits.names, 0.5)
    try:
        familiar = drive(job)
        covered = drive(dataclasses.replace(job, anomaly="camera covered, grey"))
    finally:
        forget_simulator()
    assert len(covered.measured) > 10
    usual = np.median([means["image"] for _, means in familiar.measured])
    assert max(means["image"] for _, means in covered.measured) > 1.2 * usual
    report = evaluate(path, episodes=1, seed=900_000, jobs=1, progress=False)
    assert report.results[0].confidence_score > 0.0
