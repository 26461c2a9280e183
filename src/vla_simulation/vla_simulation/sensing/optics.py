"""The lens and the shutter: where in an ideal picture each pixel of the camera looks."""

import cv2
import numpy as np

from vla_simulation.config import CameraConfig

_SHUTTER_MARGIN_PX = 3
_PRECISE = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-12)


class Optics:
    """Samples pictures of an ideal pin-hole camera as lens and rolling shutter show them.

    The ideal picture has the camera's focal length and is wider, so that the distorted one has no
    empty border.

    The shutter's effect is that of the base's rotation alone: within a frame the robot drives a
    few millimetres, which moves what is a metre away by less than half a pixel, but a turn at
    1 rad/s moves everything by more than one.

    Attributes:
        source_size: width and height of the ideal picture [px].
        source_fov_rad: its vertical field of view.
    """

    def __init__(self, camera: CameraConfig) -> None:
        width, height, focal = camera.width_px, camera.height_px, camera.focal_length_px
        u, v = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
        pixels = np.stack([u, v], -1).reshape(-1, 1, 2)
        matrix, distortion = np.array(camera.matrix), np.array(camera.distortion)
        same = np.eye(3)
        rays = cv2.undistortPointsIter(pixels, matrix, distortion, same, same, _PRECISE)
        x, y = rays.reshape(height, width, 2).transpose(2, 0, 1)  # right and down per forward
        half = np.ceil(focal * np.abs([x, y]).max((1, 2))).astype(int) + _SHUTTER_MARGIN_PX
        source_width, source_height = (2 * half).tolist()
        self.source_size = (source_width, source_height)
        self.source_fov_rad = 2.0 * float(np.arctan(0.5 * source_height / focal))
        column = focal * x + (source_width - 1) / 2
        row = focal * y + (source_height - 1) / 2
        self._columns, self._rows = column.astype(np.float32), row.astype(np.float32)

        # A turn by a small angle adds angle * (up x ray) to a ray; in the camera's axes (right,
        # down, forward), pitched down, up is (0, -cos, -sin). Each row has its own moment.
        cos, sin = np.cos(camera.pitch_down_rad), np.sin(camera.pitch_down_rad)
        moment = (np.arange(height) / max(height - 1, 1) - 0.5)[:, None]  # of the readout time
        self._column_shift = (focal * moment * (sin * y - cos - cos * x * x)).astype(np.float32)
        self._row_shift = (focal * moment * (-sin * x - cos * x * y)).astype(np.float32)
        self._turned_columns = np.empty_like(self._columns)
        self._turned_rows = np.empty_like(self._rows)
        self._pixels_per_rad = focal * float(cos)

    def picture(self, ideal: np.ndarray, readout_rad: float, exposure_rad: float) -> np.ndarray:
        """What the sensor catches of a picture.

        Args:
            ideal: (source height, source width, 3) uint8.
            readout_rad: turn of the base from the first row to the last one.
            exposure_rad: turn of the base while a row is exposed.

        Returns:
            (H, W, 3) uint8.
        """
        columns, rows = self._maps(readout_rad)
        picture = cv2.remap(ideal, columns, rows, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
        # Three taps with the variance of an even smear of this length, L^2 / 12.
        outer = (exposure_rad * self._pixels_per_rad) ** 2 / 24
        if outer > 1e-3:
            kernel = np.array([[outer, 1.0 - 2.0 * outer, outer]], np.float32)
            picture = cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        return picture

    def labels(self, ideal: np.ndarray, readout_rad: float) -> np.ndarray:
        """As `picture`, for one value per pixel: each takes the nearest, nothing is blurred."""
        columns, rows = self._maps(readout_rad)
        return cv2.remap(ideal, columns, rows, cv2.INTER_NEAREST, None, cv2.BORDER_REPLICATE)

    def _maps(self, readout_rad: float) -> tuple[np.ndarray, np.ndarray]:
        if readout_rad == 0.0:
            return self._columns, self._rows
        angle = np.float32(readout_rad)
        columns = np.multiply(self._column_shift, angle, out=self._turned_columns)
        rows = np.multiply(self._row_shift, angle, out=self._turned_rows)
        columns += self._columns
        rows += self._rows
        return columns, rows
