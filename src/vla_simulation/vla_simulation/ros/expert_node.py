"""The scripted expert as a ROS 2 lifecycle node: drives the simulator by its true state."""

import sys
from collections.abc import Sequence

from builtin_interfaces.msg import Time
from geometry_msgs.msg import TwistStamped
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from vla_msgs.msg import SimulationState

from vla_core.geometry import Pose2D
from vla_simulation.controllers.expert import expert_action
from vla_simulation.controllers.noise import ActionNoise
from vla_simulation.ros.node_main import logged, run
from vla_simulation.ros.node_parameters import ParameterSpec, declare

_BASE_FRAME = "base_link"

PARAMETERS = {
    "noise_scale": ParameterSpec(
        0.0,
        "Disturbance of the executed command: 0 none, 1 as for demonstrations (DART); read at the "
        "start of each episode",
        0.0,
        3.0,
    ),
    "noise_seed": ParameterSpec(0, "Added to the episode's seed for the disturbance", 0, 2**31),
}


class ExpertNode(LifecycleNode):
    """Answers every ``ground_truth/state`` with a command that carries its stamp.

    ``cmd_vel`` is what is executed, ``expert/cmd_vel`` the expert's clean command at that state.
    """

    def __init__(self) -> None:
        super().__init__("docking_expert")
        declare(self, PARAMETERS)
        self._episode: tuple[int, str] | None = None
        self._time_s = 0.0

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Create the topics."""
        qos = QoSProfile(depth=200)
        self._executed = self.create_lifecycle_publisher(TwistStamped, "cmd_vel", qos)
        self._label = self.create_lifecycle_publisher(TwistStamped, "expert/cmd_vel", qos)
        return super().on_configure(state)

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to drive."""
        result = super().on_activate(state)
        self._episode = None
        self._state_subscription = self.create_subscription(
            SimulationState, "ground_truth/state", self._drive, QoSProfile(depth=200)
        )
        return result

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the robot, then fall silent."""
        self.destroy_subscription(self._state_subscription)
        self._executed.publish(_command(self.get_clock().now().to_msg(), 0.0, 0.0))
        return super().on_deactivate(state)

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take the topics down."""
        for publisher in (self._executed, self._label):
            self.destroy_lifecycle_publisher(publisher)
        return super().on_cleanup(state)

    def _drive(self, message: SimulationState) -> None:
        self._follow_episode(message)
        pose = Pose2D(message.longitudinal_error_m, message.lateral_error_m, message.yaw_error_rad)
        clean = expert_action(pose)
        executed = self._noise.disturb(*clean) if self._noise is not None else clean
        stamp = message.header.stamp
        self._label.publish(_command(stamp, *clean))
        self._executed.publish(_command(stamp, *executed))

    def _follow_episode(self, message: SimulationState) -> None:
        """Seed the disturbance again when a new episode has begun."""
        episode = (message.seed, message.suite)
        if episode != self._episode or message.time_s < self._time_s:
            scale = self.get_parameter("noise_scale").value
            seed = message.seed + self.get_parameter("noise_seed").value
            self._noise = ActionNoise(scale=scale, seed=seed) if scale > 0.0 else None
            self._episode = episode
        self._time_s = message.time_s


def _command(stamp: Time, linear_mps: float, angular_radps: float) -> TwistStamped:
    message = TwistStamped()
    message.header.stamp = stamp
    message.header.frame_id = _BASE_FRAME
    message.twist.linear.x = linear_mps
    message.twist.angular.z = angular_radps
    return message


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    return run(ExpertNode, args)


if __name__ == "__main__":
    sys.exit(main())
