"""Dimensions and parameters of the simulated robot, station and sensors.

One source for the MuJoCo model, the sensors and the documentation. Lengths are metres in the
frame that each field names: ``base_link`` (on the floor between the drive wheels, x forward) for
the robot, the dock frame (``base_link`` of the docked robot, x into the station) for the station.
"""

import math
from dataclasses import dataclass, field

CONTROL_PERIOD_NS = 50_000_000
"""Time between two commands and between two sets of observations (20 Hz)."""

PHYSICS_STEPS_PER_CONTROL = 10
"""Physics runs at 200 Hz, so that a control period is a whole number of its steps."""

PHYSICS_PERIOD_NS = CONTROL_PERIOD_NS // PHYSICS_STEPS_PER_CONTROL
CONTROL_PERIOD_S = CONTROL_PERIOD_NS * 1e-9
PHYSICS_PERIOD_S = CONTROL_PERIOD_S / PHYSICS_STEPS_PER_CONTROL


@dataclass(frozen=True)
class RobotConfig:
    """A differential-drive AMR of about 40 kg with a low nose and a load box behind it."""

    wheel_radius_m: float = 0.075
    wheel_width_m: float = 0.03
    track_width_m: float = 0.36
    length_m: float = 0.56
    width_m: float = 0.40
    ground_clearance_m: float = 0.045
    deck_height_m: float = 0.18
    chassis_mass_kg: float = 32.0
    load_mass_kg: float = 6.0
    bumper_front_m: float = 0.290
    pin_tip_m: float = 0.307
    pin_travel_m: float = 0.016
    pin_spacing_m: float = 0.10
    pin_height_m: float = 0.12
    pin_stiffness_npm: float = 400.0
    pin_preload_n: float = 1.5
    motor_torque_limit_nm: float = 6.0
    gear_friction_nm: float = 0.6
    encoder_ticks_per_turn: int = 16384
    encoder_period_steps: int = 4
    """Physics steps from one reading of the encoders to the next: 50 Hz."""
    max_linear_acceleration_mps2: float = 1.0
    max_angular_acceleration_radps2: float = 4.0


@dataclass(frozen=True)
class CameraConfig:
    """Forward camera on the mast above the load box; it sees the robot's nose and the port.

    The fields of view are those of the pin-hole model; distortion widens them a little.
    """

    width_px: int = 160
    height_px: int = 120
    vertical_fov_rad: float = math.radians(78.0)
    x_m: float = 0.0
    z_m: float = 0.46
    pitch_down_rad: float = math.radians(20.0)
    distortion: tuple[float, float, float, float, float] = (-0.08, 0.01, 0.0008, -0.0005, 0.0)
    """k1, k2, p1, p2, k3 of the model that ROS calls plumb_bob (Brown-Conrady)."""
    period_steps: int = 10
    """Physics steps from one picture to the next: 20 Hz."""

    @property
    def focal_length_px(self) -> float:
        """Focal length of the pin-hole model; pixels are square."""
        return 0.5 * self.height_px / math.tan(0.5 * self.vertical_fov_rad)

    @property
    def matrix(self) -> tuple[tuple[float, float, float], ...]:
        """Intrinsic matrix (3, 3); the origin is the centre of the first pixel, as in OpenCV."""
        focal = self.focal_length_px
        cx, cy = (self.width_px - 1) / 2, (self.height_px - 1) / 2
        return ((focal, 0.0, cx), (0.0, focal, cy), (0.0, 0.0, 1.0))

    @property
    def horizontal_fov_rad(self) -> float:
        """Horizontal field of view."""
        return 2.0 * math.atan(0.5 * self.width_px / self.focal_length_px)


@dataclass(frozen=True)
class ScannerConfig:
    """Planar scanner on the deck, in front of the load box."""

    beams: int = 240
    angle_min_rad: float = math.radians(-120.0)
    angle_max_rad: float = math.radians(120.0)
    range_min_m: float = 0.05
    range_max_m: float = 8.0
    x_m: float = 0.15
    z_m: float = 0.235
    period_steps: int = 20
    """Physics steps from one scan to the next: 10 Hz."""

    @property
    def angle_increment_rad(self) -> float:
        """Angle from one beam to the next."""
        return (self.angle_max_rad - self.angle_min_rad) / (self.beams - 1)


@dataclass(frozen=True)
class StationConfig:
    """Charging station in the dock frame: plates on a port block before a tall back panel."""

    plate_front_m: float = 0.302
    plate_half_width_m: float = 0.022
    plate_half_height_m: float = 0.022
    buffer_front_m: float = 0.299
    port_front_m: float = 0.304
    port_half_width_m: float = 0.15
    panel_front_m: float = 0.42
    panel_half_width_m: float = 0.25
    panel_thickness_m: float = 0.10
    height_m: float = 0.80
    pillar_front_m: float = 0.36
    pillar_width_m: float = 0.07
    mated_compression_m: float = 0.001
    """A pin counts as mated from this compression on."""


@dataclass(frozen=True)
class SimulationConfig:
    """The hardware: what does not change from episode to episode."""

    robot: RobotConfig = field(default_factory=RobotConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    scanner: ScannerConfig = field(default_factory=ScannerConfig)
    station: StationConfig = field(default_factory=StationConfig)
