"""Docking and undocking through every path, by a client that knows nothing but the messages.

The same paths are driven through Nav2's own actions where nav2_msgs is installed.
"""

import time
from types import SimpleNamespace

import pytest
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import Transition
from plain_action_client import PlainClient
from policy_rig import INSTRUCTION, NodeProcess, wait_until
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from std_msgs.msg import Empty
from vla_msgs.action import Dock, Undock

from vla_policy_node.docking.server import nav2_actions

NAV2 = nav2_actions()
OURS = SimpleNamespace(
    dock=(Dock, "dock", {"instruction": INSTRUCTION}),
    undock=(Undock, "undock", {"distance_m": 0.1}),
    own=True,
)
NAV2S = NAV2 and SimpleNamespace(
    dock=(NAV2.DockRobot, "dock_robot", {"dock_id": "bay_1", "navigate_to_staging_pose": False}),
    undock=(NAV2.UndockRobot, "undock_robot", {"dock_type": "orange"}),
    own=False,
)
DATABASE = f"""
docks:
  bay_1: {{type: orange, frame: map, pose: [10.0, 2.0, 1.57]}}
dock_types:
  orange: {{instruction: {INSTRUCTION}}}
"""


@pytest.fixture(
    params=[
        "vla_msgs",
        pytest.param(
            "nav2_msgs",
            marks=pytest.mark.skipif(NAV2 is None, reason="nav2_msgs is not installed"),
        ),
    ]
)
def actions(request):
    return OURS if request.param == "vla_msgs" else NAV2S


@pytest.fixture(scope="module")
def node(domain, files, client, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clients")
    (folder / "docks.yaml").write_text(DATABASE)
    node = NodeProcess(
        folder / "node.log",
        domain,
        contract=files["contract"],
        policy=files["approach"],
        dock_database=folder / "docks.yaml",
        undock_distance_m=0.1,
        docked_settle_s=0.2,
        zero_hold_s=0.1,
        manager_timeout_s=0.6,
    )
    try:
        client.activate()
    except BaseException:
        node.end()
        raise
    yield node
    assert node.end() == 0
    assert "Traceback" not in node.log


@pytest.fixture(scope="module")
def plain(domain, node):
    assert node.pid
    plain = PlainClient(domain)
    yield plain
    plain.close()


def run(plain, action, **fields):
    action_type, name, defaults = action
    return plain.run(action_type, name, **{**defaults, **fields})


def send(plain, action, **fields):
    action_type, name, defaults = action
    handle = plain.send(action_type, name, **{**defaults, **fields})
    assert handle.accepted
    return handle


def moving(robot, sign=1):
    return lambda: any(sign * command.v_mps > 0.03 for command in robot.commands)


def stands(robot):
    wait_until(lambda: time.monotonic() - robot.commands[-1].time_s > 1.0)
    return robot.commands[-1].v_mps == 0.0


def test_docks_then_knows_it_and_undocks(robot, plain, actions):
    robot.reset(gap_m=0.15)
    status, result = run(plain, actions.dock)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.success, result.error_code, result.error_msg) == (True, 0, "")
    times = [time_s for time_s, _ in plain.feedback]
    assert len(times) > 5.0 * (times[-1] - times[0]) * 0.8
    assert {feedback.state for _, feedback in plain.feedback} >= {2, 3}
    assert stands(robot)

    robot.commands.clear()
    started_s = time.monotonic()
    status, result = run(plain, actions.dock)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert result.success
    assert time.monotonic() - started_s < 20.0
    assert robot.commands == []
    if actions.own:
        assert "already docked" in result.termination_reason
        assert result.docking_time_s < 0.5, "not even the settling time"

    status, result = run(plain, actions.undock)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.success, result.error_code, result.error_msg) == (True, 0, "")
    assert stands(robot)
    assert robot.gap_m == pytest.approx(0.1, abs=0.04)
    assert min(command.v_mps for command in robot.commands) >= -0.11
    if actions.own:
        assert result.backed_m == pytest.approx(0.1, abs=0.03)
        times = [time_s for time_s, _ in plain.feedback]
        assert len(times) > 5.0 * (times[-1] - times[0]) * 0.8
        to_go = [feedback.distance_m for _, feedback in plain.feedback]
        assert to_go == sorted(to_go, reverse=True)


def test_undocking_when_not_docked_is_refused_with_a_code(robot, plain, actions):
    robot.reset(gap_m=0.5)
    status, result = run(plain, actions.undock)
    assert status == GoalStatus.STATUS_ABORTED
    assert not result.success
    # Nav2's action has no number for it.
    assert result.error_code == (Undock.Result.NOT_DOCKED if actions.own else 999)
    assert "not docked: it does not charge" in result.error_msg
    assert robot.commands == []


