"""The action and the services of the recorder, and the episode that is being recorded."""

from __future__ import annotations

import time
from typing import Final

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.task import Future
from rclpy.timer import Timer
from vla_msgs.action import RecordEpisode
from vla_msgs.srv import StopEpisode

from vla_core import bag_metadata
from vla_core.bag_metadata import Outcome
from vla_core.errors import VlaError
from vla_recorder import parameters
from vla_recorder.conversions import (
    OUTCOMES,
    episode_request,
    feedback_message,
    result_message,
)
from vla_recorder.episode import Episode
from vla_recorder.errors import RecorderError
from vla_recorder.message_definitions import RecordedTopic
from vla_recorder.reception import Reception, finish, open_episode
from vla_recorder.stream_watch import StreamWatch

FEEDBACK_PERIOD_S: Final = 0.25
CLOSE_TIMEOUT_S: Final = 60.0


class EpisodeServer:
    """Serves `~/record_episode` and `~/stop_episode`, in every state of the node.

    So a client is told that the recorder is not active instead of waiting for a server, and it gets
    the result of an episode that a transition ended. Callbacks that have to wait (for publishers,
    for a bag to be closed) are coroutines.

    Attributes:
        reception: while the node is active.
    """

    def __init__(self, node: Node, clock: Clock) -> None:
        """Offer the action and the services.

        Args:
            node: owns them.
            clock: of the timers; a simulation that stands still must not stop it.
        """
        self._node = node
        self._clock = clock
        self.reception: Reception | None = None
        self._goal: ServerGoalHandle | None = None  # from its acceptance until its result
        self._episode: Episode | None = None  # while messages are recorded
        self._closed = Future()  # of the present episode
        self._post_roll: Timer | None = None
        self._pauses: list[Future] = []
        self._next_feedback_s = 0.0
        self._has_complained = False
        self._watch = StreamWatch(())
        group = ReentrantCallbackGroup()
        self._server = ActionServer(
            node,
            RecordEpisode,
            "~/record_episode",
            self._on_record,
            callback_group=group,
            cancel_callback=self._on_cancel,
        )
        node.create_service(StopEpisode, "~/stop_episode", self._on_stop, callback_group=group)

    @property
    def episode(self) -> Episode | None:
        """What is being recorded."""
        return self._episode

    @property
    def busy(self) -> bool:
        """Whether a client waits for a result."""
        return self._goal is not None

    # ------------------------------------------------------------------ action and services

    async def _on_record(self, goal: ServerGoalHandle) -> RecordEpisode.Result:
        try:
            episode = await self._begin(goal)
        except VlaError as error:
            self._node.get_logger().error(str(error))
            _conclude(goal, success=False)
            return RecordEpisode.Result(message=str(error), outcome=Outcome.UNKNOWN.value)
        await self._closed
        self._goal = None
        summary = episode.summary()
        text = f"episode {episode.request.name}: {summary.outcome.value}, {summary.message}"
        if summary.success:
            self._node.get_logger().info(text)
        else:
            self._node.get_logger().error(text)
        _conclude(goal, success=summary.success)
        return result_message(summary)

    async def _begin(self, goal: ServerGoalHandle) -> Episode:
        """Wait for the publishers, then open the bag.

        Raises:
            RecorderError: an episode is running, the node is not active, publishers are missing.
            BagError: the bag cannot be created.
        """
        request = episode_request(goal.request)
        if self._goal is not None:
            raise RecorderError(
                f"cannot record {request.name}: another episode is being recorded; "
                f"end it with ~/stop_episode first"
            )
        reception = self.reception
        if reception is None:
            raise RecorderError(f"cannot record {request.name}: the recorder is not active")
        self._goal = goal
        try:
            await reception.topics.wait_until_ready(
                parameters.seconds(self._node, "discovery_timeout_s"),
                self._pause,
                lambda: goal.is_cancel_requested or self.reception is not reception,
            )
            pre_roll_s = parameters.seconds(self._node, "pre_roll_s")
            start_ns = self._node.get_clock().now().nanoseconds
            episode = open_episode(
                self._node,
                request,
                reception,
                reception.plan.required,
                {bag_metadata.START_NS: str(start_ns)} if pre_roll_s > 0.0 else {},
            )
        except BaseException as error:
            self._goal = None
            if isinstance(error, RecorderError):
                raise RecorderError(f"cannot record {request.name}: {error}") from error
            raise
        for _, monitor in reception.monitors.values():
            monitor.reset()
        if pre_roll_s > 0.0:
            episode.add_earlier(reception.ring.recent(pre_roll_s, time.monotonic()))
        self._closed = Future()
        self._episode = episode
        self._has_complained = False
        self._watch = StreamWatch(reception.monitors.values())
        self._node.get_logger().info(f"recording {episode.writer.path}: {request.instruction!r}")
        self._publish_feedback()  # tells the client that from here on everything is recorded
        return episode

    def _pause(self) -> Future:
        """A future that the next tick completes."""
        pause = Future()
        self._pauses.append(pause)
        return pause

    def end_pauses(self) -> None:
        """Let an episode that waits for publishers look again."""
        pauses, self._pauses = self._pauses, []
        for pause in pauses:
            pause.set_result(None)

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        if goal is self._goal:
            self._catch_up()
            self._end(Outcome.UNKNOWN, "cancelled", post_roll=False)
        return CancelResponse.ACCEPT

    async def _on_stop(
        self, request: StopEpisode.Request, response: StopEpisode.Response
    ) -> StopEpisode.Response:
        outcome = OUTCOMES.get(request.outcome)
        if outcome is None:
            response.message = f"outcome {request.outcome} is unknown, expected 0 to 3"
            return response
        self._catch_up()
        episode = self._episode
        if episode is None:
            response.message = "no episode is being recorded"
            return response
        self._end(outcome, request.note, post_roll=outcome is not Outcome.DISCARDED)
        await self._closed
        summary = episode.summary()
        response.success = True
        response.bag_path = str(summary.path)
        response.message = summary.message
        return response

    # ------------------------------------------------------------------ recording

    def add_topic(self, topic: RecordedTopic) -> None:
        """A topic that is subscribed to from now on."""
        if self._episode is not None:
            self._episode.add_topic(topic)

    def record(self, topic: RecordedTopic, stamp_ns: int, data: bytes) -> None:
        """A message, for the episode if one is being recorded."""
        episode = self._episode
        if episode is not None:
            episode.write(topic.name, stamp_ns, data)
            if episode.too_long:
                self._end(Outcome.UNKNOWN, "max_duration_s reached", post_roll=False)

    def tick(self) -> None:
        """Look after the episode."""
        self.end_pauses()
        episode = self._episode
        if episode is None:
            return
        if time.monotonic() >= self._next_feedback_s:
            self._publish_feedback()
        for change in self._watch.look(self._node.get_clock().now().nanoseconds):
            self._node.get_logger().warning(change)
        failure = episode.writer.failure
        if failure is not None:
            if not self._has_complained:  # now, not when the bag is closed: that takes a while
                self._has_complained = True
                self._node.get_logger().error(f"the recording ends: {failure}")
            self._end(Outcome.UNKNOWN, "", post_roll=False)
        elif episode.too_long:
            self._end(Outcome.UNKNOWN, "max_duration_s reached", post_roll=False)

    def _publish_feedback(self) -> None:
        goal, episode, reception = self._goal, self._episode, self.reception
        if goal is None or episode is None or reception is None:
            return
        self._next_feedback_s = time.monotonic() + FEEDBACK_PERIOD_S
        now_ns = self._node.get_clock().now().nanoseconds
        goal.publish_feedback(feedback_message(episode, reception.monitors.values(), now_ns))

    def _catch_up(self) -> None:
        """Record what arrived before this moment: a busy machine may be behind."""
        if self._episode is not None and self.reception is not None:
            self.reception.topics.take_waiting()

    def _end(self, outcome: Outcome, note: str, *, post_roll: bool) -> None:
        """Label the running episode and close its bag now or after the post-roll."""
        episode = self._episode
        if episode is None:
            return
        episode.label(outcome, note)
        post_roll_s = parameters.seconds(self._node, "post_roll_s") if post_roll else 0.0
        if post_roll_s > 0.0 and self._post_roll is None:
            self._post_roll = self._node.create_timer(post_roll_s, self._finish, clock=self._clock)
        elif post_roll_s <= 0.0:
            self._finish()

    def _finish(self) -> None:
        if self._post_roll is not None:
            self._node.destroy_timer(self._post_roll)
            self._post_roll = None
        episode, self._episode = self._episode, None
        if episode is not None:
            finish(self._node, episode, self._closed)

    def end_episode(self, note: str) -> None:
        """End the running episode, if any, with unknown outcome, and wait until it is on disk."""
        self._catch_up()
        episode = self._episode
        if episode is None:
            return
        self._end(Outcome.UNKNOWN, note, post_roll=False)
        if not episode.writer.wait(CLOSE_TIMEOUT_S):
            self._node.get_logger().error(
                f"{episode.writer.path} is not closed after {CLOSE_TIMEOUT_S:g} s"
            )


def _conclude(goal: ServerGoalHandle, *, success: bool) -> None:
    if goal.is_cancel_requested:
        goal.canceled()
    elif success:
        goal.succeed()
    else:
        goal.abort()
