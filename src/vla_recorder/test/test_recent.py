"""Saving what happened before anybody asked for a recording."""

import time
from pathlib import Path

import numpy as np
import pytest
from bag_fixtures import messages
from recorder_rig import TOPICS, Publishing, wait_for
from rosbags.highlevel import AnyReader
from vla_msgs.srv import StopEpisode

FAILURE = StopEpisode.Request.FAILURE


def test_last_seconds_are_saved_after_the_fact(shared, tmp_path):
    robot, recorder, _ = shared
    robot.publish(60)
    robot.wait_until_received()
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

    time.sleep(0.5)  # what was saved is older than this now
    robot.forget()
    for attempt in range(10):  # a machine may take longer to ask than what is asked for
        robot.publish(10)
        short = recorder.save_recent(name=f"short_{attempt}", duration_s=0.5)
        if short.success:
            break
    assert short.success, short.message
    assert short.duration_s < 0.5
    recorded, _ = messages(Path(short.bag_path))
    assert any(recorded.values())
    for topic, found in recorded.items():
        first = robot.sent[topic].index(found[0]) if found else 0
        assert found == robot.sent[topic][first : first + len(found)]


def test_saving_does_not_disturb_an_episode(shared, tmp_path):
    robot, recorder, _ = shared
    goal = recorder.record(name="whole").wait_until_recording()
    robot.publish(30)
    assert recorder.save_recent(name="part").success
    robot.publish(30)
    goal.wait_until_recorded()
    recorder.stop()
    assert goal.result().success
    assert messages(tmp_path / "bags" / "whole")[0] == robot.sent


def test_refusals_say_why(shared, tmp_path):
    robot, recorder, _ = shared
    robot.publish(5)
    assert "no plain folder name" in recorder.save_recent(name="../escape").message
    assert "none that can be saved" in recorder.save_recent(outcome=3).message
    assert "duration_s is -1.0" in recorder.save_recent(duration_s=-1.0).message
    wait_for(lambda: recorder.save_recent(name="taken").success, "something has come")
    time.sleep(0.5)  # so has the rest
    assert "nothing is kept that could be saved" in recorder.save_recent(duration_s=0.01).message
    assert "exists already" in recorder.save_recent(name="taken").message


def test_pre_roll_is_in_the_bag_and_told_from_the_episode(shared, tmp_path):
    robot, recorder, configure = shared
    configure(pre_roll_s=0.8)
    publishing = Publishing(robot)
    publishing.start()
    time.sleep(1.6)  # the last 0.8 s of this are wanted
    goal = recorder.record(name="rolled").wait_until_recording()
    time.sleep(0.3)
    publishing.end()
    robot.wait_until_received()
    recorder.stop()
    result = goal.result()
    assert result.success

    recorded, custom = messages(tmp_path / "bags" / "rolled")
    start_ns = int(custom["vla.start_ns"])
    for topic, sent in robot.sent.items():
        found = recorded[topic]
        assert found == sent[-len(found) :]
        assert len(found) < len(sent)
    with AnyReader([tmp_path / "bags" / "rolled"]) as reader:
        stamps_ns = np.array([stamp_ns for _, stamp_ns, _ in reader.messages()])
    early = int((stamps_ns < start_ns).sum())
    assert 0 < early < len(stamps_ns) == result.messages
    assert start_ns - stamps_ns[0] < 0.9e9
    # of the episode, not of the bag
    assert result.duration_s == pytest.approx((stamps_ns[-1] - stamps_ns[early]) / 1e9, abs=1e-3)
