"""The state machine of a docking goal, driven through time without ROS."""

import math
from dataclasses import replace

import pytest

from vla_core.docking import DockTolerance
from vla_core.geometry import Pose2D
from vla_policy_node.docking.goal import Motion, Phase, Situation
from vla_policy_node.docking.progress import DockingProgress, DockingRules
from vla_policy_node.docking.rear_view import RearView
from vla_policy_node.docking.retreat import RetreatRules
from vla_policy_node.errors import (
    Canceled,
    DockTimeout,
    FailedToCharge,
    FailedToControl,
    FailedToDetectDock,
    FailedToStage,
    PolicyUnsure,
    UnknownFault,
)
from vla_policy_node.sensing.streams import StreamState

TICK_NS = 50_000_000
START_NS = 1_700_000_000_000_000_000

IMAGE = StreamState("image", "camera/image_raw", 20.0, 0.03, 0.2, 10)
SCAN = StreamState("scan", "scan", 10.0, 0.05, 0.3, 5)
STALE_SCAN = replace(SCAN, age_s=0.9)
MISSING_SCAN = replace(SCAN, age_s=math.inf, messages=0)

DRIVING = Situation(
    now_ns=START_NS,
    streams=(IMAGE, SCAN),
    chunk_ready=True,
    at_rest=False,
    speed_mps=0.2,
    dock_from_base=None,
    charging=False,
)
STANDING = replace(DRIVING, at_rest=True, speed_mps=0.0)
DOCKED_POSE = Pose2D(-0.005, 0.004, 0.01)


class Run:
    """Feeds a state machine at 20 Hz."""

    def __init__(self, **rules):
        self.progress = DockingProgress(DockingRules(**rules), START_NS)
        self.now_ns = START_NS
        self.motion = None

    def step(self, situation, seconds=0.05):
        for _ in range(round(seconds / 0.05)):
            self.now_ns += TICK_NS
            self.motion = self.progress.update(replace(situation, now_ns=self.now_ns))
            if self.progress.outcome is not None:
                break
        return self.motion

    def drive(self, **changes):
        """Through perception, then at speed."""
        self.step(STANDING)
        assert self.motion is Motion.FOLLOW
        self.step(replace(DRIVING, **changes), 1.0)
        return self

    def finish(self):
        """Stand still until the outcome is there."""
        self.step(STANDING, 1.0)
        return self.progress.outcome

    @property
    def phase(self):
        return self.progress.phase


def test_waits_for_streams_and_first_chunk_before_it_follows():
    run = Run()
    assert run.step(replace(STANDING, chunk_ready=False), 0.5) is Motion.WAIT
    assert run.step(replace(STANDING, streams=(IMAGE, MISSING_SCAN))) is Motion.WAIT
    assert run.phase is Phase.INITIAL_PERCEPTION
    assert run.step(STANDING) is Motion.FOLLOW
    assert run.phase is Phase.CONTROLLING


@pytest.mark.parametrize(
    ("scan", "text"),
    [
        (MISSING_SCAN, "scan (scan) never arrived"),
        (STALE_SCAN, "scan (scan) is 0.90 s old, at most 0.3 s allowed"),
        (replace(MISSING_SCAN, problem="scan: not a scan"), "scan: not a scan"),
    ],
)
def test_streams_that_never_come_fail_by_name_and_age(scan, text):
    run = Run(perception_timeout_s=2.0)
    run.step(replace(STANDING, streams=(IMAGE, scan)), 3.0)
    outcome = run.progress.outcome
    assert isinstance(outcome.error, FailedToDetectDock)
    assert outcome.error.code == 904
    assert text in outcome.reason
    assert "image" not in outcome.reason


def test_policy_that_never_answers_is_not_called_a_missing_stream():
    run = Run(perception_timeout_s=1.0)
    run.step(replace(STANDING, chunk_ready=False), 2.0)
    assert isinstance(run.progress.outcome.error, FailedToControl)
    assert "no action chunk" in run.progress.outcome.reason


def test_docked_needs_charging_and_standstill_for_the_settling_time():
    run = Run().drive()
    run.step(replace(DRIVING, charging=True), 2.0)
    assert run.progress.outcome is None, "charging while it moves is not docked"
    run.step(replace(STANDING, charging=True), 0.45)
    assert run.motion is Motion.FOLLOW
    run.step(replace(STANDING, charging=True), 0.3)
    outcome = run.progress.outcome
    assert outcome.success
    assert "pose not measured" in outcome.reason


def test_settling_starts_anew_after_a_movement():
    run = Run().drive()
    for _ in range(10):
        run.step(replace(STANDING, charging=True), 0.4)
        run.step(replace(STANDING, charging=True, speed_mps=0.02), 0.05)
    assert run.progress.outcome is None


