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
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from vla_core.contract import Contract
from vla_core.errors import VlaError
from vla_recorder import parameters
from vla_recorder.diagnostics import diagnostic_array
from vla_recorder.episode_server import EpisodeServer
from vla_recorder.errors import RecorderError
from vla_recorder.header_stamps import STAMP_END, header_stamp_ns
from vla_recorder.message_definitions import MessageDefinitions, RecordedTopic
from vla_recorder.recent_server import RecentServer
from vla_recorder.reception import Reception
from vla_recorder.recording_plan import RecordingPlan
from vla_recorder.ring_buffer import Received
from vla_recorder.stream_monitor import StreamMonitor
from vla_recorder.topic_subscriptions import TopicSubscriptions

TICK_S: Final = 0.1
DISCOVERY_PERIOD_S: Final = 0.5
DIAGNOSTICS_PERIOD_S: Final = 1.0
RESULT_TIMEOUT_S: Final = 10.0
FAREWELL_S: Final = 0.5


class RecorderNode(LifecycleNode):
    """Receives what the contract names, for the episode that is being recorded or a later one.

    The executor has one thread, and the disk belongs to the bags' own threads.
    """

    def __init__(self) -> None:
        super().__init__("vla_recorder")
        parameters.declare_parameters(self)
        self._plan: RecordingPlan | None = None
        self._sim_time = False
        self._definitions = MessageDefinitions()
        self._subscriptions_group = MutuallyExclusiveCallbackGroup()
        self._reception: Reception | None = None  # while active
        self._next_discovery_s = 0.0
        # A simulation that stands still must not stop the clockwork.
        steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._next_diagnosis_s = 0.0
        self._episodes = EpisodeServer(self, steady_clock)
        self._recent = RecentServer(self)
        self.create_timer(TICK_S, self._tick, clock=steady_clock)

    @property
    def busy(self) -> bool:
        """Whether an episode is running or its result not sent yet."""
        return self._episodes.busy

    def end_episode(self, note: str) -> None:
        """End the running episode, if any, with unknown outcome, and wait until it is on disk."""
        self._episodes.end_episode(note)

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

    def _activate(self) -> None:
        if self._plan is None:
            raise RecorderError("the recorder was not configured")
        topics = TopicSubscriptions(
            self,
            self._plan.requests,
            self._definitions,
            self._on_message,
            self._subscriptions_group,
        )
        monitors = {
            stream.topic: (stream, StreamMonitor(stream.max_age_s)) for stream in self._plan.watched
        }
        ring = parameters.ring_buffer(self)
        self._set_reception(Reception(self._plan, topics, monitors, ring))
        topics.refresh()

    def _deactivate(self) -> None:
        self.end_episode("the recorder was deactivated")
        if self._reception is not None:
            self._reception.topics.destroy()
            self._set_reception(None)
        # An episode that waits for publishers gives up before the next request.
        self._episodes.end_pauses()

    def _cleanup(self) -> None:
        self._plan = None

    def _set_reception(self, reception: Reception | None) -> None:
        self._reception = self._episodes.reception = self._recent.reception = reception

    # ------------------------------------------------------------------ messages

    def _on_message(self, topic: RecordedTopic, data: bytes) -> None:
        reception = self._reception
        if reception is None:
            return
        received_ns = self.get_clock().now().nanoseconds
        has_stamp = topic.definition.has_header and len(data) >= STAMP_END
        stamp_ns = header_stamp_ns(data) if has_stamp else received_ns
        if self._sim_time:
            # How long a message waits is this machine's business, not the simulated robot's; and
            # /clock travels beside the data, so it may be early or late.
            received_ns = stamp_ns
        watched = reception.monitors.get(topic.name)
        if watched is not None:
            watched[1].update(received_ns, stamp_ns)
        reception.ring.add(Received(time.monotonic(), topic, received_ns, data))
        self._episodes.record(topic, received_ns, data)

    def _tick(self) -> None:
        now_s = time.monotonic()
        if self._reception is not None and now_s >= self._next_discovery_s:
            self._next_discovery_s = now_s + DISCOVERY_PERIOD_S
            for topic in self._reception.topics.refresh():
                self._episodes.add_topic(topic)
        if self._reception is not None and now_s >= self._next_diagnosis_s:
            self._next_diagnosis_s = now_s + DIAGNOSTICS_PERIOD_S
            self._diagnose(self._reception)
        self._episodes.tick()

    def _diagnose(self, reception: Reception) -> None:
        now = self.get_clock().now()
        self._diagnostics.publish(
            diagnostic_array(
                self.get_name(),
                now.to_msg(),
                self._episodes.episode,
                reception.monitors.values(),
                now.nanoseconds,
            )
        )


def _answer(node: RecorderNode, executor: SingleThreadedExecutor) -> None:
    """Let a client that waits for an episode have its result."""
    if not node.busy:
        return
    deadline_s = time.monotonic() + RESULT_TIMEOUT_S
    while node.busy and time.monotonic() < deadline_s:
        executor.spin_once(timeout_sec=TICK_S)
    deadline_s = time.monotonic() + FAREWELL_S  # it may ask only now
    while time.monotonic() < deadline_s:
        executor.spin_once(timeout_sec=TICK_S)


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
        _answer(node, executor)
    finally:
        node.end_episode("the recorder failed")
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
