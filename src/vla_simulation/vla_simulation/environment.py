"""Docking as a Gymnasium environment, in lock-step: nothing moves between two calls of step()."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from vla_core.docking import DOCKED, PRECISE, DockedMonitor
from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE, ODOMETRY, SCAN
from vla_core.readings import ImageReading, Reading, ScanReading
from vla_simulation.config import (
    CONTROL_PERIOD_NS,
    CONTROL_PERIOD_S,
    PHYSICS_STEPS_PER_CONTROL,
    SimulationConfig,
)
from vla_simulation.errors import SimulationError
from vla_simulation.opengl import mujoco
from vla_simulation.robot.robot import Robot
from vla_simulation.scenes.options import EpisodeOptions
from vla_simulation.scenes.scene import Scene
from vla_simulation.scenes.stage import Stage
from vla_simulation.scenes.starts import sample_episode
from vla_simulation.seeds import FIRST_HELD_OUT_SEED, random_stream, robot_seed
from vla_simulation.sensing.camera import Camera
from vla_simulation.sensing.samples import Sample, WheelReading
from vla_simulation.sensing.sensors import Sensors
from vla_simulation.suites import SuiteConfig, load_suite
from vla_simulation.truth import Truth
from vla_simulation.views import Views
from vla_simulation.world import WorldIndex, compile_model

ACTION_LOW = np.array([-0.3, -1.0], np.float32)
ACTION_HIGH = np.array([0.5, 1.0], np.float32)


class DockingEnv(gymnasium.Env):
    """A robot in front of one to three charging stations, one of which a sentence names.

    Action: (2,) float32, forward speed [m/s] and turning rate [rad/s], clipped to the limits.

    Observation: `image` (H, W, 3) uint8 RGB (only with `render=True`), `scan` (beams,) float32
    [m] with infinity where nothing returned, `odometry` (5,) float32: x [m], y [m], yaw [rad],
    forward speed [m/s], turning rate [rad/s]: of each sensor the newest sample. `samples()` has all
    of them, with their stamps.

    An episode terminates when the robot is docked, at whichever station, or has collided, and is
    truncated at the suite's time limit; stepping on after that is allowed and goes on simulating.

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
        other_robots: int = 0,
    ) -> None:
        """Compile the model; takes a few tenths of a second.

        Args:
            suite: name of a suite, or a suite of one's own.
            render: whether observations contain the camera's image.
            config: dimensions of robot, station and sensors.
            other_robots: how many others share the scene (`SharedWorld` moves them).

        Raises:
            SuiteError: the suite is unknown.
            RenderingError: `render` is set and no OpenGL library works.
        """
        self.config = config or SimulationConfig()
        self.suite = load_suite(suite) if isinstance(suite, str) else suite
        self.render_mode = "rgb_array"
        self._model = compile_model(self.config, other_robots)
        self._data = mujoco.MjData(self._model)
        index = WorldIndex.of(self._model)
        self.robot = Robot(self._model, self._data, index, self.config)
        self._stage = Stage(self._model, index)
        self._sensors = Sensors(
            self._model, self._data, index, self.config, self.robot, render=render
        )
        self._views = Views(self._model, index)
        self._monitors: tuple[DockedMonitor, ...] = ()
        self._docked_station: int | None = None
        self._scene: Scene | None = None
        self._samples: list[Sample] = []
        self._truth: Truth | None = None
        self._undocking = False
        self._steps = 0
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
            options: `suite` (name) changes the suite from this episode on. `goal` (index) commands
                that station, `"swap"` the one after the drawn one; nothing changes but goal and
                sentence. `markers` (bool) shows a fiducial marker on each station. `start`:
                `"docked"` begins in the dock of the goal, charging; being docked then terminates
                nothing before the robot has left. A `Pose2D`, `world_from_base`, begins there.
                `robot` (int) and `others` (poses) are set by `SharedWorld`.

        Returns:
            The first observation and the info dictionary.

        Raises:
            SuiteError: the suite is unknown.
            SimulationError: no start is feasible, or an option cannot be had.
        """
        super().reset(seed=seed)
        wishes = EpisodeOptions.of(options)
        if wishes.suite is not None:
            self.suite = load_suite(wishes.suite)
        self.seed = int(self.np_random.integers(FIRST_HELD_OUT_SEED)) if seed is None else seed
        self._scene, start = wishes.apply(
            *sample_episode(self.seed, self.suite, self.config.station)
        )
        ranges = self.suite.randomization
        mujoco.mj_resetData(self._model, self._data)
        self._stage.apply(self._scene, self._data)
        self.place_others(wishes.others)
        self._undocking = wishes.in_dock
        own_seed = robot_seed(self.seed, wishes.robot)
        self.robot.reset(
            random_stream(own_seed, "physics"), ranges.physics, start, charging=self._undocking
        )
        self._sensors.reset(own_seed, ranges.sensors)
        self._samples = list(self.newest_samples())
        self._monitors = tuple(DockedMonitor() for _ in self._scene.stations)
        self._docked_station = None
        self._truth = None
        self._steps = 0
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
        before, undocking = self.truth, self._undocking
        self._drive(action, exteroceptive=True)
        after = self.truth
        reward = before.dock_from_base.distance - after.dock_from_base.distance
        reward += float(after.docked and not before.docked and not undocking)
        reward -= float(after.collision and not before.collision)
        truncated = after.time_s >= self.suite.time_limit_s - 1e-9
        docked = after.docked_station is not None and not undocking
        terminated = docked or after.collision
        return self._observation(), reward, terminated, truncated, self._info()

    def advance(self, action: np.ndarray) -> None:
        """Drive one control period without taking a picture or a scan.

        Raises:
            SimulationError: the action is not two finite numbers.
        """
        self._drive(action, exteroceptive=False)

    def _drive(self, action: np.ndarray, *, exteroceptive: bool) -> None:
        scene = self.scene
        values = np.asarray(action, np.float64).reshape(-1)
        if values.shape != (2,) or not np.isfinite(values).all():
            raise SimulationError(
                f"action {action!r} given to DockingEnv.step(), expected two finite numbers: "
                "forward speed [m/s] and turning rate [rad/s]"
            )
        linear, angular = np.clip(values, ACTION_LOW, ACTION_HIGH).tolist()
        self.robot.command(linear, angular)
        first = self._steps * PHYSICS_STEPS_PER_CONTROL + 1
        self._samples = []
        for step in range(first, first + PHYSICS_STEPS_PER_CONTROL):
            self.robot.step()
            self._samples += self._sensors.sample(step, exteroceptive=exteroceptive)
        self._samples.sort(key=lambda sample: sample.stamp_ns)
        self._steps += 1
        self._truth = None
        self._watch(scene)

    def _watch(self, scene: Scene) -> None:
        """Find out whether the robot is docked, and where."""
        world_from_base, speed_mps = self.robot.world_from_base, self.robot.speed_mps
        self._docked_station = None
        for k, (station, monitor) in enumerate(zip(scene.stations, self._monitors, strict=True)):
            pose = world_from_base.relative_to(station.world_from_dock)
            settled = monitor.update(pose, speed_mps, CONTROL_PERIOD_S)
            if settled and not self.robot.contacts.collision:
                self._docked_station = k
        goal = world_from_base.relative_to(scene.world_from_dock)
        self._undocking = self._undocking and DOCKED.contains(goal)

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
        """Time since the reset: the present control tick."""
        return self._steps * CONTROL_PERIOD_NS

    @property
    def truth(self) -> Truth:
        """The true state now."""
        if self._truth is None:
            self._truth = self._look()
        return self._truth

    def _look(self) -> Truth:
        world_from_dock = self.scene.world_from_dock
        world_from_base = self.robot.world_from_base
        dock_from_base = world_from_base.relative_to(world_from_dock)
        contacts = self.robot.contacts
        docked = self._docked_station == self.scene.goal
        return Truth(
            time_s=self.stamp_ns * 1e-9,
            world_from_base=world_from_base,
            world_from_dock=world_from_dock,
            dock_from_base=dock_from_base,
            speed_mps=self.robot.speed_mps,
            goal=self.scene.goal,
            station_count=len(self.scene.stations),
            docked=docked,
            docked_station=self._docked_station,
            precise=docked and PRECISE.contains(dock_from_base),
            mated=contacts.mated,
            charging=self.robot.charging,
            collision=contacts.collision,
            collision_with=contacts.collision_with,
            contact_speed_mps=contacts.contact_speed_mps,
        )

    def readings(self) -> dict[str, Reading]:
        """The newest sensor readings by stream key, as a robot's drivers would hand them over."""
        return {key: sample.reading for key, sample in self._sensors.newest.items()}

    def samples(self) -> tuple[Sample, ...]:
        """What the sensors have delivered since the last step or reset, in the order of stamps.

        A sample's stamp is the moment of its measurement, never later than `stamp_ns`. After a
        reset there is one sample of each stream, stamped at or before 0.
        """
        return tuple(self._samples)

    def newest_samples(self) -> tuple[Sample, ...]:
        """The newest sample of each stream, in the order of stamps."""
        return tuple(sorted(self._sensors.newest.values(), key=lambda sample: sample.stamp_ns))

    def _observation(self) -> dict[str, np.ndarray]:
        readings = self.readings()
        wheels, scan, image = readings[ODOMETRY], readings[SCAN], readings.get(IMAGE)
        assert isinstance(wheels, WheelReading)
        assert isinstance(scan, ScanReading)
        pose = wheels.pose
        motion = (pose.x, pose.y, pose.yaw, wheels.linear_x, wheels.angular_z)
        picture = {IMAGE: image.rgb} if isinstance(image, ImageReading) else {}
        # A scan lasts two steps; whoever keeps an observation must not share it with the next.
        return {**picture, SCAN: scan.ranges.copy(), ODOMETRY: np.array(motion, np.float32)}

    def _info(self) -> dict[str, Any]:
        episode = {"seed": self.seed, "suite": self.suite.name, "instruction": self.instruction}
        return {**episode, **self.truth.info()}

    def set_base_pose(self, world_from_base: Pose2D) -> None:
        """Put the robot somewhere, at rest, without simulating: for pictures of recorded paths."""
        self.robot.place(world_from_base)
        self._truth = None
        mujoco.mj_forward(self._model, self._data)

    def place_others(self, world_from_others: Sequence[Pose2D]) -> None:
        """Put the other robots of a shared scene where they are now."""
        self._stage.place_others(world_from_others, self._data)

    def render_view(
        self, view: str = "chase", size: tuple[int, int] = (640, 360), shadows: bool = True
    ) -> np.ndarray:
        """A picture for people.

        Args:
            view: `chase` (behind the robot), `overview` (robot and station from the side), `top`
                (plan of the approach) or `camera` (the robot's camera, undisturbed).
            size: width and height in pixels.
            shadows: draw shadows and smooth edges, which takes about eight times as long.

        Returns:
            (height, width, 3) uint8 RGB.

        Raises:
            RenderingError: no OpenGL library works.
            SimulationError: the view is unknown.
        """
        base = self.robot.world_from_base
        return self._views.render(self._data, view, size, base, self.scene, shadows)

    def render_segmentation(self) -> np.ndarray:
        """What the pixels of the newest image show, through the same lens and at its moment.

        Returns:
            (H, W) int16: 0 for the background, 1 + k for station k, -1 for the robot itself.

        Raises:
            SimulationError: the environment was made without a camera.
        """
        return self._rendering_camera().segmentation(self._data)

    def render_depth(self) -> np.ndarray:
        """How far what the newest image shows is, along the optical axis.

        Returns:
            (H, W) float32 [m].

        Raises:
            SimulationError: the environment was made without a camera.
        """
        return self._rendering_camera().depth(self._data)

    def _rendering_camera(self) -> Camera:
        if self._sensors.camera is None:
            raise SimulationError("this DockingEnv has no camera, expected DockingEnv(render=True)")
        return self._sensors.camera

    @property
    def simulation(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """MuJoCo's model and state, for a window that shows them; nothing else changes them."""
        return self._model, self._data

    def render(self) -> np.ndarray:  # type: ignore[override]
        """The chase view."""
        return self.render_view("chase")

    def close(self) -> None:
        """Free all OpenGL contexts."""
        self._sensors.close()
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
