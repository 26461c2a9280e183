"""Several robots in one scene, without ROS and behind the simulator node."""

import collections

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import QoSProfile
from simulator_rig import ACTIVATE, CONFIGURE, rig_in, twist
from vla_msgs.msg import SimulationState

from vla_core.geometry import Pose2D
from vla_core.keys import ODOMETRY, SCAN
from vla_simulation.config import SimulationConfig
from vla_simulation.controllers.expert import expert_action
from vla_simulation.environment import DockingEnv
from vla_simulation.errors import SimulationError
from vla_simulation.ros.robots import robot_names
from vla_simulation.ros.simulator_node import SimulatorNode
from vla_simulation.shared_world import SharedWorld

FORWARD = np.array([0.3, 0.0])


@pytest.fixture(scope="module")
def pair():
    world = SharedWorld("nominal", 2, render=False)
    yield world
    world.close()


@pytest.fixture(scope="module")
def meeting():
    """A robot that sees, and a body that stands for another one."""
    env = DockingEnv("nominal", render=True, other_robots=1)
    yield env
    env.close()


def drive_to_the_docks(world):
    for _ in range(600):
        world.step([np.array(expert_action(env.truth.dock_from_base)) for env in world.envs])
        if all(env.truth.docked for env in world.envs):
            break


@pytest.mark.parametrize("seed", [1_000_000, 1_000_004])
def test_two_robots_dock_at_two_stations_of_one_scene(pair, seed):
    pair.reset(seed)
    first, second = pair.envs
    assert first.scene.stations == second.scene.stations
    assert first.scene.clutter == second.scene.clutter
    assert first.scene.goal != second.scene.goal
    assert first.instruction != second.instruction
    drive_to_the_docks(pair)
    for env in pair.envs:
        assert env.truth.docked, env.truth
        assert not env.truth.collision, env.truth.collision_with
    assert {env.truth.docked_station for env in pair.envs} == {first.scene.goal, second.scene.goal}


def test_each_robot_is_where_the_other_one_sees_it(pair):
    pair.reset(1_000_000)
    for _ in range(5):
        pair.step([FORWARD, -FORWARD])
    first, second = pair.envs
    for env, other in ((first, second), (second, first)):
        model, data = env.simulation
        mocap = model.body_mocapid[model.body("other_robot_0").id]
        pose = other.robot.world_from_base
        assert data.mocap_pos[mocap][:2] == pytest.approx((pose.x, pose.y), abs=1e-12)


def test_robots_differ_in_hardware_and_noise(pair):
    pair.reset(1_000_000)
    for _ in range(20):
        pair.step([FORWARD * 0.5] * 2)
    first, second = (env.readings() for env in pair.envs)
    assert first[ODOMETRY].pose.x != second[ODOMETRY].pose.x


def test_a_seed_decides_where_all_of_them_start(pair):
    def starts():
        return [env.truth.world_from_base for env in pair.envs]

    pair.reset(1_000_004)
    before = starts()
    pair.reset(1_000_005)
    assert starts() != before
    pair.reset(1_000_004)
    assert starts() == before
    goal = pair.envs[1].scene.goal
    pair.reset(1_000_004, goal=goal)
    assert pair.envs[0].scene.goal == goal
    assert pair.envs[1].scene.goal != goal


def ahead(env, distance_m):
    return env.truth.world_from_base @ Pose2D(distance_m, 0.0, 0.0)


def test_another_robot_is_seen_and_scanned_and_touching_it_is_a_collision(meeting):
    free, occupied = [], []
    for views, others in ((free, ()), (occupied, (1.0,))):
        meeting.reset(seed=1_000_001)
        poses = [ahead(meeting, distance) for distance in others]
        meeting.reset(seed=1_000_001, options={"others": poses})
        views += [meeting.readings()[SCAN].ranges, meeting.render_segmentation()]
        views.append(meeting.render_depth())
    config = SimulationConfig()
    middle = config.scanner.beams // 2
    # To the rear of the other robot, which is longer at its casters than at the scanner's height.
    gap_m = 1.0 - config.scanner.x_m - config.robot.length_m / 2
    assert occupied[0][middle] == pytest.approx(gap_m, abs=0.08)
    assert free[0][middle] > occupied[0][middle] + 0.3
    nearer = occupied[2] < free[2] - 0.2
    assert nearer.mean() > 0.05
    # It is part of the surroundings: neither a station nor the robot itself.
    assert set(np.unique(occupied[1][nearer])) == {0}
    for _ in range(80):
        meeting.step(FORWARD)
        if meeting.truth.collision:
            break
    assert "other_robot_0" in meeting.truth.collision_with


