import array
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_fixtures import BEAMS, contract

from vla_core import keys
from vla_policy_node.sensing.stream_motion import Spell
from vla_policy_node.sensing.streams import StreamHub, StreamState, describe_stale


def stream(age_s: float, problem: str = "") -> StreamState:
    return StreamState("scan", "scan", 20.0, age_s, 0.25, 3, problem)


@pytest.mark.parametrize("age_s", [0.0, 0.25, -0.02])
def test_a_recent_stream_is_valid(age_s):
    assert stream(age_s).valid
    assert describe_stale((stream(age_s),)) == ""


@pytest.mark.parametrize(
    ("age_s", "words"),
    [
        (0.6, "is 0.60 s old, at most 0.25 s allowed"),
        (math.inf, "never arrived"),
        (-3.0, "is stamped 3.00 s in the future"),
    ],
)
def test_a_stream_that_cannot_be_used_is_named_with_the_reason(age_s, words):
    assert not stream(age_s).valid
    assert describe_stale((stream(age_s), stream(0.1))) == f"scan (scan) {words}" + (
        "; bring the clocks of robot and policy together" if age_s < 0 else ""
    )


def test_an_unusable_message_is_quoted():
    assert describe_stale((stream(math.inf, "scan: empty ranges"),)) == "scan: empty ranges"


# ------------------------------------------------------------------ streams that lie

NOW_NS = 1_700_000_000_000_000_000
MS = 1_000_000


def header(stamp_ns):
    return SimpleNamespace(stamp=SimpleNamespace(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9))


def odometry(stamp_ns, v_mps=0.0, x=0.0):
    position = SimpleNamespace(x=x, y=0.0)
    pose = SimpleNamespace(position=position, orientation=SimpleNamespace(z=0.0, w=1.0))
    twist = SimpleNamespace(linear=SimpleNamespace(x=v_mps), angular=SimpleNamespace(z=0.0))
    return SimpleNamespace(
        header=header(stamp_ns),
        pose=SimpleNamespace(pose=pose),
        twist=SimpleNamespace(twist=twist),
    )


def scan(stamp_ns, nearest_m=2.0):
    return SimpleNamespace(
        header=header(stamp_ns),
        ranges=np.array([nearest_m, *[3.0] * (BEAMS - 1)], np.float32),
        angle_min=-2.0,
        angle_increment=4.0 / BEAMS,
        range_min=0.05,
        range_max=8.0,
    )


def image(stamp_ns, shade=0):
    return SimpleNamespace(
        header=header(stamp_ns),
        encoding="rgb8",
        height=24,
        width=32,
        step=96,
        data=array.array("B", bytes([shade]) * 96 * 24),
    )


class Feed:
    """A hub and its robot: every 50 ms all streams, and whatever a test does to one of them."""

    def __init__(self, v_mps=0.2, **changes):
        self.jumps: list[str] = []
        self.hub = StreamHub(contract(**changes), self.jumps.append)
        self.v_mps = v_mps
        self.now_ns = NOW_NS
        self.step = 0
        self.frozen: set[str] = set()
        self.shift_ns = dict.fromkeys((keys.IMAGE, keys.SCAN, keys.ODOMETRY), 0)
        self.told_mps: float | None = None
        self._last_step = {}

    def run(self, duration_s):
        for _ in range(round(duration_s / 0.05)):
            self.step += 1
            self.now_ns += 50 * MS
            for key, shift_ns in self.shift_ns.items():
                if key not in self.frozen:
                    self._last_step[key] = self.step
                self.hub.push(key, self._message(key, self.now_ns + shift_ns), self.now_ns)
            if self.told_mps is not None:
                self.hub.note_command(self.told_mps, 0.0, self.now_ns)
        return self

    def _message(self, key, stamp_ns):
        step = self._last_step[key]
        way_m = 0.05 * step * self.v_mps
        if key == keys.IMAGE:
            return image(stamp_ns, step % 200)
        if key == keys.SCAN:
            return scan(stamp_ns, 5.0 - 1e-3 * step)
        return odometry(stamp_ns, self.v_mps, way_m)

    @property
    def invalid(self):
        return describe_stale(self.hub.states(self.now_ns))

    def check(self, words):
        """It is invalid for these words, in every way of asking."""
        assert words in self.invalid
        assert not self.hub.valid(self.now_ns)


@pytest.fixture(autouse=True)
def _steady_clocks(monkeypatch):
    """Both clocks of a hub advance together, with the stamps of the messages."""
    clock = SimpleNamespace(feed=None)
    monkeypatch.setattr(
        "vla_policy_node.sensing.streams.time",
        SimpleNamespace(monotonic_ns=lambda: clock.feed.now_ns if clock.feed else 0),
    )
    original = Feed.__init__

    def init(self, *arguments, **changes):
        original(self, *arguments, **changes)
        clock.feed = self

    monkeypatch.setattr(Feed, "__init__", init)


