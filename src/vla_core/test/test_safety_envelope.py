import dataclasses
import math

import core_builders as cb
import core_strategies as cs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_core.clearance import Surroundings, speed_factor
from vla_core.contract import Contract
from vla_core.contract_safety import Footprint, ObstacleSpec
from vla_core.geometry import Pose2D
from vla_core.safety_envelope import EnvelopeLimits, Intervention, Moment, limit_command

LIMITS = EnvelopeLimits.from_action(Contract.from_dict(cb.contract_dict()).action)
DT_S = 0.05
STEP = LIMITS.max_acceleration * DT_S
within = st.tuples(st.floats(-0.3, 0.5), st.floats(-1.0, 1.0)).map(np.array)


def limited(desired, previous=(0.0, 0.0), dt_s=DT_S, limits=LIMITS, stale=False):
    desired = None if desired is None else np.array(desired)
    moment = Moment(stale=stale)
    command, reasons = limit_command(desired, np.array(previous), dt_s, limits, moment)
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
    command, reasons = limit_command(desired, previous, dt_s, LIMITS, Moment(stale=stale))
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
        slower, reasons = limit_command(desired, command, dt_s, LIMITS, Moment(stale=True))
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
        command, _ = limit_command(goal, command, DT_S, LIMITS, Moment())
    assert command.tolist() == goal.tolist()


@given(st.none() | cs.vectors(cs.any_float), cs.vectors(cs.any_float), st.booleans())
def test_it_is_pure(desired, previous, stale):
    before = previous.copy()
    first = limit_command(desired, previous, DT_S, LIMITS, Moment(stale=stale))
    second = limit_command(desired, previous, DT_S, LIMITS, Moment(stale=stale))
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1] == second[1]
    assert previous.tobytes() == before.tobytes()


# ---------------------------------------------------------------- emergency stop, faults, stops


@given(cs.vectors(cs.any_float), cs.vectors(cs.any_float), cs.any_float, st.booleans())
def test_an_emergency_stop_is_zero_at_once(desired, previous, dt_s, stale):
    moment = Moment(emergency_stop=True, stale=stale)
    command, reasons = limit_command(desired, previous, dt_s, LIMITS, moment)
    assert command.tolist() == [0.0, 0.0]
    assert reasons[0] is Intervention.EMERGENCY_STOP
    assert (Intervention.STALE in reasons) == stale
    assert (Intervention.NAN in reasons) == (not np.isfinite(desired).all())


@given(within, st.floats(0.02, 2.0), st.booleans())
def test_a_fault_brings_any_speed_to_zero_in_time(start, fault_stop_s, stale):
    action = Contract.from_dict(cb.contract_dict()).action
    limits = EnvelopeLimits.from_action(action, fault_stop_s=fault_stop_s)
    moment = Moment(fault=not stale, stale=stale)
    command, dt_s = start, fault_stop_s / 7.0
    for _ in range(7):
        slower, reasons = limit_command(np.array([0.5, 1.0]), command, dt_s, limits, moment)
        assert reasons == ((Intervention.STALE if stale else Intervention.FAULT),)
        assert (np.abs(slower) <= np.abs(command)).all()
        assert (slower * command >= 0.0).all()
        command = slower
    assert np.abs(command).max() < 1e-12


def test_braking_for_a_fault_is_harder_than_a_starved_ramp_and_within_what_was_asked_for():
    limits = EnvelopeLimits.from_action(
        Contract.from_dict(cb.contract_dict()).action, fault_stop_s=0.1
    )
    assert limited([0.5, 0.0], [0.5, 0.0], limits=limits, stale=True)[0] == [0.25, 0.0]
    assert limited(None, [0.5, 0.0], limits=limits)[0] == pytest.approx([0.45, 0.0])
    gentle_enough = EnvelopeLimits.from_action(
        Contract.from_dict(cb.contract_dict()).action, fault_stop_s=5.0
    )
    assert gentle_enough.fault_deceleration == pytest.approx(LIMITS.max_acceleration)


def test_a_stop_that_was_asked_for_is_no_intervention():
    command, reasons = limit_command(None, np.array([0.2, 0.0]), DT_S, LIMITS, Moment(stop=True))
    assert command == pytest.approx([0.15, 0.0])
    assert reasons == ()
    assert limit_command(None, command, DT_S, LIMITS, Moment(stop=True, stale=True))[1] == (
        Intervention.STALE,
    )


# ---------------------------------------------------------------- jerk

JERK = np.array([4.0, 20.0])
GENTLE = dataclasses.replace(LIMITS, max_jerk=JERK)


def driven(goals, start=(0.0, 0.0), limits=GENTLE, dt_s=DT_S):
    """Commands, their accelerations and reasons for a list of goals (None: starved)."""
    command, acceleration, history = np.array(start), np.zeros(2), []
    for goal in goals:
        moment = Moment(acceleration=acceleration)
        after, reasons = limit_command(goal, command, dt_s, limits, moment)
        acceleration = (after - command) / dt_s
        command = after
        history.append((command, acceleration, reasons))
    commands, accelerations, reasons = zip(*history, strict=True)
    return np.array(commands), np.array(accelerations), reasons


