"""The life of the recorder's process, and robots of many kinds."""

import signal
import time

import pytest
from bag_fixtures import CONTRACT_YAML, messages
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist
from lifecycle_msgs.msg import Transition
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile
from recorder_rig import WAIT_S, Goal, wait_for
from std_msgs.msg import String
from vla_msgs.msg import SimulationState
from vla_msgs.srv import StopEpisode

from vla_recorder.bag_inspection import inspect_bag

DISCARD, FAILURE = StopEpisode.Request.DISCARD, StopEpisode.Request.FAILURE


def test_twist_and_best_effort_publishers(make_robot, make_recorder, tmp_path):
    robot = make_robot(types={"cmd_vel": Twist}, reliable=False)
    recorder = make_recorder(robot).bring_up()
    goal = recorder.record(name="twist").wait_until_recording()
    robot.publish(40, period_s=0.05)
    wait_for(lambda: goal.received("scan") == 40, "scans, which nobody acknowledges")
    recorder.stop()
    assert goal.result().success
    inspection = inspect_bag(tmp_path / "bags" / "twist")
    # how regularly it arrived is the machine's business
    timing = (" Hz", "a gap", "the others", "received")
    assert not [v for v in inspection.violations if not any(word in v for word in timing)]
    assert inspection.topic("cmd_vel").type == "geometry_msgs/msg/Twist"
    assert inspection.topic("cmd_vel").stamps_ns is None
    assert "published as geometry_msgs/msg/Twist" in recorder.text
    skew_s = inspection.topic("scan").skew_s
    assert 0.0 <= skew_s[1] < WAIT_S


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
            assert late.wait_for_all_acked(Duration(seconds=WAIT_S))
        recorder.stop()
        assert goal.result().success
        recorded, _ = messages(tmp_path / "bags" / f"site_{number}")
        assert len(recorded["/site"]) == 1
        assert len(recorded.get("/ground_truth/state", ())) == number


def test_missing_publishers_are_named(make_robot, make_recorder, tmp_path):
    robot = make_robot(skip=("scan", "cmd_vel"))
    recorder = make_recorder(robot, discovery_timeout_s=1.0).bring_up()
    message = recorder.record(name="blind").result().message
    assert "no publisher on /scan, /cmd_vel for 1 s" in message
    assert not (tmp_path / "bags" / "blind").exists()


def test_deactivated_and_cleaned_up_while_waiting_for_publishers(make_robot, make_recorder):
    robot = make_robot(skip=("scan",))
    recorder = make_recorder(robot, discovery_timeout_s=60.0).bring_up()
    goal = recorder.record(name="waiting")
    assert recorder.change(Transition.TRANSITION_DEACTIVATE)
    assert recorder.change(Transition.TRANSITION_CLEANUP)
    assert goal.result().message == "cannot record waiting: cancelled before it began"
    assert recorder.process.poll() is None


def test_wrong_type_is_refused(make_robot, make_recorder):
    robot = make_robot(types={"scan": String})
    recorder = make_recorder(robot).bring_up()
    message = recorder.record(name="typed").result().message
    assert "/scan is published as std_msgs/msg/String" in message


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_closes_the_bag(robot, make_recorder, tmp_path, number):
    recorder = make_recorder(robot).bring_up()
    goal: Goal = recorder.record(name="interrupted").wait_until_recording()
    robot.publish(50)
    goal.wait_until_recorded()
    assert recorder.end(number) == 0
    assert goal.result().outcome == "unknown"
    recorded, custom = messages(tmp_path / "bags" / "interrupted")
    assert recorded == robot.sent
    assert custom["vla.outcome"] == "unknown"
    assert "stopped" in custom["vla.note"]
    assert "Traceback" not in recorder.text


@pytest.fixture
def patient_contract_path(tmp_path):
    """A contract in which every stream but the image may be late."""
    image, *others = CONTRACT_YAML.split("max_age_s: 0.25")
    path = tmp_path / "patient.yaml"
    path.write_text("max_age_s: 0.25".join([image, "max_age_s: 30.0".join(others)]))
    return path


def test_stream_that_stops_is_said_within_a_second(robot, make_recorder, patient_contract_path):
    heard = []
    robot.node.create_subscription(DiagnosticArray, "/diagnostics", heard.append, 10)
    recorder = make_recorder(robot, contract=patient_contract_path).bring_up()
    goal = recorder.record(name="blind").wait_until_recording()

    def count(words):
        return recorder.text.count(words)

    def publish_until(condition, **options):
        deadline_s = time.monotonic() + WAIT_S
        while not condition():
            robot.publish(1, **options)
            assert time.monotonic() < deadline_s, recorder.text

    for _ in range(5):  # a machine that is busy may hold the recorder up
        robot.publish(50)
        publish_until(lambda: count("is back after") == count("has stopped"))
        known, stopped_s = count("has stopped"), time.monotonic()
        publish_until(lambda n=known: count("has stopped") > n, skip=("camera/image_raw",))
        said_s = time.monotonic()
        if said_s - stopped_s < 1.0 + max(0.0, goal.hold_up_s(said_s)):
            break
    else:
        pytest.fail(f"said after {said_s - stopped_s:.2f} s")
    assert "image (/camera/image_raw) has stopped" in recorder.text
    assert "scan (/scan) has stopped" not in recorder.text

    def status(name):
        found = [s for array in heard for s in array.status if s.name == f"vla_recorder: {name}"]
        return found[-1] if found else None

    publish_until(
        lambda: status("image") and status("image").level == DiagnosticStatus.ERROR,
        skip=("camera/image_raw",),
    )
    assert status("scan").level in (DiagnosticStatus.OK, DiagnosticStatus.WARN)
    assert status("recording").message == "recording blind"
    values = {pair.key: pair.value for pair in status("scan").values}
    assert float(values["rate [Hz]"]) > 0.0
    assert values["out of order"] == values["without a stamp"] == "0"
    publish_until(lambda: count("is back after") == count("has stopped") > 0)


def test_lifecycle_there_and_back_twice(robot, make_recorder, tmp_path):
    recorder = make_recorder(robot)
    for number in range(2):
        recorder.bring_up()
        goal = recorder.record(name=f"round_{number}").wait_until_recording()
        robot.publish(10)
        goal.wait_until_recorded()
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


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        ("/no/such/contract.yaml", "/no/such/contract.yaml"),
        ("''", "parameter contract is empty"),
    ],
)
def test_configure_refuses_a_contract(robot, make_recorder, contract, message):
    recorder = make_recorder(robot, contract=contract)
    assert not recorder.change(Transition.TRANSITION_CONFIGURE)
    assert message in recorder.text
    assert "Traceback" not in recorder.text


def test_configure_refuses_folder_and_storage_until_they_are_right(robot, make_recorder, tmp_path):
    recorder = make_recorder(robot, output_directory="/dev/null/bags")
    assert "not active" in recorder.record(name="early").result().message
    assert not recorder.change(Transition.TRANSITION_CONFIGURE)
    assert "output_directory /dev/null/bags cannot be written to" in recorder.text
    recorder.set(output_directory=str(tmp_path / "bags"), storage="tape")
    assert not recorder.change(Transition.TRANSITION_CONFIGURE)
    assert "storage 'tape' is unknown" in recorder.text
    recorder.set(storage="mcap")
    assert recorder.change(Transition.TRANSITION_CONFIGURE)
    assert "Traceback" not in recorder.text
