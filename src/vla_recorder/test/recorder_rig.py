"""The other side of the recorder: a robot that publishes on DDS, a client, the node's process."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from array import array

import rclpy
from bag_fixtures import BEAMS, IMAGE_HEIGHT, IMAGE_WIDTH
from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, LaserScan
from vla_msgs.action import RecordEpisode
from vla_msgs.msg import SimulationState
from vla_msgs.srv import SaveRecent, StopEpisode

from vla_recorder.episode_server import FEEDBACK_PERIOD_S
from vla_recorder.recorder_node import TICK_S

WAIT_S = 20.0
TOPICS = {
    "camera/image_raw": Image,
    "scan": LaserScan,
    "odom": Odometry,
    "cmd_vel": TwistStamped,
    "ground_truth/state": SimulationState,
}


STREAMS = ("camera/image_raw", "scan", "odom", "cmd_vel")


def wait_for(condition, what, timeout_s=WAIT_S):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"timed out: {what}"
        time.sleep(0.005)


class Robot:
    """Publishes one message per topic and tick and remembers the bytes."""

    def __init__(self, domain_id, skip=(), types=None, reliable=True):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        # Log publishers are shared by all nodes of a name in a process, whatever their context.
        self.node = rclpy.create_node("test_robot", context=self._context, enable_rosout=False)
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=100, reliability=reliability)
        self._types = {**TOPICS, **(types or {})}
        self._publishers = {
            topic: self.node.create_publisher(kind, topic, qos)
            for topic, kind in self._types.items()
            if topic not in skip
        }
        self.forget()
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def forget(self):
        self.sent = {f"/{topic}": [] for topic in self._publishers}

    def publish(self, ticks, period_s=0.01, skip=()):
        for tick in range(ticks):
            for topic, publisher in self._publishers.items():
                if topic not in skip:
                    data = serialize_message(self._message(topic, tick))
                    publisher.publish(data)
                    self.sent[f"/{topic}"].append(data)
            time.sleep(period_s)

    def wait_for_subscribers(self, topics):
        """Until somebody listens to each of the topics, as far as it is published here."""
        for topic in topics:
            if topic in self._publishers:
                wait_for(self._publishers[topic].get_subscription_count, f"subscriber of {topic}")

    def wait_until_received(self):
        """Until whoever listens, reliably, has acknowledged everything; asks every 3 s only."""
        for topic, publisher in self._publishers.items():
            assert publisher.wait_for_all_acked(Duration(seconds=WAIT_S)), topic

    def count(self, topics):
        """How many messages were sent on some topics."""
        return sum(len(self.sent.get(f"/{topic}", ())) for topic in topics)

    def _message(self, topic, tick):
        message = self._types[topic]()
        if hasattr(message, "header"):
            message.header.stamp = self.node.get_clock().now().to_msg()
        if topic == "camera/image_raw":
            message.height, message.width, message.step = IMAGE_HEIGHT, IMAGE_WIDTH, IMAGE_WIDTH * 3
            message.encoding = "rgb8"
            size = IMAGE_HEIGHT * IMAGE_WIDTH * 3
            message.data = array("B", [tick % 256] * size)
        elif topic == "scan":
            message.angle_min, message.angle_increment = -1.0, 2.0 / BEAMS
            message.range_max = 10.0
            message.ranges = [1.0 + tick] * BEAMS
        elif topic == "ground_truth/state":
            message.seed, message.instruction = tick, "dock " * (tick % 5)
        return message

    def close(self):
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        self._context.shutdown()


class Publishing(threading.Thread):
    """A robot that publishes until it is told to stop, and notes when."""

    def __init__(self, robot, period_s=0.01):
        super().__init__(daemon=True)
        self.sent_s = []
        self._robot, self._period_s = robot, period_s
        self._wanted = True
        robot.forget()

    def run(self):
        while self._wanted:
            self.sent_s.append(time.monotonic())
            self._robot.publish(1, period_s=self._period_s)

    def end(self):
        self._wanted = False
        self.join()


class Recorder:
    """The node as a process, and its clients."""

    def __init__(self, robot, domain_id, log, **parameters):
        self.log = log
        self._robot = robot
        extra = parameters.get("extra_topics", "[]").strip("[]").split(",")
        self._topics = [*STREAMS, *(topic.strip() for topic in extra)]
        arguments = [f"{name}:={value}" for name, value in parameters.items()]
        command = [sys.executable, "-m", "vla_recorder.recorder_node", "--ros-args"]
        for argument in arguments:
            command += ["-p", argument]
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "ROS_DOMAIN_ID": str(domain_id)},
            )
        self._change_state = robot.node.create_client(ChangeState, "vla_recorder/change_state")
        self._stop = robot.node.create_client(StopEpisode, "vla_recorder/stop_episode")
        self._save = robot.node.create_client(SaveRecent, "vla_recorder/save_recent")
        self._set_parameters = robot.node.create_client(
            SetParameters, "vla_recorder/set_parameters"
        )
        self._record = ActionClient(robot.node, RecordEpisode, "vla_recorder/record_episode")
        # A server may not know the way back to a client yet that knows the server already. Ends are
        # announced in the order of their creation: where the last of them is known, all are.
        last = robot.node.create_client(GetState, "vla_recorder/get_state")
        assert last.wait_for_service(WAIT_S), self.text
        wait_for(lambda: last.call(GetState.Request(), timeout_sec=1.0), "an answer")

    @property
    def text(self):
        return self.log.read_text()

    def set(self, **parameters):
        values = [
            Parameter(name, value=value).to_parameter_msg() for name, value in parameters.items()
        ]
        response = self._set_parameters.call(
            SetParameters.Request(parameters=values), timeout_sec=WAIT_S
        )
        assert all(result.successful for result in response.results), response

    def change(self, transition, timeout_s=WAIT_S):
        request = ChangeState.Request()
        request.transition.id = transition
        response = self._change_state.call(request, timeout_sec=timeout_s)
        return response is not None and response.success

    def bring_up(self):
        assert self.change(Transition.TRANSITION_CONFIGURE), self.text
        assert self.change(Transition.TRANSITION_ACTIVATE), self.text
        assert self._record.wait_for_server(WAIT_S)
        assert self._stop.wait_for_service(WAIT_S)
        assert self._save.wait_for_service(WAIT_S)
        return self

    def record(self, **goal):
        return Goal(self._record, RecordEpisode.Goal(**goal), self._robot, self._topics)

    def stop(self, outcome=StopEpisode.Request.SUCCESS, note=""):
        request = StopEpisode.Request(outcome=outcome, note=note)
        return self._stop.call(request, timeout_sec=WAIT_S)

    def save_recent(self, **request):
        return self._save.call(SaveRecent.Request(**request), timeout_sec=WAIT_S)

    def forget(self):
        """Let go of the robot, whose node an action client would keep alive for ever."""
        self._record.destroy()

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Goal:
    """A goal that was sent."""

    def __init__(self, client, goal, robot, topics):
        self.feedback = []
        self.feedback_s = []
        self._robot, self._topics = robot, topics
        self._accepted = client.send_goal_async(goal, self._on_feedback)
        wait_for(self._accepted.done, "goal accepted")
        self._handle = self._accepted.result()
        self._result = self._handle.get_result_async()

    def _on_feedback(self, message):
        self.feedback.append(message.feedback)
        self.feedback_s.append(time.monotonic())

    def wait_until_recording(self):
        wait_for(lambda: self.feedback or self._result.done(), "first feedback")
        assert self.feedback, self.result().message
        # The recorder can see its own end of a connection only.
        self._robot.wait_for_subscribers(self._topics)
        self._begun_with = self.feedback[0].messages - self._robot.count(self._topics)
        return self

    def wait_until_recorded(self):
        """Until the recorder has everything that was sent since the recording began."""

        def missing():
            return self._begun_with + self._robot.count(self._topics) - self.feedback[-1].messages

        wait_for(lambda: missing() <= 0, "everything is recorded")

    def received(self, key):
        """How many messages of a stream the recorder has, as it says."""
        return next(s.messages for s in self.feedback[-1].streams if s.key == key)

    def hold_up_s(self, until_s):
        """For how long the machine, at the most, kept the recorder from what it does in time."""
        times = [*self.feedback_s, until_s]
        return max(b - a for a, b in itertools.pairwise(times)) - FEEDBACK_PERIOD_S - TICK_S

    @property
    def is_done(self):
        return self._result.done()

    def cancel(self):
        self._handle.cancel_goal_async()

    @property
    def status(self):
        wait_for(self._result.done, "result")
        return self._result.result().status

    def result(self):
        wait_for(self._result.done, "result")
        return self._result.result().result
