"""Where the dock is, from matching a planar scan against the station's known outline.

A coarse correlative search (Olson, "Real-time correlative scan matching", ICRA 2009) where little
is known, then least squares on the distances of scan points to the outline (the point-to-line
metric of Censi, "An ICP variant using a point-to-line metric", ICRA 2008; beyond the ends of a
line, to its end).
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

from vla_core.geometry import Pose2D, wrap_angle
from vla_core.keys import SCAN
from vla_core.readings import Reading, ScanReading
from vla_simulation.controllers.pose_filter import GATE, PoseMeasurement, pose_difference


@dataclass(frozen=True)
class ScanMatcherParameters:
    """Of search, fit and acceptance."""

    search_from_m: float = 0.03
    """Standard deviation of the guess from which on a search comes before the fit."""
    search_spread: float = 2.5
    """Reach of the search in standard deviations of the guess."""
    search_step_m: float = 0.025
    search_step_rad: float = math.radians(1.5)
    search_width_m: float = 0.03
    """Width of the bell by which the search judges a point's distance to the outline."""
    margin_m: float = 0.25
    """Scan points this far around the outline take part."""
    wide_m: float = 0.08
    narrow_m: float = 0.02
    """Distance at which a point counts half: at the first iteration, and at the last one."""
    iterations: int = 14
    range_noise_m: float = 0.006
    min_points: int = 6
    max_residual_m: float = 0.02
    hit_m: float = 0.06
    through_m: float = 0.12
    """A beam confirms the outline that it should meet if its range is off by less than the former,
    and contradicts it if it goes on behind it by more than the latter."""
    beside_m: float = 0.25
    """On either side of its front a station has this much free space."""
    min_confirmed: float = 0.7
    """Share of the beams that tell."""
    candidates: int = 4
    """Poses of the search that are fitted."""
    floor_m: float = 0.002
    floor_rad: float = 0.003
    """Errors that more points do not make smaller."""


