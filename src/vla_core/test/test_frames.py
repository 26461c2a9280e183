import core_builders as cb
import core_strategies as cs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_core.contract import Contract
from vla_core.decoding import ImageReading, OdometryReading
from vla_core.errors import DecodeError
from vla_core.frames import MISSING_AGE_NS, FrameAssembler

CONTRACT = Contract.from_dict(cb.contract_dict())
MS = 1_000_000
S = 1000 * MS


def odometry(value: float) -> OdometryReading:
    return OdometryReading(value, 0.0)


def value_of(frame) -> float:
    return float(frame.arrays["odometry"][0])


def test_a_frame_has_everything_in_the_order_of_the_contract():
    assembler = FrameAssembler(CONTRACT)
    for offset, (key, reading) in enumerate(cb.readings(3.0).items()):
        assembler.push(key, S - offset * MS, reading)
    frame = assembler.assemble(S)
    assert frame.tick_ns == S
    assert list(frame.arrays) == list(CONTRACT.keys)
    assert frame.valid.tolist() == [True, True, True]
    assert frame.age_ns.tolist() == [0, MS, 2 * MS]
    assert frame.age_ns.dtype == np.int64
    assert frame.valid.dtype == bool
    assert (frame.arrays["image"] == 3).all()


def test_a_stream_that_sent_nothing_is_marked():
    frame = FrameAssembler(CONTRACT).assemble(S)
    assert not frame.valid.any()
    assert (frame.age_ns == MISSING_AGE_NS).all()
    for stream in CONTRACT.streams:
        assert frame.arrays[stream.key].shape == stream.shape
        assert frame.arrays[stream.key].dtype == stream.dtype


def test_a_stream_that_is_too_old_is_marked_and_keeps_its_last_value():
    assembler = FrameAssembler(CONTRACT)
    assembler.push("odometry", S, odometry(2.0))
    limit = CONTRACT.stream("odometry").max_age_ns
    assert assembler.assemble(S + limit).valid.tolist() == [False, False, True]
    late = assembler.assemble(S + limit + 1)
    assert not late.valid.any()
    assert value_of(late) == 2.0
    assert late.age_ns[2] == limit + 1


def test_messages_of_the_future_are_not_used():
    assembler = FrameAssembler(CONTRACT)
    assembler.push("odometry", S + 1, odometry(1.0))
    assert not assembler.assemble(S).valid[2]
    assert value_of(assembler.assemble(S + 1)) == 1.0


def test_of_two_messages_with_one_stamp_the_later_arrival_counts():
    assembler = FrameAssembler(CONTRACT)
    assembler.push("odometry", S, odometry(1.0))
    assembler.assemble(S)
    assembler.push("odometry", S, odometry(2.0))
    assert value_of(assembler.assemble(S)) == 2.0


def test_a_reading_is_decoded_once_and_only_if_used(monkeypatch):
    decoded = []

    def counting(stream, reading):
        decoded.append(reading)
        return real(stream, reading)

    import vla_core.frames as module

    real = module.decode
    monkeypatch.setattr(module, "decode", counting)
    assembler = FrameAssembler(CONTRACT)
    for value in range(5):
        assembler.push("odometry", S + value, odometry(value))
    first, second = assembler.assemble(S + 3), assembler.assemble(S + 3)
    assert decoded == [odometry(3)]
    assert first.arrays["odometry"] is second.arrays["odometry"]
    with pytest.raises(ValueError, match="read-only"):
        first.arrays["odometry"][0] = 9.0


def test_after_the_clock_was_set_back_the_old_time_is_forgotten():
    assembler = FrameAssembler(CONTRACT)
    for tick in range(100):
        assembler.push("odometry", 10 * S + tick * MS, odometry(100 + tick))
    for tick in range(3):
        assembler.push("odometry", tick * MS, odometry(tick))
    assert value_of(assembler.assemble(2 * MS)) == 2.0
    # Even when the new time reaches the old one.
    assert value_of(assembler.assemble(11 * S)) == 2.0


