"""Docking as a Gymnasium environment, in lock-step: nothing moves between two calls of step()."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from vla_core.docking import PRECISE, DockedMonitor
from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE, ODOMETRY, SCAN
from vla_core.readings import ImageReading, OdometryReading, Reading, ScanReading
from vla_simulation.config import (
    CONTROL_PERIOD_NS,
    CONTROL_PERIOD_S,
    SimulationConfig,
    SuiteConfig,
)
from vla_simulation.errors import SimulationError
from vla_simulation.opengl import mujoco
from vla_simulation.robot.robot import Robot
from vla_simulation.scenes.scene import Scene
from vla_simulation.scenes.stage import Stage
from vla_simulation.scenes.starts import sample_episode
from vla_simulation.sensing.sensors import Camera, Scanner
from vla_simulation.suites import FIRST_HELD_OUT_SEED, load_suite
from vla_simulation.truth import Truth
from vla_simulation.views import Views
from vla_simulation.world import WorldIndex, compile_model

ACTION_LOW = np.array([-0.3, -1.0], np.float32)
ACTION_HIGH = np.array([0.5, 1.0], np.float32)


class DockingEnv(gymnasium.Env):
    """A robot in front of a charging station.

    Action: (2,) float32, forward speed [m/s] and turning rate [rad/s], clipped to the limits.

    Observation: `image` (H, W, 3) uint8 RGB (only with `render=True`), `scan` (beams,) float32
    [m] with infinity where nothing returned, `odometry` (5,) float32: x [m], y [m], yaw [rad],
    forward speed [m/s], turning rate [rad/s].

    An episode terminates when the robot is docked or has collided, and is truncated at the
    suite's time limit; stepping on after that is allowed and goes on simulating.

    Attributes:
        config: dimensions of robot, station and sensors.
        suite: what is drawn.
        seed: of the running episode.
        robot: the simulated base.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self,
        suite: str | SuiteConfig = "nominal",
        render: bool = True,
        config: SimulationConfig | None = None,
    ) -> None:
        """Compile the model; takes a few tenths of a second.

        Args:
            suite: name of a suite, or a suite of one's own.
            render: whether observations contain the camera's image.
            config: dimensions of robot, station and sensors.

        Raises:
            SuiteError: the suite is unknown.
            RenderingError: `render` is set and no OpenGL library works.
        """
        self.config = config or SimulationConfig()
        self.suite = load_suite(suite) if isinstance(suite, str) else suite
        self.render_mode = "rgb_array"
        self._model = compile_model(self.config)
        self._data = mujoco.MjData(self._model)
        index = WorldIndex.of(self._model)
        self.robot = Robot(self._model, self._data, index, self.config)
        self._stage = Stage(self._model, index)
        self._scanner = Scanner(self._model, index, self.config.scanner)
        self._views = Views(self._model, index)
        self._camera = Camera(self._model, self.config.camera) if render else None
        self._monitor = DockedMonitor()
        self._scene: Scene | None = None
        self._image: np.ndarray | None = None
        self.seed = 0
        self.action_space = spaces.Box(ACTION_LOW, ACTION_HIGH, dtype=np.float32)
        self.observation_space = _observation_space(self.config, render)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: decides everything that is drawn: equal seeds give equal episodes bit for bit on
                one machine. None draws a training seed.
            options: `{"suite": name}` changes the suite from this episode on.

        Returns:
            The first observation and the info dictionary.

        Raises:
            SuiteError: the suite is unknown.
            SimulationError: no start is free of clutter.
        """
        super().reset(seed=seed)
        if options and "suite" in options:
            self.suite = load_suite(options["suite"])
        self.seed = int(self.np_random.integers(FIRST_HELD_OUT_SEED)) if seed is None else seed
        streams = np.random.SeedSequence(self.seed).spawn(4)
        scene_rng, start_rng, robot_rng, sensor_rng = map(np.random.default_rng, streams)
        drawn = sample_episode(scene_rng, start_rng, self.suite, self.config.station)
        if drawn is None:
            raise SimulationError(
                f"suite '{self.suite.name}' seed {self.seed}: no start free of clutter, expected a "
                "room with space: less clutter_count, a larger room or nearer starts"
            )
        self._scene, start = drawn
        ranges = self.suite.randomization
        mujoco.mj_resetData(self._model, self._data)
        self._stage.apply(self._scene, self._data)
        self.robot.reset(robot_rng, ranges, start)
        self._scanner.reset(sensor_rng, ranges)
        if self._camera is not None:
            self._camera.reset(sensor_rng, ranges)
        self._monitor.reset()
        self._docked = False
        self._steps = 0
        self._sense()
        return self._observation(), self._info()

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Drive one control period (50 ms) with a command and observe.

        Args:
            action: (2,) forward speed [m/s] and turning rate [rad/s].

        Returns:
            Observation, reward (metres come closer, +1 when docked, -1 on collision), terminated,
            truncated, info.

        Raises:
            SimulationError: the action is not two finite numbers.
        """
        before = self.truth
        self.advance(action)
        self._sense()
        after = self.truth
        reward = before.dock_from_base.distance - after.dock_from_base.distance
        reward += float(after.docked and not before.docked)
        reward -= float(after.collision and not before.collision)
        truncated = after.time_s >= self.suite.time_limit_s - 1e-9
        return self._observation(), reward, after.docked or after.collision, truncated, self._info()

    def advance(self, action: np.ndarray) -> None:
        """Drive one control period without taking a picture or a scan.

        Raises:
            SimulationError: the action is not two finite numbers.
        """
        scene = self.scene
        values = np.asarray(action, np.float64).reshape(-1)
        if values.shape != (2,) or not np.isfinite(values).all():
            raise SimulationError(
                f"action {action!r} given to DockingEnv.step(), expected two finite numbers: "
                "forward speed [m/s] and turning rate [rad/s]"
            )
        linear, angular = np.clip(values, ACTION_LOW, ACTION_HIGH).tolist()
        self.robot.drive(linear, angular)
        self._steps += 1
        dock_from_base = self.robot.world_from_base.relative_to(scene.world_from_dock)
        settled = self._monitor.update(dock_from_base, self.robot.speed_mps, CONTROL_PERIOD_S)
        self._docked = settled and not self.robot.contacts.collision

    def _sense(self) -> None:
        # After a step, positions that are derived from the state are those before it.
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        self._ranges = self._scanner.scan(self._data)
        if self._camera is not None:
            self._image = self._camera.capture(self._data)

    @property
    def scene(self) -> Scene:
        """What was drawn for this episode.

        Raises:
            SimulationError: there is no episode yet.
        """
        if self._scene is None:
            raise SimulationError("DockingEnv was used before reset(), call reset(seed=...) first")
        return self._scene

    @property
    def instruction(self) -> str:
        """The sentence that names the commanded station."""
        return self.scene.instruction

    @property
    def stamp_ns(self) -> int:
        """Time of the newest observation since the reset."""
        return self._steps * CONTROL_PERIOD_NS

    @property
    def truth(self) -> Truth:
        """The true state now."""
        world_from_dock = self.scene.world_from_dock
        world_from_base = self.robot.world_from_base
        dock_from_base = world_from_base.relative_to(world_from_dock)
        contacts = self.robot.contacts
        return Truth(
            time_s=self.stamp_ns * 1e-9,
            world_from_base=world_from_base,
            world_from_dock=world_from_dock,
            dock_from_base=dock_from_base,
            speed_mps=self.robot.speed_mps,
            docked=self._docked,
            precise=self._docked and PRECISE.contains(dock_from_base),
            mated=contacts.mated,
            charging=self.robot.charging,
            collision=contacts.collision,
            collision_with=contacts.collision_with,
            contact_speed_mps=contacts.contact_speed_mps,
        )

    def readings(self) -> dict[str, Reading]:
        """The newest sensor readings by stream key, as a robot's drivers would hand them over."""
        scanner, odometry = self.config.scanner, self.robot.odometry
        readings: dict[str, Reading] = {
            SCAN: ScanReading(
                self._ranges,
                scanner.angle_min_rad,
                scanner.angle_increment_rad,
                scanner.range_min_m,
                scanner.range_max_m,
            ),
            ODOMETRY: OdometryReading(odometry.linear_mps, odometry.angular_radps),
        }
        if self._image is not None:
            readings[IMAGE] = ImageReading(self._image)
        return readings

    def _observation(self) -> dict[str, np.ndarray]:
        odometry = self.robot.odometry
        pose, twist = odometry.pose, (odometry.linear_mps, odometry.angular_radps)
        image = {} if self._image is None else {IMAGE: self._image}
        motion = np.array([pose.x, pose.y, pose.yaw, *twist], np.float32)
        return {**image, SCAN: self._ranges, ODOMETRY: motion}

    def _info(self) -> dict[str, Any]:
        episode = {"seed": self.seed, "suite": self.suite.name, "instruction": self.instruction}
        return {**episode, **self.truth.info()}

    def set_base_pose(self, world_from_base: Pose2D) -> None:
        """Put the robot somewhere, at rest, without simulating: for pictures of recorded paths."""
        self.robot.place(world_from_base)
        mujoco.mj_forward(self._model, self._data)

    def render_view(self, view: str = "chase", size: tuple[int, int] = (640, 360)) -> np.ndarray:
        """A picture for people, with shadows.

        Args:
            view: `chase` (behind the robot), `overview` (robot and station from the side), `top`
                (plan of the approach) or `camera` (the robot's camera, undisturbed).
            size: width and height in pixels.

        Returns:
            (height, width, 3) uint8 RGB.

        Raises:
            RenderingError: no OpenGL library works.
            SimulationError: the view is unknown.
        """
        return self._views.render(self._data, view, size, self.robot.world_from_base, self.scene)

    def render(self) -> np.ndarray:  # type: ignore[override]
        """The chase view."""
        return self.render_view("chase")

    def close(self) -> None:
        """Free all OpenGL contexts."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None
        self._views.close()


def _observation_space(config: SimulationConfig, with_image: bool) -> spaces.Dict:
    parts: dict[str, spaces.Space] = {
        SCAN: spaces.Box(0.0, np.inf, (config.scanner.beams,), np.float32),
        ODOMETRY: spaces.Box(-np.inf, np.inf, (5,), np.float32),
    }
    if with_image:
        shape = (config.camera.height_px, config.camera.width_px, 3)
        parts = {IMAGE: spaces.Box(0, 255, shape, np.uint8), **parts}
    return spaces.Dict(parts)
