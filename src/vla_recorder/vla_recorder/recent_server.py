"""The service that saves what was received last, after the fact."""

from __future__ import annotations

import time

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from vla_msgs.srv import SaveRecent

from vla_core.errors import VlaError
from vla_recorder.conversions import recent_request
from vla_recorder.errors import RecorderError
from vla_recorder.reception import Reception, finish, open_episode


class RecentServer:
    """Serves `~/save_recent`, whether an episode is being recorded or not.

    Attributes:
        reception: while the node is active.
    """

    def __init__(self, node: Node) -> None:
        """Offer the service.

        Args:
            node: owns it.
        """
        self._node = node
        self.reception: Reception | None = None
        node.create_service(
            SaveRecent, "~/save_recent", self._on_save, callback_group=ReentrantCallbackGroup()
        )

    async def _on_save(
        self, request: SaveRecent.Request, response: SaveRecent.Response
    ) -> SaveRecent.Response:
        try:
            wanted, outcome = recent_request(request)
            reception = self.reception
            if reception is None:
                raise RecorderError("nothing is received: the recorder is not active")
            reception.topics.take_waiting()
            recent = reception.ring.recent(request.duration_s, time.monotonic())
            if not recent:
                raise RecorderError(
                    "nothing is kept that could be saved; is ring_buffer_s above 0, and is "
                    "anything published?"
                )
            episode = open_episode(self._node, wanted, reception)
        except VlaError as error:
            self._node.get_logger().error(str(error))
            response.message = str(error)
            return response
        episode.replay(recent)
        episode.label(outcome, request.note)
        closed = Future()
        finish(self._node, episode, closed)
        await closed
        summary = episode.summary()
        self._node.get_logger().info(f"saved {summary.path}: {summary.message}")
        response.success = summary.success
        response.bag_path = str(summary.path)
        response.duration_s = summary.duration_s
        response.messages = summary.messages
        response.message = summary.message
        return response
