"""Planar laser scanner of the simulated robot."""

import numpy as np

from vla_simulation.config import ScannerConfig
from vla_simulation.mjcf import SCANNED_GROUPS, SURFACE_DARK, SURFACE_GLOSSY
from vla_simulation.opengl import mujoco
from vla_simulation.randomization import SensorRandomization
from vla_simulation.world import WorldIndex


class Scanner:
    """Planar laser scanner with range noise and missing returns.

    All beams of a scan are cast at one moment. A beam returns nothing where the link budget of a
    Lambertian surface fails, dark ones: beyond a range that shrinks with the square root of the
    cosine of the incidence; where a glossy surface mirrors it away: beyond an incidence; and by
    chance.
    """

    def __init__(self, model: mujoco.MjModel, index: WorldIndex, config: ScannerConfig) -> None:
        self._model = model
        self._site = index.scanner_site
        self._surfaces = index.surface_class
        self._config = config
        angles = np.linspace(config.angle_min_rad, config.angle_max_rad, config.beams)
        self._directions = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], 1)
        # The robot's own geoms are in another group, so its beams never hit itself.
        self._groups = np.zeros(6, np.uint8)
        self._groups[list(SCANNED_GROUPS)] = 1
        self._geoms = np.zeros(config.beams, np.int32)
        self._distances = np.zeros(config.beams)
        self._normals = np.zeros((config.beams, 3))
        self.reset(np.random.default_rng(0), SensorRandomization())

    def reset(self, rng: np.random.Generator, ranges: SensorRandomization) -> None:
        """Draw noise and losses of an episode."""
        self._rng = rng
        self._noise_m = rng.uniform(*ranges.scan_noise_m)
        self._noise_per_m = rng.uniform(*ranges.scan_noise_per_m)
        self._dropout = rng.uniform(*ranges.scan_dropout)
        self._dark_range_m = rng.uniform(*ranges.dark_range_m)
        self._glossy_cosine = float(np.cos(rng.uniform(*ranges.glossy_incidence_rad)))

    def true_ranges(self, data: mujoco.MjData) -> np.ndarray:
        """Geometric distance along every beam [m]; infinite where nothing is hit."""
        self._cast(data)
        return np.where(self._distances < 0, np.inf, self._distances)

    def _cast(self, data: mujoco.MjData) -> np.ndarray:
        """Cast all beams; returns their directions in the world, (beams, 3)."""
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
            self._normals.ravel(),
            self._config.beams,
            self._config.range_max_m,
        )
        return directions

    def scan(self, data: mujoco.MjData) -> np.ndarray:
        """One scan; (beams,) float32 [m], infinite without a return (REP-117).

        Positions that are derived from the state must be up to date.
        """
        config, rng = self._config, self._rng
        directions = self._cast(data)
        true = self._distances
        ranges = true + rng.standard_normal(true.shape) * (self._noise_m + self._noise_per_m * true)
        missing = rng.random(true.shape) < self._dropout
        missing |= self._absorbed(directions)
        missing |= (true < 0) | (ranges < config.range_min_m) | (ranges > config.range_max_m)
        return np.where(missing, np.inf, ranges).astype(np.float32)

    def _absorbed(self, directions: np.ndarray) -> np.ndarray:
        """(beams,) bool: those that dark and glossy surfaces do not send back."""
        surface = self._surfaces[self._geoms]  # of no meaning where nothing was hit
        cosine = np.abs(np.einsum("ij,ij->i", directions, self._normals))
        dark = (surface == SURFACE_DARK) & (self._distances > self._dark_range_m * np.sqrt(cosine))
        return dark | (surface == SURFACE_GLOSSY) & (cosine < self._glossy_cosine)
