"""REAL_TIME_CHUNKING: what is being executed stays, the overlap is blended, the rest is new."""

import core_builders
import core_strategies as cs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_core.action_chunks import ActionChunkBuffer, ExecutionMode
from vla_core.command_pipeline import CommandPipeline
from vla_core.contract import Contract

CONTRACT = Contract.from_dict(core_builders.contract_dict())
PERIOD = 50_000_000
LENGTH = 10


def buffer() -> ActionChunkBuffer:
    return ActionChunkBuffer(PERIOD, ExecutionMode.REAL_TIME_CHUNKING)


def constant(value: float) -> np.ndarray:
    return np.full((LENGTH, 2), value)


def plan(chunks: ActionChunkBuffer, first: int, last: int) -> np.ndarray:
    """(last - first, 2) actions for ticks, NaN where there is none."""
    actions = [chunks.action_at(tick * PERIOD) for tick in range(first, last)]
    return np.array([np.full(2, np.nan) if action is None else action for action in actions])


def test_a_new_chunk_takes_over_in_equal_steps():
    chunks = buffer()
    chunks.add(0, constant(0.0))
    for tick in range(5):
        assert chunks.take(tick * PERIOD).tolist() == [0.0, 0.0]
    # Computed from tick 2, here after tick 4: of the old plan, ticks 5 to 9 are left.
    chunks.add(2 * PERIOD, constant(0.6))
    taken_over = plan(chunks, 4, 12)[:, 0]
    np.testing.assert_allclose(taken_over, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6])
    np.testing.assert_allclose(np.diff(taken_over)[:6], 0.1)


def test_before_the_first_command_there_is_nothing_to_blend_with():
    chunks = buffer()
    chunks.add(0, constant(0.0))
    assert chunks.action_at(3 * PERIOD).tolist() == [0.0, 0.0], "a look commits to nothing"
    chunks.add(4 * PERIOD, constant(0.6))
    assert chunks.take(4 * PERIOD).tolist() == [0.6, 0.6]
    chunks.clear()
    chunks.add(5 * PERIOD, constant(0.1))
    chunks.add(6 * PERIOD, constant(0.2))
    assert chunks.take(6 * PERIOD).tolist() == [0.2, 0.2]


def test_after_the_old_plan_has_run_dry_the_new_chunk_counts_alone():
    chunks = buffer()
    chunks.add(0, constant(0.0))
    chunks.take(9 * PERIOD)
    assert chunks.take(10 * PERIOD) is None
    chunks.add(7 * PERIOD, constant(0.6))
    assert chunks.take(11 * PERIOD).tolist() == [0.6, 0.6]


def test_a_chunk_that_is_older_than_the_newest_is_left_out():
    chunks = buffer()
    chunks.add(4 * PERIOD, constant(0.5))
    chunks.add(2 * PERIOD, constant(9.0))
    assert plan(chunks, 4, 14).max() == 0.5


def test_source_is_the_newest_chunk_with_a_say():
    chunks = buffer()
    assert chunks.source_ns(0) is None
    chunks.add(0, constant(0.0))
    chunks.take(PERIOD)
    chunks.add(2 * PERIOD, constant(0.6))
    assert chunks.source_ns(PERIOD) == 0
    assert chunks.source_ns(2 * PERIOD) == 2 * PERIOD
    drained_first = ActionChunkBuffer(PERIOD, ExecutionMode.OPEN_LOOP)
    drained_first.add(0, constant(0.0))
    drained_first.add(2 * PERIOD, constant(0.6))
    assert drained_first.source_ns(9 * PERIOD) == 0
    assert drained_first.source_ns(10 * PERIOD) == 2 * PERIOD


arrivals = st.lists(st.tuples(st.integers(1, 6), st.integers(0, LENGTH - 1)), max_size=12)


@given(arrivals, st.integers(0, 1000))
def test_latency_is_compensated(schedule, seed):
    """Chunks that agree about the future give it back, however late each of them arrives."""
    future = np.random.default_rng(seed).normal(size=(120, 2))
    events: dict[int, list[int]] = {0: [0]}
    stamp = 0
    for gap, delay in schedule:
        stamp += gap
        events.setdefault(stamp + delay, []).append(stamp)
    chunks = buffer()
    known_to = 0
    for tick in range(100):
        for stamp in events.get(tick, []):
            chunks.add(stamp * PERIOD, future[stamp : stamp + LENGTH])
            known_to = max(known_to, stamp + LENGTH)
        action = chunks.take(tick * PERIOD)
        assert (action is None) == (tick >= known_to)
        if action is not None:
            np.testing.assert_allclose(action, future[tick], atol=1e-12)