def test_undocking_that_still_charges_is_no_success(robot, client, plain, actions):
    robot.reset(gap_m=0.0)
    robot.always_charges = True
    assert client.set(charge_timeout_s=0.5) == []
    status, result = run(plain, actions.undock)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == Undock.Result.FAILED_TO_CONTROL
    assert "still charges" in result.error_msg
    assert client.set(charge_timeout_s=5.0) == []


@pytest.mark.parametrize("which", ["dock", "undock"])
def test_cancel(robot, plain, actions, which):
    robot.reset(gap_m=1.0 if which == "dock" else 0.0)
    handle = send(plain, getattr(actions, which))
    plain.spin(moving(robot, 1 if which == "dock" else -1))
    assert plain.cancel(handle)
    status, result = plain.result(handle)
    assert status == GoalStatus.STATUS_CANCELED
    assert not result.success
    assert "canceled" in result.error_msg
    assert result.error_code == (Dock.Result.CANCELED if actions.own else 999)
    assert stands(robot)


def test_a_newer_goal_takes_over_once_the_robot_stands(robot, plain, actions):
    robot.reset(gap_m=0.2)
    first = send(plain, actions.dock)
    plain.spin(moving(robot))
    second = send(plain, actions.dock)
    status, result = plain.result(first)
    assert status == GoalStatus.STATUS_ABORTED
    assert "pre-empted by a newer goal" in result.error_msg
    assert result.error_code == (Dock.Result.PREEMPTED if actions.own else 999)
    status, result = plain.result(second)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert result.success
    speeds = [command.v_mps for command in robot.commands]
    drives = next(index for index, speed in enumerate(speeds) if speed > 0.03)
    stops = speeds.index(0.0, drives)
    assert max(speeds[stops:]) > 0.03, "it stood before the other one drove"


def test_a_goal_that_cannot_be_served_disturbs_nobody(robot, plain, actions):
    robot.reset(gap_m=0.2)
    first = send(plain, actions.dock)
    plain.spin(moving(robot))
    fields = {"dock_id": "nowhere", "use_dock_id": True}
    status, result = run(
        plain, actions.dock, **fields, **({"instruction": ""} if actions.own else {})
    )
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == Dock.Result.DOCK_NOT_IN_DB
    assert "'nowhere' is unknown; stations known by name: bay_1" in result.error_msg
    status, _ = plain.result(first)
    assert status == GoalStatus.STATUS_SUCCEEDED


def test_docking_by_type_and_an_unknown_type(robot, plain, actions):
    robot.reset(gap_m=0.03)
    words = {"instruction": ""} if actions.own else {}
    common = {"use_dock_id": False, "navigate_to_staging_pose": False, **words}
    status, _ = run(plain, actions.dock, dock_type="orange", dock_id="", **common)
    assert status == GoalStatus.STATUS_SUCCEEDED
    status, result = run(plain, actions.dock, dock_type="green", dock_id="", **common)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == Dock.Result.DOCK_NOT_VALID
    status, result = run(plain, actions.undock, dock_type="green")
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == Undock.Result.DOCK_NOT_VALID


def test_timeouts(robot, client, plain, actions):
    robot.reset(gap_m=2.0)
    assert client.set(dock_timeout_s=1.0) == []
    status, result = run(plain, actions.dock)
    assert client.set(dock_timeout_s=30.0) == []
    assert status == GoalStatus.STATUS_ABORTED
    in_time = getattr(actions.dock[0].Result, "TIMEOUT", Dock.Result.FAILED_TO_CONTROL)
    assert result.error_code == in_time
    assert "not docked within 1 s" in result.error_msg
    robot.reset(gap_m=0.0)
    status, result = run(plain, actions.undock, max_undocking_time=1.0)
    assert status == GoalStatus.STATUS_ABORTED
    in_time = getattr(actions.undock[0].Result, "TIMEOUT", Dock.Result.FAILED_TO_CONTROL)
    assert result.error_code == in_time
    assert "not undocked within 1 s" in result.error_msg
    assert stands(robot)


def test_an_undocking_gives_way_to_a_docking(robot, plain, actions):
    robot.reset(gap_m=0.0)
    first = send(plain, actions.undock)
    plain.spin(moving(robot, -1))
    status, result = run(plain, actions.dock)
    assert (status, result.success) == (GoalStatus.STATUS_SUCCEEDED, True)
    status, result = plain.result(first)
    assert status == GoalStatus.STATUS_ABORTED
    assert "pre-empted" in result.error_msg