def test_streams_that_do_what_they_should_are_valid():
    feed = Feed().run(3.0)
    assert feed.invalid == ""
    assert feed.hub.valid(feed.now_ns)
    assert feed.jumps == []


@pytest.mark.parametrize("key", [keys.IMAGE, keys.SCAN, keys.ODOMETRY])
def test_a_frozen_stream_of_a_moving_robot_is_not_believed(key):
    feed = Feed().run(2.0)
    feed.frozen.add(key)
    feed.run(0.9)
    assert feed.invalid == "", "not before its maximum age"
    feed.run(0.3)
    feed.check(f"{key} (")
    assert "is frozen: the same content for 1." in feed.invalid
    feed.frozen.clear()
    feed.run(0.1)
    assert feed.invalid == ""


@pytest.mark.parametrize("key", [keys.IMAGE, keys.SCAN, keys.ODOMETRY])
def test_it_is_said_beforehand_until_when_a_frozen_stream_may_be_believed(key):
    """So that the control process stops in time by itself, however late the node is."""
    feed = Feed().run(2.0)
    last_ns = feed.now_ns  # of the content that is repeated from now on
    feed.frozen.add(key)
    feed.run(0.2)
    assert feed.hub.validity_ns(feed.now_ns)[1] == last_ns + 1000 * MS
    feed.frozen.clear()
    feed.run(0.05)
    assert feed.hub.validity_ns(feed.now_ns)[1] == feed.now_ns + 1000 * MS


def test_who_starts_to_move_has_the_maximum_age_to_see_something_new():
    feed = Feed(v_mps=0.0)
    feed.frozen.add(keys.IMAGE)
    feed._last_step[keys.IMAGE] = 0
    feed.run(5.0)
    feed.v_mps = 0.2
    feed.run(0.05)
    started_ns = feed.now_ns
    assert feed.hub.validity_ns(feed.now_ns)[1] == started_ns + 1000 * MS
    feed.run(0.5)
    feed.v_mps = 0.0  # before it is frozen: nothing can be said any more
    feed.run(3.0)
    assert feed.invalid == ""


@given(
    since_ns=st.integers(0, 100),
    lasts_ns=st.none() | st.integers(0, 100),
    duration_ns=st.integers(1, 100),
    counted_from_ns=st.integers(0, 100),
)
def test_a_spell_exceeds_a_time_where_enough_of_it_is_counted(
    since_ns, lasts_ns, duration_ns, counted_from_ns
):
    spell = Spell(since_ns, None if lasts_ns is None else since_ns + lasts_ns)
    end_ns = 1000 if lasts_ns is None else since_ns + lasts_ns
    counted = [
        now_ns
        for now_ns in range(end_ns + 1)
        if min(now_ns - since_ns, now_ns - counted_from_ns) > duration_ns
    ]
    exceeds_ns = spell.exceeds_ns(duration_ns, counted_from_ns)
    assert (exceeds_ns is None) == (not counted)
    if counted:
        assert exceeds_ns == counted[0] - 1


@pytest.mark.parametrize("key", [keys.IMAGE, keys.SCAN])
def test_a_stream_stays_frozen_when_the_robot_has_braked_for_it(key):
    feed = Feed().run(2.0)
    feed.frozen.add(key)
    feed.run(1.2)
    feed.check(f"{key} (")
    feed.v_mps = 0.0
    feed.run(3.0)
    feed.check(f"{key} (")
    feed.frozen.clear()
    feed.run(0.1)
    assert feed.invalid == ""


@pytest.mark.parametrize("key", [keys.IMAGE, keys.SCAN, keys.ODOMETRY])
def test_nothing_is_frozen_while_the_robot_stands(key):
    """A simulator without noise shows the same bits again and again."""
    feed = Feed(v_mps=0.0)
    feed.frozen.add(key)
    feed._last_step[key] = 0
    feed.run(5.0)
    assert feed.invalid == ""


def test_odometry_that_does_not_notice_a_command_is_frozen_or_the_wheels_are_blocked():
    feed = Feed(v_mps=0.0).run(2.0)
    feed.told_mps = 0.2
    feed.run(1.0)
    assert feed.invalid == ""
    feed.run(1.0)
    feed.check("odometry (odom) is frozen")
    assert "while the robot should be moving" in feed.invalid
    feed.told_mps = 0.02
    feed.run(1.0)
    feed.check("odometry (odom) is frozen")
    feed.hub.give_another_chance()
    assert feed.invalid == "", "creeping against a contact is no fault"


def test_a_camera_that_hangs_with_the_odometry_is_found_by_what_the_robot_was_told():
    feed = Feed(v_mps=0.0).run(2.0)
    feed.told_mps = 0.2
    feed.frozen.update({keys.IMAGE, keys.ODOMETRY})
    feed.run(2.0)
    feed.check("image (camera/image_raw) is frozen")


