"""The other side of the policy node: a robot on DDS, a client, and the node's process."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import psutil
import rclpy
from geometry_msgs.msg import PoseStamped, TwistStamped
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import Odometry
from policy_fixtures import AHEAD, BEAMS, STAND_OFF_M
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.duration import Duration
from rclpy.executors import MultiThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import BatteryState, Image, LaserScan
from vla_msgs.action import Dock
from vla_msgs.msg import PolicyStatus

CONTACT_M = 0.012
INSTRUCTION = "dock at the orange charger"
_WAIT_S = 30.0


@dataclass(frozen=True)
class Seen:
    """A command as it arrived."""

    time_s: float
    stamp_ns: int
    frame_id: str
    v_mps: float
    w_radps: float


class Robot:
    """A robot that drives along a line towards its station, sensors included.

    It publishes every 50 ms what the test has not switched off, and keeps every command.
    """

    def __init__(self, domain_id):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self.node = rclpy.create_node("test_robot", context=self._context)
        group, in_order = ReentrantCallbackGroup(), MutuallyExclusiveCallbackGroup()
        self.gap_m = 1.0
        self.silent = set()
        self.charges = True
        self.always_charges = False
        self.base_frame = "base_link"
        self.behind_ns = 0  # of a simulated clock behind that of the machine
        self.commands: list[Seen] = []
        self.statuses: list[PolicyStatus] = []
        self.step_times_s: list[float] = []
        self._speed_mps = 0.0
        self._publishers = {
            name: self.node.create_publisher(kind, topic, qos_profile_sensor_data)
            for name, kind, topic in (
                ("image", Image, "camera/image_raw"),
                ("scan", LaserScan, "scan"),
                ("odometry", Odometry, "odom"),
                ("battery", BatteryState, "battery_state"),
                ("dock_pose", PoseStamped, "dock_pose"),
            )
        }
        self.node.create_subscription(
            TwistStamped, "cmd_vel", self._on_command, 50, callback_group=in_order
        )
        self.node.create_subscription(
            PolicyStatus, "vla_policy/status", self.statuses.append, 50, callback_group=in_order
        )
        self.node.create_timer(0.05, self._step, group)
        self._executor = MultiThreadedExecutor(3, context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def reset(self, gap_m=1.0):
        """Back to the start, everything on, and seen by the node."""
        self.gap_m = gap_m
        self._speed_mps = 0.0
        self.silent = set()
        self.charges = True
        self.always_charges = False
        self.base_frame = "base_link"
        self.behind_ns = 0
        time.sleep(0.15)
        self.commands.clear()
        self.statuses.clear()

    def close(self):
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def now(self):
        """The present on the robot's clock."""
        return self.node.get_clock().now() - Duration(nanoseconds=self.behind_ns)

    def _on_command(self, message):
        stamp = message.header.stamp
        self.commands.append(
            Seen(
                time.monotonic(),
                stamp.sec * 10**9 + stamp.nanosec,
                message.header.frame_id,
                message.twist.linear.x,
                message.twist.angular.z,
            )
        )
        self._speed_mps = message.twist.linear.x

    def _noise(self):
        """A dark picture with a little noise: bits that never change are a camera that hangs."""
        return (len(self.step_times_s) % 8).to_bytes(1, "little") * 3600

    def _step(self):
        self.step_times_s.append(time.monotonic())
        self.gap_m = max(0.0, self.gap_m - 0.05 * self._speed_mps)
        stamp = self.now().to_msg()
        image = Image(height=30, width=40, encoding="rgb8", step=120, data=self._noise())
        scan = LaserScan(
            angle_min=-2.0 + 2.0 / BEAMS, angle_increment=4.0 / BEAMS, range_min=0.05, range_max=8.0
        )
        scan.ranges = [3.0] * BEAMS
        scan.ranges[AHEAD] = self.gap_m + STAND_OFF_M
        odometry = Odometry(child_frame_id=self.base_frame)
        odometry.twist.twist.linear.x = self._speed_mps
        battery = BatteryState(power_supply_status=BatteryState.POWER_SUPPLY_STATUS_DISCHARGING)
        if self.always_charges or (self.charges and self.gap_m <= CONTACT_M):
            battery.power_supply_status = BatteryState.POWER_SUPPLY_STATUS_CHARGING
        dock_pose = PoseStamped()
        dock_pose.pose.position.x = self.gap_m
        messages = {
            "image": image,
            "scan": scan,
            "odometry": odometry,
            "battery": battery,
            "dock_pose": dock_pose,
        }
        for name, message in messages.items():
            if name not in self.silent:
                message.header.stamp = stamp
                self._publishers[name].publish(message)


