"""Fuses measured dock poses with odometry: an extended Kalman filter in the plane.

Thrun, Burgard, Fox, "Probabilistic Robotics", 2005, table 3.3; the motion noise grows with the
way driven (ibid., chapter 5.4).
"""

from dataclasses import dataclass

import numpy as np

from vla_core.geometry import Pose2D, wrap_angle
from vla_simulation.controllers.dead_reckoning import DeadReckoning

GATE = 16.27
"""Squared Mahalanobis distance beyond which a measurement is an outlier (99.9 %, 3 values)."""


@dataclass(frozen=True)
class PoseMeasurement:
    """A measured pose of the base in the dock frame.

    Attributes:
        dock_from_base: the pose.
        covariance: (3, 3) of x [m], y [m] in the dock frame and yaw [rad].
    """

    dock_from_base: Pose2D
    covariance: np.ndarray


@dataclass(frozen=True)
class PoseFilterParameters:
    """How far odometry and measurements are believed."""

    position_noise_m: float = 0.012
    """Standard deviation of the position after one metre; its square grows with the way."""
    heading_noise_per_way_rad: float = 0.012
    """Standard deviation of the heading after one metre."""
    heading_noise_per_turn_rad: float = 0.015
    """Standard deviation of the heading after turning by one radian."""
    still_noise_m: float = 0.001
    still_noise_rad: float = 0.001
    """The same after one second of standing: errors of measurements do not average out for ever."""
    outliers_to_restart: int = 6
    """After so many outliers in a row the estimate is what is wrong."""


class DockPoseFilter:
    """Estimates `dock_from_base` at the time of the newest call.

    Args:
        odometry: motion of the base; fed by the caller.
        parameters: how far odometry and measurements are believed.
    """

    def __init__(
        self, odometry: DeadReckoning, parameters: PoseFilterParameters | None = None
    ) -> None:
        self._odometry = odometry
        self.parameters = parameters or PoseFilterParameters()
        self.reset()

    def reset(self) -> None:
        """Know nothing."""
        self._pose: Pose2D | None = None
        self._covariance = np.zeros((3, 3))
        self._stamp_ns = 0
        self._measured_ns = 0
        self._outliers = 0

    @property
    def estimate(self) -> PoseMeasurement | None:
        """Pose and covariance at the time of the newest call, None before a measurement."""
        if self._pose is None:
            return None
        return PoseMeasurement(self._pose, self._covariance.copy())

    @property
    def age_ns(self) -> int:
        """Time between the newest measurement that was used and the newest call."""
        return self._stamp_ns - self._measured_ns

    def predict(self, now_ns: int) -> None:
        """Advance the estimate to a later time by odometry."""
        if self._pose is None:
            self._stamp_ns = now_ns
            return
        if now_ns <= self._stamp_ns:
            return
        motion = self._odometry.motion(self._stamp_ns, now_ns)
        self._covariance = self._moved(self._pose, self._covariance, motion)
        p, elapsed_s = self.parameters, (now_ns - self._stamp_ns) * 1e-9
        still = np.array([p.still_noise_m, p.still_noise_m, p.still_noise_rad])
        self._covariance += np.diag(still**2 * elapsed_s)
        self._pose = self._pose @ motion
        self._stamp_ns = now_ns

    def at(self, stamp_ns: int) -> PoseMeasurement | None:
        """The estimate for a time in the recent past, None before a measurement."""
        if self._pose is None:
            return None
        motion = self._odometry.motion(self._stamp_ns, stamp_ns)
        return PoseMeasurement(self._pose @ motion, self._covariance.copy())

    def correct(self, measurement: PoseMeasurement, stamp_ns: int) -> bool:
        """Take a measurement of this or an earlier time.

        Returns:
            False for an outlier, which changes nothing.
        """
        motion = self._odometry.motion(stamp_ns, self._stamp_ns)
        pose = measurement.dock_from_base @ motion
        noise = self._moved(measurement.dock_from_base, measurement.covariance, motion)
        if self._pose is None:
            self._begin(pose, noise, stamp_ns)
            return True
        innovation = pose_difference(pose, self._pose)
        gain_side = self._covariance + noise
        if innovation @ np.linalg.solve(gain_side, innovation) > GATE:
            self._outliers += 1
            if self._outliers >= self.parameters.outliers_to_restart:
                self._begin(pose, noise, stamp_ns)
                return True
            return False
        gain = np.linalg.solve(gain_side, self._covariance).T
        dx, dy, dyaw = (gain @ innovation).tolist()
        before = self._pose
        self._pose = Pose2D(before.x + dx, before.y + dy, wrap_angle(before.yaw + dyaw))
        # Joseph form: stays symmetric and positive whatever the rounding.
        rest = np.eye(3) - gain
        self._covariance = rest @ self._covariance @ rest.T + gain @ noise @ gain.T
        self._measured_ns = max(self._measured_ns, stamp_ns)
        self._outliers = 0
        return True

    def _begin(self, pose: Pose2D, covariance: np.ndarray, stamp_ns: int) -> None:
        self._pose, self._covariance = pose, covariance.copy()
        self._measured_ns = stamp_ns
        self._outliers = 0

    def _moved(self, start: Pose2D, covariance: np.ndarray, motion: Pose2D) -> np.ndarray:
        """Covariance of `start @ motion`."""
        p = self.parameters
        cos, sin = np.cos(start.yaw), np.sin(start.yaw)
        moved_by_yaw = np.eye(3)
        moved_by_yaw[0, 2] = -sin * motion.x - cos * motion.y
        moved_by_yaw[1, 2] = cos * motion.x - sin * motion.y
        way = motion.distance
        position = p.position_noise_m**2 * way
        heading = p.heading_noise_per_way_rad**2 * way
        heading += p.heading_noise_per_turn_rad**2 * abs(motion.yaw)
        noise = np.diag([position, position, heading])
        return moved_by_yaw @ covariance @ moved_by_yaw.T + noise


def pose_difference(a: Pose2D, b: Pose2D) -> np.ndarray:
    """(3,) x [m], y [m] and yaw [rad] of one pose less those of another, both in one frame."""
    return np.array([a.x - b.x, a.y - b.y, wrap_angle(a.yaw - b.yaw)])
