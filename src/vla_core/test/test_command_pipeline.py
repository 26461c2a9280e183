import core_builders as cb
import core_strategies as cs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_core.action_chunks import ExecutionMode
from vla_core.clearance import Surroundings
from vla_core.command_pipeline import CommandPipeline
from vla_core.contract import Contract
from vla_core.contract_safety import Footprint, ObstacleSpec, SafetySpec
from vla_core.geometry import Pose2D
from vla_core.safety_envelope import Intervention

CONTRACT = Contract.from_dict(cb.contract_dict())
PERIOD = CONTRACT.action.period_ns
VALID = np.ones(3, bool)
SLOW = np.full((10, 2), 0.04)


def test_actions_come_out_at_their_time():
    pipeline = CommandPipeline(CONTRACT)
    chunk = np.linspace(0.0, 0.045, 10)[:, None] * [1.0, -1.0]
    assert pipeline.needs_inference(1000)
    pipeline.add_chunk(1000, chunk)
    for tick in range(10):
        command = pipeline.step(1000 + tick * PERIOD, VALID)
        assert command.values.tolist() == chunk[tick].tolist()
        assert command.interventions == ()
        assert command.buffer_depth == 10 - tick


def test_a_policy_that_stops_answering_stops_the_robot():
    pipeline = CommandPipeline(CONTRACT)
    pipeline.add_chunk(0, np.full((10, 2), 0.4))
    speeds, reasons = [], []
    for tick in range(30):
        command = pipeline.step(tick * PERIOD, VALID)
        speeds.append(command.values[0])
        reasons.append(command.interventions)
    assert max(speeds) == pytest.approx(0.4)
    assert reasons[9] == ()
    assert all(reason == (Intervention.STARVED,) for reason in reasons[10:])
    assert speeds[10:18] == pytest.approx([0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.0], abs=1e-9)
    assert pipeline.at_rest
    assert command.buffer_depth == 0


@pytest.mark.parametrize("invalid", [False, np.array([True, False, True])])
def test_an_invalid_stream_stops_the_robot_and_a_valid_one_lets_it_go_on(invalid):
    pipeline = CommandPipeline(CONTRACT)
    pipeline.add_chunk(0, SLOW)
    assert pipeline.step(0, True).values.tolist() == [0.04, 0.04]
    assert pipeline.step(PERIOD, invalid).interventions == (Intervention.STALE,)
    assert pipeline.at_rest
    assert pipeline.step(2 * PERIOD, VALID).values.tolist() == [0.04, 0.04]


def test_reset_starts_from_rest_without_actions():
    pipeline = CommandPipeline(CONTRACT)
    pipeline.add_chunk(0, SLOW)
    pipeline.step(0, VALID)
    assert not pipeline.at_rest
    pipeline.reset()
    assert pipeline.at_rest
    command = pipeline.step(PERIOD, VALID)
    assert command.interventions == (Intervention.STARVED,)
    assert command.values.tolist() == [0.0, 0.0]


def test_a_late_tick_causes_no_jump():
    pipeline = CommandPipeline(CONTRACT)
    pipeline.step(0, VALID)
    pipeline.add_chunk(100 * PERIOD, np.full((10, 2), 0.5))
    command = pipeline.step(100 * PERIOD, VALID)
    assert command.values == pytest.approx([0.1, 0.3])


def test_when_the_clock_is_set_back_the_robot_brakes():
    pipeline = CommandPipeline(CONTRACT)
    pipeline.add_chunk(100 * PERIOD, SLOW)
    pipeline.step(100 * PERIOD, VALID)
    command = pipeline.step(5 * PERIOD, VALID)
    assert command.interventions == (Intervention.STARVED,)
    assert command.values.tolist() == [0.0, 0.0]
    assert pipeline.step(100 * PERIOD, VALID).interventions == (Intervention.STARVED,)


def test_modes_are_passed_on():
    pipeline = CommandPipeline(CONTRACT, "open_loop", lead_ns=2 * PERIOD)
    pipeline.add_chunk(0, SLOW)
    assert not pipeline.needs_inference(7 * PERIOD)
    assert pipeline.needs_inference(8 * PERIOD)
    assert pipeline.buffer.mode is ExecutionMode.OPEN_LOOP


@pytest.mark.parametrize("shape", [(9, 2), (10, 3), (10,), (1, 10, 2)])
def test_chunks_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(10, 2\)"):
        CommandPipeline(CONTRACT).add_chunk(0, np.zeros(shape))


def test_the_caller_may_change_a_command():
    pipeline = CommandPipeline(CONTRACT)
    pipeline.add_chunk(0, SLOW)
    pipeline.step(0, VALID).values[:] = 99.0
    assert pipeline.step(PERIOD, VALID).values.tolist() == [0.04, 0.04]


@given(
    st.lists(
        st.tuples(st.integers(1, 3 * PERIOD), st.none() | cs.chunks(cs.any_float), st.booleans()),
        max_size=25,
    ),
    st.sampled_from(list(ExecutionMode)),
)
def test_commands_keep_the_limits_whatever_the_policy_says(history, mode):
    action = CONTRACT.action
    pipeline, twin = CommandPipeline(CONTRACT, mode), CommandPipeline(CONTRACT, mode)
    now_ns, previous = 0, np.zeros(2)
    for advance_ns, chunk, valid in history:
        now_ns += advance_ns
        for each in (pipeline, twin):
            if chunk is not None:
                each.add_chunk(now_ns, chunk)
        command = pipeline.step(now_ns, valid)
        assert command.values.tolist() == twin.step(now_ns, valid).values.tolist()
        assert (command.values >= action.low).all()
        assert (command.values <= action.high).all()
        step = np.array(action.max_acceleration) * 2 * PERIOD / 1e9
        assert (np.abs(command.values - previous) <= step + 1e-12).all()
        if not valid:
            assert (np.abs(command.values) <= np.abs(previous)).all()
        previous = command.values
    for _ in range(30):
        now_ns += PERIOD
        pipeline.step(now_ns, False)
    assert pipeline.at_rest


