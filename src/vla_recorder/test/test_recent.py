"""Saving what happened before anybody asked for a recording."""

import time

from bag_fixtures import messages
from recorder_rig import TOPICS
from rosbags.highlevel import AnyReader
from vla_msgs.srv import StopEpisode

FAILURE = StopEpisode.Request.FAILURE


def test_last_seconds_are_saved_after_the_fact(shared, tmp_path):
    robot, recorder, _ = shared
    robot.publish(60)
    time.sleep(0.3)
    saved = recorder.save_recent(
        name="failed_dock",
        instruction="dock at the blue charger",
        operator_name="policy",
        outcome=FAILURE,
        note="hit the post",
    )
    assert saved.success, saved.message
    assert saved.bag_path == str(tmp_path / "bags" / "failed_dock")
    recorded, custom = messages(tmp_path / "bags" / "failed_dock")
    for topic in TOPICS:
        sent = robot.sent[f"/{topic}"]
        assert recorded[f"/{topic}"][-len(sent) :] == sent
    assert saved.messages == sum(len(found) for found in recorded.values())
    assert custom["vla.outcome"] == "failure"
    assert custom["vla.note"] == "hit the post"
    assert custom["vla.instruction"] == "dock at the blue charger"
    assert custom["vla.contract"]

    robot.publish(40)
    time.sleep(0.3)
    short = recorder.save_recent(name="short", duration_s=0.5)
    assert short.success
    assert 0 < short.messages < 40 * len(TOPICS)
    assert 0.0 < short.duration_s < 0.5


def test_saving_does_not_disturb_an_episode(shared, tmp_path):
    robot, recorder, _ = shared
    goal = recorder.record(name="whole").wait_until_recording()
    robot.publish(30)
    assert recorder.save_recent(name="part").success
    robot.publish(30)
    time.sleep(0.2)
    recorder.stop()
    assert goal.result().success
    assert messages(tmp_path / "bags" / "whole")[0] == robot.sent


def test_refusals_say_why(shared, tmp_path):
    robot, recorder, _ = shared
    robot.publish(5)
    assert "no plain folder name" in recorder.save_recent(name="../escape").message
    assert "none that can be saved" in recorder.save_recent(outcome=3).message
    assert "duration_s is -1.0" in recorder.save_recent(duration_s=-1.0).message
    time.sleep(0.2)
    assert "nothing is kept that could be saved" in recorder.save_recent(duration_s=0.01).message
    assert recorder.save_recent(name="taken").success
    assert "exists already" in recorder.save_recent(name="taken").message


def test_pre_roll_is_in_the_bag_and_told_from_the_episode(shared, tmp_path):
    robot, recorder, configure = shared
    configure(pre_roll_s=0.8)
    robot.publish(100)  # the last 0.8 s of this are wanted
    goal = recorder.record(name="rolled").wait_until_recording()
    before = {topic: list(sent) for topic, sent in robot.sent.items()}
    robot.publish(30)
    time.sleep(0.2)
    recorder.stop()
    result = goal.result()
    assert result.success
    assert result.duration_s < 0.8  # of the episode, not of the bag

    recorded, custom = messages(tmp_path / "bags" / "rolled")
    start_ns = int(custom["vla.start_ns"])
    for topic, sent in robot.sent.items():
        found = recorded[topic]
        assert found == sent[-len(found) :]
        early = len(found) - 30
        assert 0 < early < len(before[topic])
    with AnyReader([tmp_path / "bags" / "rolled"]) as reader:
        stamps = [stamp_ns for _, stamp_ns, _ in reader.messages()]
    assert sum(stamp_ns < start_ns for stamp_ns in stamps) == sum(
        len(found) - 30 for found in recorded.values()
    )
    assert start_ns - min(stamps) < 0.9e9