@contextlib.contextmanager
def robot_in(domain_id):
    """A robot in a domain of its own."""
    robot = Robot(domain_id)
    try:
        yield robot
    finally:
        robot.close()


class Client:
    """Transitions, parameters and goals for the node of a namespace."""

    def __init__(self, robot, namespace=""):
        self._node = robot.node
        group = ReentrantCallbackGroup()
        client, node = self._node.create_client, f"{namespace}/vla_policy"
        self._change = client(ChangeState, f"{node}/change_state", callback_group=group)
        self._state = client(GetState, f"{node}/get_state", callback_group=group)
        self._set = client(SetParameters, f"{node}/set_parameters", callback_group=group)
        self._dock = ActionClient(self._node, Dock, f"{namespace}/dock", callback_group=group)
        self.feedback: list[tuple[float, Dock.Feedback]] = []

    def transition(self, transition):
        """Whether the node made the transition."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return call(self._change, request).success

    def transition_async(self, transition):
        """Ask for a transition without waiting for it."""
        return self._change.call_async(ChangeState.Request(transition=Transition(id=transition)))

    def state(self):
        return call(self._state, GetState.Request()).current_state.id

    def set(self, **values):
        """Reasons why parameters were refused, empty for those that were taken."""
        parameters = [Parameter(name=name, value=_value(value)) for name, value in values.items()]
        results = call(self._set, SetParameters.Request(parameters=parameters)).results
        return [result.reason for result in results if not result.successful]

    def activate(self):
        assert self.transition(Transition.TRANSITION_CONFIGURE)
        assert self.transition(Transition.TRANSITION_ACTIVATE)
        assert self.state() == State.PRIMARY_STATE_ACTIVE

    def send(self, instruction=INSTRUCTION, **goal):
        """The goal handle, accepted or not."""
        assert self._dock.wait_for_server(_WAIT_S)
        self.feedback.clear()
        message = Dock.Goal(instruction=instruction, **goal)
        return wait(self._dock.send_goal_async(message, self._on_feedback))

    def result(self, handle):
        """Status and result."""
        response = wait(handle.get_result_async(), 60.0)
        return response.status, response.result

    def dock(self, instruction=INSTRUCTION, **goal):
        handle = self.send(instruction, **goal)
        assert handle.accepted
        return self.result(handle)

    def _on_feedback(self, message):
        self.feedback.append((time.monotonic(), message.feedback))


class NodeProcess:
    """`policy_node` as a process of its own, or a program that holds it, its log in a file."""

    def __init__(self, log, domain_id, program=("-m", "vla_policy_node.main"), **parameters):
        self._log = log
        command = [sys.executable, *program, "--ros-args"]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={value}"]
        environment = os.environ | {
            "ROS_DOMAIN_ID": str(domain_id),
            "RCUTILS_COLORIZED_OUTPUT": "0",
        }
        with log.open("w") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment
            )
        self.pid = self._process.pid

    @property
    def log(self):
        return self._log.read_text()

    def lines(self, text):
        return [line for line in self.log.splitlines() if text in line]

    def worker(self):
        """The inference process, None if there is none."""
        return self._child("vla_policy_node.inference.worker")

    def control(self):
        """The control process, None if there is none."""
        return self._child("vla_policy_node.control.process")

    def watchdog(self):
        """The watchdog process, None if there is none."""
        return self._child("vla_policy_node.control.watchdog_process")

    def _child(self, module):
        for child in psutil.Process(self.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if module in child.cmdline():
                    return child
        return None

    def signal(self, number):
        self._process.send_signal(number)

    def wait(self, timeout_s=40.0):
        return self._process.wait(timeout_s)

    def end(self):
        """Ask it to end, and insist."""
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.wait()
            raise


def call(client, request):
    if not client.service_is_ready():
        assert client.wait_for_service(_WAIT_S), f"no service {client.srv_name}"
        # A server may not know the way back to a client yet that knows the server already.
        time.sleep(0.5)
    return wait(client.call_async(request), 60.0)


def wait(future, timeout_s=_WAIT_S):
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    assert done.wait(timeout_s), "no answer"
    return future.result()


def wait_until(condition, timeout_s=30.0):
    """Poll; fails the test when the time is over."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "condition not met in time"
        time.sleep(0.02)


def is_gone(process):
    """Whether a psutil process has ended, a zombie included."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def isnan(*values):
    return all(math.isnan(value) for value in values)


def _value(value):
    if isinstance(value, str):
        return ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
    if isinstance(value, int):
        return ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=value)
    return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
