"""What is drawn of the robot."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PhysicsRandomization:
    """Hidden parameters of drive, tyres, payload, encoders and battery."""

    command_latency_s: tuple[float, float] = (0.0, 0.04)
    """From a command's arrival to the drive acting on it; rounded to physics steps."""
    motor_lag_s: tuple[float, float] = (0.05, 0.08)
    """Time constant of the drive's first-order response."""
    linear_deadband_mps: tuple[float, float] = (0.0, 0.004)
    """The drive takes a slower command for zero."""
    angular_deadband_radps: tuple[float, float] = (0.0, 0.008)
    """The drive takes a slower turn for zero."""
    acceleration_share: tuple[float, float] = (0.9, 1.0)
    """What the drive gives of the configured acceleration limits."""
    torque_share: tuple[float, float] = (0.9, 1.0)
    """What the motors give of the configured torque limit."""
    friction: tuple[float, float] = (0.8, 1.1)
    """Of the tyres on the floor."""
    friction_difference: float = 0.05
    """Largest relative deviation of one tyre from that, either way."""
    payload_kg: tuple[float, float] = (0.0, 20.0)
    payload_offset_m: float = 0.03
    """Largest distance of the payload's centre of mass from the middle of the load box, per
    axis, either way."""
    wheel_radius_error: float = 0.005
    """Largest relative error of the radius that odometry believes in, per wheel."""
    track_error: float = 0.01
    """Largest relative error of the track width that odometry believes in."""
    battery_percentage: tuple[float, float] = (0.12, 0.45)