class Navigator:
    """A navigator that takes its time, and ends as it is told."""

    def __init__(self, node):
        self.poses, self.succeeds, self.seconds, self.canceled = [], True, 0.3, 0
        self._server = ActionServer(
            node,
            NAV2.NavigateToPose,
            "navigate_to_pose",
            self._navigate,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
        )

    def _navigate(self, handle):
        self.poses.append(handle.request.pose)
        end_s = time.monotonic() + self.seconds
        while time.monotonic() < end_s and not handle.is_cancel_requested:
            time.sleep(0.02)
        if handle.is_cancel_requested:
            self.canceled += 1
            handle.canceled()
        elif self.succeeds:
            handle.succeed()
        else:
            handle.abort()
        return NAV2.NavigateToPose.Result(error_msg="" if self.succeeds else "no way there")

    def close(self):
        self._server.destroy()


@pytest.fixture
def navigator(robot):
    navigator = Navigator(robot.node)
    yield navigator
    navigator.close()


@pytest.mark.skipif(NAV2 is None, reason="nav2_msgs is not installed")
def test_the_navigator_brings_the_robot_in_front_of_the_station(robot, plain, navigator):
    robot.reset(gap_m=0.2)
    dock = (NAV2.DockRobot, "dock_robot", {"dock_id": "bay_1"})
    status, result = run(plain, dock)
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, 0)
    (pose,) = navigator.poses
    assert pose.header.frame_id == "map"
    assert pose.pose.position.y == pytest.approx(2.0 - 1.5, abs=0.01), "1.5 m in front of it"
    states = [feedback.state for _, feedback in plain.feedback]
    assert states[0] == NAV2.DockRobot.Feedback.NAV_TO_STAGING_POSE

    status, _ = run(plain, dock)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert len(navigator.poses) == 1, "docked already: it stays"

    robot.reset(gap_m=0.2)
    navigator.succeeds = False
    status, result = run(plain, dock)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == NAV2.DockRobot.Result.FAILED_TO_STAGE
    assert "no way there" in result.error_msg

    navigator.seconds = 30.0
    status, result = run(plain, dock, max_staging_time=0.5)
    assert result.error_code == NAV2.DockRobot.Result.FAILED_TO_STAGE
    assert "not in front of the station within 0.5 s" in result.error_msg
    handle = send(plain, dock)
    plain.spin(lambda: len(plain.feedback) > 2)
    assert plain.cancel(handle)
    assert plain.result(handle)[0] == GoalStatus.STATUS_CANCELED
    assert navigator.canceled == 2, "it was told to stop, both times"
    assert robot.commands == []


@pytest.mark.skipif(NAV2 is not None, reason="nav2_msgs is installed")
def test_staging_without_nav2_is_refused(robot, plain):
    robot.reset(gap_m=0.2)
    status, result = plain.run(Dock, "dock", dock_id="bay_1")
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == Dock.Result.FAILED_TO_STAGE
    assert "nav2_msgs is not installed" in result.error_msg
    assert robot.commands == []


def test_refused_while_inactive_and_without_its_manager(robot, client, plain, actions):
    """The last one: it changes the node's state."""
    robot.reset(gap_m=3.0)
    heartbeat = robot.node.create_publisher(Empty, "lifecycle_manager/heartbeat", 1)
    timer = robot.node.create_timer(0.1, lambda: heartbeat.publish(Empty()))
    handle = send(plain, actions.dock)
    plain.spin(moving(robot))
    robot.node.destroy_timer(timer)
    status, result = plain.result(handle)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code == (Dock.Result.MANAGER_LOST if actions.own else 999)
    assert "the lifecycle manager has been silent for" in result.error_msg
    assert stands(robot)
    robot.commands.clear()
    status, result = run(plain, actions.dock)
    assert status == GoalStatus.STATUS_ABORTED
    assert "silent" in result.error_msg
    assert robot.commands == []
    robot.node.destroy_publisher(heartbeat)

    assert client.transition(Transition.TRANSITION_DEACTIVATE)
    action_type, name, defaults = actions.dock
    assert not plain.send(action_type, name, **defaults).accepted
    assert client.transition(Transition.TRANSITION_ACTIVATE)
    robot.reset(gap_m=0.03)
    status, _ = run(plain, actions.dock)
    assert status == GoalStatus.STATUS_SUCCEEDED, "by hand, nobody watches"
