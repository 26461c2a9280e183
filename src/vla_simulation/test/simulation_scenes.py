from vla_simulation.config import RandomizationConfig, StartConfig

EXACT = RandomizationConfig(
    room_length_m=(10.0, 10.0),
    room_width_m=(8.0, 8.0),
    station_gap_to_wall_m=(0.1, 0.1),
    station_yaw_rad=(0.0, 0.0),
    clutter_count=(0, 0),
    scan_noise_m=(0.0, 0.0),
    scan_dropout=(0.0, 0.0),
    wheel_radius_error=0.0,
    track_error=0.0,
)
"""An empty room and a robot without errors."""

STRAIGHT_START = StartConfig(
    min_distance_m=1.5, max_distance_m=1.5, max_bearing_rad=0.0, max_heading_rad=0.0
)