def test_one_stamp_far_in_the_future_does_no_lasting_harm():
    assembler = FrameAssembler(CONTRACT)
    assembler.push("odometry", 1000 * S, odometry(-1.0))
    for tick in range(200):
        assembler.push("odometry", S + tick * MS, odometry(tick))
        assert value_of(assembler.assemble(S + tick * MS)) == tick


def test_clear_forgets_everything():
    assembler = FrameAssembler(CONTRACT)
    assembler.push("odometry", S, odometry(1.0))
    assembler.clear()
    assert not assembler.assemble(S).valid.any()


def test_messages_are_checked_when_they_come():
    assembler = FrameAssembler(CONTRACT)
    assembler.push("odometry", S, cb.odometry_message(0.5))
    with pytest.raises(DecodeError, match="stream 'odometry'"):
        assembler.push("odometry", S + 1, cb.odometry_message(float("nan")))
    assert value_of(assembler.assemble(S + 1)) == 0.5
    with pytest.raises(KeyError, match="depth"):
        assembler.push("depth", S, odometry(1.0))


def test_readings_that_do_not_fit_are_named_when_they_are_used():
    assembler = FrameAssembler(CONTRACT)
    assembler.push("scan", S, ImageReading(np.zeros((2, 2, 3), np.uint8)))
    with pytest.raises(DecodeError, match="got ImageReading, expected a reading of sensor_msgs"):
        assembler.assemble(S)


def test_memory_is_bounded():
    assembler = FrameAssembler(CONTRACT, capacity=10)
    for tick in range(1000):
        assembler.push("odometry", tick * MS, odometry(tick))
    assert len(assembler._samples["odometry"]) == 10
    assembler.assemble(1000 * MS)
    assert len(assembler._samples["odometry"]) == 1


jittered = st.lists(
    st.tuples(st.integers(0, 900 * MS), st.booleans(), st.integers(0, 900 * MS)), max_size=60
)


@given(jittered)
def test_a_frame_holds_the_latest_message_at_or_before_the_tick(events):
    """Against a slow oracle that keeps everything; stamps in any order within 0.9 s."""
    assembler = FrameAssembler(CONTRACT)
    arrived: dict[int, float] = {}
    tick_ns = 0
    for value, (stamp_ns, ticks, advance_ns) in enumerate(events):
        assembler.push("odometry", stamp_ns, odometry(value))
        arrived[stamp_ns] = float(value)
        if not ticks:
            continue
        tick_ns = max(tick_ns, advance_ns)
        frame = assembler.assemble(tick_ns)
        past = [stamp for stamp in arrived if stamp <= tick_ns]
        if not past:
            assert not frame.valid[2]
            assert frame.age_ns[2] == MISSING_AGE_NS
            continue
        assert value_of(frame) == arrived[max(past)]
        assert frame.age_ns[2] == tick_ns - max(past)
        assert frame.valid[2] == (frame.age_ns[2] <= 100 * MS)


@given(st.lists(st.tuples(st.sampled_from(CONTRACT.keys), cs.stamps_ns, st.none() | cs.stamps_ns)))
def test_whatever_comes_a_frame_is_complete_and_never_from_the_future(events):
    assembler, again = FrameAssembler(CONTRACT, 8), FrameAssembler(CONTRACT, 8)
    for index, (key, stamp_ns, tick_ns) in enumerate(events):
        for each in (assembler, again):
            each.push(key, stamp_ns, cb.readings(index)[key])
        if tick_ns is None:
            continue
        frame, twin = assembler.assemble(tick_ns), again.assemble(tick_ns)
        assert (frame.age_ns >= 0).all()
        ages_ok = [
            age <= stream.max_age_ns
            for age, stream in zip(frame.age_ns, CONTRACT.streams, strict=True)
        ]
        assert frame.valid.tolist() == ages_ok
        for stream in CONTRACT.streams:
            assert frame.arrays[stream.key].shape == stream.shape
            assert frame.arrays[stream.key].tobytes() == twin.arrays[stream.key].tobytes()
    assert all(len(samples) <= 8 for samples in assembler._samples.values())