@settings(max_examples=50)
@given(within, st.floats(0.02, 0.1))
def test_a_starved_robot_stops_without_a_jolt(start, dt_s):
    count = int(1.2 / dt_s)
    commands, accelerations, reasons = driven([None] * count, start, dt_s=dt_s)
    jerks = np.diff(accelerations, axis=0, prepend=np.zeros((1, 2))) / dt_s
    assert (np.abs(jerks) <= JERK + 1e-6).all()
    assert (np.abs(accelerations) <= LIMITS.max_acceleration + 1e-9).all()
    speeds = np.abs(np.vstack([start, commands]))
    assert (np.diff(speeds, axis=0) <= 1e-12).all(), "never faster on the way to a stop"
    assert (commands * start >= 0.0).all(), "never back"
    assert commands[-1].tolist() == [0.0, 0.0]
    assert all(Intervention.STARVED in each for each in reasons)


@settings(max_examples=50)
@given(within, within)
def test_a_goal_that_stays_is_approached_without_a_jolt_and_reached(start, goal):
    commands, accelerations, _ = driven([goal] * 50, start)
    jerks = np.diff(accelerations, axis=0, prepend=np.zeros((1, 2))) / DT_S
    assert (np.abs(jerks) <= JERK + 1e-6).all()
    assert commands[-1].tolist() == goal.tolist()
    distance = np.abs(goal - np.vstack([start, commands]))
    assert (np.diff(distance, axis=0) <= 1e-12).all(), "never away from the goal, never beyond it"


@settings(max_examples=50)
@given(st.lists(st.none() | cs.vectors(cs.any_float), min_size=1, max_size=15), within)
def test_a_jerk_limit_only_ever_makes_steps_smaller(goals, start):
    commands, _, reasons = driven(goals, start)
    for before, command, goal, why in zip(
        [start, *commands], commands, goals, reasons, strict=False
    ):
        plain, plainly = limit_command(goal, before, DT_S, LIMITS, Moment())
        assert (np.abs(command - before) <= np.abs(plain - before) + 1e-12).all()
        assert (command >= LIMITS.low).all()
        assert (command <= LIMITS.high).all()
        assert (Intervention.JERK in why) == (command.tolist() != plain.tolist())
        assert set(plainly) <= set(why)


def test_a_jerk_limit_of_one_component_leaves_the_other_alone():
    limits = dataclasses.replace(LIMITS, max_jerk=np.array([4.0, np.inf]))
    commands, _, reasons = driven([np.array([0.5, 1.0])], limits=limits)
    assert commands[0] == pytest.approx([4.0 * DT_S**2, STEP[1]])
    assert reasons[0] == (Intervention.ACCELERATION, Intervention.JERK)


def test_a_fault_knows_no_jerk_limit():
    command, reasons = limit_command(
        np.array([0.5, 0.0]), np.array([0.5, 0.0]), DT_S, GENTLE, Moment(stale=True)
    )
    assert command == pytest.approx([0.45, 0.0])
    assert reasons == (Intervention.STALE,)


# ---------------------------------------------------------------- all together


@given(st.none() | cs.vectors(cs.any_float), within, st.floats(0.001, 0.2))
def test_what_was_limited_passes_unchanged(desired, previous, dt_s):
    once, _ = limit_command(desired, previous, dt_s, LIMITS, Moment())
    twice, reasons = limit_command(once, previous, dt_s, LIMITS, Moment())
    assert twice.tolist() == once.tolist()
    assert reasons == ()


OBSTACLES = ObstacleSpec(Footprint(0.3, 0.28, 0.2), Pose2D(0.15, 0.0, 0.0))
WARY = dataclasses.replace(LIMITS, obstacles=OBSTACLES)
surroundings = st.lists(st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5)), max_size=5).map(
    lambda points: Surroundings(np.array(points, np.float64).reshape(-1, 2), 0)
)


@given(st.none() | cs.vectors(cs.any_float), within, surroundings, st.booleans(), st.booleans())
def test_never_faster_towards_an_obstacle_than_allowed(desired, previous, around, fault, stop):
    moment = Moment(fault=fault, stop=stop, surroundings=around)
    command, reasons = limit_command(desired, previous, DT_S, WARY, moment)
    without, others = limit_command(desired, previous, DT_S, LIMITS, moment)
    assert speed_factor(around, OBSTACLES, *command, (1.0, 3.0)) >= 1.0 - 1e-6
    assert (np.abs(command) <= np.abs(without)).all()
    assert (command * without >= 0.0).all()
    assert np.cross([*command, 0.0], [*without, 0.0])[2] == pytest.approx(0.0), "the same arc"
    slowed = command.tolist() != without.tolist()
    assert reasons == (*others, Intervention.OBSTACLE) if slowed else reasons == others
    again, _ = limit_command(command, previous, DT_S, WARY, moment)
    assert (np.abs(again) <= np.abs(without) + 1e-9).all()


def test_a_robot_that_brakes_for_obstacles_does_not_drive_blind():
    command, reasons = limit_command(
        np.array([0.5, 0.0]), np.array([0.5, 0.0]), DT_S, WARY, Moment()
    )
    assert command == pytest.approx([0.45, 0.0])
    assert reasons == (Intervention.STALE,)


def test_somebody_steps_in_front_of_the_robot():
    """The command falls to what is safe at once, not within the acceleration limit."""
    moment = Moment(surroundings=Surroundings(np.array([[0.4, 0.0]]), 0))
    command, reasons = limit_command(np.array([0.5, 0.2]), np.array([0.5, 0.2]), DT_S, WARY, moment)
    assert 0.0 < command[0] < 0.25
    assert command[1] / command[0] == pytest.approx(0.4)
    assert reasons == (Intervention.OBSTACLE,)
