"""Camera and planar scanner of the simulated robot."""

import numpy as np

from vla_simulation.config import CameraConfig, RandomizationConfig, ScannerConfig
from vla_simulation.mjcf import DRAWN_GROUPS, SCANNED_GROUPS
from vla_simulation.opengl import create_renderer, mujoco
from vla_simulation.world import WorldIndex

_NOISE_BANK_SIZE = 1 << 20


def _noise_bank() -> np.ndarray:
    return np.random.default_rng(7).standard_normal(_NOISE_BANK_SIZE, dtype=np.float32)


class Camera:
    """RGB camera with per-episode exposure and gamma, and noise per pixel."""

    def __init__(self, model: mujoco.MjModel, config: CameraConfig) -> None:
        self._config = config
        self._renderer = create_renderer(model, config.width_px, config.height_px)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[list(DRAWN_GROUPS)] = 1
        self._camera = model.camera("camera").id
        self._unit_noise = _noise_bank()
        self._rng = np.random.default_rng(0)
        self._response = np.arange(256, dtype=np.uint8)
        self._noise = np.zeros(_NOISE_BANK_SIZE, np.int16)

    def reset(self, rng: np.random.Generator, randomization: RandomizationConfig) -> None:
        """Draw exposure, gamma and noise level of an episode."""
        self._rng = rng
        gain = rng.uniform(*randomization.exposure_gain)
        gamma = rng.uniform(*randomization.gamma)
        level = gain * (np.arange(256) / 255.0) ** gamma
        self._response = np.clip(np.rint(level * 255.0), 0, 255).astype(np.uint8)
        sigma = rng.uniform(*randomization.pixel_noise)
        # Drawing a million normals costs 10 ms; scaling a fixed bank of them costs 1 ms.
        self._noise = np.rint(self._unit_noise * sigma).astype(np.int16)

    def capture(self, data: mujoco.MjData) -> np.ndarray:
        """Take a picture; (H, W, 3) uint8 RGB."""
        self._renderer.update_scene(data, self._camera, self._option)
        image = self._response[self._renderer.render()]
        offset = int(self._rng.integers(_NOISE_BANK_SIZE - image.size))
        noise = self._noise[offset : offset + image.size].reshape(image.shape)
        return np.clip(image + noise, 0, 255).astype(np.uint8)

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()


class Scanner:
    """Planar laser scanner with range noise and missing returns."""

    def __init__(self, model: mujoco.MjModel, index: WorldIndex, config: ScannerConfig) -> None:
        self._model = model
        self._site = index.scanner_site
        self._config = config
        angles = np.linspace(config.angle_min_rad, config.angle_max_rad, config.beams)
        self._directions = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], 1)
        # The robot's own geoms are in another group, so its beams never hit itself.
        self._groups = np.zeros(6, np.uint8)
        self._groups[list(SCANNED_GROUPS)] = 1
        self._geoms = np.zeros(config.beams, np.int32)
        self._distances = np.zeros(config.beams)
        self._rng = np.random.default_rng(0)
        self._noise_m = 0.0
        self._dropout = 0.0

    def reset(self, rng: np.random.Generator, randomization: RandomizationConfig) -> None:
        """Draw noise and dropout of an episode."""
        self._rng = rng
        self._noise_m = rng.uniform(*randomization.scan_noise_m)
        self._dropout = rng.uniform(*randomization.scan_dropout)

    def true_ranges(self, data: mujoco.MjData) -> np.ndarray:
        """Geometric distance along every beam [m]; infinite where nothing is hit."""
        rotation = data.site_xmat[self._site].reshape(3, 3)
        directions = self._directions @ rotation.T
        mujoco.mj_multiRay(
            self._model,
            data,
            data.site_xpos[self._site],
            directions.ravel(),
            self._groups,
            True,
            -1,
            self._geoms,
            self._distances,
            None,
            self._config.beams,
            self._config.range_max_m,
        )
        return np.where(self._distances < 0, np.inf, self._distances)

    def scan(self, data: mujoco.MjData) -> np.ndarray:
        """One revolution; (beams,) float32 [m], infinite without a return (REP-117)."""
        config = self._config
        ranges = self.true_ranges(data)
        ranges += self._rng.normal(0.0, self._noise_m, ranges.shape)
        missing = self._rng.random(ranges.shape) < self._dropout
        missing |= (ranges < config.range_min_m) | (ranges > config.range_max_m)
        return np.where(missing, np.inf, ranges).astype(np.float32)
