"""The 20 Hz tick without ROS: silence, following, stopping, backing off."""

import numpy as np
import pytest
from policy_fixtures import HORIZON, contract

from vla_core.clearance import Surroundings
from vla_policy_node.control.loop import ControlLoop
from vla_policy_node.docking.goal import Motion

PERIOD_NS = 50_000_000
START_NS = 1_700_000_000_000_000_000
FORWARD = np.tile(np.array([0.2, 0.1], np.float32), (HORIZON, 1))


def near(values):
    """Equal up to the rounding of float32 actions."""
    return pytest.approx(values, abs=1e-6)


class Clockwork:
    """A control loop that is ticked at 20 Hz."""

    def __init__(self, mode="receding_horizon", replan_steps=2):
        self.loop = ControlLoop(contract(), mode, replan_steps)
        self.now_ns = START_NS

    def tick(self, count=1, valid=True):
        commands = []
        for _ in range(count):
            self.now_ns += PERIOD_NS
            command = self.loop.tick(self.now_ns, valid)
            commands.append(None if command is None else float(command.values[0]))
        return commands

    def follow(self):
        self.loop.begin()
        self.loop.add_chunk(self.now_ns, FORWARD)
        self.loop.set_motion(Motion.FOLLOW)
        return self


def test_silent_before_a_goal_and_before_the_first_follow():
    clock = Clockwork()
    assert clock.tick(3) == [None] * 3
    assert not clock.loop.running
    clock.loop.begin()
    clock.loop.add_chunk(clock.now_ns, FORWARD)
    assert clock.tick(3) == [None] * 3
    assert clock.loop.buffer_depth(clock.now_ns) == HORIZON - 3
    clock.loop.set_motion(Motion.FOLLOW)
    assert clock.tick() == [pytest.approx(0.05)]


def test_a_chunk_that_ends_is_ramped_down_not_held():
    clock = Clockwork().follow()
    speeds = clock.tick(HORIZON + 6)
    assert max(speeds) == pytest.approx(0.2)
    assert speeds[HORIZON - 1 :] == near([0.15, 0.1, 0.05, 0.0, 0.0, 0.0, 0.0])


def test_stop_ramps_down_without_calling_it_an_intervention():
    clock = Clockwork().follow()
    clock.tick(5)
    interventions = clock.loop.interventions
    clock.loop.set_motion(Motion.STOP)
    assert clock.tick(5) == near([0.15, 0.1, 0.05, 0.0, 0.0])
    assert clock.loop.at_rest
    assert clock.loop.interventions == interventions


def test_end_holds_zero_for_a_while_and_falls_silent():
    clock = Clockwork().follow()
    clock.tick(5)
    clock.loop.end(clock.now_ns, zero_hold_s=0.4)
    commands = clock.tick(12)
    assert commands[3:8] == near([0.0] * 5)
    assert commands[8:] == [None] * 4
    assert not clock.loop.running


def test_end_of_a_goal_that_never_moved_is_silent():
    clock = Clockwork()
    clock.loop.begin()
    clock.tick(3)
    clock.loop.end(clock.now_ns, zero_hold_s=0.4)
    assert clock.tick(3) == [None] * 3


def test_halt_is_silent_at_once_and_says_whether_it_stopped_a_motion():
    clock = Clockwork().follow()
    clock.tick(5)
    assert clock.loop.halt()
    assert clock.tick(2) == [None] * 2
    assert not clock.loop.halt()
    clock.loop.end(clock.now_ns, zero_hold_s=0.4)
    assert clock.tick(2) == [None] * 2


def test_backing_off_and_braking_before_the_next_attempt():
    clock = Clockwork().follow()
    clock.loop.set_motion(Motion.BACK_OFF, 0.1)
    assert clock.tick(4) == near([-0.05, -0.1, -0.1, -0.1])
    assert not clock.loop.wants_chunk(clock.now_ns)
    clock.loop.set_motion(Motion.WAIT)
    assert clock.loop.wants_chunk(clock.now_ns)
    clock.loop.add_chunk(clock.now_ns, FORWARD)
    assert clock.tick(3) == near([-0.05, 0.0, 0.0]), "published zeros, not silence"
    clock.loop.set_motion(Motion.FOLLOW)
    assert clock.tick(2) == near([0.05, 0.1])


def test_chunks_are_wanted_every_other_tick_in_spite_of_jitter():
    clock = Clockwork(replan_steps=2).follow()
    wanted = []
    for jitter_ns in (3_000_000, -3_000_000, 2_000_000, -2_000_000, 0, 1_000_000):
        clock.now_ns += PERIOD_NS
        tick_ns = clock.now_ns + jitter_ns
        wanted.append(clock.loop.wants_chunk(tick_ns))
        if wanted[-1]:
            clock.loop.add_chunk(tick_ns, FORWARD)
    assert wanted == [False, True, False, True, False, True]


def test_open_loop_asks_on_the_last_action():
    clock = Clockwork("open_loop").follow()
    wanted = []
    for _ in range(HORIZON):
        clock.tick()
        wanted.append(clock.loop.wants_chunk(clock.now_ns))
    assert wanted.index(True) in (HORIZON - 3, HORIZON - 2)


def test_a_late_chunk_of_an_ended_goal_is_dropped():
    clock = Clockwork().follow()
    clock.loop.halt()
    clock.loop.add_chunk(clock.now_ns, FORWARD)
    clock.loop.begin()
    assert clock.loop.chunk is None
    assert clock.loop.buffer_depth(clock.now_ns) == 0


# ------------------------------------------------------------------ obstacles

FOOTPRINT = {"front_m": 0.3, "rear_m": 0.28, "half_width_m": 0.2}
WARY = {"obstacles": {"footprint": FOOTPRINT, "scanner": {"x_m": 0.15}}}


class WaryClockwork(Clockwork):
    """A robot that brakes for what is this far ahead of its base."""

    def __init__(self, ahead_m):
        super().__init__()
        self.loop = ControlLoop(contract(safety=WARY), "receding_horizon", 2)
        self.ahead_m = ahead_m

    def look(self):
        self.loop.look(Surroundings(np.array([[self.ahead_m, 0.0]]), self.now_ns))


def test_an_obstacle_ahead_holds_the_policy_but_not_the_way_back():
    clock = WaryClockwork(ahead_m=0.34)
    clock.loop.begin()
    clock.loop.add_chunk(clock.now_ns, FORWARD)
    clock.loop.set_motion(Motion.FOLLOW)
    clock.look()
    assert clock.tick(3) == near([0.0, 0.0, 0.0])
    assert clock.loop.interventions == 3
    clock.loop.set_motion(Motion.BACK_OFF, 0.1)
    assert clock.tick(3) == near([-0.05, -0.1, -0.1])


def test_what_was_seen_before_a_goal_does_not_count_in_it():
    clock = WaryClockwork(ahead_m=3.0)
    clock.look()
    assert clock.follow().tick(2) == near([0.0, 0.0]), "it waits for a scan"
    clock.look()
    assert clock.tick(2) == near([0.05, 0.1])
