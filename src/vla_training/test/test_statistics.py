"""Statistics that add up give what the whole data give."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vla_core.normalization import FieldStatistics
from vla_training.dataset import statistics
from vla_training.dataset.statistics import QUANTILES, KeyStatistics

floats = st.floats(-1e4, 1e4, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3)


def whole(parts):
    return statistics.merged_all([{"key": KeyStatistics.of(part)} for part in parts])["key"]


@settings(deadline=None)
@given(st.lists(arrays.arrays(np.float32, (7, 3), elements=floats), min_size=1, max_size=7))
def test_floats(parts):
    found, array = whole(parts), np.concatenate(parts)
    expected = FieldStatistics.from_array(array)
    np.testing.assert_allclose(found.moments.mean, expected.mean, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.moments.std, expected.std, rtol=1e-6, atol=1e-3)
    np.testing.assert_array_equal(found.moments.min, expected.min)
    np.testing.assert_array_equal(found.moments.max, expected.max)
    for share, value in zip(QUANTILES, found.quantiles(QUANTILES), strict=True):
        exact = np.quantile(array, share, axis=0, method="inverted_cdf")
        np.testing.assert_allclose(value, exact, rtol=2.0**-8, atol=1e-30)


@settings(deadline=None)
@given(st.lists(arrays.arrays(np.uint8, (2, 4, 5, 3)), min_size=1, max_size=7))
def test_bytes_are_exact(parts):
    found, array = whole(parts), np.concatenate(parts)
    expected = FieldStatistics.from_array(array)
    np.testing.assert_allclose(found.moments.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.moments.std, expected.std, rtol=1e-9, atol=1e-9)
    exact = np.quantile(array.reshape(-1, 3), QUANTILES, axis=0, method="inverted_cdf")
    np.testing.assert_array_equal(found.quantiles(QUANTILES), exact)


def test_stored_statistics_are_the_same(tmp_path):
    generator = np.random.default_rng(0)
    stored = {
        "image": KeyStatistics.of(generator.integers(0, 256, (5, 8, 9, 3), np.uint8)),
        "scan": KeyStatistics.of(generator.normal(0.0, 3.0, (40, 36)).astype(np.float32)),
    }
    with h5py.File(tmp_path / "x.h5", "w") as file:
        statistics.write(file.create_group("statistics"), stored)
        statistics.write(file.create_group("nothing"), {})
        found = statistics.read(file["statistics"])
        assert statistics.read(file["nothing"]) == {}
    assert list(found) == list(stored)
    for key, value in stored.items():
        np.testing.assert_array_equal(found[key].bins, value.bins)
        np.testing.assert_array_equal(found[key].counts, value.counts)
        np.testing.assert_array_equal(found[key].moments.std, value.moments.std)
        assert found[key].moments.count == value.moments.count
        assert found[key].is_bytes == value.is_bytes


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-30, -7.25, 3.4e38])
def test_a_single_value_is_its_own_quantile(value):
    found = KeyStatistics.of(np.full((9, 1), value, np.float32))
    np.testing.assert_array_equal(found.quantiles([0.01, 0.5, 1.0])[:, 0], np.float32(value))
