"""The expert's law on a sensed pose: what a classical docking system does.

A source of poses (fiducial marker or scan matching), a filter that fuses it with odometry, and the
law. Nothing here knows the true pose.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from vla_core.geometry import Pose2D, wrap_angle
from vla_core.readings import OdometryReading, Reading
from vla_simulation.controllers.dead_reckoning import DeadReckoning
from vla_simulation.controllers.expert import expert_action
from vla_simulation.controllers.pose_filter import (
    DockPoseFilter,
    PoseFilterParameters,
    PoseMeasurement,
)
from vla_simulation.sensing.samples import Sample

_NS_PER_S = 1e9


class PoseSource(Protocol):
    """Measures `dock_from_base` from the readings of one stream."""

    @property
    def stream(self) -> str:
        """Key of the stream."""

    def measure(self, reading: Reading, guess: PoseMeasurement | None) -> PoseMeasurement | None:
        """The pose at the time of a reading, None where it does not tell.

        Args:
            reading: of the stream.
            guess: what is known already for that time, if anything.
        """


@dataclass(frozen=True)
class SensedApproachParameters:
    """When the estimate is good enough to drive on, and what happens without one."""

    max_age_s: float = 3.0
    """It drives on by odometry alone for at most this long."""
    hold_s: float = 0.5
    """Without an estimate it stands for this long before it looks around."""
    search_rad: float = math.radians(70.0)
    """It turns this far to the left, as far to the right, back to the middle, and gives up."""
    search_radps: float = 0.4
    rest_m: float = 0.002
    rest_rad: float = 0.007
    """Once at rest in the dock it stays so unless the estimate moves further than this from the
    docked pose along the dock's axis or in heading: it does not follow its sensor's noise."""
    filter: PoseFilterParameters = field(default_factory=PoseFilterParameters)


class SensedApproach:
    """Docks by the poses of a source, fused with odometry.

    Args:
        source: of poses.
        parameters: see there.
    """

    def __init__(
        self, source: PoseSource, parameters: SensedApproachParameters | None = None
    ) -> None:
        self._source = source
        self.parameters = parameters or SensedApproachParameters()
        self._odometry = DeadReckoning()
        self.filter = DockPoseFilter(self._odometry, self.parameters.filter)
        self.reset()

    def reset(self, guess: PoseMeasurement | None = None) -> None:
        """Begin an episode.

        Args:
            guess: where the base is about, as a navigation stack would know it.
        """
        self._odometry.reset()
        self.filter.reset()
        self._guess = guess
        self._search: _Search | None = None
        self._resting = False

    def command(self, now_ns: int, samples: Iterable[Sample]) -> tuple[float, float]:
        """The command for now.

        Args:
            now_ns: in the clock of the stamps.
            samples: those that arrived since the previous call.

        Returns:
            Forward speed [m/s] and turning rate [rad/s].
        """
        self._take(now_ns, sorted(samples, key=lambda sample: sample.stamp_ns))
        estimate = self.filter.estimate
        if estimate is None or self.filter.age_ns > self.parameters.max_age_s * _NS_PER_S:
            self._resting = False
            return self._look_around(now_ns)
        self._search = None
        return self._approach(estimate.dock_from_base)

    def _take(self, now_ns: int, samples: list[Sample]) -> None:
        for sample in samples:
            twist = sample.reading
            if isinstance(twist, OdometryReading):
                self._odometry.add(sample.stamp_ns, twist.linear_x, twist.angular_z)
        self.filter.predict(now_ns)
        if self._guess is not None:
            self.filter.correct(self._guess, now_ns)
            self._guess = None
        for sample in samples:
            if sample.key == self._source.stream:
                measurement = self._source.measure(sample.reading, self.filter.at(sample.stamp_ns))
                if measurement is not None:
                    self.filter.correct(measurement, sample.stamp_ns)

    def _approach(self, dock_from_base: Pose2D) -> tuple[float, float]:
        p = self.parameters
        if (
            self._resting
            and abs(dock_from_base.x) < p.rest_m
            and abs(wrap_angle(dock_from_base.yaw)) < p.rest_rad
        ):
            return 0.0, 0.0
        command = expert_action(dock_from_base)
        self._resting = command == (0.0, 0.0)
        return command

    def _look_around(self, now_ns: int) -> tuple[float, float]:
        if self._search is None:
            self._search = _Search(now_ns)
        return 0.0, self._search.turning_rate(now_ns, self._odometry, self.parameters)


class _Search:
    """Turns about the place by odometry, once to either side."""

    def __init__(self, begin_ns: int) -> None:
        self._begin_ns = begin_ns
        self._previous_ns = begin_ns
        self._heading = 0.0
        self._leg = 0

    def turning_rate(
        self, now_ns: int, odometry: DeadReckoning, p: SensedApproachParameters
    ) -> float:
        """Turning rate [rad/s]; zero while it holds and when it has looked everywhere."""
        self._heading += odometry.motion(self._previous_ns, now_ns).yaw
        self._previous_ns = now_ns
        if now_ns - self._begin_ns < p.hold_s * _NS_PER_S:
            return 0.0
        legs = ((1.0, p.search_rad), (-1.0, -p.search_rad), (1.0, 0.0))
        while self._leg < len(legs):
            side, end = legs[self._leg]
            if side * (end - self._heading) > 0.0:
                return side * p.search_radps
            self._leg += 1
        return 0.0
