"""Contracts, messages and frames for tests."""

import math
from types import SimpleNamespace

import numpy as np

from vla_core.decoding import ImageReading, OdometryReading, ScanReading


def attempt(error_class, function, *arguments):
    """(result, None) of a call, or (None, error) if it raised this kind of error."""
    try:
        return function(*arguments), None
    except error_class as error:
        return None, error


def contract_dict() -> dict:
    """A small but complete contract; a fresh one with every call."""
    return {
        "name": "test_robot",
        "version": 1,
        "robot": "test",
        "base_frame": "base_link",
        "dock_pose_topic": "ground_truth/dock_pose",
        "streams": [
            {
                "key": "image",
                "topic": "camera/image_raw",
                "type": "sensor_msgs/msg/Image",
                "qos": {"reliability": "best_effort", "durability": "volatile", "depth": 5},
                "unit": "RGB 0-255",
                "rate_hz": 20.0,
                "max_age_s": 0.2,
                "decoder": {"height_px": 6, "width_px": 8},
            },
            {
                "key": "scan",
                "topic": "scan",
                "type": "sensor_msgs/msg/LaserScan",
                "unit": "m",
                "rate_hz": 10.0,
                "max_age_s": 0.3,
                "decoder": {
                    "beams": 8,
                    "angle_min_rad": -2.0,
                    "angle_max_rad": 2.0,
                    "range_min_m": 0.1,
                    "range_max_m": 8.0,
                },
            },
            {
                "key": "odometry",
                "topic": "odom",
                "type": "nav_msgs/msg/Odometry",
                "unit": "m/s, rad/s",
                "rate_hz": 50.0,
                "max_age_s": 0.1,
                "decoder": {"fields": ["linear.x", "angular.z"]},
            },
        ],
        "action": {
            "topic": "cmd_vel",
            "type": "geometry_msgs/msg/TwistStamped",
            "label_topic": "expert/cmd_vel",
            "rate_hz": 20.0,
            "chunk_length": 10,
            "fields": [
                {
                    "field": "linear.x",
                    "unit": "m/s",
                    "low": -0.3,
                    "high": 0.5,
                    "max_acceleration": 1.0,
                },
                {
                    "field": "angular.z",
                    "unit": "rad/s",
                    "low": -1.0,
                    "high": 1.0,
                    "max_acceleration": 3.0,
                },
            ],
        },
    }


def header(stamp_ns: int = 0) -> SimpleNamespace:
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id="")


def image_message(pixels: np.ndarray, encoding: str = "rgb8", padding: int = 0) -> SimpleNamespace:
    """A sensor_msgs/Image with rows padded by junk; pixels: (H, W, C) uint8."""
    height, width, channels = pixels.shape
    rows = np.full((height, width * channels + padding), 77, np.uint8)
    rows[:, : width * channels] = pixels.reshape(height, -1)
    return SimpleNamespace(
        header=header(),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=rows.shape[1],
        data=rows.tobytes(),
    )


def scan_message(ranges, angle_min=-2.0, angle_increment=0.5, range_min=0.05, range_max=10.0):
    return SimpleNamespace(
        header=header(),
        angle_min=angle_min,
        angle_max=angle_min + angle_increment * (len(ranges) - 1),
        angle_increment=angle_increment,
        time_increment=0.0,
        scan_time=0.1,
        range_min=range_min,
        range_max=range_max,
        ranges=ranges,
        intensities=[],
    )


def twist(linear_x=0.0, angular_z=0.0) -> SimpleNamespace:
    return SimpleNamespace(
        linear=SimpleNamespace(x=linear_x, y=0.0, z=0.0),
        angular=SimpleNamespace(x=0.0, y=0.0, z=angular_z),
    )


def odometry_message(linear_x=0.0, angular_z=0.0) -> SimpleNamespace:
    return SimpleNamespace(
        header=header(), twist=SimpleNamespace(twist=twist(linear_x, angular_z), covariance=[])
    )


def readings(value: float = 1.0) -> dict:
    """One reading per stream of `contract_dict`, different for different values."""
    return {
        "image": ImageReading(np.full((12, 16, 3), int(value) % 256, np.uint8)),
        "scan": ScanReading(np.full(360, value, np.float32), -math.pi, math.pi / 180, 0.05, 1e6),
        "odometry": OdometryReading(value, -value),
    }
