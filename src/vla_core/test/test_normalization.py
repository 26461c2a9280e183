import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla_core.errors import StatisticsError
from vla_core.normalization import FieldStatistics, Statistics

matrices = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 30), st.integers(1, 4)),
    elements=st.floats(-1e3, 1e3, width=32),
)
methods = st.sampled_from(["mean_std", "min_max", "none"])


def test_statistics_are_per_component_of_the_last_axis():
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), np.uint8)
    actions = np.random.default_rng(1).normal(size=(5, 10, 2))
    statistics = Statistics.from_arrays({"image": images, "action": actions})
    image = statistics.field("image")
    assert image.mean.shape == (3,)
    assert image.count == 5 * 6 * 7
    flat = images.reshape(-1, 3).astype(float)
    np.testing.assert_allclose(image.mean, flat.mean(axis=0))
    np.testing.assert_allclose(image.std, flat.std(axis=0))
    np.testing.assert_array_equal(image.min, flat.min(axis=0))
    np.testing.assert_array_equal(image.max, flat.max(axis=0))
    assert statistics.field("action").mean.shape == (2,)


@given(matrices, st.integers(1, 29))
def test_chunks_give_the_statistics_of_the_whole(matrix, cut):
    whole = Statistics.from_arrays({"x": matrix}).field("x")
    parts = [part for part in (matrix[:cut], matrix[cut:]) if len(part)]
    chunked = Statistics.from_arrays({"x": iter(parts)}).field("x")
    assert chunked.count == whole.count
    np.testing.assert_allclose(chunked.mean, whole.mean, atol=1e-6)
    np.testing.assert_allclose(chunked.std, whole.std, atol=1e-5)
    np.testing.assert_array_equal(chunked.min, whole.min)
    np.testing.assert_array_equal(chunked.max, whole.max)
    assert (chunked.min <= chunked.mean).all()
    assert (chunked.mean <= chunked.max).all()


@given(matrices, methods)
def test_denormalize_is_the_inverse_of_normalize(matrix, method):
    statistics = Statistics.from_arrays({"x": matrix}, {"x": method})
    normalized = statistics.normalize("x", matrix)
    assert normalized.dtype == np.float32
    assert np.isfinite(normalized).all()
    np.testing.assert_allclose(statistics.denormalize("x", normalized), matrix, atol=1e-2)


def test_methods():
    data = np.array([[0.0, 5.0], [10.0, 5.0]])
    scaled = {
        method: Statistics.from_arrays({"x": data}, {"x": method}).normalize("x", data).tolist()
        for method in ("mean_std", "min_max", "none")
    }
    # The second component never changes: shifted, not blown up.
    assert scaled["mean_std"] == [[-1.0, 0.0], [1.0, 0.0]]
    assert scaled["min_max"] == [[-1.0, 0.0], [1.0, 0.0]]
    assert scaled["none"] == data.tolist()


@given(matrices, methods)
def test_json_round_trip_is_exact(matrix, method):
    statistics = Statistics.from_arrays({"x": matrix, "y": matrix}, {"y": method})
    again = Statistics.from_json(statistics.to_json())
    assert list(again.fields) == ["x", "y"]
    assert again.field("y").normalization == method
    for name in ("mean", "std", "min", "max"):
        assert (
            getattr(again.field("x"), name).tolist()
            == getattr(statistics.field("x"), name).tolist()
        )
    assert again.field("x").count == statistics.field("x").count


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"x": np.zeros((0, 3))}, "statistics of 'x': an array of shape"),
        ({"x": iter([])}, "statistics of 'x': no data"),
        ({"x": np.array([[np.nan]])}, "statistics of 'x': an array with NaN"),
        ({"x": [np.zeros((1, 2)), np.zeros((1, 3))]}, "2 components in one part of the data, 3"),
    ],
)
def test_unusable_data_are_named(arrays, expected):
    with pytest.raises(StatisticsError, match=expected):
        Statistics.from_arrays(arrays)


def test_wrong_keys_and_shapes_are_named():
    statistics = Statistics.from_arrays({"scan": np.ones((4, 5))})
    with pytest.raises(StatisticsError, match="'image': missing, there are only scan"):
        statistics.normalize("image", np.zeros(3))
    with pytest.raises(StatisticsError, match=r"shape \(4,\), expected \(..., 5\)"):
        statistics.denormalize("scan", np.zeros(4))
    with pytest.raises(StatisticsError, match=r"shape \(\)"):
        statistics.normalize("scan", np.float32(1.0))


def entry(**changes):
    values = {
        "normalization": "mean_std",
        "count": 3,
        "mean": [0.0],
        "std": [1.0],
        "min": [-1.0],
        "max": [1.0],
        **changes,
    }
    return json.dumps({"format_version": 1, "fields": {"x": values}})


def test_the_entry_of_the_next_test_is_fine():
    assert isinstance(Statistics.from_json(entry()).field("x"), FieldStatistics)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"format_version": 2, "fields": {}}',
        '{"format_version": 1, "fields": [1]}',
        '{"format_version": 1, "fields": {"x": 1}}',
        entry(mean=[0.0, 1.0]),
        entry(mean=[], std=[], min=[], max=[]),
        entry(mean=[float("nan")]),
        entry(mean="zero"),
        entry(std=[-1.0]),
        entry(min=[2.0]),
        entry(count=0),
        entry(count=True),
        entry(normalization="log"),
        "[" * 100_000,
    ],
)
def test_texts_that_are_no_statistics(text):
    with pytest.raises(StatisticsError):
        Statistics.from_json(text)


@given(st.binary(max_size=30))
def test_any_bytes_are_a_statistics_error(data):
    with pytest.raises(StatisticsError):
        Statistics.from_json(data)
