"""What is drawn of camera, scanner and encoders."""

import math
from dataclasses import dataclass

from vla_simulation.errors import SuiteError

_STEP_S = 0.005  # of physics, on whose grid sensors measure
_LONGEST_LATENCY_S = 0.045  # a whole control period would be the tick before


@dataclass(frozen=True)
class SensorRandomization:
    """Response, noise and timing of the sensors."""

    exposure_gain: tuple[float, float] = (0.85, 1.15)
    gamma: tuple[float, float] = (0.9, 1.1)
    white_balance_error: float = 0.04
    """Largest relative error of the gain of red and of blue, either way."""
    read_noise: tuple[float, float] = (0.8, 2.0)
    """Standard deviation of a black pixel, in grey levels of 255."""
    shot_noise: tuple[float, float] = (1.0, 4.0)
    """Standard deviation that light adds to a white pixel, in grey levels; its variance grows in
    proportion to the light."""
    exposure_time_s: tuple[float, float] = (0.004, 0.012)
    """What moves meanwhile is blurred."""
    readout_time_s: tuple[float, float] = (0.010, 0.025)
    """From the first row's exposure to the last row's (rolling shutter)."""
    image_latency_s: tuple[float, float] = (0.010, 0.030)
    """From the middle of the exposure to the control tick at which the image is there."""
    scan_latency_s: tuple[float, float] = (0.005, 0.025)
    """From a scan to the control tick at which it is there."""
    stamp_jitter_s: float = 0.001
    """Largest error of a stamp, either way; less than a physics step."""
    scan_noise_m: tuple[float, float] = (0.002, 0.006)
    """Standard deviation of a range."""
    scan_noise_per_m: tuple[float, float] = (0.0, 0.001)
    """What the range itself adds to that [m/m]."""
    scan_dropout: tuple[float, float] = (0.0, 0.01)
    """Share of beams without a return."""
    dark_range_m: tuple[float, float] = (4.0, 7.0)
    """How far dark surfaces return a beam that meets them squarely."""
    glossy_incidence_rad: tuple[float, float] = (math.radians(65.0), math.radians(80.0))
    """Glossy surfaces return nothing from this angle to their normal on."""

    def __post_init__(self) -> None:
        """Check that no sample can be stamped later than the tick at which it is there.

        Raises:
            SuiteError: timing is out of its range.
        """
        if not 0.0 <= self.stamp_jitter_s < _STEP_S:
            raise SuiteError(
                f"sensors.stamp_jitter_s is {self.stamp_jitter_s}, expected 0 to below {_STEP_S} s"
            )
        for name in ("image_latency_s", "scan_latency_s"):
            low, high = getattr(self, name)
            if not _STEP_S <= low <= high <= _LONGEST_LATENCY_S:
                raise SuiteError(
                    f"sensors.{name} is {[low, high]}, expected [low, high] from {_STEP_S} to "
                    f"{_LONGEST_LATENCY_S} s"
                )
