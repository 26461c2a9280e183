import core_strategies as cs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_core.action_chunks import ActionChunkBuffer, ExecutionMode

PERIOD = 50_000_000
MODES = list(ExecutionMode)


def chunk(first: float, length: int = 10) -> np.ndarray:
    """Actions (first, -first), (first + 1, ...), ..."""
    values = first + np.arange(length, dtype=float)
    return np.stack([values, -values], axis=1)


def buffer(mode, **options) -> ActionChunkBuffer:
    return ActionChunkBuffer(PERIOD, mode, **options)


@pytest.mark.parametrize("mode", MODES)
def test_an_action_lasts_one_period(mode):
    chunks = buffer(mode)
    chunks.add(1000, chunk(0))
    assert chunks.action_at(999) is None
    for index in range(10):
        start = 1000 + index * PERIOD
        for now in (start, start + PERIOD - 1):
            assert chunks.action_at(now).tolist() == [index, -index]
            assert chunks.depth(now) == 10 - index
    assert chunks.action_at(1000 + 10 * PERIOD) is None
    assert chunks.depth(1000 + 10 * PERIOD) == 0


@pytest.mark.parametrize("mode", MODES)
def test_late_chunks_skip_what_has_passed(mode):
    chunks = buffer(mode)
    chunks.add(0, chunk(0))
    assert chunks.action_at(3 * PERIOD + 7).tolist() == [3, -3]


def test_modes_can_be_named():
    assert ActionChunkBuffer(PERIOD, "temporal_ensemble").mode is ExecutionMode.TEMPORAL_ENSEMBLE
    assert str(ExecutionMode.OPEN_LOOP) == "open_loop"
    with pytest.raises(ValueError, match="closed_loop"):
        ActionChunkBuffer(PERIOD, "closed_loop")


def test_receding_horizon_uses_the_newest_chunk_at_once():
    chunks = buffer(ExecutionMode.RECEDING_HORIZON)
    chunks.add(0, chunk(0))
    chunks.add(4 * PERIOD, chunk(100))
    assert chunks.action_at(3 * PERIOD).tolist() == [3, -3]
    assert chunks.action_at(4 * PERIOD).tolist() == [100, -100]
    assert chunks.action_at(13 * PERIOD).tolist() == [109, -109]
    assert chunks.depth(4 * PERIOD) == 10


def test_open_loop_drains_a_chunk_before_the_newest_one():
    chunks = buffer(ExecutionMode.OPEN_LOOP)
    chunks.add(0, chunk(0))
    chunks.add(4 * PERIOD, chunk(100))
    chunks.add(8 * PERIOD, chunk(200))
    assert chunks.action_at(9 * PERIOD).tolist() == [9, -9]
    assert chunks.action_at(10 * PERIOD).tolist() == [202, -202]
    assert chunks.action_at(18 * PERIOD) is None


def test_when_inference_is_due():
    open_loop = buffer(ExecutionMode.OPEN_LOOP)
    leading = buffer(ExecutionMode.OPEN_LOOP, lead_ns=2 * PERIOD)
    receding = buffer(ExecutionMode.RECEDING_HORIZON)
    slower = buffer(ExecutionMode.TEMPORAL_ENSEMBLE, replan_steps=4)
    blending = buffer(ExecutionMode.REAL_TIME_CHUNKING, replan_steps=3)
    for each in (open_loop, leading, receding, slower, blending):
        assert each.needs_inference(0)
        each.add(0, chunk(0))
        assert not each.needs_inference(0)
        assert each.needs_inference(10 * PERIOD)
    due = {
        name: next(tick for tick in range(11) if each.needs_inference(tick * PERIOD))
        for name, each in [
            ("o", open_loop),
            ("l", leading),
            ("r", receding),
            ("s", slower),
            ("b", blending),
        ]
    }
    assert due == {"o": 10, "l": 8, "r": 1, "s": 4, "b": 3}


def test_ensemble_weights_are_those_of_act():
    chunks = buffer(ExecutionMode.TEMPORAL_ENSEMBLE, ensemble_decay=0.5)
    for tick in range(3):
        chunks.add(tick * PERIOD, np.full((10, 2), float(tick)))
    weights = np.exp(-0.5 * np.arange(3))
    expected = (weights * [0.0, 1.0, 2.0]).sum() / weights.sum()
    np.testing.assert_allclose(chunks.action_at(2 * PERIOD), expected)


@pytest.mark.parametrize("decay", [-1e6, 1e6])
def test_extreme_decay_picks_one_chunk(decay):
    chunks = buffer(ExecutionMode.TEMPORAL_ENSEMBLE, ensemble_decay=decay)
    chunks.add(0, chunk(0))
    chunks.add(PERIOD, chunk(100))
    expected = [1, -1] if decay > 0 else [100, -100]
    assert chunks.action_at(PERIOD).tolist() == expected


