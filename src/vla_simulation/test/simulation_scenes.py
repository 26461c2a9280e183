from vla_simulation.randomization import (
    PhysicsRandomization,
    Randomization,
    SceneRandomization,
    SensorRandomization,
    StartConfig,
)

EXACT = Randomization(
    scene=SceneRandomization(
        room_length_m=(10.0, 10.0),
        room_width_m=(8.0, 8.0),
        station_count_shares=(1.0, 0.0, 0.0),
        station_gap_to_wall_m=(0.1, 0.1),
        station_depth_m=(0.0, 0.0),
        station_yaw_rad=(0.0, 0.0),
        clutter_count=(0, 0),
    ),
    physics=PhysicsRandomization(
        command_latency_s=(0.0, 0.0),
        motor_lag_s=(0.06, 0.06),
        linear_deadband_mps=(0.0, 0.0),
        angular_deadband_radps=(0.0, 0.0),
        acceleration_share=(1.0, 1.0),
        torque_share=(1.0, 1.0),
        friction_difference=0.0,
        payload_kg=(0.0, 0.0),
        wheel_radius_error=0.0,
        track_error=0.0,
    ),
    sensors=SensorRandomization(
        white_balance_error=0.0,
        read_noise=(0.0, 0.0),
        shot_noise=(0.0, 0.0),
        stamp_jitter_s=0.0,
        scan_noise_m=(0.0, 0.0),
        scan_noise_per_m=(0.0, 0.0),
        scan_dropout=(0.0, 0.0),
    ),
)
"""An empty room with one station, and a robot without errors."""

STRAIGHT_START = StartConfig(
    min_distance_m=1.5, max_distance_m=1.5, max_bearing_rad=0.0, max_heading_rad=0.0
)
