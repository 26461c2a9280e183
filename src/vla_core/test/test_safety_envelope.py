import math

import core_builders as cb
import core_strategies as cs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_core.contract import Contract
from vla_core.safety_envelope import EnvelopeLimits, Intervention, limit_command

LIMITS = EnvelopeLimits.from_action(Contract.from_dict(cb.contract_dict()).action)
DT_S = 0.05
STEP = LIMITS.max_acceleration * DT_S
within = st.tuples(st.floats(-0.3, 0.5), st.floats(-1.0, 1.0)).map(np.array)


def limited(desired, previous=(0.0, 0.0), dt_s=DT_S, limits=LIMITS, stale=False):
    desired = None if desired is None else np.array(desired)
    command, reasons = limit_command(desired, np.array(previous), dt_s, limits, stale=stale)
    return command.tolist(), reasons


def test_a_command_within_limits_is_not_touched():
    assert limited([0.4, -0.9], [0.38, -0.8]) == ([0.4, -0.9], ())


def test_too_fast_is_clipped():
    assert limited([2.0, -9.0], [0.5, -1.0]) == ([0.5, -1.0], (Intervention.VELOCITY,))


def test_a_jump_is_approached_in_steps():
    command, reasons = limited([0.5, 0.0])
    assert command == pytest.approx([0.05, 0.0])
    assert reasons == (Intervention.ACCELERATION,)


def test_all_reasons_come_in_order():
    assert limited([9.0, 0.0])[1] == (Intervention.VELOCITY, Intervention.ACCELERATION)
    assert limited(None, stale=True)[1] == (Intervention.STALE, Intervention.STARVED)


@pytest.mark.parametrize(
    ("desired", "stale", "reason"),
    [
        (None, False, Intervention.STARVED),
        ([0.5, 1.0], True, Intervention.STALE),
        ([math.nan, 1.0], False, Intervention.NAN),
        ([0.5, math.inf], False, Intervention.NAN),
        ([0.5, -math.inf], False, Intervention.NAN),
    ],
)
def test_without_a_usable_action_the_robot_brakes_on_every_axis(desired, stale, reason):
    command, reasons = limited(desired, [0.5, -1.0], stale=stale)
    assert command == pytest.approx([0.45, -0.85])
    assert reasons == (reason,)


def test_small_commands_mean_stand_still():
    limits = EnvelopeLimits(LIMITS.low, LIMITS.high, LIMITS.max_acceleration, np.array([0.02, 0.1]))
    assert limited([0.019, -0.099], limits=limits) == ([0.0, 0.0], (Intervention.DEADBAND,))
    assert limited([0.02, -0.1], limits=limits) == ([0.02, -0.1], ())
    assert limited([0.0, 0.0], limits=limits) == ([0.0, 0.0], ())


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="expected"):
        limited([0.0])
    with pytest.raises(ValueError, match="expected"):
        limited([0.0, 0.0], [0.0])


@given(
    st.none() | cs.vectors(cs.any_float),
    cs.vectors(cs.any_float),
    cs.any_float,
    st.booleans(),
)
def test_limits_hold_for_any_input(desired, previous, dt_s, stale):
    command, reasons = limit_command(desired, previous, dt_s, LIMITS, stale=stale)
    assert np.isfinite(command).all()
    assert (command >= LIMITS.low).all()
    assert (command <= LIMITS.high).all()
    start = np.clip(np.where(np.isfinite(previous), previous, 0.0), LIMITS.low, LIMITS.high)
    elapsed = min(dt_s, 1e6) if math.isfinite(dt_s) and dt_s > 0 else 0.0
    assert (np.abs(command - start) <= LIMITS.max_acceleration * elapsed + 1e-12).all()
    if not reasons:
        assert command.tolist() == desired.tolist()
    if desired is None or stale or not np.isfinite(desired).all():
        assert reasons
        assert (np.abs(command) <= np.abs(start)).all()
        assert (command * start >= 0.0).all(), "braking must not reverse"


@given(
    within,
    st.lists(
        st.tuples(st.none() | cs.vectors(cs.any_float), st.floats(0.01, 0.2)),
        min_size=60,
        max_size=60,
    ),
)
def test_starved_or_stale_the_robot_slows_down_until_it_stands(previous, ticks):
    command, elapsed_s = previous, 0.0
    for desired, dt_s in ticks:
        slower, reasons = limit_command(desired, command, dt_s, LIMITS, stale=True)
        assert Intervention.STALE in reasons
        assert (np.abs(slower) <= np.abs(command)).all()
        command, elapsed_s = slower, elapsed_s + dt_s
        if elapsed_s > 0.5 + 1e-6:  # high / max_acceleration
            assert command.tolist() == [0.0, 0.0]
    assert command.tolist() == [0.0, 0.0]


@given(within, within)
def test_a_constant_command_is_reached(start, goal):
    command = start
    for _ in range(20):
        command, _ = limit_command(goal, command, DT_S, LIMITS, stale=False)
    assert command.tolist() == goal.tolist()


@given(st.none() | cs.vectors(cs.any_float), cs.vectors(cs.any_float), st.booleans())
def test_it_is_pure(desired, previous, stale):
    before = previous.copy()
    first = limit_command(desired, previous, DT_S, LIMITS, stale=stale)
    second = limit_command(desired, previous, DT_S, LIMITS, stale=stale)
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1] == second[1]
    assert previous.tobytes() == before.tobytes()