@pytest.mark.parametrize("mode", MODES)
def test_a_chunk_replaces_the_one_with_its_stamp_and_clear_forgets(mode):
    chunks = buffer(mode)
    chunks.add(0, chunk(0))
    chunks.add(0, chunk(50))
    assert chunks.action_at(0).tolist() == [50, -50]
    chunks.clear()
    assert chunks.action_at(0) is None
    assert chunks.newest_stamp_ns is None


@pytest.mark.parametrize("mode", MODES)
def test_after_the_clock_was_set_back_old_chunks_are_forgotten(mode):
    chunks = buffer(mode)
    chunks.add(1000 * PERIOD, chunk(0))
    chunks.add(5 * PERIOD, chunk(100))
    assert chunks.action_at(5 * PERIOD).tolist() == [100, -100]
    assert chunks.action_at(1000 * PERIOD) is None


@pytest.mark.parametrize("mode", MODES)
def test_the_caller_may_do_what_it_likes_with_arrays(mode):
    chunks = buffer(mode)
    actions = chunk(0)
    chunks.add(0, actions)
    actions[:] = 77
    chunks.action_at(0)[:] = 88
    assert chunks.action_at(0).tolist() == [0, 0]


@pytest.mark.parametrize("shape", [(10,), (0, 2), (10, 0), (2, 5, 2), (10, 3)])
def test_chunks_of_another_shape_are_refused(shape):
    chunks = buffer(ExecutionMode.RECEDING_HORIZON)
    chunks.add(0, chunk(0))
    with pytest.raises(ValueError, match=r"expected \(H, "):
        chunks.add(PERIOD, np.zeros(shape))
    assert chunks.action_at(PERIOD).tolist() == [1, -1]


@pytest.mark.parametrize(
    "options",
    [{"period_ns": 0}, {"replan_steps": 0}, {"lead_ns": -1}, {"ensemble_decay": float("nan")}],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="expected at least"):
        ActionChunkBuffer(**{"period_ns": PERIOD, **options})


events = st.lists(
    st.tuples(st.integers(0, 40 * PERIOD), cs.chunks(), st.integers(0, 60 * PERIOD)),
    min_size=1,
    max_size=12,
)


@given(events, st.sampled_from(MODES), st.floats(-2.0, 2.0))
def test_an_action_is_always_one_that_a_chunk_has_for_this_moment(history, mode, decay):
    chunks = buffer(mode, ensemble_decay=decay)
    added: dict[int, np.ndarray] = {}
    for stamp_ns, actions, now_ns in history:
        chunks.add(stamp_ns, actions)
        added[stamp_ns] = actions
        known = [
            actions[(now_ns - stamp) // PERIOD]
            for stamp, actions in added.items()
            if 0 <= now_ns - stamp < 10 * PERIOD
        ]
        action = chunks.action_at(now_ns)
        assert (chunks.depth(now_ns) == 0) == (action is None)
        if action is None:
            continue
        assert known, "neither before a chunk begins nor after it ends"
        if mode in (ExecutionMode.TEMPORAL_ENSEMBLE, ExecutionMode.REAL_TIME_CHUNKING):
            assert (action >= np.min(known, axis=0) - 1e-9).all()
            assert (action <= np.max(known, axis=0) + 1e-9).all()
        else:
            assert any((action == candidate).all() for candidate in known)


@given(st.lists(st.tuples(st.integers(0, 4), cs.chunks()), max_size=20), st.sampled_from(MODES))
def test_nothing_is_held_once_the_policy_stops_answering(history, mode):
    chunks = buffer(mode)
    stamp_ns = 0
    for steps, actions in history:
        stamp_ns += steps * PERIOD
        chunks.add(stamp_ns, actions)
        assert chunks.action_at(stamp_ns) is not None
        assert len(chunks._chunks) <= 11
    end_ns = stamp_ns + 10 * PERIOD
    if history:
        assert chunks.depth(end_ns - 1) == 1
    for now_ns in (end_ns, end_ns + 1, end_ns + 100 * PERIOD):
        assert chunks.action_at(now_ns) is None
        assert chunks.depth(now_ns) == 0
        assert chunks.needs_inference(now_ns)


@given(st.lists(cs.chunks(), min_size=1, max_size=15), st.floats(-1.0, 1.0))
def test_receding_horizon_is_the_newest_and_ensemble_is_between_all(history, decay):
    newest = buffer(ExecutionMode.RECEDING_HORIZON)
    average = buffer(ExecutionMode.TEMPORAL_ENSEMBLE, ensemble_decay=decay)
    for tick, actions in enumerate(history):
        for each in (newest, average):
            each.add(tick * PERIOD, actions)
        assert newest.action_at(tick * PERIOD).tolist() == actions[0].tolist()
        overlapping = [history[start][tick - start] for start in range(max(0, tick - 9), tick + 1)]
        ages = np.arange(len(overlapping))
        weights = np.exp(-decay * ages) / np.exp(-decay * ages).sum()
        np.testing.assert_allclose(
            average.action_at(tick * PERIOD), weights @ np.array(overlapping), atol=1e-9
        )
