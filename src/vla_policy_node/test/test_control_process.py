"""What the control process does with messages and at ticks, on a clock that the test moves."""

from pathlib import Path

import numpy as np
import pytest
from policy_fixtures import HORIZON, contract
from rclpy.utilities import get_rmw_implementation_identifier

from vla_policy_node.control.link import Link
from vla_policy_node.control.messages import (
    AddChunk,
    Alive,
    Begin,
    ClockTime,
    End,
    Halt,
    Move,
    Setup,
    Trip,
)
from vla_policy_node.control.pair import transport_settings
from vla_policy_node.control.server import ControlServer
from vla_policy_node.control.tick_schedule import TickSchedule

MS = 1_000_000
PERIOD_NS = 50 * MS
EPOCH_NS = 1_700_000_000_000_000_000
FORWARD = [[0.2, 0.1]] * HORIZON


def setup(**changes):
    values = {
        "contract": contract().to_yaml(),
        "mode": "receding_horizon",
        "replan_steps": 2,
        "topic": "/cmd_vel",
        "namespace": "/",
        "node_name": "vla_policy",
        "domain_id": 0,
        "simulated": False,
        "priority": 0,
        "silence_s": 0.1,
    }
    return Setup(**(values | changes))


class Bench:
    """A server with a node that is alive, and everything that it sends."""

    def __init__(self, **changes):
        self.now_ns = 7 * MS
        self.commands: list[float] = []
        self.times_ns: list[int] = []
        self.reports = []
        self.announcements = []
        self.order: list[str] = []
        self.stopped = False
        self.alive = True
        self.server = ControlServer(
            contract(),
            setup(**changes),
            publish=self._publish,
            report=self.reports.append,
            announce=self._announce,
            node_is_stopped=lambda: self.stopped,
            clock_ns=lambda: EPOCH_NS + self.now_ns,
        )

    def _publish(self, values, _stamp_ns):
        self.order.append("command")
        self.commands.append(float(values[0]))
        self.times_ns.append(self.now_ns)

    def _announce(self, announcement):
        self.order.append("announcement" if announcement.values is not None else "sign of life")
        self.announcements.append(announcement)

    def tell(self, message):
        self.server.take(message, self.now_ns)

    def say_alive(self):
        now_ns = EPOCH_NS + self.now_ns
        self.tell(Alive(now_ns - 10**9, now_ns + 10**9))

    def drive(self, goal=1):
        """A goal that follows the policy."""
        self.say_alive()
        self.tell(Begin(goal))
        self.tell(AddChunk(goal, EPOCH_NS + self.now_ns, FORWARD))
        self.follow(goal)
        self.server.run(self.now_ns)
        return self

    def follow(self, goal=1):
        self.tell(Move(goal, "FOLLOW", 0.0, 0.0))

    def run(self, duration_ms, step_ms=5, goal=1):
        """Let time pass; the node says twenty times a second that it is there."""
        for _ in range(duration_ms // step_ms):
            self.now_ns += step_ms * MS
            if self.alive and self.now_ns // MS % 50 < step_ms:
                self.say_alive()
                self.follow(goal)
            self.server.run(self.now_ns)
        return self

    @property
    def last(self):
        return self.reports[-1]


def test_ticks_keep_to_the_schedule_whatever_happened_before():
    schedule = TickSchedule(50)
    schedule.start(1000)
    assert [schedule.due(now) for now in (1000, 1020, 1049, 1053, 1100)] == [0, None, None, 3, 0]
    assert schedule.due(1337) == 187, "missed ticks are left out"
    assert [schedule.due(now) for now in (1349, 1350)] == [None, 0]
    assert schedule.due(500) == 0, "the clock was set back"


def test_silent_without_a_goal_and_before_it_is_told_to_follow():
    bench = Bench().run(300)
    assert bench.reports == bench.commands == []
    assert bench.server.next_wake_ns() is None
    bench.say_alive()
    bench.tell(Begin(1))
    bench.now_ns += PERIOD_NS
    bench.server.run(bench.now_ns)
    assert bench.commands == []
    assert bench.last.tick_ns is not None, "the node infers at this tick"
    assert bench.last.running


def test_commands_leave_every_period_and_are_announced_first():
    bench = Bench().drive().run(400)
    assert bench.commands[:4] == pytest.approx([0.05, 0.1, 0.15, 0.2])
    assert set(np.diff(bench.times_ns)) == {PERIOD_NS}
    assert bench.order[:4] == ["announcement", "command"] * 2
    for report, command in zip(bench.reports, bench.commands, strict=False):
        assert report.command.values[0] == command
        assert report.command.buffer_depth > 0
    assert [str(reason) for reason in bench.reports[0].command.interventions] == ["acceleration"]
    assert not bench.last.at_rest


def test_streams_that_grow_old_are_noticed_without_the_node():
    bench = Bench().drive().run(150)
    bench.tell(Alive(EPOCH_NS, EPOCH_NS + bench.now_ns))
    bench.alive = False
    for _ in range(2):
        bench.now_ns += PERIOD_NS
        bench.follow()
        bench.server.run(bench.now_ns)
    assert bench.last.interventions == ["stale"]
    assert bench.commands[-1] < 0.15


@pytest.mark.parametrize("fault", ["silent", "stopped", "ended", "tripped"])
def test_a_node_that_cannot_stop_the_robot_any_more_costs_the_goal(fault):
    bench = Bench().drive().run(300)
    assert bench.commands[-1] == pytest.approx(0.2)
    begun_ns, count = bench.now_ns, len(bench.commands)
    bench.alive = False
    if fault == "stopped":
        bench.stopped = True
    elif fault == "ended":
        bench.server.trip("the process of the node has ended", bench.now_ns)
    elif fault == "tripped":
        bench.tell(Trip("somebody pressed a button"))
    bench.run(200)
    zero_ns = next(
        time
        for time, v in zip(bench.times_ns[count:], bench.commands[count:], strict=True)
        if v == 0.0
    )
    assert zero_ns - begun_ns <= (155 if fault == "silent" else 5) * MS
    assert bench.last.fault
    assert bench.last.at_rest

    bench.stopped, bench.alive = False, True
    bench.run(1000)
    bench.tell(AddChunk(1, EPOCH_NS + bench.now_ns, FORWARD))
    count = len(bench.commands)
    bench.run(300)
    assert set(bench.commands[-5:]) == {0.0}
    assert len(bench.commands) == count, "silent until the next goal, though the node is back"
    assert not bench.last.running

    bench.drive(goal=2).run(200, goal=2)
    assert bench.commands[-1] > 0.1
    assert bench.last.fault == ""


def test_a_short_silence_of_the_node_is_braked_for_and_forgiven():
    bench = Bench(silence_s=0.5).drive().run(300)
    bench.tell(AddChunk(1, EPOCH_NS + bench.now_ns, FORWARD))
    bench.alive = False
    bench.run(220)
    assert bench.last.interventions == ["stale"]
    assert bench.commands[-1] < 0.2
    bench.alive = True
    bench.tell(AddChunk(1, EPOCH_NS + bench.now_ns, FORWARD))
    bench.run(300)
    assert bench.commands[-1] == pytest.approx(0.2)
    assert bench.last.fault == ""


def test_a_goal_that_hangs_is_stopped():
    bench = Bench().drive()
    for _ in range(300):
        bench.now_ns += 5 * MS
        bench.say_alive()
        bench.server.run(bench.now_ns)
    assert "goal hangs" in bench.last.fault


def test_a_control_process_that_was_stopped_does_not_drive_on():
    bench = Bench().drive().run(300)
    bench.now_ns += 400 * MS
    bench.say_alive()
    bench.follow()
    bench.server.run(bench.now_ns)
    assert bench.commands[-1] == 0.0
    assert "held up for 0.3" in bench.last.fault or "held up for 0.4" in bench.last.fault


def test_a_halt_is_one_zero_and_silence_at_once():
    bench = Bench().drive().run(300)
    count = len(bench.commands)
    bench.tell(Halt(1))
    assert bench.commands[count:] == [0.0]
    assert not bench.last.running
    bench.run(300)
    assert len(bench.commands) == count + 1
    bench.tell(Halt(1))
    assert len(bench.commands) == count + 1, "nothing to stop"


def test_the_end_of_a_goal_ramps_down_holds_zero_and_falls_silent():
    bench = Bench().drive().run(300)
    bench.tell(End(1, 0.4))
    bench.alive = False
    for _ in range(200):
        bench.now_ns += 5 * MS
        bench.say_alive()
        bench.server.run(bench.now_ns)
    assert bench.commands[-1] == 0.0
    assert not bench.last.running
    assert not bench.announcements[-1].running
    assert bench.server.next_wake_ns() is None


def test_messages_of_another_goal_change_nothing():
    bench = Bench().drive(goal=2)
    bench.tell(End(1, 0.0))
    bench.tell(Move(1, "STOP", 0.0, 0.0))
    bench.run(200, goal=2)
    assert bench.commands[-1] > 0.1


def test_simulated_time_paces_the_ticks_and_steady_time_the_signs_of_life():
    bench = Bench(simulated=True)
    bench.tell(ClockTime(10**9))
    bench.tell(Alive(0, 10**12))
    bench.tell(Begin(1))
    bench.tell(AddChunk(1, 10**9, FORWARD))
    bench.follow()
    for step in range(8):  # twice as fast as real time
        bench.tell(ClockTime(10**9 + step * PERIOD_NS))
        bench.now_ns += 25 * MS
        bench.follow()
        bench.server.run(bench.now_ns)
    assert bench.commands == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2, 0.2, 0.2, 0.2], abs=1e-6)
    count, signs = len(bench.commands), len(bench.announcements)
    for _ in range(8):  # paused
        bench.now_ns += 25 * MS
        bench.follow()
        bench.server.run(bench.now_ns)
    assert len(bench.commands) == count
    assert len(bench.announcements) >= signs + 3