@given(
    st.lists(st.tuples(st.integers(1, 5), cs.chunks()), min_size=1, max_size=8),
    st.integers(0, 6),
    st.integers(-PERIOD // 3, PERIOD // 3),
)
def test_seams_are_continuous_and_nothing_comes_later_than_asked(history, delay, jitter_ns):
    chunks = buffer()
    rows: dict[int, list[np.ndarray]] = {}  # what chunks have said about a tick
    ready: dict[int, tuple[int, np.ndarray]] = {}
    stamp = 0
    for gap, actions in history:
        ready[stamp + delay] = (stamp, actions)
        stamp += gap
    taken = None
    for tick in range(stamp + delay + LENGTH):
        if tick in ready:
            stamp, actions = ready[tick]
            before = plan(chunks, tick - 1, tick + LENGTH)
            chunks.add(stamp * PERIOD, actions)
            after = plan(chunks, tick - 1, tick + LENGTH)
            for index in range(stamp, stamp + LENGTH):
                rows.setdefault(index, []).append(actions[index - stamp])
            if stamp == tick:  # nothing of the new chunk has passed
                after[0] = before[0]
            if taken == tick - 1 and not np.isnan(before[1]).any():
                _check_seam(before, after, actions[tick - stamp :])
        action = chunks.take(tick * PERIOD + max(0, jitter_ns))
        if action is not None:
            taken = tick
            said = np.array(rows[tick])
            assert (action >= said.min(axis=0) - 1e-9).all()
            assert (action <= said.max(axis=0) + 1e-9).all()


def _check_seam(before: np.ndarray, after: np.ndarray, new: np.ndarray) -> None:
    """`before` and `after` begin with the action that is being executed, `new` one later."""
    overlap = int((~np.isnan(before[1:, 0])).sum())
    np.testing.assert_allclose(after[0], before[0], atol=1e-9)
    disagreement = np.abs(new[:overlap] - before[1 : 1 + overlap])
    worst = disagreement.max(axis=0)
    first_step = np.abs(after[1] - before[1])
    # Jitter of up to a third of a period moves the moment from which the blend begins.
    assert (first_step <= disagreement[0] * 1.4 / (overlap + 1) + 1e-9).all()
    steps = np.abs(np.diff(after[: 1 + overlap], axis=0))
    inherent = np.maximum(
        np.abs(np.diff(before[: 1 + overlap], axis=0)),
        np.abs(np.diff(np.vstack([new[:1], new[:overlap]]), axis=0)),
    )
    assert (steps <= inherent + worst * 1.6 / (overlap + 1) + 1e-9).all()
    if len(new) > overlap:
        np.testing.assert_allclose(after[1 + overlap : 1 + len(new)], new[overlap:], atol=1e-9)


@pytest.mark.parametrize("delay", [0, 1, 3, 6])
def test_of_equal_noise_the_seams_are_smaller_than_those_of_the_newest_chunk_alone(delay):
    generator = np.random.default_rng(7)
    smooth, abrupt = buffer(), ActionChunkBuffer(PERIOD, ExecutionMode.RECEDING_HORIZON)
    steps: dict[str, list[float]] = {"smooth": [], "abrupt": []}
    last: dict[str, np.ndarray] = {}
    for tick in range(400):
        if tick >= delay and tick % 2 == 0:
            noisy = 0.3 + np.tile(generator.normal(0.0, 0.05, 2), (LENGTH, 1))
            for each in (smooth, abrupt):
                each.add((tick - delay) * PERIOD, noisy)
        for name, each in (("smooth", smooth), ("abrupt", abrupt)):
            action = each.take(tick * PERIOD)
            if name in last and action is not None:
                steps[name].append(float(np.abs(action - last[name]).max()))
            if action is not None:
                last[name] = action
    assert max(steps["smooth"]) < 0.8 * max(steps["abrupt"])
    assert np.percentile(steps["smooth"], 99) < 0.5 * np.percentile(steps["abrupt"], 99)


def test_the_pipeline_executes_what_it_blends():
    pipeline = CommandPipeline(CONTRACT, ExecutionMode.REAL_TIME_CHUNKING)
    pipeline.add_chunk(0, constant(0.0))
    for tick in range(5):
        pipeline.step(tick * PERIOD, True)
    pipeline.add_chunk(2 * PERIOD, constant(0.06))
    speeds = [pipeline.step(tick * PERIOD, True).values[0] for tick in range(5, 12)]
    assert speeds == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.06])
