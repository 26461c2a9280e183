"""What the watchdog makes of announcements and commands, on a clock that the test moves."""

from vla_policy_node.control.messages import Announcement
from vla_policy_node.control.watchdog import CommandGuard

MS = 1_000_000
PERIOD_NS = 50 * MS
DRIVE, ZERO = (0.2, 0.1), (0.0, 0.0)


class Watch:
    """A guard and a control process that drives."""

    def __init__(self, checks_rate=True, stamped=True):
        self.guard = CommandGuard(PERIOD_NS, checks_rate=checks_rate)
        self.stamped = stamped
        self.now_ns = 10**9

    def tick(self, count=1, values=DRIVE, goal=1, commanding=True, period_ns=PERIOD_NS):
        for _ in range(count):
            self.now_ns += period_ns
            stamp_ns = self.now_ns
            self.guard.announce(
                Announcement(goal, True, commanding, stamp_ns, list(values)), self.now_ns
            )
            self.guard.see(stamp_ns if self.stamped else None, list(values), self.now_ns + MS)
            self.check()
        return self

    def end(self):
        self.guard.announce(Announcement(1, False, False), self.now_ns)

    def check(self, after_ms=0, stopped=False):
        self.now_ns += after_ms * MS
        self.guard.check(self.now_ns, control_is_stopped=stopped)
        return self.guard.sends_zeros

    def foreign(self, values=DRIVE):
        return self.guard.see(self.now_ns + 3 if self.stamped else None, values, self.now_ns)


def test_a_goal_that_goes_well_is_left_alone():
    for stamped in (True, False):
        watch = Watch(stamped=stamped).tick(200)
        assert watch.guard.fault == ""
        watch.end()
        assert not watch.check(after_ms=5000)
        assert not watch.foreign(), "without a goal anybody may drive"


def test_a_control_process_that_falls_silent_is_noticed_within_100_ms():
    watch = Watch().tick(5)
    assert not watch.check(after_ms=99)
    assert watch.check(after_ms=2)
    assert watch.guard.fault == "", "a goal survives it once"
    watch.tick(1)
    assert not watch.check()
    assert watch.check(after_ms=149)
    assert watch.check(after_ms=2)
    assert "silent" in watch.guard.fault
    assert watch.guard.control_is_at_fault
    assert watch.check(after_ms=5000), "as long as needed"


def test_a_stopped_control_process_is_noticed_at_once():
    watch = Watch().tick(5)
    assert watch.check(after_ms=1, stopped=True)
    assert "stopped" in watch.guard.fault


def test_a_control_process_that_waits_may_stop():
    watch = Watch().tick(1, commanding=False)
    assert not watch.check(after_ms=500, stopped=True)


def test_zeros_follow_a_control_process_that_ended_while_driving():
    watch = Watch().tick(5)
    watch.guard.lose_control(watch.now_ns)
    assert watch.check(after_ms=900)
    assert not watch.guard.done
    assert not watch.check(after_ms=200)
    assert watch.guard.done


def test_a_control_process_that_ends_at_rest_ends_the_watch():
    watch = Watch().tick(5)
    watch.end()
    watch.guard.lose_control(watch.now_ns)
    assert not watch.guard.sends_zeros
    assert watch.guard.done


def test_somebody_else_who_moves_the_robot_is_answered_at_once():
    for stamped in (True, False):
        watch = Watch(stamped=stamped).tick(5)
        assert watch.foreign((0.3, 0.0))
        assert "somebody else" in watch.guard.fault
        assert not watch.guard.control_is_at_fault
        watch.end()
        assert not watch.guard.sends_zeros, "the goal is over"


def test_the_same_command_twice_is_one_too_many():
    watch = Watch(stamped=False).tick(5)
    assert watch.foreign(DRIVE), "the control process announced it once"


def test_a_last_zero_of_the_driver_before_is_forgiven_and_a_stream_of_zeros_is_not():
    watch = Watch().tick(2)
    assert not watch.foreign(ZERO)
    watch.tick(2)
    assert watch.guard.fault == ""
    watch.foreign(ZERO)
    watch.foreign(ZERO)
    assert "somebody else" in watch.guard.fault


def test_own_zeros_are_no_fault():
    watch = Watch().tick(3)
    watch.check(after_ms=1, stopped=True)
    for _ in range(10):
        watch.guard.expect(watch.now_ns, ZERO, watch.now_ns)
        assert not watch.guard.see(watch.now_ns, ZERO, watch.now_ns)
        watch.now_ns += 20 * MS
    assert "stopped" in watch.guard.fault


def test_a_flood_is_a_fault_except_in_simulated_time():
    watch = Watch().tick(100, period_ns=10 * MS)
    assert "commands come at" in watch.guard.fault
    watch = Watch(checks_rate=False).tick(100, period_ns=10 * MS)
    assert watch.guard.fault == ""


def test_a_new_goal_forgets_the_fault_and_nothing_else_does():
    watch = Watch().tick(3)
    watch.foreign()
    watch.tick(3)
    assert watch.guard.fault
    watch.tick(3, goal=2)
    assert watch.guard.fault == ""