def test_a_fresh_pose_has_to_be_within_tolerance():
    run = Run(charge_timeout_s=2.0).drive()
    outside = Pose2D(-0.005, 0.014, 0.0)
    run.step(replace(STANDING, charging=True, dock_from_base=outside), 1.0)
    assert run.progress.outcome is None
    run.step(replace(STANDING, charging=True, dock_from_base=DOCKED_POSE), 1.0)
    assert run.progress.outcome.success
    assert run.progress.dock_from_base == DOCKED_POSE
    assert "4.0 mm lateral" in run.progress.outcome.reason


def test_charging_out_of_tolerance_is_a_failure_that_names_the_error():
    run = Run(charge_timeout_s=2.0).drive()
    outside = Pose2D(-0.005, 0.014, 0.0)
    run.step(replace(STANDING, charging=True, dock_from_base=outside), 4.0)
    assert isinstance(run.progress.outcome.error, FailedToControl)
    assert "14.0 mm lateral" in run.progress.outcome.reason


@pytest.mark.parametrize("pose", [None, DOCKED_POSE])
@pytest.mark.parametrize(
    ("charging", "text"), [(False, "does not charge"), (None, "no battery state")]
)
def test_standing_at_the_station_without_charge_times_out(pose, charging, text):
    run = Run(charge_timeout_s=2.0).drive()
    waiting = replace(STANDING, charging=charging, dock_from_base=pose)
    run.step(waiting, 1.0)
    assert run.phase is Phase.WAIT_FOR_CHARGE
    run.step(waiting, 3.0)
    assert isinstance(run.progress.outcome.error, FailedToCharge)
    assert run.progress.outcome.error.code == 906
    assert text in run.progress.outcome.reason


def test_a_standstill_short_of_a_measured_dock_is_not_a_charging_failure():
    run = Run(charge_timeout_s=1.0, timeout_s=8.0).drive()
    run.step(replace(STANDING, dock_from_base=Pose2D(-0.3, 0.0, 0.0)), 5.0)
    assert run.phase is Phase.CONTROLLING
    run.step(replace(STANDING, dock_from_base=Pose2D(-0.3, 0.0, 0.0)), 5.0)
    assert isinstance(run.progress.outcome.error, DockTimeout)
    assert "-300.0 mm longitudinal" in run.progress.outcome.reason


def test_already_docked_succeeds_without_following_the_policy():
    run = Run()
    motions = {run.step(replace(STANDING, charging=True)) for _ in range(11)}
    assert motions == {Motion.WAIT, Motion.STOP}
    assert run.finish().success


def test_timeout():
    run = Run(timeout_s=3.0).drive()
    run.step(DRIVING, 2.5)
    assert run.motion is Motion.STOP
    assert run.progress.outcome is None, "the result waits for the standstill"
    outcome = run.finish()
    assert isinstance(outcome.error, DockTimeout)
    assert outcome.error.code == 907


def test_cancel_stops_first():
    run = Run().drive()
    canceled = replace(DRIVING, interruption=Canceled("canceled by the client"))
    assert run.step(canceled, 0.5) is Motion.STOP
    assert run.progress.outcome is None
    outcome = run.finish()
    assert outcome.canceled
    assert not outcome.success
    assert outcome.error.code == 951


def test_a_stop_that_is_never_reported_ends_all_the_same():
    run = Run().drive()
    run.step(replace(DRIVING, interruption=Canceled("canceled by the client")), 5.0)
    assert run.progress.outcome.canceled


def test_a_short_dropout_is_survived_a_long_one_fails_by_name():
    run = Run(stale_grace_s=0.5).drive()
    lost = replace(DRIVING, streams=(IMAGE, STALE_SCAN))
    run.step(lost, 0.4)
    run.step(DRIVING, 0.5)
    assert run.progress.outcome is None
    assert run.motion is Motion.FOLLOW
    run.step(lost, 0.6)
    outcome = run.finish()
    assert isinstance(outcome.error, FailedToControl)
    assert outcome.error.code == 905
    assert "scan (scan) is 0.90 s old" in outcome.reason


def test_chunks_that_stop_fail_after_the_grace_period():
    run = Run(stale_grace_s=0.5).drive()
    run.step(replace(DRIVING, chunk_ready=False), 0.4)
    assert run.motion is Motion.FOLLOW
    run.step(replace(DRIVING, chunk_ready=False), 0.2)
    assert "no fresh action chunk" in run.finish().reason


def test_an_inference_fault_ends_the_goal_at_once():
    run = Run().drive()
    run.step(replace(DRIVING, inference_fault="inference process 7 was killed by SIGKILL"))
    assert run.motion is Motion.STOP
    assert run.finish().reason == "inference process 7 was killed by SIGKILL"


