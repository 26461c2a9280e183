import math
from types import SimpleNamespace

import core_builders as cb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_core.bundle import write_bundle
from vla_core.confidence import (
    CHUNKS,
    NOVELTY_FILE,
    ConfidenceLimits,
    ConfidenceMonitor,
    FeatureGroup,
    NoveltyModel,
    chunk_difference,
    load_novelty,
)
from vla_core.contract import Contract
from vla_core.errors import BundleError
from vla_core.language import Vocabulary
from vla_core.normalization import Statistics

CONTRACT = Contract.from_dict(cb.contract_dict())
ACTION = CONTRACT.action
PERIOD_NS = ACTION.period_ns
STEP_NS = 2 * PERIOD_NS
STILL = np.zeros((ACTION.chunk_length, ACTION.size), np.float32)


def made_of(values, indices, name="image"):
    """A group whose whitening is exact: that of the values' covariance."""
    chosen = values[:, indices]
    covariance = np.cov(chosen.T, bias=True)
    spread = chosen.std(0)
    covariance /= np.outer(spread, spread)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    return FeatureGroup(
        name,
        np.array(indices),
        chosen.mean(0).astype(np.float32),
        spread.astype(np.float32),
        whitening.astype(np.float32),
    )


@pytest.fixture(scope="module")
def training():
    random = np.random.default_rng(0)
    mixing = random.normal(size=(5, 5))
    return (random.normal(size=(500, 5)) @ mixing + 3.0).astype(np.float32)


def test_distances_are_those_of_mahalanobis_by_group(training):
    model = NoveltyModel((made_of(training, [0, 1, 2]), made_of(training, [3, 4], "scan")))
    distances = model.distances(training)
    assert model.names == ("image", "scan")
    assert distances.shape == (500, 2)
    # Of whitened data the mean square is 1, whatever their correlations are.
    np.testing.assert_allclose(np.square(distances).mean(0), 1.0, rtol=1e-3)
    centred = training[7, [3, 4]] - training[:, [3, 4]].mean(0)
    inverse = np.linalg.inv(np.cov(training[:, [3, 4]].T, bias=True))
    expected = math.sqrt(centred @ inverse @ centred / 2)
    assert distances[7, 1] == pytest.approx(expected, rel=1e-3)


def test_a_combination_is_novel_where_each_feature_is_familiar():
    random = np.random.default_rng(1)
    one = random.normal(size=2000)
    pairs = np.stack([one, one + 0.05 * random.normal(size=2000)], 1).astype(np.float32)
    group = made_of(pairs, [0, 1])
    assert group.distances(np.array([[1.0, 1.0]], np.float32)) < 2.0
    assert group.distances(np.array([[1.0, -1.0]], np.float32)) > 10.0


def test_statistics_survive_the_file_in_half_precision(training):
    model = NoveltyModel((made_of(training, [0, 1, 2]), made_of(training, [3, 4], "scan")))
    again = NoveltyModel.from_bytes(model.to_bytes(), "here")
    assert again.names == model.names
    np.testing.assert_allclose(again.distances(training), model.distances(training), rtol=0.01)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 and no more", bytes(range(256)) * 9])
def test_a_damaged_file_of_statistics_is_refused(data):
    with pytest.raises(BundleError, match=r"here: novelty\.npz holds no statistics.*calibrate"):
        NoveltyModel.from_bytes(data, "here")


def written(folder, confidence, files=None):
    (folder / "graph").write_bytes(b"a graph")
    statistics = Statistics.from_arrays({"odometry": np.arange(8.0).reshape(4, 2)})
    return write_bundle(
        folder / "policy",
        folder / "graph",
        CONTRACT,
        statistics,
        Vocabulary.from_sentences(["dock"]),
        {"confidence": confidence},
        files,
    )


def test_a_bundle_without_calibration_gives_no_limits_and_no_statistics(tmp_path):
    bundle = written(tmp_path, {})
    assert ConfidenceLimits.of(bundle) is None
    assert load_novelty(bundle) is None
    bundle = written(tmp_path, {"features": [["image/maps", 8]]})
    assert ConfidenceLimits.of(bundle) is None


def test_a_bundle_keeps_limits_and_statistics(tmp_path, training):
    model = NoveltyModel((made_of(training, [0, 1, 2]),))
    (tmp_path / "n").write_bytes(model.to_bytes())
    limits = {"image": 1.5, CHUNKS: 0.1}
    entry = {"limits": limits, "window_s": 0.4, "release": 0.8}
    bundle = written(tmp_path, entry, {NOVELTY_FILE: tmp_path / "n"})
    assert ConfidenceLimits.of(bundle) == ConfidenceLimits(("image",), limits, 0.4, 0.8)
    loaded = load_novelty(bundle)
    assert loaded is not None
    assert loaded.names == ("image",)
    # They are of the exact graph: a variant has none.
    variant = SimpleNamespace(variant="fp16", manifest=bundle.manifest, path=bundle.path)
    assert load_novelty(variant) is None
    assert ConfidenceLimits.of(variant) is None