@pytest.mark.parametrize(("leap_s", "word"), [(0.7, "forward"), (-0.1, "back")])
def test_simulated_time_that_leaps_costs_the_goal_and_a_reset_between_goals_does_not(leap_s, word):
    bench = Bench(simulated=True)
    bench.tell(ClockTime(10**9))
    bench.tell(ClockTime(10**10))
    bench.tell(Alive(0, 10**12))
    bench.tell(Begin(1))
    bench.tell(AddChunk(1, 10**10, FORWARD))
    for step in range(6):
        bench.tell(ClockTime(10**10 + step * PERIOD_NS))
        bench.now_ns += PERIOD_NS
        bench.follow()
        bench.server.run(bench.now_ns)
    assert bench.commands[-1] > 0.1
    bench.tell(ClockTime(10**10 + 5 * PERIOD_NS + round(leap_s * 1e9)))
    assert bench.commands[-1] == 0.0
    assert f"the clock jumped {word} by" in bench.last.fault


def test_messages_survive_the_link_and_nobody_waits_for_a_reader():
    ours, theirs = (Link(end) for end in Link.pair())
    sent = [setup(), Begin(3), AddChunk(3, EPOCH_NS, np.float32(FORWARD).tolist()), End(3, 0.5)]
    assert all(ours.send(message) for message in sent)
    assert theirs.receive() == sent
    dropped = 0
    for _ in range(5000):
        dropped += not ours.send(ClockTime(EPOCH_NS))
    assert dropped > 0
    assert len(theirs.receive()) == 5000 - dropped
    ours.hang_up()
    assert theirs.receive() == []
    assert theirs.closed


RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE"


@pytest.mark.skipif(
    "fastrtps" not in get_rmw_implementation_identifier(), reason="settings of Fast DDS"
)
def test_commands_do_not_go_through_shared_memory_unless_somebody_says_so(monkeypatch):
    for name in (RANGE, PROFILES, "FASTDDS_BUILTIN_TRANSPORTS", "ROS_STATIC_PEERS"):
        monkeypatch.delenv(name, raising=False)
    assert transport_settings()["FASTDDS_BUILTIN_TRANSPORTS"] == "UDPv4"
    monkeypatch.setenv(RANGE, "LOCALHOST")
    profile = Path(transport_settings()[PROFILES])
    assert "SHM" not in profile.read_text()
    assert "127.0.0.1" in profile.read_text()
    monkeypatch.setenv(RANGE, "OFF")
    assert transport_settings() == {}
    monkeypatch.setenv(RANGE, "SUBNET")
    monkeypatch.setenv(PROFILES, "/etc/fastdds.xml")
    assert transport_settings() == {}
