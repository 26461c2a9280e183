"""Episodes of a robot and a recorder that run as a real process and talk over DDS."""

import json
import time

import pytest
from action_msgs.msg import GoalStatus
from bag_fixtures import contract, messages, messages_by_mcap
from recorder_rig import TOPICS
from rosbags.highlevel import AnyReader
from vla_msgs.srv import StopEpisode

DISCARD, FAILURE = StopEpisode.Request.DISCARD, StopEpisode.Request.FAILURE


@pytest.mark.parametrize(
    "parameters",
    [
        {"storage": "mcap"},
        {"storage": "mcap", "compression": "zstd"},
        {"storage": "sqlite3"},
    ],
    ids=lambda p: " ".join(p.values()),
)
def test_every_byte_that_was_published_is_in_the_bag(shared, tmp_path, parameters):
    robot, recorder, configure = shared
    configure(**parameters)
    goal = recorder.record(
        name="first",
        instruction="dock at the orange charger",
        operator_name="Ada",
        metadata_keys=["vla.seed"],
        metadata_values=["17"],
    ).wait_until_recording()
    robot.publish(100, period_s=0.005)
    goal.wait_until_recorded()
    stopped = recorder.stop(note="smooth")
    result = goal.result()

    bag = tmp_path / "bags" / "first"
    assert stopped.success
    assert stopped.bag_path == result.bag_path == str(bag)
    assert (goal.status, result.success, result.outcome) == (
        GoalStatus.STATUS_SUCCEEDED,
        True,
        "success",
    )
    recorded, custom = messages(bag)
    assert recorded == robot.sent
    if parameters["storage"] == "mcap":
        assert messages_by_mcap(bag) == robot.sent
    assert result.messages == 100 * len(TOPICS)
    assert result.bytes == sum(len(data) for sent in robot.sent.values() for data in sent)
    assert custom.pop("vla.contract") == contract().to_yaml()
    assert "vla_recorder" in custom.pop("vla.software")
    assert json.loads(custom.pop("vla.topics"))["camera/image_raw"] == "/camera/image_raw"
    assert custom == {
        "vla.instruction": "dock at the orange charger",
        "vla.outcome": "success",
        "vla.note": "smooth",
        "vla.operator": "Ada",
        "vla.robot": "test_robot",
        "vla.contract_hash": contract().hash,
        "vla.seed": "17",
    }
    with AnyReader([bag]) as reader:
        qos = reader.connections[0].ext.offered_qos_profiles[0]
    assert (qos.reliability.name, qos.durability.name) == ("RELIABLE", "VOLATILE")
    assert {s.key for s in goal.feedback[-1].streams} == {"image", "scan", "odometry", "action"}
    assert any(all(s.valid and s.rate_hz > 50.0 for s in f.streams) for f in goal.feedback)


def test_episodes_one_after_the_other(shared, tmp_path):
    robot, recorder, _ = shared
    for number in range(3):
        goal = recorder.record(instruction=f"take {number}").wait_until_recording()
        robot.publish(10 + number)
        goal.wait_until_recorded()
        recorder.stop(FAILURE)
        result = goal.result()
        assert result.outcome == "failure"
        assert result.messages == (10 + number) * len(TOPICS)
    bags = sorted((tmp_path / "bags").iterdir())
    assert len(bags) == 3  # unnamed episodes are named by the time
    assert [messages(bag)[1]["vla.instruction"] for bag in bags] == ["take 0", "take 1", "take 2"]


def test_discard_leaves_nothing(shared, tmp_path):
    robot, recorder, _ = shared
    goal = recorder.record(name="bad").wait_until_recording()
    robot.publish(10)
    assert recorder.stop(DISCARD).success
    result = goal.result()
    assert (result.success, result.outcome, result.bag_path) == (True, "discarded", "")
    assert list((tmp_path / "bags").iterdir()) == []


def test_cancel_and_longest_duration_keep_the_bag(shared, tmp_path):
    robot, recorder, _ = shared
    cancelled = recorder.record(name="cancelled").wait_until_recording()
    robot.publish(10)
    cancelled.cancel()
    assert cancelled.result().outcome == "unknown"
    assert cancelled.status == GoalStatus.STATUS_CANCELED
    limited = recorder.record(name="limited", max_duration_s=0.5).wait_until_recording()
    while not limited.is_done:
        robot.publish(1)
    assert limited.status == GoalStatus.STATUS_SUCCEEDED
    assert limited.result().duration_s >= 0.5
    with AnyReader([tmp_path / "bags" / "limited"]) as reader:
        stamps_ns = [stamp_ns for _, stamp_ns, _ in reader.messages()]
    assert stamps_ns[-2] - stamps_ns[0] < 0.5e9  # the message that is too late is the last one
    assert "max_duration_s" in messages(tmp_path / "bags" / "limited")[1]["vla.note"]
    assert not recorder.stop().success  # nothing runs any more


def test_post_roll_goes_on_after_the_stop(shared):
    robot, recorder, configure = shared
    configure(post_roll_s=0.5)
    goal = recorder.record(name="roll").wait_until_recording()
    robot.publish(10)
    goal.wait_until_recorded()
    asked_s = time.monotonic()
    recorder._stop.call_async(StopEpisode.Request(outcome=1))
    sent = 10
    while not goal.is_done:
        robot.publish(1)
        sent += 1
    assert time.monotonic() - asked_s >= 0.5
    assert 10 * len(TOPICS) < goal.result().messages <= sent * len(TOPICS)


def test_refusals_say_why_and_leave_what_is_there(shared, tmp_path):
    robot, recorder, _ = shared
    goal = recorder.record(name="taken").wait_until_recording()
    robot.publish(5)
    second = recorder.record(name="second")
    assert "another episode is being recorded" in second.result().message
    assert second.status == GoalStatus.STATUS_ABORTED
    recorder.stop()
    assert goal.result().success
    before = messages(tmp_path / "bags" / "taken")

    def refusal(**fields):
        goal = recorder.record(**fields)
        assert not goal.result().success
        return goal.result().message

    assert "exists already" in refusal(name="taken")
    assert messages(tmp_path / "bags" / "taken") == before
    assert "no plain folder name" in refusal(name="../escape")
    assert "written by the recorder" in refusal(
        metadata_keys=["vla.outcome"], metadata_values=["x"]
    )
    assert "1 metadata_keys, but 0" in refusal(metadata_keys=["a"])
    assert "max_duration_s is -1.0" in refusal(max_duration_s=-1.0)


def test_silent_publisher_is_named_in_the_result(shared, tmp_path):
    robot, recorder, _ = shared
    goal = recorder.record(name="silent").wait_until_recording()
    robot.publish(10, skip=("scan",))
    goal.wait_until_recorded()
    recorder.stop()
    result = goal.result()
    assert not result.success
    assert "no message on /scan" in result.message
    assert len(messages(tmp_path / "bags" / "silent")[0]["/odom"]) == 10  # kept all the same


def test_nearly_full_disk_is_refused(shared):
    _, recorder, configure = shared
    configure(disk_reserve_bytes=10**15)
    assert "nearly full" in recorder.record(name="big").result().message