@pytest.mark.parametrize(
    "entry",
    [
        {"limits": {"image": 0.0}, "window_s": 0.5, "release": 0.9},
        {"limits": {}, "window_s": 0.5, "release": 0.9},
        {"limits": {"image": 1.0}, "window_s": -1.0, "release": 0.9},
        {"limits": {"image": 1.0}, "window_s": 0.5, "release": 2.0},
        {"limits": {"image": 1.0}, "window_s": 0.5},
        {"limits": [1.0], "window_s": 0.5, "release": 0.9},
    ],
)
def test_limits_that_make_no_sense_are_refused(tmp_path, entry):
    with pytest.raises(BundleError, match="vla calibrate"):
        ConfidenceLimits.of(written(tmp_path, entry))


def test_chunks_differ_by_what_they_say_about_the_same_ticks():
    random = np.random.default_rng(0)
    old = random.uniform(-0.1, 0.1, STILL.shape).astype(np.float32)
    new = np.zeros_like(old)
    new[:-2] = old[2:]
    assert chunk_difference(0, old, 2 * PERIOD_NS, new, ACTION) == 0.0
    new[-2:] = 9.0  # what only one of them covers does not count
    assert chunk_difference(0, old, 2 * PERIOD_NS, new, ACTION) == 0.0
    span = np.array(ACTION.high) - np.array(ACTION.low)
    new[:-2] += (0.1 * span).astype(np.float32)
    assert chunk_difference(0, old, 2 * PERIOD_NS, new, ACTION) == pytest.approx(0.1, rel=1e-5)
    assert math.isnan(chunk_difference(0, old, len(old) * PERIOD_NS, new, ACTION))
    assert math.isnan(chunk_difference(2 * PERIOD_NS, old, 0, new, ACTION))


LIMITS = ConfidenceLimits(("image", "scan"), {"image": 2.0, "scan": 4.0, CHUNKS: 0.1})


def told(monitor, values, start_ns=0, step_ns=STEP_NS):
    """Scores and doubts after each pair of distances."""
    found = []
    for i, pair in enumerate(values):
        monitor.update(start_ns + i * step_ns, STILL, np.array(pair, np.float32))
        found.append((monitor.score, monitor.doubt))
    return found


def test_the_score_is_the_worst_mean_over_the_window_by_its_limit():
    monitor = ConfidenceMonitor(LIMITS, ACTION)
    found = told(monitor, [(1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, 9.0), (1.0, 9.0), (1.0, 9.0)])
    assert math.isnan(found[1][0]), "too few measurements"
    assert found[2] == (0.5, False)
    assert monitor.worst == "scan"
    # The window of 0.5 s holds five measurements, 0.1 s apart.
    assert found[-1] == (pytest.approx((2 * 1.0 + 3 * 9.0) / 5 / 4.0), True)


def test_chunks_that_contradict_each_other_raise_the_score():
    monitor = ConfidenceMonitor(LIMITS, ACTION)
    for i in range(6):
        chunk = STILL + np.float32(0.1 if i % 2 else -0.1)
        monitor.update(i * STEP_NS, chunk, np.array([1.0, 1.0], np.float32))
    assert monitor.worst == CHUNKS
    assert monitor.doubt


def test_a_gap_and_a_new_drive_begin_anew_and_late_chunks_are_left_out():
    monitor = ConfidenceMonitor(LIMITS, ACTION)
    told(monitor, [(9.0, 1.0)] * 5)
    assert monitor.doubt
    score = monitor.score
    monitor.update(4 * STEP_NS, STILL, np.array([0.0, 0.0], np.float32))
    monitor.update(3 * STEP_NS, STILL, np.array([0.0, 0.0], np.float32))
    assert monitor.score == score
    monitor.update(4 * STEP_NS + 600_000_000, STILL, np.array([1.0, 1.0], np.float32))
    assert math.isnan(monitor.score)
    assert not monitor.doubt
    told(monitor, [(9.0, 1.0)] * 5, 2_000_000_000)
    monitor.forget()
    assert (monitor.worst, monitor.doubt) == ("", False)


def test_without_limits_or_distances_there_is_no_score_of_them():
    monitor = ConfidenceMonitor(None, ACTION)
    assert math.isnan(told(monitor, [(9.0, 9.0)] * 9)[-1][0])
    assert not monitor.doubt
    monitor = ConfidenceMonitor(LIMITS, ACTION)
    for i in range(9):
        monitor.update(i * STEP_NS, STILL, None)
    # Chunks can still be compared.
    assert (monitor.score, monitor.worst) == (0.0, CHUNKS)


@given(
    st.lists(st.floats(0.0, 10.0, width=32), min_size=1, max_size=60),
    st.floats(0.3, 1.0),
    st.integers(1, 6),
)
def test_a_doubt_begins_above_the_limit_and_ends_below_the_release(values, release, window):
    """Hysteresis: between release and limit nothing changes."""
    limits = ConfidenceLimits(("image",), {"image": 2.0}, window * 0.1, release, least=1)
    monitor = ConfidenceMonitor(limits, ACTION)
    before = False
    for i, value in enumerate(values):
        monitor.update(i * STEP_NS, STILL, np.array([value], np.float32))
        recent = values[max(0, i + 1 - window) : i + 1]
        assert monitor.score == pytest.approx(np.mean(recent) / 2.0, rel=1e-5, abs=1e-7)
        if monitor.score > 1.0:
            assert monitor.doubt
        elif monitor.score < release:
            assert not monitor.doubt
        else:
            assert monitor.doubt == before
        before = monitor.doubt
