"""Lifecycle node that records episodes: one rosbag2 bag each, byte for byte as published."""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Final

import rclpy
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rclpy.timer import Timer
from vla_msgs.action import RecordEpisode
from vla_msgs.srv import StopEpisode

from vla_core.bag_metadata import Outcome
from vla_core.contract import Contract
from vla_core.errors import VlaError
from vla_recorder import parameters
from vla_recorder.bag_writer import RecordedTopic
from vla_recorder.conversions import (
    OUTCOMES,
    episode_request,
    feedback_message,
    result_message,
)
from vla_recorder.episode import Episode
from vla_recorder.errors import RecorderError
from vla_recorder.header_stamps import STAMP_END, header_stamp_ns
from vla_recorder.message_definitions import MessageDefinitions
from vla_recorder.recording_plan import RecordingPlan, WatchedStream
from vla_recorder.stream_monitor import StreamMonitor
from vla_recorder.topic_subscriptions import TopicSubscriptions

TICK_S: Final = 0.1
FEEDBACK_PERIOD_S: Final = 0.25
DISCOVERY_PERIOD_S: Final = 0.5
CLOSE_TIMEOUT_S: Final = 60.0
RESULT_TIMEOUT_S: Final = 0.5


class RecorderNode(LifecycleNode):
    """Serves `~/record_episode` and `~/stop_episode`.

    The executor has one thread. Callbacks that have to wait (for publishers, for the bag to be
    closed) are coroutines, and the disk belongs to the bag's own thread.
    """

    def __init__(self) -> None:
        super().__init__("vla_recorder")
        parameters.declare_parameters(self)
        self._plan: RecordingPlan | None = None
        self._monitors: dict[str, tuple[WatchedStream, StreamMonitor]] = {}
        self._sim_time = False
        self._definitions = MessageDefinitions()
        self._subscriptions_group = MutuallyExclusiveCallbackGroup()
        self._topics: TopicSubscriptions | None = None  # while active
        self._goal: ServerGoalHandle | None = None  # from its acceptance until its result
        self._episode: Episode | None = None  # while messages are recorded
        self._closed = Future()  # of the present episode
        self._post_roll: Timer | None = None
        self._pauses: list[Future] = []
        self._next_discovery_s = 0.0
        self._next_feedback_s = 0.0
        # Offered in every state: a client is told that the recorder is not active instead of
        # waiting for a server, and it gets the result of an episode that a transition ended.
        group = ReentrantCallbackGroup()
        self._server = ActionServer(
            self,
            RecordEpisode,
            "~/record_episode",
            self._on_record,
            callback_group=group,
            cancel_callback=self._on_cancel,
        )
        self.create_service(StopEpisode, "~/stop_episode", self._on_stop, callback_group=group)
        # A simulation that stands still must not stop the clockwork.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(TICK_S, self._tick, clock=self._steady_clock)

    # ------------------------------------------------------------------ lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the contract and check the output folder."""
        return self._attempt("configure", self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to subscribe to what is published."""
        return self._attempt("activate", self._activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the running episode and unsubscribe."""
        return self._attempt("deactivate", self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the contract."""
        return self._attempt("clean up", self._cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the running episode."""
        return self._attempt("shut down", self._deactivate, self._cleanup)

    def _attempt(self, what: str, *steps: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            for step in steps:
                step()
        except VlaError as error:
            self.get_logger().error(f"cannot {what}: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().error(f"cannot {what}:\n{traceback.format_exc()}")
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        contract = Contract.load(parameters.contract_path(self))
        parameters.output_directory(self)
        parameters.writer_settings(self)
        self._sim_time = bool(self.get_parameter("use_sim_time").value)
        self._plan = RecordingPlan.from_contract(
            contract, parameters.extra_topics(self), self.resolve_topic_name
        )
        self._monitors = {
            stream.topic: (stream, StreamMonitor(stream.max_age_s)) for stream in self._plan.watched
        }

    def _activate(self) -> None:
        requests = self._plan.requests if self._plan is not None else ()
        group = self._subscriptions_group
        self._topics = TopicSubscriptions(
            self, requests, self._definitions, self._on_message, group
        )
        self._topics.refresh()

    def _deactivate(self) -> None:
        self.end_episode("the recorder was deactivated")
        if self._topics is not None:
            self._topics.destroy()
            self._topics = None
        self._end_pauses()  # an episode that waits for publishers gives up before the next request

    def _cleanup(self) -> None:
        self._plan = None
        self._monitors = {}

    # ------------------------------------------------------------------ action and service

    async def _on_record(self, goal: ServerGoalHandle) -> RecordEpisode.Result:
        try:
            episode = await self._begin(goal)
        except VlaError as error:
            self.get_logger().error(str(error))
            _conclude(goal, success=False)
            return RecordEpisode.Result(message=str(error), outcome=Outcome.UNKNOWN.value)
        await self._closed
        self._goal = None
        summary = episode.summary()
        text = f"episode {episode.request.name}: {summary.outcome.value}, {summary.message}"
        if summary.success:
            self.get_logger().info(text)
        else:
            self.get_logger().error(text)
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
        topics, plan = self._topics, self._plan
        if topics is None or plan is None:
            raise RecorderError(f"cannot record {request.name}: the recorder is not active")
        self._goal = goal
        try:
            await topics.wait_until_ready(
                parameters.seconds(self, "discovery_timeout_s"),
                self._pause,
                lambda: goal.is_cancel_requested or self._topics is not topics,
            )
            episode = Episode(
                request,
                parameters.output_directory(self),
                parameters.writer_settings(self),
                plan.metadata,
                plan.required,
            )
        except BaseException as error:
            self._goal = None
            if isinstance(error, RecorderError):
                raise RecorderError(f"cannot record {request.name}: {error}") from error
            raise
        for _, monitor in self._monitors.values():
            monitor.reset()
        now_ns = self.get_clock().now().nanoseconds
        for topic in topics.topics:
            episode.add_topic(topic)
            for data in topics.latched(topic):
                episode.write(topic.name, now_ns, data)
        self._closed = Future()
        self._episode = episode
        self.get_logger().info(f"recording {episode.writer.path}: {request.instruction!r}")
        self._publish_feedback()  # tells the client that from here on everything is recorded
        return episode

    def _pause(self) -> Future:
        """A future that the next tick completes."""
        pause = Future()
        self._pauses.append(pause)
        return pause

    def _end_pauses(self) -> None:
        pauses, self._pauses = self._pauses, []
        for pause in pauses:
            pause.set_result(None)

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        if goal is self._goal and self._episode is not None:
            self._end(Outcome.UNKNOWN, "cancelled", post_roll=False)
        return CancelResponse.ACCEPT

    async def _on_stop(
        self, request: StopEpisode.Request, response: StopEpisode.Response
    ) -> StopEpisode.Response:
        episode = self._episode
        if episode is None:
            response.message = "no episode is being recorded"
            return response
        outcome = OUTCOMES.get(request.outcome)
        if outcome is None:
            response.message = f"outcome {request.outcome} is unknown, expected 0 to 3"
            return response
        self._end(outcome, request.note, post_roll=outcome is not Outcome.DISCARDED)
        await self._closed
        summary = episode.summary()
        response.success = True
        response.bag_path = str(summary.path)
        response.message = summary.message
        return response

    # ------------------------------------------------------------------ recording

    def _on_message(self, topic: RecordedTopic, data: bytes) -> None:
        received_ns = self.get_clock().now().nanoseconds
        has_stamp = topic.definition.has_header and len(data) >= STAMP_END
        stamp_ns = header_stamp_ns(data) if has_stamp else received_ns
        if self._sim_time:
            # How long a message waits is this machine's business, not the simulated robot's; and
            # /clock travels beside the data, so it may be early or late.
            received_ns = stamp_ns
        watched = self._monitors.get(topic.name)
        if watched is not None:
            watched[1].update(received_ns, stamp_ns)
        episode = self._episode
        if episode is not None:
            episode.write(topic.name, received_ns, data)
            if episode.too_long:
                self._end(Outcome.UNKNOWN, "max_duration_s reached", post_roll=False)

    def _end(self, outcome: Outcome, note: str, *, post_roll: bool) -> None:
        """Label the running episode and close its bag now or after the post-roll."""
        episode = self._episode
        if episode is None:
            return
        episode.label(outcome, note)
        post_roll_s = parameters.seconds(self, "post_roll_s") if post_roll else 0.0
        if post_roll_s > 0.0 and self._post_roll is None:
            self._post_roll = self.create_timer(post_roll_s, self._finish, clock=self._steady_clock)
        elif post_roll_s <= 0.0:
            self._finish()

    def _finish(self) -> None:
        if self._post_roll is not None:
            self.destroy_timer(self._post_roll)
            self._post_roll = None
        episode, self._episode = self._episode, None
        if episode is not None:
            closed = self._closed

            def on_finished() -> None:
                closed.set_result(None)
                if self.executor is not None:
                    self.executor.wake()

            episode.finish(on_finished)

    def end_episode(self, note: str) -> None:
        """End the running episode, if any, with unknown outcome, and wait until it is on disk."""
        episode = self._episode
        if episode is None:
            return
        self._end(Outcome.UNKNOWN, note, post_roll=False)
        if not episode.writer.wait(CLOSE_TIMEOUT_S):
            self.get_logger().error(
                f"{episode.writer.path} is not closed after {CLOSE_TIMEOUT_S:g} s"
            )

    @property
    def busy(self) -> bool:
        """Whether an episode is running or its result not sent yet."""
        return self._goal is not None

    # ------------------------------------------------------------------ clockwork

    def _tick(self) -> None:
        self._end_pauses()
        now_s = time.monotonic()
        if self._topics is not None and now_s >= self._next_discovery_s:
            self._next_discovery_s = now_s + DISCOVERY_PERIOD_S
            for topic in self._topics.refresh():
                if self._episode is not None:
                    self._episode.add_topic(topic)
        episode = self._episode
        if episode is None:
            return
        if now_s >= self._next_feedback_s:
            self._publish_feedback()
        if episode.writer.failure is not None:
            self._end(Outcome.UNKNOWN, "", post_roll=False)
        elif episode.too_long:
            self._end(Outcome.UNKNOWN, "max_duration_s reached", post_roll=False)

    def _publish_feedback(self) -> None:
        goal, episode = self._goal, self._episode
        if goal is None or episode is None:
            return
        self._next_feedback_s = time.monotonic() + FEEDBACK_PERIOD_S
        now_ns = self.get_clock().now().nanoseconds
        goal.publish_feedback(feedback_message(episode, self._monitors.values(), now_ns))


def _conclude(goal: ServerGoalHandle, *, success: bool) -> None:
    if goal.is_cancel_requested:
        goal.canceled()
    elif success:
        goal.succeed()
    else:
        goal.abort()


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; a running episode is closed first."""
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stopped = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        node = RecorderNode()
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        print(f"vla_recorder: error: {error}", file=sys.stderr)  # noqa: T201
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not stopped:  # the node's timer ends every wait, so a signal is seen in time
            try:
                executor.spin_once()
            except rclpy_implementation.RCLError as error:
                # Raised into the executor by a request for a transition that is not possible now.
                node.get_logger().error(f"request refused: {error}")
        node.end_episode("the recorder was stopped")
        # A client that waits for the episode gets its result.
        deadline_s = time.monotonic() + (RESULT_TIMEOUT_S if node.busy else 0.0)
        while time.monotonic() < deadline_s:
            executor.spin_once(timeout_sec=TICK_S)
    finally:
        node.end_episode("the recorder failed")
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
