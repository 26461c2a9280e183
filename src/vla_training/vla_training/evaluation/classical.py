"""Classical peers: the expert's law on a pose from a fiducial marker or from scan matching.

They take what a robot's drivers publish, and what a fleet knows beforehand: which dock is meant
(no sentence is read), that dock's dimensions, the camera's calibration; scan matching, which needs
to be told where to look, gets a first guess with the error of a navigation stack.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE, ODOMETRY, SCAN
from vla_simulation.config import PHYSICS_STEPS_PER_CONTROL, SimulationConfig
from vla_simulation.controllers.camera_model import CameraModel
from vla_simulation.controllers.fiducial import FiducialPoseSource
from vla_simulation.controllers.pose_filter import PoseMeasurement
from vla_simulation.controllers.scan_matching import ScanMatchingPoseSource
from vla_simulation.controllers.sensed_approach import SensedApproach
from vla_simulation.controllers.station_map import scan_outline, station_marker
from vla_simulation.environment import DockingEnv

NAVIGATION_STD_M = 0.10
NAVIGATION_STD_RAD = math.radians(3.0)
"""Standard deviations of a navigation stack's guess, per axis and of the heading."""

_GUESS_STREAM = 0x9E55


class FiducialDriver:
    """Docks by the marker on the commanded station, from ten pictures a second.

    Args:
        image_px: Width and height of the camera's image; the field of view is the robot's.
    """

    streams: ClassVar = frozenset({IMAGE, ODOMETRY})
    options: ClassVar[Mapping[str, Any]] = {"markers": True}

    def __init__(self, image_px: tuple[int, int] = (640, 480)) -> None:
        robot = SimulationConfig()
        camera = replace(
            robot.camera,
            width_px=image_px[0],
            height_px=image_px[1],
            period_steps=2 * PHYSICS_STEPS_PER_CONTROL,
        )
        self.hardware = replace(robot, camera=camera)
        self.interventions = Counter[str]()
        self.inferences = 0

    def reset(self, env: DockingEnv) -> None:
        """Forget everything: an episode of this environment begins."""
        scene, config = env.scene, self.hardware
        marker = station_marker(scene.goal, config)
        self._approach = SensedApproach(FiducialPoseSource(CameraModel.of(config.camera), marker))

    def command(self, env: DockingEnv) -> np.ndarray:
        """The command (2,) [m/s, rad/s] for what the environment shows now."""
        return np.array(self._approach.command(env.stamp_ns, env.samples()))


class ScanMatchingDriver:
    """Docks by the outline of the commanded station in the scan."""

    streams: ClassVar = frozenset({SCAN, ODOMETRY})
    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self) -> None:
        self.hardware = SimulationConfig()
        self.interventions = Counter[str]()
        self.inferences = 0

    def reset(self, env: DockingEnv) -> None:
        """Forget everything: an episode of this environment begins."""
        scene, config = env.scene, self.hardware
        outline = scan_outline(scene.goal_station.look.shape, config)
        source = ScanMatchingPoseSource(outline, Pose2D(config.scanner.x_m))
        self._approach = SensedApproach(source)
        self._approach.reset(navigation_guess(env.truth.dock_from_base, env.seed))

    def command(self, env: DockingEnv) -> np.ndarray:
        """The command (2,) [m/s, rad/s] for what the environment shows now."""
        return np.array(self._approach.command(env.stamp_ns, env.samples()))


def navigation_guess(dock_from_base: Pose2D, seed: int) -> PoseMeasurement:
    """What a navigation stack would say about a pose: with an error that the seed decides."""
    std = np.array([NAVIGATION_STD_M, NAVIGATION_STD_M, NAVIGATION_STD_RAD])
    error = np.random.default_rng([seed, _GUESS_STREAM]).normal(0.0, std)
    pose = dock_from_base
    guess = Pose2D(pose.x + float(error[0]), pose.y + float(error[1]), pose.yaw + float(error[2]))
    return PoseMeasurement(guess, np.diag(std**2))