def test_the_node_can_give_up_on_a_goal():
    run = Run().drive()
    run.step(replace(DRIVING, interruption=UnknownFault("the node was deactivated")))
    outcome = run.finish()
    assert isinstance(outcome.error, UnknownFault)
    assert outcome.error.code == 999


def test_a_clock_that_jumps_back_ends_the_goal():
    run = Run().drive()
    run.now_ns -= 5_000_000_000
    run.step(DRIVING)
    assert run.motion is Motion.STOP
    assert "clock jumped back by 4.950 s" in run.finish().reason


def test_contact_speed_is_the_highest_while_the_contacts_met():
    run = Run().drive()
    assert math.isnan(run.progress.contact_speed_mps)
    for contact_mps in (0.08, 0.03):  # the second: after it had bounced off
        run.step(replace(DRIVING, charging=True, contact_speed_mps=contact_mps))
    run.step(replace(STANDING, charging=True), 1.0)
    assert run.progress.contact_speed_mps == pytest.approx(0.08)


def test_a_contact_before_the_goal_is_none_of_this_goal():
    run = Run()
    run.step(replace(STANDING, charging=True, contact_speed_mps=0.5), 0.6)
    assert math.isnan(run.progress.contact_speed_mps)


def test_already_docked_for_long_succeeds_at_once():
    run = Run()
    run.step(replace(STANDING, charging=True, standing_s=60.0), 0.1)
    assert run.progress.outcome.success
    assert "already docked" in run.progress.outcome.reason


BACK_FREE = RearView(covered=True, free_m=3.0)


class Backing(Run):
    """A run whose robot does what it is told when it backs off."""

    def __init__(self, **rules):
        super().__init__(**rules)
        self.x_m = 0.0

    def back(self, seconds, follows=1.0, **changes):
        """Move as told, or by a share of it."""
        for _ in range(round(seconds / 0.05)):
            speed_mps = self.progress.back_off[0] * follows
            self.x_m += 0.05 * speed_mps
            at_rest = self.progress.back_off[0] == 0.0
            situation = replace(DRIVING, at_rest=at_rest, speed_mps=abs(speed_mps))
            situation = replace(situation, odometry=Pose2D(self.x_m, 0.0, 0.0), chunk_ready=False)
            self.step(replace(situation, **changes))
            if self.phase is Phase.INITIAL_PERCEPTION or self.progress.outcome is not None:
                break
        return self


STUCK = replace(STANDING, odometry=Pose2D(), rear=BACK_FREE)


@pytest.mark.parametrize(
    "stands",
    [
        replace(STUCK, charging=False),
        replace(STUCK, charging=False, dock_from_base=DOCKED_POSE),
        replace(STUCK, charging=True, dock_from_base=Pose2D(-0.005, 0.014, 0.0)),
        replace(STUCK, charging=False, dock_from_base=Pose2D(-0.03, 0.0, 0.0)),
    ],
    ids=["no charge", "in place, no charge", "out of tolerance", "short of the contacts"],
)
def test_every_standstill_without_a_dock_is_tried_again(stands):
    run = Backing(max_retries=1, charge_timeout_s=1.0, retry_backoff_m=0.3).drive()
    run.step(stands, 1.8)
    assert run.phase is Phase.RETRY
    assert run.motion is Motion.BACK_OFF
    run.back(10.0, rear=BACK_FREE)
    assert run.phase is Phase.INITIAL_PERCEPTION
    assert run.motion is Motion.WAIT
    assert run.x_m == pytest.approx(-0.3, abs=0.02)
    assert run.progress.num_retries == 1
    run.step(DRIVING)
    assert run.motion is Motion.WAIT, "it comes to rest before it follows again"
    run.drive()
    assert run.motion is Motion.FOLLOW


def test_without_a_retry_left_the_code_is_the_one_of_the_standstill():
    run = Backing(max_retries=1, charge_timeout_s=1.0, retry_backoff_m=0.1).drive()
    for _ in range(2):
        run.step(STUCK, 1.8)
        run.back(5.0)
        run.step(STANDING)
        run.step(DRIVING, 0.5)
    run.finish()
    assert isinstance(run.progress.outcome.error, FailedToCharge)
    assert run.progress.num_retries == 1


def test_unseen_it_backs_only_the_way_that_it_came():
    run = Backing(max_retries=1, charge_timeout_s=1.0, retry_backoff_m=0.4).drive()
    run.step(replace(STANDING, odometry=Pose2D(), trail_m=0.15), 1.8)
    assert run.phase is Phase.RETRY
    assert "the scan does not cover the way behind" in run.progress.note
    run.back(10.0)
    assert run.x_m == pytest.approx(-0.15, abs=0.02)


