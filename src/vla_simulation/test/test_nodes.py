"""Simulator and expert as real processes."""

import collections
import math
import signal

import numpy as np
import pytest
from cv_bridge import CvBridge
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import BatteryState, Image, LaserScan
from simulator_rig import (
    ACTIVATE,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    TOPICS,
    rig_in,
    stamp_ns,
    twist,
)

from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE, ODOMETRY, SCAN
from vla_core.readings import ImageReading, ScanReading
from vla_simulation.config import CameraConfig
from vla_simulation.controllers.expert import expert_action
from vla_simulation.environment import DockingEnv

STREAMS = {IMAGE: "camera/image_raw", SCAN: "scan", ODOMETRY: "odom"}
PERIODS_S = {"scan": 0.1, "odom": 0.02, "joint_states": 0.02, "battery_state": 0.2}
ROBOT_TOPICS = [topic for topic in TOPICS if topic not in ("cmd_vel", "expert/cmd_vel", "/clock")]


@pytest.fixture
def rig(domain):
    with rig_in(domain) as made:
        yield made


def content(item):
    """What a message or a reading says, to be compared."""
    if isinstance(item, Image):
        return bytes(item.data)
    if isinstance(item, ImageReading):
        return item.rgb.tobytes()
    if isinstance(item, LaserScan | ScanReading):
        return np.array(item.ranges, np.float32).tobytes()
    if isinstance(item, Odometry):
        return item.twist.twist.linear.x, item.twist.twist.angular.z
    return item.linear_x, item.angular_z


def dock_pose(message):
    return Pose2D.from_message(message.pose).inverse()


def test_in_real_time_everything_is_published_at_its_rate_and_the_expert_docks(rig):
    rig.listen(*ROBOT_TOPICS, "expert/cmd_vel", reliable=False)
    rig.start("simulator_node", "seed:=1")
    rig.start("expert_node")
    for node in ("simulator", "docking_expert"):
        assert rig.change(node, CONFIGURE)
    rig.spin(0.3)
    assert not rig.messages, "an inactive node publishes nothing"
    for node in ("simulator", "docking_expert"):
        assert rig.change(node, ACTIVATE)
    assert rig.spin_until(lambda: rig.state is not None and rig.state.docked, 60.0)

    for topic in ROBOT_TOPICS:
        expected_s = PERIODS_S.get(topic, 0.05)
        assert rig.stamp_period_s(topic) == pytest.approx(expected_s, rel=0.1), topic
    # Late ticks are made up for, so that a loaded machine does not slow the robot down.
    arrivals_s = rig.arrivals_s["ground_truth/state"]
    states = rig.messages["ground_truth/state"]
    simulated_s = states[-1].time_s - states[0].time_s
    assert simulated_s == pytest.approx(arrivals_s[-1] - arrivals_s[0], rel=0.1)
    assert rig.state.mated
    assert not rig.state.collision
    assert rig.state.suite == "nominal"
    statuses = [m.power_supply_status for m in rig.messages["battery_state"]]
    assert statuses[0] == BatteryState.POWER_SUPPLY_STATUS_DISCHARGING
    assert statuses[-1] == BatteryState.POWER_SUPPLY_STATUS_CHARGING

    image = CvBridge().imgmsg_to_cv2(rig.messages["camera/image_raw"][5], "rgb8")
    assert image.shape == (120, 160, 3)
    assert image.std() > 15.0
    info = rig.messages["camera/camera_info"][-1]
    assert info.k[0] == pytest.approx(60 / math.tan(math.radians(39)))
    assert info.distortion_model == "plumb_bob"
    assert tuple(info.d) == CameraConfig().distortion
    assert len(rig.messages["scan"][-1].ranges) == 240
    now_ns = rig.node.get_clock().now().nanoseconds
    assert abs(now_ns - stamp_ns(rig.messages["odom"][-1])) < 20e9
    # Nothing is stamped later than the tick with which it comes, and stamps only grow.
    ticks = np.array([stamp_ns(m) for m in states])
    for topic in ("scan", "odom", "camera/image_raw"):
        stamps = np.array([stamp_ns(m) for m in rig.messages[topic]])
        assert (np.diff(stamps) > 0).all()
        last = ticks[min(np.searchsorted(ticks, stamps[-1]), len(ticks) - 1)]
        assert 0 <= last - stamps[-1] < 50_000_000, topic

    assert rig.change("simulator", DEACTIVATE)
    rig.spin_until_quiet()
    assert rig.change("simulator", CLEANUP)
    for module, number in (("simulator_node", signal.SIGINT), ("expert_node", signal.SIGTERM)):
        code, output = rig.stop(module, number)
        assert code == 0
        assert "Traceback" not in output


