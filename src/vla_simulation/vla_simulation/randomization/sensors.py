"""What is drawn of camera, scanner and encoders."""

import math
from dataclasses import dataclass


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
    """Largest error of a stamp, either way."""
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
