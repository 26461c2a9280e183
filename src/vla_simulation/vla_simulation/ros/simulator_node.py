"""The simulated robot, or several in one scene, as a ROS 2 lifecycle node."""

import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.timer import Timer
from vla_msgs.srv import ResetSimulation

from vla_core.contract import Contract
from vla_core.errors import VlaError
from vla_simulation.config import (
    CONTROL_PERIOD_NS,
    CONTROL_PERIOD_S,
    CameraConfig,
    SimulationConfig,
)
from vla_simulation.errors import SimulationError
from vla_simulation.ros.node_main import logged, run
from vla_simulation.ros.node_parameters import ParameterSpec, declare, values
from vla_simulation.ros.pacing import Pacer
from vla_simulation.ros.robots import Command, SimulatedRobot, finite_command, robot_names
from vla_simulation.shared_world import SharedWorld
from vla_simulation.suites import suite_names

_COMMAND_TYPES = {"twist": Twist, "twist_stamped": TwistStamped}
_FIRST_STAMP_NS = 1_000_000_000
_WATCH_PERIOD_S = 0.25
_REPEAT_S = 1.0

PARAMETERS = {
    "contract": ParameterSpec(
        "",
        "Contract of the robot (path of a YAML file): decides the command type unless command_type "
        "is given. Empty: none",
        read_only=True,
    ),
    "suite": ParameterSpec(
        "nominal", f"Suite of the first episode, read when configured: {', '.join(suite_names())}"
    ),
    "seed": ParameterSpec(0, "Seed of the first episode, read when configured", 0, 2**62),
    "image_width_px": ParameterSpec(160, "Width of the camera's image", 16, 1920, read_only=True),
    "image_height_px": ParameterSpec(120, "Height of the camera's image", 16, 1080, read_only=True),
    "command_type": ParameterSpec(
        "auto",
        "Message type of cmd_vel; auto takes the contract's, or twist_stamped without one",
        read_only=True,
        choices=("auto", *_COMMAND_TYPES),
    ),
    "lock_step": ParameterSpec(
        False,
        "Advance one control period per TwistStamped that carries the stamp of the newest "
        "observation, instead of by the clock; publishes /clock",
        read_only=True,
    ),
    "lock_step_timeout_s": ParameterSpec(
        5.0, "Log a warning when no command came for this long in lock-step [s]", 0.1, 600.0
    ),
    "real_time_factor": ParameterSpec(
        1.0,
        "Simulated time per wall time without lock_step; other than 1 publishes /clock",
        0.05,
        20.0,
        read_only=True,
    ),
    "robots": ParameterSpec(
        "",
        "Robots in one scene, each with a station of its own: the namespaces of their topics, "
        "separated by commas. Empty: one robot, in the node's namespace",
        read_only=True,
    ),
    "command_timeout_s": ParameterSpec(
        0.5, "Stop when no command came for this long (not in lock-step) [s]", 0.05, 10.0
    ),
}


