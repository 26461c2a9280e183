"""What sensors hand over, and when."""

from dataclasses import dataclass

from vla_core.geometry import Pose2D
from vla_core.readings import OdometryReading, Reading
from vla_simulation.config import PHYSICS_PERIOD_NS, PHYSICS_STEPS_PER_CONTROL


@dataclass(frozen=True)
class Sample:
    """One message of a sensor's driver.

    Attributes:
        key: of the stream.
        stamp_ns: moment of the measurement, since the reset [ns].
        reading: the measurement.
    """

    key: str
    stamp_ns: int
    reading: Reading


@dataclass(frozen=True)
class WheelReading(OdometryReading):
    """What the base's controller knows of its wheels.

    Attributes:
        pose: of the base by dead reckoning, from where the episode began.
        wheel_angles_rad: left and right.
        wheel_speeds_radps: left and right.
    """

    pose: Pose2D
    wheel_angles_rad: tuple[float, float]
    wheel_speeds_radps: tuple[float, float]


@dataclass(frozen=True)
class SampleClock:
    """The physics steps at which a sensor measures: each `period`-th one from `phase` on."""

    period: int
    phase: int

    def due(self, step: int) -> bool:
        """Whether the sensor measures after this step."""
        return (step - self.phase) % self.period == 0

    def last(self, step: int) -> int:
        """The newest step up to this one after which the sensor measured."""
        return step - (step - self.phase) % self.period

    @classmethod
    def ahead_of_ticks(cls, period: int, latency_s: float, tick: int) -> "SampleClock":
        """A clock whose samples are under way for a while and there at a control tick.

        Args:
            period: a whole number of control periods [physics steps].
            latency_s: from the measurement to that tick; rounded up to physics steps.
            tick: the first control tick with a sample, below `period` in control periods.
        """
        latency = -(-round(latency_s * 1e9) // PHYSICS_PERIOD_NS)
        return cls(period, tick * PHYSICS_STEPS_PER_CONTROL - latency)
