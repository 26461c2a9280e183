"""Begins and ends recordings without ever waiting: the robot is being driven meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.task import Future
from vla_msgs.action import RecordEpisode
from vla_msgs.srv import SaveRecent, StopEpisode

RECORDER: Final = "vla_recorder"
_ANSWER_TIMEOUT_S: Final = 10.0


class EpisodeClient:
    """A client of the recorder; one episode at a time.

    Attributes:
        instruction: of the episodes.
        feedback: the newest of the running episode; None while none is being recorded.
    """

    def __init__(
        self,
        node: Node,
        say: Callable[[str], None],
        *,
        instruction: str,
        operator: str,
        max_duration_s: float,
    ) -> None:
        """Create the clients.

        Args:
            node: owns them.
            say: called with what the operator should know.
            instruction: the sentence that is demonstrated.
            operator: who drives.
            max_duration_s: of an episode; 0 for no limit.
        """
        self._say = say
        self._operator = operator
        self._max_duration_s = max_duration_s
        self._record = ActionClient(node, RecordEpisode, f"{RECORDER}/record_episode")
        self._stop = node.create_client(StopEpisode, f"{RECORDER}/stop_episode")
        self._save = node.create_client(SaveRecent, f"{RECORDER}/save_recent")
        self._is_asked = False
        self._asked_s: float | None = None  # until the recorder has answered
        self._ended = b""  # identifier of the newest goal with a result
        self.instruction = instruction
        self.feedback: RecordEpisode.Feedback | None = None

    @property
    def busy(self) -> bool:
        """Whether an episode was asked for and has not ended."""
        return self._is_asked

    def start(self) -> None:
        """Ask for an episode."""
        if self._is_asked:
            self._say("an episode is being recorded already; end it with y, n or k")
        elif not self.instruction:
            self._say("an episode needs the sentence that it demonstrates: --instruction")
        elif self._has_recorder():
            self._is_asked = True
            self._asked_s = time.monotonic()
            goal = RecordEpisode.Goal(
                instruction=self.instruction,
                operator_name=self._operator,
                max_duration_s=self._max_duration_s,
            )
            self._record.send_goal_async(goal, self._on_feedback).add_done_callback(self._on_answer)

    def stop(self, outcome: int, note: str = "") -> None:
        """Ask for the end of the episode.

        Args:
            outcome: of `StopEpisode.Request`.
            note: kept in the bag.
        """
        if not self._has_recorder():
            return
        future = self._stop.call_async(StopEpisode.Request(outcome=outcome, note=note))
        future.add_done_callback(self._on_stopped)

    def tick(self) -> None:
        """Give up on a recorder that does not answer; one that was only just found may not."""
        if self._asked_s is not None and time.monotonic() - self._asked_s > _ANSWER_TIMEOUT_S:
            self._asked_s = None
            self._is_asked = False
            self._say("the recorder does not answer; try again")

    def save_recent(self) -> None:
        """Ask for the last seconds."""
        if not self._has_recorder():
            return
        request = SaveRecent.Request(instruction=self.instruction, operator_name=self._operator)
        self._save.call_async(request).add_done_callback(self._on_saved)

    def _has_recorder(self) -> bool:
        ready = self._record.server_is_ready() and self._stop.service_is_ready()
        if not ready:
            self._say(f"no recorder: no {RECORDER} in the graph; start it: vla up record")
        return bool(ready)

    def _on_feedback(self, message: Any) -> None:
        if bytes(message.goal_id.uuid) == self._ended:
            return  # on its way when the result came
        self._is_asked = True
        self._asked_s = None
        if self.feedback is None:
            self._say(f"recording: {self.instruction}")
        self.feedback = message.feedback

    def _on_answer(self, future: Future) -> None:
        self._asked_s = None
        handle = future.result()
        if handle is None or not handle.accepted:
            self._is_asked = False
            self._say("the recorder refused the episode; its log says why")
            return
        goal = bytes(handle.goal_id.uuid)
        handle.get_result_async().add_done_callback(partial(self._on_result, goal))

    def _on_result(self, goal: bytes, future: Future) -> None:
        self._ended = goal
        self._is_asked = False
        self.feedback = None
        result = future.result().result
        where = f" {result.bag_path}" if result.bag_path else ""
        self._say(f"episode {result.outcome or 'failed'}{where}: {result.message}")

    def _on_stopped(self, future: Future) -> None:
        response = future.result()
        if not response.success:
            self._say(response.message)

    def _on_saved(self, future: Future) -> None:
        response = future.result()
        text = f"saved {response.bag_path}: {response.message}"
        self._say(text if response.success else response.message)
