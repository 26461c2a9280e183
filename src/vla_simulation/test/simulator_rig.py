"""Starts the real nodes as processes and talks to them over DDS."""

import collections
import contextlib
import os
import signal
import subprocess
import sys
import time

import rclpy
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import BatteryState, CameraInfo, Image, JointState, LaserScan
from vla_msgs.msg import SimulationState
from vla_msgs.srv import ResetSimulation

TOPICS = {
    "camera/image_raw": Image,
    "camera/camera_info": CameraInfo,
    "scan": LaserScan,
    "odom": Odometry,
    "joint_states": JointState,
    "battery_state": BatteryState,
    "ground_truth/dock_pose": PoseStamped,
    "ground_truth/state": SimulationState,
    "cmd_vel": TwistStamped,
    "expert/cmd_vel": TwistStamped,
    "/clock": Clock,
}
CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = (
    Transition.TRANSITION_CONFIGURE,
    Transition.TRANSITION_CLEANUP,
    Transition.TRANSITION_ACTIVATE,
    Transition.TRANSITION_DEACTIVATE,
)


class Rig:
    """The nodes under test, and everything they publish."""

    def __init__(self, domain):
        self._environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        }
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("rig", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self.messages = collections.defaultdict(list)
        self.arrivals_s = collections.defaultdict(list)
        self.processes = {}

    def listen(self, *topics, reliable=True):
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=2000, reliability=policy)
        for topic in topics:
            self.node.create_subscription(
                TOPICS[topic], topic, lambda m, topic=topic: self._keep(topic, m), qos
            )

    def _keep(self, topic, message):
        self.messages[topic].append(message)
        self.arrivals_s[topic].append(time.monotonic())

    def start(self, module, *parameters, **environment):
        arguments = [item for parameter in parameters for item in ("-p", parameter)]
        process = subprocess.Popen(
            [sys.executable, "-m", f"vla_simulation.ros.{module}", "--ros-args", *arguments],
            env={**self._environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes[module] = process
        return process

    def call(self, kind, name, request, timeout_s=20.0):
        client = self.node.create_client(kind, name)
        try:
            assert self.spin_until(client.service_is_ready, 20.0), f"{name} did not appear"
            # A server may not know the way back to a client yet that knows the server already.
            self.spin(0.3)
            future = client.call_async(request)
            assert self.spin_until(future.done, timeout_s), f"{name} did not answer"
            return future.result()
        finally:
            self.node.destroy_client(client)

    def change(self, node, transition, timeout_s=20.0):
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.call(ChangeState, f"{node}/change_state", request, timeout_s).success

    def reset(self, seed, suite="", goal=-1):
        request = ResetSimulation.Request(seed=seed, suite=suite, goal=goal)
        return self.call(ResetSimulation, "simulator/reset", request)

    def command_publisher(self, kind=TwistStamped):
        return self.node.create_publisher(kind, "cmd_vel", QoSProfile(depth=10))

    def spin(self, seconds):
        self.spin_until(lambda: False, seconds)

    def spin_until(self, done, timeout_s):
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            if done():
                return True
            self._executor.spin_once(timeout_sec=0.02)
        return done()

    def spin_until_quiet(self, seconds=0.3, timeout_s=20.0):
        """Until nothing has come for a while: what was under way has arrived."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            known = sum(map(len, self.messages.values()))
            self.spin(seconds)
            if sum(map(len, self.messages.values())) == known:
                return
        raise AssertionError("messages still come")

    def publish_until(self, publisher, message, done, timeout_s=30.0):
        """Send a command again and again until something is the case."""
        deadline_s = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < deadline_s, "not in time"
            publisher.publish(message)
            self.spin(0.1)

    @property
    def state(self):
        messages = self.messages["ground_truth/state"]
        return messages[-1] if messages else None

    def stamp_period_s(self, topic):
        """Mean interval of the stamps."""
        stamps = [stamp_ns(message) for message in self.messages[topic]]
        return (stamps[-1] - stamps[0]) * 1e-9 / (len(stamps) - 1)

    def stop(self, module, number=signal.SIGINT):
        """End a process and return its exit code and output."""
        process = self.processes.pop(module)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def close(self):
        for process in self.processes.values():
            process.kill()
            process.communicate()
        self._executor.shutdown()
        self.node.destroy_node()
        self.context.shutdown()


@contextlib.contextmanager
def rig_in(domain):
    rig = Rig(domain)
    try:
        yield rig
    finally:
        rig.close()


def stamp_ns(message):
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def twist(linear, angular=0.0):
    message = Twist()
    message.linear.x, message.angular.z = linear, angular
    return message