@pytest.mark.parametrize("key", [keys.IMAGE, keys.SCAN, keys.ODOMETRY])
@pytest.mark.parametrize(
    ("shift_ns", "words"),
    [(300 * MS, "s in the future"), (-700 * MS, "s before an earlier message")],
)
def test_stamps_out_of_time_are_no_news(key, shift_ns, words):
    feed = Feed().run(1.0)
    feed.shift_ns[key] = shift_ns
    feed.run(0.5)
    assert words in {state.key: state for state in feed.hub.states(feed.now_ns)}[key].problem
    if shift_ns > 0:
        feed.run(0.6)
        feed.check("s in the future; bring the clocks")
        feed.shift_ns[key] = 0
        feed.run(0.1)
        assert feed.invalid == ""


def test_the_same_stamp_again_and_again_grows_old():
    feed = Feed().run(1.0)
    stamp_ns, feed.shift_ns = feed.now_ns, {}
    for step in range(30):
        feed.now_ns += 50 * MS
        feed.hub.push(keys.SCAN, scan(stamp_ns, 1.0 + step), feed.now_ns)
        feed.hub.push(keys.IMAGE, image(feed.now_ns, step), feed.now_ns)
        feed.hub.push(keys.ODOMETRY, odometry(feed.now_ns, 0.1, step), feed.now_ns)
    feed.check("scan (scan) repeats the stamp of the message before")


def test_one_message_late_does_no_harm():
    feed = Feed().run(1.0)
    feed.hub.push(keys.SCAN, scan(feed.now_ns - 60 * MS), feed.now_ns)
    assert feed.hub.valid(feed.now_ns)
    assert feed.invalid == ""


@pytest.mark.parametrize("jump_s", [5.0, -5.0])
def test_a_clock_that_jumps_is_told_and_all_streams_begin_anew(jump_s, monkeypatch):
    feed = Feed().run(1.0)
    steady = feed.now_ns + 50 * MS
    monkeypatch.setattr(
        "vla_policy_node.sensing.streams.time", SimpleNamespace(monotonic_ns=lambda: steady)
    )
    feed.now_ns += 50 * MS + round(jump_s * 1e9)
    feed.hub.push(keys.ODOMETRY, odometry(feed.now_ns, 0.2), feed.now_ns)
    (jump,) = feed.jumps
    assert jump == f"the clock jumped {'forward' if jump_s > 0 else 'back'} by 5.00 s"
    feed.check("never arrived")


def test_a_simulated_clock_may_leap():
    hub = StreamHub(contract())
    for stamp_ns in (NOW_NS, NOW_NS - 10**12):
        hub.push(keys.ODOMETRY, odometry(stamp_ns), stamp_ns)
    state = {state.key: state for state in hub.states(stamp_ns)}[keys.ODOMETRY]
    assert state.age_s == 0.0


def test_after_a_clock_was_set_back_the_rates_are_those_of_the_new_time():
    feed = Feed().run(3.0)
    feed.now_ns -= 60 * 10**9
    feed.run(1.0)
    assert all(state.rate_hz == pytest.approx(20.0) for state in feed.hub.states(feed.now_ns))
    # What stood still before the leap and after it is frozen from the leap on, not a minute later.
    feed = Feed().run(1.0)
    feed.frozen = {keys.SCAN}
    feed.run(0.1)
    feed.now_ns -= 60 * 10**9
    feed.run(1.5)
    feed.check("is frozen")


def test_after_a_clock_was_set_back_nobody_waits_for_a_command_of_the_old_time_to_show():
    feed = Feed()
    feed.told_mps = 0.2
    feed.run(10.0)
    feed.now_ns -= 6 * 10**9  # the robot was stopped for it, and stands
    feed.told_mps, feed.v_mps = None, 0.0
    for _ in range(40):
        feed.run(0.05)
        assert feed.invalid == ""


def test_points_of_the_scan_are_there_for_robots_that_brake_for_obstacles():
    feed = Feed().run(0.1)
    assert feed.hub.surroundings is None
    footprint = {"front_m": 0.3, "rear_m": 0.28, "half_width_m": 0.2}
    wary = Feed(safety={"obstacles": {"footprint": footprint, "scanner": {"x_m": 0.15}}})
    wary.hub.push(keys.SCAN, scan(NOW_NS, 0.8), NOW_NS)
    seen = wary.hub.surroundings
    assert seen.stamp_ns == NOW_NS
    x, y = 0.15 + 0.8 * math.cos(-2.0), 0.8 * math.sin(-2.0)
    assert seen.points == pytest.approx(np.array([[x, y]]), abs=1e-6), "the rest is too far away"