def test_in_lock_step_the_noisy_expert_docks_as_in_the_environment(rig):
    rig.listen(*TOPICS)
    rig.start("simulator_node", "lock_step:=true", "seed:=3")
    rig.start("expert_node", "noise_scale:=1.0")
    for node in ("simulator", "docking_expert"):
        assert rig.change(node, CONFIGURE)
    for node in ("docking_expert", "simulator"):
        assert rig.change(node, ACTIVATE)
    assert rig.spin_until(lambda: rig.state is not None and rig.state.docked, 90.0)
    duration_s = rig.state.time_s
    rig.change("simulator", DEACTIVATE)
    last_ns = stamp_ns(rig.state)

    def everything_arrived():
        topics = (*STREAMS.values(), "ground_truth/dock_pose")
        return all(stamp_ns(rig.messages[topic][-1]) > last_ns - 110_000_000 for topic in topics)

    assert rig.spin_until(everything_arrived, 30.0)
    rig.spin(0.5)

    stamps = [stamp_ns(m) for m in rig.messages["ground_truth/state"]]
    distinct = sorted(set(stamps))
    assert set(np.diff(distinct)) == {50_000_000}
    assert {stamp_ns(m) for m in rig.messages["ground_truth/dock_pose"]} == set(distinct)
    clocks = {m.clock.sec * 1_000_000_000 + m.clock.nanosec for m in rig.messages["/clock"]}
    assert set(distinct) <= clocks

    # Every label is the expert's clean command at that pose; what was executed is disturbed.
    poses = {stamp_ns(m): dock_pose(m) for m in rig.messages["ground_truth/dock_pose"]}
    labels = {stamp_ns(m): m.twist for m in rig.messages["expert/cmd_vel"]}
    executed = {stamp_ns(m): m.twist for m in rig.messages["cmd_vel"]}
    common = poses.keys() & labels.keys() & executed.keys()
    assert len(common) > 100
    for stamp in common:
        expected = expert_action(poses[stamp])
        label = (labels[stamp].linear.x, labels[stamp].angular.z)
        assert label == pytest.approx(expected, abs=2e-3)
    spread = [executed[s].linear.x - labels[s].linear.x for s in common]
    assert np.std(spread) > 0.005

    # The same commands drive the environment to the same place, past the same samples.
    env = DockingEnv("nominal")
    env.reset(seed=3)
    first_ns = distinct[0]
    published = {
        key: {stamp_ns(m) - first_ns: m for m in rig.messages[topic]}
        for key, topic in STREAMS.items()
    }
    checked = collections.Counter()
    for stamp in sorted(executed):
        pose, here = poses[stamp], env.truth.dock_from_base
        assert (here.x, here.y, here.yaw) == pytest.approx((pose.x, pose.y, pose.yaw), abs=1e-9)
        for sample in env.samples():
            assert content(published[sample.key][sample.stamp_ns]) == content(sample.reading)
            assert -110_000_000 < sample.stamp_ns - (stamp - first_ns) <= 0
            checked[sample.key] += 1
        command = executed[stamp]
        env.step(np.array([command.linear.x, command.angular.z]))
        if env.truth.docked:
            break
    assert env.truth.time_s == pytest.approx(duration_s, abs=1e-3)
    assert min(checked.values()) > 50
    env.close()


def test_a_reset_begins_another_episode(rig):
    rig.listen("ground_truth/state", "odom")
    rig.start("simulator_node", "seed:=1")
    assert rig.change("simulator", CONFIGURE)
    assert rig.change("simulator", ACTIVATE)
    assert rig.spin_until(lambda: rig.state is not None, 30.0)
    response = rig.reset(7, "wide_start")
    assert response.success
    assert rig.spin_until(lambda: rig.state.seed == 7, 20.0)
    assert rig.state.suite == "wide_start"
    assert rig.state.instruction == response.instruction
    assert rig.state.time_s < 1.0
    refused = rig.reset(1, "no_such_suite")
    assert not refused.success
    assert "expected one of: nominal" in refused.message
    rig.spin(0.2)
    assert rig.state.seed == 7
    stamps = [stamp_ns(m) for m in rig.messages["odom"]]
    assert (np.diff(stamps) > 0).all()  # across episodes, too


