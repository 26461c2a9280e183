"""Where the dock is, from a square marker in the image of a calibrated camera.

Detection and the first pose are OpenCV's: Garrido-Jurado et al., "Automatic generation and
detection of highly reliable fiducial markers under occlusion", Pattern Recognition 2014; Collins
and Bartoli, "Infinitesimal plane-based pose estimation", IJCV 2014. In between, straight edges make
the corners more exact; after it, only the three numbers of a robot on the floor are refined.
"""

import math
from dataclasses import dataclass

import numpy as np

from vla_core.geometry import Pose2D, wrap_angle
from vla_core.keys import IMAGE
from vla_core.opencv import cv2
from vla_core.readings import ImageReading, Reading
from vla_simulation.controllers.camera_model import CameraModel
from vla_simulation.controllers.markers import Marker, edge_points
from vla_simulation.controllers.pose_filter import PoseMeasurement, pose_difference

_REFINEMENTS = 8
_CONVERGED = 1e-7
_DIFFERENCE_STEP = 1e-6
_MAX_RESIDUAL_PX = 2.0
_MIN_EDGE_POINTS = 4


class FiducialPoseSource:
    """Measures the pose of the base in the dock frame from images.

    Args:
        camera: calibration.
        marker: of the commanded station.
        dictionary: OpenCV's number of the marker dictionary.
        corner_noise_px: standard deviation of a corner's position.
        floor_m: error of position that no calibration gets rid of.
        floor_rad: the same of the heading.
    """

    stream = IMAGE

    def __init__(
        self,
        camera: CameraModel,
        marker: Marker,
        dictionary: int = cv2.aruco.DICT_4X4_50,
        corner_noise_px: float = 0.15,
        floor_m: float = 0.001,
        floor_rad: float = 0.002,
    ) -> None:
        parameters = cv2.aruco.DetectorParameters()
        parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
        parameters.minMarkerPerimeterRate = 0.02
        self._detector = cv2.aruco.ArucoDetector(
            cv2.aruco.getPredefinedDictionary(dictionary), parameters
        )
        self._camera = camera
        self._marker = marker
        self._optical_from_base = np.linalg.inv(camera.base_from_optical)
        self._dock_corners = (marker.dock_from_marker @ np.c_[marker.corners, np.ones(4)].T).T[
            :, :3
        ]
        self._focal_px = float(camera.matrix[0, 0] + camera.matrix[1, 1]) / 2
        self._corner_noise_px = corner_noise_px
        self._floor = np.diag([floor_m, floor_m, floor_rad]) ** 2

    def measure(self, reading: Reading, guess: PoseMeasurement | None) -> PoseMeasurement | None:
        """The pose at the time of an image.

        Args:
            reading: an image.
            guess: decides between the two poses that a small marker allows.

        Returns:
            None where the marker was not found.
        """
        if not isinstance(reading, ImageReading):
            return None
        grey = cv2.cvtColor(reading.rgb, cv2.COLOR_RGB2GRAY)
        corners = self.detect(grey)
        return None if corners is None else self.locate(grey, corners, guess)

    def detect(self, grey: np.ndarray) -> np.ndarray | None:
        """(4, 2) pixels of the marker's corners in a (H, W) image, ordered as `Marker.corners`."""
        found, numbers, _ = self._detector.detectMarkers(grey)
        if numbers is None:
            return None
        for corners, number in zip(found, numbers.ravel(), strict=True):
            if number == self._marker.number:
                return corners.reshape(4, 2).astype(np.float64)
        return None

    def locate(
        self, grey: np.ndarray, corners_px: np.ndarray, guess: PoseMeasurement | None = None
    ) -> PoseMeasurement | None:
        """The pose for a marker that was found; None where it fits no pose.

        Args:
            grey: (H, W) uint8, the distorted image.
            corners_px: (4, 2), about where the corners are in it.
            guess: see `measure`.
        """
        rays = self._corner_rays(grey, corners_px)
        if rays is None:
            return None
        _, rotations, translations, _ = cv2.solvePnPGeneric(
            self._marker.corners, rays, np.eye(3), np.zeros(5), flags=cv2.SOLVEPNP_IPPE_SQUARE
        )
        fits = [
            fit
            for rotation, translation in zip(rotations, translations, strict=True)
            if (fit := self._refined(self._planar(rotation, translation), rays)) is not None
            and fit.residual_px < _MAX_RESIDUAL_PX
        ]
        return self._merged(fits, guess) if fits else None

    def _corner_rays(self, grey: np.ndarray, corners_px: np.ndarray) -> np.ndarray | None:
        """(4, 2) normalised image coordinates of the corners, where straight edges meet.

        An edge is as many measurements as it has pixels; a corner alone is one, and blur rounds it.
        """
        lines = []
        for start, end in zip(corners_px, np.roll(corners_px, -1, axis=0), strict=True):
            points = edge_points(grey, start, end)
            if len(points) < _MIN_EDGE_POINTS:
                return None
            rays = cv2.undistortPoints(
                points[:, None], self._camera.matrix, self._camera.distortion
            ).reshape(-1, 2)
            middle = rays.mean(axis=0)
            direction = np.linalg.svd(rays - middle, full_matrices=False)[2][0]
            normal = np.array([-direction[1], direction[0]])
            lines.append((normal, float(normal @ middle)))
        corners = []
        for before, after in zip([lines[-1], *lines[:-1]], lines, strict=True):
            normals = np.stack([before[0], after[0]])
            if abs(np.linalg.det(normals)) < 0.1:
                return None
            corners.append(np.linalg.solve(normals, [before[1], after[1]]))
        return np.array(corners)

    def _merged(self, fits: list["_Fit"], guess: PoseMeasurement | None) -> PoseMeasurement:
        """One pose for the two that fit where perspective is weak, as uncertain as they differ."""
        noise = self._corner_noise_px
        surprise = np.array([8.0 * (fit.residual_px / noise) ** 2 for fit in fits])
        if guess is not None:
            for k, fit in enumerate(fits):
                away = pose_difference(fit.pose, guess.dock_from_base)
                surprise[k] += away @ np.linalg.solve(guess.covariance + fit.covariance, away)
        weights = np.exp(-0.5 * (surprise - surprise.min()))
        weights /= weights.sum()
        first = fits[0].pose
        offsets = np.array([pose_difference(fit.pose, first) for fit in fits])
        mean = weights @ offsets
        covariance = self._floor.copy()
        for weight, fit, offset in zip(weights, fits, offsets - mean, strict=True):
            covariance += weight * (fit.covariance + np.outer(offset, offset))
        x, y, yaw = mean.tolist()
        return PoseMeasurement(
            Pose2D(first.x + x, first.y + y, wrap_angle(first.yaw + yaw)), covariance
        )

    def _planar(self, rotation: np.ndarray, translation: np.ndarray) -> Pose2D:
        """The planar part of `dock_from_base` for a pose of the marker in the camera."""
        optical_from_marker = np.eye(4)
        optical_from_marker[:3, :3] = cv2.Rodrigues(rotation)[0]
        optical_from_marker[:3, 3] = translation.ravel()
        base_from_dock = (
            self._camera.base_from_optical
            @ optical_from_marker
            @ np.linalg.inv(self._marker.dock_from_marker)
        )
        dock_from_base = np.linalg.inv(base_from_dock)
        yaw = math.atan2(dock_from_base[1, 0], dock_from_base[0, 0])
        return Pose2D(float(dock_from_base[0, 3]), float(dock_from_base[1, 3]), yaw)

    def _refined(self, start: Pose2D, rays: np.ndarray) -> "_Fit | None":
        """Least squares over x, y and yaw by Gauss-Newton, in normalised image coordinates."""
        values = np.array([start.x, start.y, start.yaw])
        for _ in range(_REFINEMENTS):
            residual = self._rays(values) - rays.ravel()
            if not np.isfinite(residual).all():
                return None
            jacobian = np.stack(
                [
                    (self._rays(values + step) - self._rays(values - step)) / (2 * _DIFFERENCE_STEP)
                    for step in np.eye(3) * _DIFFERENCE_STEP
                ],
                axis=1,
            )
            normal = jacobian.T @ jacobian
            try:
                change = np.linalg.solve(normal, jacobian.T @ residual)
            except np.linalg.LinAlgError:
                return None
            values = values - change
            if np.abs(change).max() < _CONVERGED:
                break
        residual_px = float(np.sqrt(np.mean((self._rays(values) - rays.ravel()) ** 2)))
        residual_px *= self._focal_px
        if not math.isfinite(residual_px):
            return None
        noise = max(self._corner_noise_px, residual_px) / self._focal_px
        return _Fit(
            Pose2D(float(values[0]), float(values[1]), wrap_angle(float(values[2]))),
            noise**2 * np.linalg.inv(normal),
            residual_px,
        )

    def _rays(self, values: np.ndarray) -> np.ndarray:
        """(8,) normalised image coordinates of the corners seen from `dock_from_base`."""
        x, y, yaw = values
        cos, sin = math.cos(yaw), math.sin(yaw)
        offset = self._dock_corners - (x, y, 0.0)
        in_base = np.stack(
            [
                cos * offset[:, 0] + sin * offset[:, 1],
                cos * offset[:, 1] - sin * offset[:, 0],
                offset[:, 2],
            ],
            axis=1,
        )
        transform = self._optical_from_base
        optical = in_base @ transform[:3, :3].T + transform[:3, 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            return (optical[:, :2] / optical[:, 2:]).ravel()


@dataclass(frozen=True)
class _Fit:
    pose: Pose2D
    covariance: np.ndarray
    residual_px: float
