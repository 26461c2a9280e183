"""Recorders that are killed while they record, and what is left of their bags."""

import os
import random
import signal
import time

import pytest
from bag_fixtures import messages
from recorder_rig import TOPICS, Publishing, Robot

from vla_core.bag_metadata import JOURNAL_FILE
from vla_recorder.bag_inspection import inspect_bag
from vla_recorder.bag_repair import repair_bag

KILLS = int(os.environ.get("VLA_KILLS", "200"))
LOSS_S = 1.0
STORAGES = [
    {"storage": "mcap"},
    {"storage": "mcap", "compression": "zstd"},
    {"storage": "sqlite3"},
]


def killed_bag(robot, make_recorder, folder, name, duration_s, **parameters):
    """Record, kill after `duration_s`; the bag, when it was killed, the publishing, the goal."""
    recorder = make_recorder(robot, output_directory=folder, **parameters).bring_up()
    goal = recorder.record(name=name, instruction="dock").wait_until_recording()
    publishing = Publishing(robot)
    publishing.start()
    time.sleep(duration_s)
    killed_s = time.monotonic()
    recorder.end(signal.SIGKILL)
    publishing.end()
    recorder.forget()
    return folder / name, killed_s, publishing, goal


def loss_s(robot, bag, killed_s, publishing):
    """Age of the oldest message that is missing, when the recorder was killed [s]."""
    recorded, _ = messages(bag)
    oldest_s = killed_s
    for topic in TOPICS:
        sent, found = robot.sent[f"/{topic}"], recorded.get(f"/{topic}", [])
        assert found == sent[: len(found)]
        if len(found) < len(sent):
            oldest_s = min(oldest_s, publishing.sent_s[len(found)])
    return killed_s - oldest_s


@pytest.mark.parametrize("parameters", STORAGES[::2], ids=lambda p: p["storage"])
def test_kill_costs_less_than_a_second(robot, make_recorder, tmp_path, parameters):
    bag, killed_s, publishing, goal = killed_bag(
        robot, make_recorder, tmp_path / "bags", "killed", 1.7, **parameters
    )
    inspection = inspect_bag(bag)
    assert not inspection.ok
    assert "was never closed" in inspection.violations[0]
    assert (bag / JOURNAL_FILE).exists()

    repair = repair_bag(bag)
    assert repair.messages > 0
    hold_up_s = max(0.0, goal.hold_up_s(killed_s))
    assert loss_s(robot, bag, killed_s, publishing) <= LOSS_S + hold_up_s
    inspection = inspect_bag(bag)
    assert f"repaired: {repair.text}" in inspection.warnings
    custom = inspection.contents.custom
    assert (custom["vla.instruction"], custom["vla.outcome"]) == ("dock", "unknown")
    assert custom["vla.contract"]


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("VLA_SLOW_TESTS") != "1", reason="VLA_SLOW_TESTS=1 and VLA_KILLS=N run it"
)
@pytest.mark.timeout(60 + 10 * KILLS)
def test_many_kills_at_random_moments(domain, make_recorder, tmp_path):
    moments = random.Random(0)
    losses_s = []
    for number in range(KILLS):
        parameters = STORAGES[number % len(STORAGES)]
        robot = Robot(domain)  # each knows nothing of the recorders that died before
        try:
            bag, killed_s, publishing, _ = killed_bag(
                robot,
                make_recorder,
                tmp_path / "bags",
                f"killed_{number}",
                moments.uniform(0.0, 1.5),
                **parameters,
            )
        finally:
            robot.close()
        assert not inspect_bag(bag).ok
        assert repair_bag(bag) is not None
        losses_s.append(loss_s(robot, bag, killed_s, publishing))
        assert losses_s[-1] <= LOSS_S, f"kill {number}, {parameters}"
    losses_s.sort()
    print(
        f"{KILLS} kills, every bag opens; loss median {losses_s[KILLS // 2]:.3f} s, "
        f"largest {losses_s[-1]:.3f} s"
    )
