"""The recorder as a real process, recorded from over DDS."""

import json
import signal
import time

import pytest
from action_msgs.msg import GoalStatus
from bag_fixtures import contract
from geometry_msgs.msg import Twist
from lifecycle_msgs.msg import Transition
from rclpy.qos import DurabilityPolicy, QoSProfile
from recorder_rig import TOPICS, Goal, wait_for
from rosbags.highlevel import AnyReader
from std_msgs.msg import String
from vla_msgs.msg import SimulationState
from vla_msgs.srv import StopEpisode

from vla_recorder.bag_inspection import inspect_bag

DISCARD, FAILURE = StopEpisode.Request.DISCARD, StopEpisode.Request.FAILURE


def messages(bag):
    """Serialised messages by topic, and the custom metadata."""
    found = {}
    with AnyReader([bag]) as reader:
        for connection in reader.connections:
            found[connection.topic] = []
        for connection, _, data in reader.messages():
            found[connection.topic].append(data)
        custom = reader.readers[0].storage.metadata.custom
    return found, custom


@pytest.mark.parametrize(
    "parameters",
    [
        {"storage": "mcap"},
        {"storage": "mcap", "compression": "zstd"},
        {"storage": "sqlite3"},
    ],
    ids=lambda p: " ".join(p.values()),
)
def test_every_byte_that_was_published_is_in_the_bag(robot, make_recorder, tmp_path, parameters):
    recorder = make_recorder(robot, **parameters).bring_up()
    goal = recorder.record(
        name="first",
        instruction="dock at the orange charger",
        operator_name="Ada",
        metadata_keys=["vla.seed"],
        metadata_values=["17"],
    ).wait_until_recording()
    robot.publish(100, period_s=0.005)
    time.sleep(0.3)
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


def test_episodes_one_after_the_other(robot, make_recorder, tmp_path):
    recorder = make_recorder(robot).bring_up()
    for number in range(3):
        goal = recorder.record(instruction=f"take {number}").wait_until_recording()
        robot.publish(10 + number)
        time.sleep(0.2)
        recorder.stop(FAILURE)
        result = goal.result()
        assert result.outcome == "failure"
        assert result.messages == (10 + number) * len(TOPICS)
    bags = sorted((tmp_path / "bags").iterdir())
    assert len(bags) == 3  # unnamed episodes are named by the time
    assert [messages(bag)[1]["vla.instruction"] for bag in bags] == ["take 0", "take 1", "take 2"]


def test_twist_and_best_effort_publishers(make_robot, make_recorder, tmp_path):
    robot = make_robot(types={"cmd_vel": Twist}, reliable=False)
    recorder = make_recorder(robot).bring_up()
    goal = recorder.record(name="twist").wait_until_recording()
    robot.publish(40, period_s=0.05)
    time.sleep(0.2)
    recorder.stop()
    assert goal.result().success
    inspection = inspect_bag(tmp_path / "bags" / "twist")
    assert inspection.ok, inspection.violations
    assert inspection.topic("cmd_vel").type == "geometry_msgs/msg/Twist"
    assert inspection.topic("cmd_vel").stamps_ns is None
    assert "published as geometry_msgs/msg/Twist" in recorder.text
    skew_s = inspection.topic("scan").skew_s
    assert 0.0 <= skew_s[1] < 0.1


def test_topic_that_comes_during_the_episode_and_latched_topic(make_robot, make_recorder, tmp_path):
    robot = make_robot(skip=("ground_truth/state",))
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.node.create_publisher(String, "site", latched).publish(String(data="hall 3"))
    recorder = make_recorder(robot, extra_topics="[ground_truth/state, site]").bring_up()
    for number in range(2):  # the site is said once, and is in both
        goal = recorder.record(name=f"site_{number}").wait_until_recording()
        robot.publish(10)
        if number == 1:
            late = robot.node.create_publisher(SimulationState, "ground_truth/state", 5)
            wait_for(late.get_subscription_count, "late topic is recorded")
            robot.publish(5)
            late.publish(SimulationState(seed=5))
            time.sleep(0.3)
        recorder.stop()
        assert goal.result().success
        recorded, _ = messages(tmp_path / "bags" / f"site_{number}")
        assert len(recorded["/site"]) == 1
        assert len(recorded.get("/ground_truth/state", ())) == number


def test_discard_leaves_nothing(robot, make_recorder, tmp_path):
    recorder = make_recorder(robot).bring_up()
    goal = recorder.record(name="bad").wait_until_recording()
    robot.publish(10)
    assert recorder.stop(DISCARD).success
    result = goal.result()
    assert (result.success, result.outcome, result.bag_path) == (True, "discarded", "")
    assert list((tmp_path / "bags").iterdir()) == []


def test_cancel_and_longest_duration_keep_the_bag(robot, make_recorder, tmp_path):
    recorder = make_recorder(robot).bring_up()
    cancelled = recorder.record(name="cancelled").wait_until_recording()
    robot.publish(10)
    cancelled.cancel()
    assert cancelled.result().outcome == "unknown"
    assert cancelled.status == GoalStatus.STATUS_CANCELED
    limited = recorder.record(name="limited", max_duration_s=0.5).wait_until_recording()
    robot.publish(100)
    assert limited.status == GoalStatus.STATUS_SUCCEEDED
    assert 0.5 <= limited.result().duration_s < 0.7
    assert "max_duration_s" in messages(tmp_path / "bags" / "limited")[1]["vla.note"]
    assert not recorder.stop().success  # nothing runs any more


