"""Starts and ends the recording of one episode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.task import Future
from vla_msgs.action import RecordEpisode
from vla_msgs.srv import StopEpisode

from vla_bringup.graph import RECORDER
from vla_bringup.waiting import (
    WaitTimeout,
    wait_for_action_server,
    wait_for_result,
    wait_for_service,
)
from vla_core.errors import VlaError

START_TIMEOUT_S: Final = 15.0
STOP_TIMEOUT_S: Final = 60.0


class RecordingError(VlaError):
    """The recorder cannot be reached, or it refused."""


class RecordingClient:
    """A client of the recorder; one episode at a time."""

    def __init__(self, node: Node) -> None:
        """Create the clients.

        Args:
            node: owns them; its caller creates and destroys it.
        """
        self._node = node
        self._client = ActionClient(node, RecordEpisode, f"{RECORDER}/record_episode")
        self._stop = node.create_client(StopEpisode, f"{RECORDER}/stop_episode")
        self._result: Future | None = None

    def start(
        self, instruction: str, *, name: str = "", metadata: Mapping[str, str] | None = None
    ) -> None:
        """Begin an episode; on return, messages are being recorded.

        Args:
            instruction: the sentence that is being carried out.
            name: folder of the bag; empty: made from the time.
            metadata: further custom metadata of the bag.

        Raises:
            RecordingError: no recorder, or it refused.
        """
        if not wait_for_action_server(self._node, self._client, START_TIMEOUT_S):
            raise RecordingError(f"no recorder: no action {RECORDER}/record_episode in the graph")
        metadata = dict(metadata or {})
        goal = RecordEpisode.Goal(
            name=name,
            instruction=instruction,
            operator_name="policy",
            metadata_keys=list(metadata),
            metadata_values=list(metadata.values()),
        )
        begun = Future()  # the first feedback says that recording has begun

        def hear(_feedback: Any) -> None:
            if not begun.done():
                begun.set_result(None)

        sent = self._client.send_goal_async(goal, feedback_callback=hear)
        try:
            handle = wait_for_result(self._node, sent, START_TIMEOUT_S)
            if not handle.accepted:
                raise RecordingError("the recorder refused the episode; its log says why")
            self._result = handle.get_result_async()
            self._result.add_done_callback(hear)
            wait_for_result(self._node, begun, START_TIMEOUT_S)
        except WaitTimeout as error:
            raise RecordingError("the recorder does not answer") from error
        if self._result.done():
            raise RecordingError(self._result.result().result.message)

    def stop(self, *, success: bool, note: str = "") -> Path:
        """End the episode and wait until its bag is closed.

        Args:
            success: whether the robot docked.
            note: kept in the bag's metadata.

        Returns:
            The bag's folder.

        Raises:
            RecordingError: no episode was running, or its bag could not be closed.
        """
        if self._result is None:
            raise RecordingError("no episode was begun")
        outcome = StopEpisode.Request.SUCCESS if success else StopEpisode.Request.FAILURE
        request = StopEpisode.Request(outcome=outcome, note=note)
        try:
            wait_for_service(self._node, self._stop, START_TIMEOUT_S)
            self._stop.call_async(request)
            # The action's result says all that the service's reply says, and whether it is true.
            result = wait_for_result(self._node, self._result, STOP_TIMEOUT_S).result
        except WaitTimeout as error:
            raise RecordingError("the recorder does not answer") from error
        finally:
            self._result = None
        if not result.success:
            raise RecordingError(result.message)
        return Path(result.bag_path)