def test_a_lone_robot_is_the_plain_environment(blind_env):
    world = SharedWorld("nominal", 1, render=False)
    world.reset(3)
    blind_env.reset(seed=3)
    for _ in range(10):
        world.step([FORWARD])
        blind_env.step(FORWARD)
    assert world.envs[0].truth == blind_env.truth
    np.testing.assert_array_equal(
        world.envs[0].readings()[SCAN].ranges, blind_env.readings()[SCAN].ranges
    )
    world.close()


def test_every_robot_needs_a_station():
    with pytest.raises(SimulationError, match=r"4 robots in one scene, expected 1 to 3"):
        SharedWorld("nominal", 4, render=False)
    with pytest.raises(SimulationError, match=r"'single' has no scene with 2 stations"):
        SharedWorld("single", 2, render=False)


def test_names_of_robots():
    assert robot_names("") == ("",)
    assert robot_names("a, fleet/b") == ("a", "fleet/b")
    for text in ("a,a", "a,", "1a", "a b"):
        with pytest.raises(SimulationError, match=r"expected different namespaces"):
            robot_names(text)


# ---------------------------------------------------------------------- the node


def test_the_node_drives_each_robot_by_its_own_topic(domain):
    states = collections.defaultdict(list)
    with rig_in(domain) as rig:
        rig.start("simulator_node", "robots:=left,right", "seed:=1000001")
        publishers = {}
        for name in ("left", "right"):
            rig.node.create_subscription(
                SimulationState,
                f"{name}/ground_truth/state",
                lambda message, name=name: states[name].append(message),
                QoSProfile(depth=200),
            )
            publishers[name] = rig.node.create_publisher(
                TwistStamped, f"{name}/cmd_vel", QoSProfile(depth=10)
            )
        assert rig.change("simulator", CONFIGURE, 60.0)
        assert rig.change("simulator", ACTIVATE)
        assert rig.spin_until(lambda: states["left"] and states["right"], 20.0)
        starts = {name: states[name][0].base_pose for name in states}
        goals = {states[name][0].goal for name in states}
        assert len(goals) == 2

        def has_left():
            publishers["right"].publish(TwistStamped(twist=twist(-0.2)))
            here = states["right"][-1].base_pose
            return np.hypot(here.x - starts["right"].x, here.y - starts["right"].y) > 0.1

        assert rig.spin_until(has_left, 20.0)
        there = states["left"][-1].base_pose
        assert np.hypot(there.x - starts["left"].x, there.y - starts["left"].y) < 0.01
        topics = dict(rig.node.get_topic_names_and_types())
        for name in ("left", "right"):
            for topic in ("camera/image_raw", "scan", "odom", "joint_states", "battery_state"):
                assert f"/{name}/{topic}" in topics
        assert "/scan" not in topics
        answer = rig.reset(1_000_004)
        assert answer.success
        assert rig.spin_until(
            lambda: {states[name][-1].seed for name in states} == {1_000_004}, 20.0
        )
        assert states["left"][-1].instruction == answer.instruction


def test_lock_step_is_for_one_robot(domain, capfd):
    arguments = ["--ros-args", "-p", "robots:=a,b", "-p", "lock_step:=true"]
    rclpy.init(args=arguments, domain_id=domain)
    try:
        node = SimulatorNode()
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
        node.destroy_node()
    finally:
        rclpy.shutdown()
    assert "lock_step is true with 2 robots, expected one" in capfd.readouterr().err