class ScanMatchingPoseSource:
    """Measures the pose of the base in the dock frame from scans.

    Args:
        outline: (S, 2, 2) [m] segments that face the robot, in the dock frame at the height of the
            scanner.
        base_from_scanner: where the scanner is mounted.
        parameters: of search, fit and acceptance.
    """

    stream = SCAN

    def __init__(
        self,
        outline: np.ndarray,
        base_from_scanner: Pose2D,
        parameters: ScanMatcherParameters | None = None,
    ) -> None:
        self._starts = outline[:, 0]
        self._along = outline[:, 1] - outline[:, 0]
        self._length_squared = np.maximum((self._along**2).sum(axis=1), 1e-12)
        self._low = outline.reshape(-1, 2).min(axis=0)
        self._high = outline.reshape(-1, 2).max(axis=0)
        self._base_from_scanner = base_from_scanner
        self.parameters = parameters or ScanMatcherParameters()

    def measure(self, reading: Reading, guess: PoseMeasurement | None) -> PoseMeasurement | None:
        """The pose at the time of a scan.

        Args:
            reading: a scan.
            guess: where the base is about, and how well that is known; without one there is no
                measurement.

        Returns:
            None where the scan does not show the outline near the guess.
        """
        if guess is None or not isinstance(reading, ScanReading):
            return None
        p = self.parameters
        points = scan_points(reading, self._base_from_scanner)
        pose = guess.dock_from_base
        spread = np.sqrt(np.diag(guess.covariance))
        starts = [pose]
        if spread[:2].max() > p.search_from_m:
            reach = p.search_spread * spread
            around = p.margin_m + float(reach[:2].max()) + float(reach[2]) * pose.distance
            nearby = points[self._near(points, pose, around)]
            if len(nearby) < p.min_points:
                return None
            starts = self._search(nearby, pose, spread)
        fits = [
            fit
            for start in starts
            if (fit := self._fit(points, start)) is not None and self._plausible(fit, guess)
        ]
        confirmed = [self._confirmed(reading, points, fit.dock_from_base) for fit in fits]
        if not fits or max(confirmed) < p.min_confirmed:
            return None
        return fits[int(np.argmax(confirmed))]

    def distances(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance of points to the outline.

        Args:
            points: (..., 2) [m] in the dock frame.

        Returns:
            (...) distances [m] and (..., 2) unit vectors from the nearest point of the outline.
        """
        offset = points[..., None, :] - self._starts
        share = (offset * self._along).sum(axis=-1) / self._length_squared
        offset = offset - np.clip(share, 0.0, 1.0)[..., None] * self._along
        squared = (offset**2).sum(axis=-1)
        nearest = squared.argmin(axis=-1)[..., None]
        distance = np.sqrt(np.take_along_axis(squared, nearest, axis=-1)[..., 0])
        offset = np.take_along_axis(offset, nearest[..., None], axis=-2)[..., 0, :]
        return distance, offset / np.maximum(distance, 1e-9)[..., None]

    def _near(self, points: np.ndarray, pose: Pose2D, margin_m: float) -> np.ndarray:
        """(N,) bool: which points lie around the outline for a pose."""
        in_dock = _moved(points, pose.x, pose.y, pose.yaw)
        low, high = self._low - margin_m, self._high + margin_m
        return ((in_dock >= low) & (in_dock <= high)).all(axis=1)

    @functools.cached_property
    def _field(self) -> "_DistanceField":
        reach = 2 * self.parameters.margin_m
        return _DistanceField(self, self._low - reach, self._high + reach)

    def _search(self, points: np.ndarray, guess: Pose2D, spread: np.ndarray) -> list[Pose2D]:
        """Poses on a grid around the guess that explain many points and stay near it.

        Returns:
            The best ones of different headings, best first.
        """
        p = self.parameters
        steps = (p.search_step_m, p.search_step_m, p.search_step_rad)
        axes = []
        for reach, step in zip(p.search_spread * spread, steps, strict=True):
            count = math.ceil(reach / step)
            axes.append(np.arange(-count, count + 1) * step)
        found: list[tuple[float, Pose2D]] = []
        for dyaw in axes[2]:
            turned = _moved(points, guess.x, guess.y, guess.yaw + dyaw)
            shifts = np.stack(np.meshgrid(axes[0], axes[1], indexing="ij"), axis=-1).reshape(-1, 2)
            distance = self._field.at(turned[None] + shifts[:, None])
            fits = np.exp(-0.5 * (distance / p.search_width_m) ** 2).sum(axis=1)
            prior = ((shifts / spread[:2]) ** 2).sum(axis=1) + (dyaw / spread[2]) ** 2
            score = fits - 0.5 * prior
            k = int(score.argmax())
            x, y = guess.x + float(shifts[k, 0]), guess.y + float(shifts[k, 1])
            found.append((float(score[k]), Pose2D(x, y, wrap_angle(guess.yaw + float(dyaw)))))
        found.sort(key=lambda scored: scored[0], reverse=True)
        return [pose for _, pose in found[: p.candidates]]

    def _plausible(self, fit: PoseMeasurement, guess: PoseMeasurement) -> bool:
        """Whether a pose is where the guess allows it, give or take the outline's own noise."""
        away = pose_difference(fit.dock_from_base, guess.dock_from_base)
        allowed = guess.covariance + np.diag([self.parameters.margin_m / 5] * 2 + [0.05]) ** 2
        return float(away @ np.linalg.solve(allowed, away)) < GATE

    def _confirmed(self, scan: ScanReading, points: np.ndarray, pose: Pose2D) -> float:
        """Share of the beams that a pose explains, of those that tell.

        A beam tells if it is aimed at the outline and ends there or goes on behind it, or if it
        ends beside the outline's front, where a wall would go on and a station does not. Beams
        that end before the outline (something stands in the way) or return nothing do not tell.
        """
        p = self.parameters
        scanner = pose @ self._base_from_scanner
        angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges)) + scanner.yaw
        beams = np.column_stack([np.cos(angles), np.sin(angles)])[:, None]
        first = self._starts - (scanner.x, scanner.y)
        cross = beams[..., 0] * self._along[:, 1] - beams[..., 1] * self._along[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = (first[:, 0] * self._along[:, 1] - first[:, 1] * self._along[:, 0]) / cross
            share = (first[:, 0] * beams[..., 1] - first[:, 1] * beams[..., 0]) / cross
        met = (reach > 0.0) & (share >= 0.0) & (share <= 1.0)
        expected = np.where(met, reach, np.inf).min(axis=1)
        aimed = np.isfinite(expected) & np.isfinite(scan.ranges)
        beyond = scan.ranges[aimed] - expected[aimed]
        hits = int((np.abs(beyond) < p.hit_m).sum())
        misses = int((beyond > p.through_m).sum())
        in_dock = _moved(points, pose.x, pose.y, pose.yaw)
        ahead, aside = in_dock[:, 0] - self._low[0], np.abs(in_dock[:, 1]) - self._high[1]
        beside = (np.abs(ahead) < p.beside_m / 3) & (aside > p.hit_m / 2) & (aside < p.beside_m)
        misses += int(beside.sum())
        return hits / (hits + misses) if hits >= p.min_points else 0.0

    def _fit(self, points: np.ndarray, start: Pose2D) -> PoseMeasurement | None:
        """Robust least squares by Gauss-Newton with Geman and McClure's weights."""
        p = self.parameters
        points = points[self._near(points, start, p.margin_m)]
        if len(points) < p.min_points:
            return None
        values = np.array([start.x, start.y, start.yaw])
        for width in np.geomspace(p.wide_m, p.narrow_m, p.iterations):
            in_dock = _moved(points, *values)
            distance, direction = self.distances(in_dock)
            weight = (1.0 + (distance / width) ** 2) ** -2
            arm = in_dock - values[:2]
            jacobian = np.column_stack(
                [direction, direction[:, 1] * arm[:, 0] - direction[:, 0] * arm[:, 1]]
            )
            normal = jacobian.T @ (weight[:, None] * jacobian)
            # Directions that the outline does not fix stay where they are.
            change = np.linalg.solve(normal + _DAMPING, jacobian.T @ (weight * distance))
            values = values - change
        fits = distance < 3.0 * p.narrow_m
        if int(fits.sum()) < p.min_points:
            return None
        residual_m = float(np.sqrt(np.mean(distance[fits] ** 2)))
        if residual_m > p.max_residual_m:
            return None
        noise = max(p.range_noise_m, residual_m)
        covariance = noise**2 * np.linalg.inv(normal + _DAMPING)
        floor = np.diag([p.floor_m, p.floor_m, p.floor_rad]) ** 2
        pose = Pose2D(float(values[0]), float(values[1]), wrap_angle(float(values[2])))
        return PoseMeasurement(pose, covariance + floor)


_DAMPING = np.diag([1e-3, 1e-3, 1e-4])
_CELL_M = 0.01


class _DistanceField:
    """Distances to an outline on a grid, for thousands of hypotheses."""

    def __init__(self, source: ScanMatchingPoseSource, low: np.ndarray, high: np.ndarray) -> None:
        self._low = low
        self._size = np.ceil((high - low) / _CELL_M).astype(int) + 1
        cells = np.stack(
            np.meshgrid(*(np.arange(n) * _CELL_M for n in self._size), indexing="ij"), axis=-1
        )
        self._grid, _ = source.distances(low + cells)

    def at(self, points: np.ndarray) -> np.ndarray:
        """(...) [m] for (..., 2) points; beyond the border, what holds at the border."""
        index = np.rint((points - self._low) / _CELL_M).astype(int)
        np.clip(index, 0, self._size - 1, out=index)
        distances: np.ndarray = self._grid[index[..., 0], index[..., 1]]
        return distances


def scan_points(scan: ScanReading, base_from_scanner: Pose2D) -> np.ndarray:
    """(N, 2) [m] end points of the beams that returned, in the base frame."""
    angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    ranges = np.asarray(scan.ranges, np.float64)
    valid = np.isfinite(ranges) & (ranges >= scan.range_min) & (ranges < scan.range_max)
    angles, ranges = angles[valid], ranges[valid]
    points = np.column_stack([ranges * np.cos(angles), ranges * np.sin(angles)])
    pose = base_from_scanner
    return _moved(points, pose.x, pose.y, pose.yaw)


def _moved(points: np.ndarray, x: float, y: float, yaw: float) -> np.ndarray:
    cos, sin = math.cos(yaw), math.sin(yaw)
    rotation = np.array([[cos, -sin], [sin, cos]])
    moved: np.ndarray = points @ rotation.T + (x, y)
    return moved