def test_a_reset_can_name_the_goal(rig):
    rig.listen("ground_truth/state")
    rig.start("simulator_node", "seed:=1", "lock_step:=true")
    assert rig.change("simulator", CONFIGURE)
    assert rig.change("simulator", ACTIVATE)
    seed = next(seed for seed in range(20) if rig.reset(seed).station_count > 1)
    drawn = rig.reset(seed)
    sentences = set()
    for goal in range(drawn.station_count):
        response = rig.reset(seed, goal=goal)
        assert response.success
        assert response.goal == goal
        assert (response.instruction == drawn.instruction) == (goal == drawn.goal)
        sentences.add(response.instruction)
        expected = (goal, response.instruction)
        assert rig.spin_until(
            lambda expected=expected: (rig.state.goal, rig.state.instruction) == expected, 20.0
        )
        assert rig.state.station_count == drawn.station_count
        assert rig.state.docked_station == -1
    assert len(sentences) == drawn.station_count
    refused = rig.reset(seed, goal=drawn.station_count)
    assert not refused.success
    assert f"expected 0 to {drawn.station_count - 1}" in refused.message


@pytest.mark.parametrize(("kind", "make"), [("twist", Twist), ("twist_stamped", TwistStamped)])
def test_commands_drive_and_their_absence_stops(rig, kind, make):
    rig.listen("ground_truth/state")
    rig.start("simulator_node", f"command_type:={kind}", "command_timeout_s:=0.3")
    assert rig.change("simulator", CONFIGURE)
    assert rig.change("simulator", ACTIVATE)
    publisher = rig.command_publisher(make)
    message = twist(-0.2) if make is Twist else TwistStamped(twist=twist(-0.2))
    told = pytest.approx(0.2, abs=0.03)
    rig.publish_until(publisher, message, lambda: rig.state and rig.state.speed_mps == told)
    assert rig.spin_until(lambda: rig.state.speed_mps < 0.01, 20.0)


def test_a_command_that_is_not_finite_stops_the_robot(rig):
    rig.listen("ground_truth/state")
    rig.start("simulator_node")
    assert rig.change("simulator", CONFIGURE)
    assert rig.change("simulator", ACTIVATE)
    publisher = rig.command_publisher()
    backwards = TwistStamped(twist=twist(-0.2))
    rig.publish_until(publisher, backwards, lambda: rig.state and rig.state.speed_mps > 0.1)
    publisher.publish(TwistStamped(twist=twist(math.nan)))
    assert rig.spin_until(lambda: rig.state.speed_mps < 0.01, 20.0)
    code, output = rig.stop("simulator_node")
    assert code == 0
    assert "expected finite numbers" in output


def test_in_lock_step_nothing_moves_without_a_command_and_a_warning_says_so(rig):
    rig.listen("ground_truth/state", "/clock")
    rig.start("simulator_node", "lock_step:=true", "lock_step_timeout_s:=0.5")
    assert rig.change("simulator", CONFIGURE)
    assert rig.change("simulator", ACTIVATE)
    publisher = rig.command_publisher()
    stray = TwistStamped(twist=twist(0.3))
    stray.header.stamp.sec = 12345
    publisher.publish(stray)
    rig.spin(2.5)
    assert len({stamp_ns(m) for m in rig.messages["ground_truth/state"]}) == 1
    # Repeated, for whoever came late.
    assert len(rig.messages["ground_truth/state"]) >= 2
    code, output = rig.stop("simulator_node", signal.SIGTERM)
    assert code == 0
    assert output.count("no cmd_vel with stamp 1.000 s") == 1


@pytest.mark.parametrize(
    ("parameters", "environment", "message"),
    [
        (["suite:=nomnal"], {}, "suite 'nomnal' is unknown"),
        (["command_type:=twiist"], {}, "parameter 'command_type' is 'twiist', expected one of"),
        (["lock_step:=true", "command_type:=twist"], {}, "expected command_type: twist_stamped"),
        (["contract:=/nowhere/robot.yaml"], {}, "/nowhere/robot.yaml"),
        ([], {"MUJOCO_GL": "disable"}, "apt-get install libosmesa6"),
    ],
)
def test_what_cannot_be_configured_is_refused_in_one_line(rig, parameters, environment, message):
    rig.start("simulator_node", *parameters, **environment)
    assert not rig.change("simulator", CONFIGURE)
    code, output = rig.stop("simulator_node")
    assert code == 0
    errors = [line for line in output.splitlines() if "cannot configure" in line]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in output


def test_an_impossible_transition_does_not_end_the_process(rig):
    process = rig.start("expert_node")
    with pytest.raises(AssertionError, match="did not answer"):
        rig.change("docking_expert", ACTIVATE, timeout_s=2.0)
    assert process.poll() is None
    assert rig.change("docking_expert", CONFIGURE)