def test_without_room_there_is_no_retry_and_the_reason_says_so():
    run = Run(max_retries=3, charge_timeout_s=1.0).drive()
    run.step(replace(STUCK, rear=RearView(covered=True, free_m=0.12)), 1.8)
    outcome = run.finish()
    assert isinstance(outcome.error, FailedToCharge)
    assert "no retry: something is 0.12 m behind" in outcome.reason
    assert run.progress.num_retries == 0


@pytest.mark.parametrize(
    ("follows", "rear", "text"),
    [
        (0.0, BACK_FREE, "the robot does not move"),
        (1.0, RearView(covered=True, free_m=0.05), "something is 0.05 m behind"),
    ],
)
def test_a_way_back_that_gets_nowhere_is_failed_to_stage(follows, rear, text):
    rules = RetreatRules(stuck_timeout_s=1.0)
    run = Backing(max_retries=1, charge_timeout_s=1.0, retreat=rules).drive()
    run.step(STUCK, 1.8)
    run.back(3.0, follows, rear=rear)
    outcome = run.finish()
    assert isinstance(outcome.error, FailedToStage)
    assert outcome.error.code == 903
    assert text in outcome.reason


def test_after_the_last_attempt_it_returns_in_front_of_the_station():
    run = Backing(charge_timeout_s=1.0, return_m=0.5).drive()
    run.step(STUCK, 1.8)
    assert run.phase is Phase.RETURN
    assert run.progress.outcome is None
    run.back(20.0, rear=BACK_FREE)
    outcome = run.finish()
    assert isinstance(outcome.error, FailedToCharge)
    assert "returned by 0.49 m" in outcome.reason or "returned by 0.50 m" in outcome.reason
    assert run.x_m == pytest.approx(-0.5, abs=0.02)


def test_no_motion_follows_a_fault():
    run = Run(return_m=0.5).drive()
    fault = "inference process 7 was killed by SIGKILL"
    run.step(replace(DRIVING, odometry=Pose2D(), rear=BACK_FREE, inference_fault=fault))
    assert run.motion is Motion.STOP


def test_a_timeout_returns_too_but_not_blind():
    run = Run(timeout_s=2.0, return_m=0.5).drive()
    run.step(replace(DRIVING, odometry=Pose2D(), rear=BACK_FREE), 2.0)
    assert run.motion is Motion.BACK_OFF
    run = Run(timeout_s=2.0, return_m=0.5, stale_grace_s=5.0).drive()
    run.step(replace(DRIVING, odometry=Pose2D(), streams=(IMAGE, STALE_SCAN)), 2.0)
    assert run.motion is Motion.STOP


def test_rules_take_the_tolerance():
    rules = DockTolerance(lateral_m=0.1, settle_s=0.2)
    run = Run(tolerance=rules).drive()
    run.step(replace(STANDING, charging=True, dock_from_base=Pose2D(0.0, 0.09, 0.0)), 0.35)
    assert run.progress.outcome.success


DOUBTING = replace(DRIVING, doubt="image is unlike the training (3.10 of the limit)")


def test_a_doubt_ends_the_goal_only_where_that_is_wanted():
    run = Run(on_doubt="stop").drive()
    run.step(DOUBTING)
    assert run.motion is Motion.STOP
    outcome = run.finish()
    assert isinstance(outcome.error, PolicyUnsure)
    assert outcome.error.code == 957
    assert "image is unlike the training" in outcome.reason
    for action in ("none", "slow"):
        run = Run(on_doubt=action).drive()
        assert run.step(DOUBTING, 1.0) is Motion.FOLLOW


def test_a_doubt_is_tried_again_as_often_as_allowed():
    run = Run(on_doubt="retry", max_retries=1, retry_backoff_m=0.1)
    here = {"odometry": Pose2D(0.0, 0.0, 0.0), "trail_m": 1.0}
    run.drive(**here)
    run.step(replace(DOUBTING, **here))
    assert (run.motion, run.phase) == (Motion.BACK_OFF, Phase.RETRY)
    assert run.progress.num_retries == 1
    # On the way back the policy does not drive, and a doubt means nothing.
    back = {"odometry": Pose2D(-0.1, 0.0, 0.0), "trail_m": 0.9}
    run.step(replace(DOUBTING, **back), 0.2)
    run.step(replace(STANDING, **back), 0.5)
    assert run.phase is Phase.CONTROLLING
    run.step(replace(DOUBTING, **back))
    assert isinstance(run.finish().error, PolicyUnsure)


def test_a_doubt_at_the_station_does_not_end_the_wait_for_the_charger():
    run = Run(on_doubt="stop").drive()
    run.step(replace(STANDING, dock_from_base=DOCKED_POSE), 1.0)
    assert run.phase is Phase.WAIT_FOR_CHARGE
    run.step(replace(STANDING, dock_from_base=DOCKED_POSE, doubt="image"), 1.0)
    assert run.phase is Phase.WAIT_FOR_CHARGE