def test_post_roll_goes_on_after_the_stop(robot, make_recorder):
    recorder = make_recorder(robot, post_roll_s=0.5).bring_up()
    goal = recorder.record(name="roll").wait_until_recording()
    robot.publish(10)
    recorder._stop.call_async(StopEpisode.Request(outcome=1))
    robot.publish(100)
    assert 0.5 < goal.result().duration_s < 0.9


def test_refusals_say_why_and_leave_what_is_there(robot, make_recorder, tmp_path):
    recorder = make_recorder(robot).bring_up()
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
    assert recorder.change(Transition.TRANSITION_DEACTIVATE)
    assert "not active" in refusal(name="third")


def test_missing_publishers_are_named(make_robot, make_recorder, tmp_path):
    robot = make_robot(skip=("scan", "cmd_vel"))
    recorder = make_recorder(robot, discovery_timeout_s=1.0).bring_up()
    message = recorder.record(name="blind").result().message
    assert "no publisher on /scan, /cmd_vel for 1 s" in message
    assert not (tmp_path / "bags" / "blind").exists()


def test_silent_publisher_is_named_in_the_result(robot, make_recorder, tmp_path):
    recorder = make_recorder(robot).bring_up()
    goal = recorder.record(name="silent").wait_until_recording()
    robot.publish(10, skip=("scan",))
    time.sleep(0.2)
    recorder.stop()
    result = goal.result()
    assert not result.success
    assert "no message on /scan" in result.message
    assert len(messages(tmp_path / "bags" / "silent")[0]["/odom"]) == 10  # kept all the same


def test_wrong_type_is_refused(make_robot, make_recorder):
    robot = make_robot(types={"scan": String})
    recorder = make_recorder(robot).bring_up()
    message = recorder.record(name="typed").result().message
    assert "/scan is published as std_msgs/msg/String" in message


def test_nearly_full_disk_is_refused(robot, make_recorder):
    recorder = make_recorder(robot, disk_reserve_bytes=10**15).bring_up()
    assert "nearly full" in recorder.record(name="big").result().message


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"contract": "/no/such/contract.yaml"}, "/no/such/contract.yaml"),
        ({"contract": "''"}, "parameter contract is empty"),
        (
            {"output_directory": "/dev/null/bags"},
            "output_directory /dev/null/bags cannot be written",
        ),
        ({"storage": "tape"}, "storage 'tape' is unknown"),
    ],
)
def test_configure_refuses(robot, make_recorder, parameters, message):
    recorder = make_recorder(robot, **parameters)
    assert not recorder.change(Transition.TRANSITION_CONFIGURE)
    assert message in recorder.text
    assert "Traceback" not in recorder.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_closes_the_bag(robot, make_recorder, tmp_path, number):
    recorder = make_recorder(robot).bring_up()
    goal: Goal = recorder.record(name="interrupted").wait_until_recording()
    robot.publish(50)
    time.sleep(0.2)
    assert recorder.end(number) == 0
    assert goal.result().outcome == "unknown"
    recorded, custom = messages(tmp_path / "bags" / "interrupted")
    assert recorded == robot.sent
    assert custom["vla.outcome"] == "unknown"
    assert "stopped" in custom["vla.note"]
    assert "Traceback" not in recorder.text


def test_kill_leaves_a_bag_that_is_not_mistaken_for_a_sound_one(robot, make_recorder, tmp_path):
    recorder = make_recorder(robot).bring_up()
    recorder.record(name="killed").wait_until_recording()
    robot.publish(20)
    recorder.end(signal.SIGKILL)
    inspection = inspect_bag(tmp_path / "bags" / "killed")
    assert not inspection.ok
    assert "never closed" in inspection.violations[0]


def test_lifecycle_there_and_back_twice(robot, make_recorder, tmp_path):
    recorder = make_recorder(robot)
    for number in range(2):
        recorder.bring_up()
        goal = recorder.record(name=f"round_{number}").wait_until_recording()
        robot.publish(10)
        time.sleep(0.2)
        assert recorder.change(Transition.TRANSITION_DEACTIVATE)  # in the middle of an episode
        assert goal.result().outcome == "unknown"
        recorded, custom = messages(tmp_path / "bags" / f"round_{number}")
        assert all(len(sent) == 10 for sent in recorded.values())
        assert "deactivated" in custom["vla.note"]
        assert recorder.change(Transition.TRANSITION_CLEANUP)
    assert recorder.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)


def test_impossible_transition_does_not_end_the_node(robot, make_recorder):
    recorder = make_recorder(robot)
    # rclpy raises into the executor instead of answering
    assert not recorder.change(Transition.TRANSITION_ACTIVATE, timeout_s=0.5)
    recorder.bring_up()
    assert recorder.process.poll() is None