class SimulatorNode(LifecycleNode):
    """Publishes what robots publish, and drives them by ``cmd_vel``."""

    def __init__(self) -> None:
        super().__init__("simulator")
        declare(self, PARAMETERS)
        # Never simulated time: this node makes it.
        self._wall_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._system_clock = Clock(clock_type=ClockType.SYSTEM_TIME)
        self._world: SharedWorld | None = None
        self._robots: tuple[SimulatedRobot, ...] = ()
        self._timer: Timer | None = None
        self._active = False
        self._stamp_ns = _FIRST_STAMP_NS
        self._waiting_since_s: float | None = None
        self._warned = False

    # Transitions -------------------------------------------------------------------------------

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Build the environment and the topics."""
        try:
            settings = values(self, PARAMETERS)
            command_type = _command_type(settings)
            self._lock_step: bool = settings["lock_step"]
            self._real_time_factor: float = settings["real_time_factor"]
            camera = CameraConfig(settings["image_width_px"], settings["image_height_px"])
            config = SimulationConfig(camera=camera)
            names = robot_names(settings["robots"])
            if self._lock_step and len(names) > 1:
                raise SimulationError(
                    f"lock_step is true with {len(names)} robots, expected one: robots:=''"
                )
            self._world = SharedWorld(settings["suite"], len(names), config=config)
            self._world.reset(settings["seed"])
        except VlaError as error:
            self.get_logger().error(f"cannot configure: {error}")
            self._release()
            return TransitionCallbackReturn.FAILURE
        self._simulated_time = (
            self._lock_step
            or self._real_time_factor != 1.0
            or bool(self.get_parameter("use_sim_time").value)
        )
        self._robots = tuple(
            SimulatedRobot(
                self,
                name,
                env,
                command_type,
                self._receive_command,
                clock=self._simulated_time and number == 0,
            )
            for number, (name, env) in enumerate(zip(names, self._world.envs, strict=True))
        )
        self._reset_service = self.create_service(ResetSimulation, "~/reset", self._reset)
        for robot in self._robots:
            self.get_logger().info(
                (f"{robot.name}: " if robot.name else "")
                + f"suite '{robot.env.suite.name}', seed {robot.env.seed}: "
                f'"{robot.env.instruction}", cmd_vel as {command_type.__name__}'
                + (", in lock-step" if self._lock_step else "")
            )
        return super().on_configure(state)

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to publish and to drive."""
        result = super().on_activate(state)
        self._active = True
        for robot in self._robots:
            robot.stop()
            robot.topics.restart()
        if self._lock_step:
            self._timer = self.create_timer(_WATCH_PERIOD_S, self._watch, clock=self._wall_clock)
            self._publish(again=True)
        else:
            period_s = CONTROL_PERIOD_S / self._real_time_factor
            self._pacer = Pacer(period_s)
            self._timer = self.create_timer(period_s, self._tick, clock=self._wall_clock)
        return result

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stand still and fall silent."""
        self._stop()
        return super().on_deactivate(state)

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take environment and topics down."""
        self._release()
        return super().on_cleanup(state)

    @logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take environment and topics down."""
        self._release()
        return super().on_shutdown(state)

    @logged
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take environment and topics down; the node can be configured again."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Free the OpenGL context before the process ends."""
        self._release()

    # Driving -----------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Real time: simulate what is due; camera and scanner measure in the last period only."""
        assert self._world is not None
        now_s = time.monotonic()
        due = self._pacer.due(now_s)
        if due == 0:
            return
        timeout_s = self.get_parameter("command_timeout_s").value / self._real_time_factor
        commands = [robot.command(now_s, timeout_s) for robot in self._robots]
        try:
            for behind in range(due - 1, 0, -1):
                self._world.advance(commands)
                self._stamp_ns = self._tick_ns(behind)
                for robot in self._robots:
                    robot.topics.publish_samples(robot.env, self._stamp_ns, robot.env.samples())
            self._world.step(commands)
            self._stamp_ns = self._tick_ns(0)
            self._publish()
        except Exception:
            self._fail()

    def _tick_ns(self, behind: int) -> int:
        """Stamp of a control tick; by the system's time, that at which it was due.

        Args:
            behind: control periods before the newest one that is due.
        """
        if self._simulated_time:
            return self._stamp_ns + CONTROL_PERIOD_NS
        late_s = time.monotonic() - self._pacer.scheduled_s + behind * CONTROL_PERIOD_S
        return self._system_clock.now().nanoseconds - round(late_s * 1e9)

    def _receive_command(self, robot: SimulatedRobot, message: Command) -> None:
        if not self._active:
            return
        command = finite_command(message)
        if command is None:
            self.get_logger().error(
                f"cmd_vel{f' of {robot.name}' if robot.name else ''} is NaN or infinite, expected "
                "finite numbers: the robot stops",
                throttle_duration_sec=1.0,
            )
            command = np.zeros(2)
        if self._lock_step:
            stamp = message.header.stamp
            if stamp.sec * 1_000_000_000 + stamp.nanosec == self._stamp_ns:
                self._step_once(command)
            return
        robot.tell(command)

    def _step_once(self, command: np.ndarray) -> None:
        """Lock-step: the awaited command is here."""
        assert self._world is not None
        try:
            self._world.step([command])
            self._stamp_ns += CONTROL_PERIOD_NS
            self._publish()
        except Exception:
            self._fail()

    def _watch(self) -> None:
        """Lock-step: nobody answers. Subscribers that came late get the observations again."""
        if self._waiting_since_s is None:
            return
        waited_s = time.monotonic() - self._waiting_since_s
        if waited_s > self.get_parameter("lock_step_timeout_s").value and not self._warned:
            self._warned = True
            self.get_logger().warning(
                f"lock-step: no cmd_vel with stamp {self._stamp_ns * 1e-9:.3f} s for "
                f"{waited_s:.1f} s, expected a TwistStamped with the stamp of the observation"
            )
        if waited_s > _REPEAT_S and time.monotonic() - self._published_s > _REPEAT_S:
            warned, since_s = self._warned, self._waiting_since_s
            self._publish(again=True)
            self._warned, self._waiting_since_s = warned, since_s

    def _publish(self, *, again: bool = False) -> None:
        """Publish what is new at this tick, or else the newest of everything."""
        for robot in self._robots:
            samples = robot.env.newest_samples() if again else robot.env.samples()
            robot.topics.publish(robot.env, self._stamp_ns, samples)
        self._published_s = self._waiting_since_s = time.monotonic()
        self._warned = False

    def _reset(
        self, request: ResetSimulation.Request, response: ResetSimulation.Response
    ) -> ResetSimulation.Response:
        try:
            if self._world is None:
                raise SimulationError(f"{self.get_name()} is not configured, configure it first")
            goal = None if request.goal == -1 else request.goal
            self._world.reset(request.seed, request.suite, goal)
        except VlaError as error:
            response.message = str(error)
            return response
        for robot in self._robots:
            robot.stop()
        if self._simulated_time:
            # A gap, so that nobody takes observations of two episodes for one.
            self._stamp_ns += _FIRST_STAMP_NS
        else:
            self._stamp_ns = self._system_clock.now().nanoseconds
        if self._active:
            self._publish()
        response.success = True
        env = self._world.envs[0]
        response.instruction = env.instruction
        response.paraphrases = list(env.scene.paraphrases)
        response.goal = env.scene.goal
        response.station_count = len(env.scene.stations)
        return response

    def _fail(self) -> None:
        self.get_logger().error(f"the simulation failed and stops:\n{traceback.format_exc()}")
        self.trigger_deactivate()

    def _stop(self) -> None:
        self._active = False
        self._waiting_since_s = None
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None

    def _release(self) -> None:
        self._stop()
        if self._robots:
            for robot in self._robots:
                robot.destroy()
            self._robots = ()
            self.destroy_service(self._reset_service)
        if self._world is not None:
            self._world.close()
            self._world = None


def _command_type(settings: dict[str, Any]) -> type[Twist] | type[TwistStamped]:
    """Message type of cmd_vel by the parameters.

    Raises:
        VlaError: the contract cannot be read, or lock-step was asked for with a bare Twist.
    """
    name = settings["command_type"]
    if name == "auto":
        stamped = not settings["contract"] or Contract.load(
            settings["contract"]
        ).action.type.endswith("/TwistStamped")
        name = "twist_stamped" if stamped else "twist"
    if settings["lock_step"] and name != "twist_stamped":
        raise SimulationError(
            "lock_step is true with cmd_vel as Twist, expected command_type: twist_stamped: "
            "a command must carry the stamp of its observation"
        )
    return _COMMAND_TYPES[name]


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    return run(SimulatorNode, args)


if __name__ == "__main__":
    sys.exit(main())