# ------------------------------------------------------------------- what stays until a new goal


@pytest.mark.parametrize("what", ["emergency_stop", "fault"])
def test_nothing_moves_after_an_emergency_stop_or_a_fault_until_reset(what):
    pipeline = CommandPipeline(CONTRACT)
    pipeline.add_chunk(0, SLOW)
    assert pipeline.step(0, VALID).values.tolist() == [0.04, 0.04]
    assert pipeline.latched == ()
    command = pipeline.step(PERIOD, VALID, **{what: True})
    assert command.values.tolist() == [0.0, 0.0]
    assert command.interventions == (Intervention(what),)
    for tick in range(2, 6):
        pipeline.add_chunk(tick * PERIOD, SLOW)
        command = pipeline.step(tick * PERIOD, VALID)
        assert command.values.tolist() == [0.0, 0.0]
        assert command.interventions == (Intervention(what),)
    assert pipeline.latched == (Intervention(what),)
    pipeline.reset()
    pipeline.add_chunk(10 * PERIOD, SLOW)
    assert pipeline.step(10 * PERIOD, VALID).values.tolist() == [0.04, 0.04]
    assert pipeline.latched == ()


def test_an_action_that_is_no_number_ends_the_motion_for_good():
    pipeline = CommandPipeline(CONTRACT)
    pipeline.add_chunk(0, SLOW)
    pipeline.step(0, VALID)
    pipeline.add_chunk(PERIOD, np.full((10, 2), np.nan))
    assert pipeline.step(PERIOD, VALID).interventions == (Intervention.NAN,)
    pipeline.add_chunk(2 * PERIOD, SLOW)
    command = pipeline.step(2 * PERIOD, VALID)
    assert command.values.tolist() == [0.0, 0.0]
    assert Intervention.FAULT in command.interventions


def test_an_emergency_stop_cuts_and_a_stop_that_is_asked_for_ramps():
    for keyword, after in (("emergency_stop", 0.0), ("stop", 0.35)):
        pipeline = CommandPipeline(CONTRACT)
        pipeline.add_chunk(0, np.full((10, 2), 0.4))
        for tick in range(8):
            pipeline.step(tick * PERIOD, VALID)
        command = pipeline.step(8 * PERIOD, VALID, **{keyword: True})
        assert command.values[0] == pytest.approx(after)
        assert command.interventions == (("emergency_stop",) if after == 0.0 else ())


# ------------------------------------------------------------------- obstacles, jerk

WARY = SafetySpec(obstacles=ObstacleSpec(Footprint(0.3, 0.28, 0.2), Pose2D(0.15, 0.0, 0.0)))
FORWARD = np.tile([0.5, 0.0], (10, 1))


def drive_at_a_wall(distance_m, scan_every=2, safety=WARY):
    """Drive towards a wall; the scan comes at 10 Hz and is up to a period old."""
    pipeline = CommandPipeline(CONTRACT, safety=safety)
    position_m, scan, history = 0.0, None, []
    for tick in range(200):
        now_ns = tick * PERIOD
        pipeline.add_chunk(now_ns, FORWARD)
        if tick % scan_every == 0:
            wall = np.array([[distance_m - position_m, y] for y in (-0.1, 0.0, 0.1)])
            scan = Surroundings(wall.astype(np.float32), now_ns)
        command = pipeline.step(now_ns, VALID, surroundings=scan)
        position_m += command.values[0] * PERIOD / 1e9
        history.append((position_m, command))
    return history


def test_the_robot_stops_in_front_of_a_wall():
    history = drive_at_a_wall(2.0)
    positions = [position for position, _ in history]
    speeds = [command.values[0] for _, command in history]
    assert max(speeds) == pytest.approx(0.5)
    assert positions[-1] == pytest.approx(2.0 - 0.3 - 0.05, abs=0.01)
    assert max(positions) <= 2.0 - 0.3 - 0.05 + 1e-6
    assert history[-1][1].interventions[-1] is Intervention.OBSTACLE
    braking = -np.diff(speeds) * 1e9 / PERIOD
    assert braking.max() <= 1.0 + 1e-6, "it sees the wall early enough to brake as it can"


def test_without_the_section_in_the_contract_the_scan_plays_no_part():
    pipeline = CommandPipeline(CONTRACT)
    pipeline.add_chunk(0, SLOW)
    around = Surroundings(np.array([[0.3, 0.0]]), 0)
    assert pipeline.step(0, VALID, surroundings=around).interventions == ()


def test_a_blind_robot_does_not_move():
    pipeline = CommandPipeline(CONTRACT, safety=WARY)
    pipeline.add_chunk(0, SLOW)
    assert pipeline.step(0, VALID).interventions == (Intervention.STALE,)
    assert pipeline.at_rest


def test_the_jerk_limit_of_the_contract_holds_from_tick_to_tick():
    pipeline = CommandPipeline(CONTRACT, safety=SafetySpec(max_jerk=(4.0, 40.0)))
    values = [0.0]
    for tick in range(60):
        if tick < 30:
            pipeline.add_chunk(tick * PERIOD, FORWARD)
        values.append(pipeline.step(tick * PERIOD, VALID).values[0])
    accelerations = np.diff(values, prepend=0.0) * 1e9 / PERIOD
    assert np.abs(np.diff(accelerations) * 1e9 / PERIOD).max() <= 4.0 + 1e-6
    assert max(values) == pytest.approx(0.5)
    assert values[-1] == 0.0
