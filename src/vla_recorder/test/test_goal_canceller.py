"""An emergency stop at the terminal ends what else drives the robot."""

import pytest
from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient, ActionServer, CancelResponse
from rclpy.task import Future
from recorder_rig import wait_for
from vla_msgs.action import Dock, RecordEpisode, Undock


class Running:
    """An action server, and a goal of it that runs until it is cancelled."""

    def __init__(self, node, kind, name):
        self._node, self._kind = node, kind
        self._canceled = Future()
        self._server = ActionServer(
            node, kind, name, self._execute, cancel_callback=self._on_cancel
        )
        self._client = ActionClient(node, kind, name)
        assert self._client.wait_for_server(20.0)
        sent = self._client.send_goal_async(kind.Goal())
        wait_for(sent.done, "goal accepted")
        self.handle = sent.result()
        self.result = self.handle.get_result_async()

    async def _execute(self, goal):
        await self._canceled
        goal.canceled()
        return self._kind.Result()

    def _on_cancel(self, goal):
        if not self._canceled.done():
            self._canceled.set_result(None)
        return CancelResponse.ACCEPT

    def end(self):
        self.handle.cancel_goal_async()
        wait_for(self.result.done, "goal canceled")
        self._client.destroy()
        self._server.destroy()


@pytest.fixture
def run(make_robot):
    robot = make_robot(skip=("cmd_vel",))
    running = []

    def make(kind, name):
        running.append(Running(robot.node, kind, name))
        return running[-1]

    yield make
    for goal in running:
        goal.end()


def test_emergency_stop_cancels_every_goal_of_the_robot_and_no_recording(run, make_operator):
    movers = [run(Dock, "dock"), run(Undock, "undock"), run(Undock, "other_way")]
    recording = run(RecordEpisode, "somebody/record_episode")
    elsewhere = run(Dock, "other_robot/dock")
    operator = make_operator()

    def are_canceled():
        operator.type(" ")  # again: the operator may only just be getting to know of them
        return all(mover.result.done() for mover in movers)

    wait_for(are_canceled, "every goal is cancelled")
    assert {m.result.result().status for m in movers} == {GoalStatus.STATUS_CANCELED}
    wait_for(lambda: "cancelled every goal of /dock, /other_way, /undock" in operator.text, "said")
    assert not recording.result.done()
    assert not elsewhere.result.done()
