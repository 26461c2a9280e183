"""The parts of a contract: plain frozen data without behaviour beyond derived values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Reliability = Literal["reliable", "best_effort"]
Durability = Literal["volatile", "transient_local"]
Normalization = Literal["mean_std", "min_max", "none"]

RELIABILITIES: Final[tuple[Reliability, ...]] = ("reliable", "best_effort")
DURABILITIES: Final[tuple[Durability, ...]] = ("volatile", "transient_local")
NORMALIZATIONS: Final[tuple[Normalization, ...]] = ("mean_std", "min_max", "none")

IMAGE_TYPE: Final = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE_TYPE: Final = "sensor_msgs/msg/CompressedImage"
SCAN_TYPE: Final = "sensor_msgs/msg/LaserScan"
ODOMETRY_TYPE: Final = "nav_msgs/msg/Odometry"
POSE_TYPE: Final = "geometry_msgs/msg/PoseStamped"
TWIST_TYPE: Final = "geometry_msgs/msg/Twist"
TWIST_STAMPED_TYPE: Final = "geometry_msgs/msg/TwistStamped"

IMAGE_TYPES: Final = (IMAGE_TYPE, COMPRESSED_IMAGE_TYPE)
STREAM_TYPES: Final = (*IMAGE_TYPES, SCAN_TYPE, ODOMETRY_TYPE)
ACTION_TYPES: Final = (TWIST_TYPE, TWIST_STAMPED_TYPE)

TWIST_FIELDS: Final = {"linear.x": "m/s", "angular.z": "rad/s"}
"""Velocity components that a stream or an action may have, with the unit of each."""

_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True)
class QosSpec:
    """Quality of service of a subscription.

    Attributes:
        reliability: "reliable" or "best_effort".
        durability: "volatile" or "transient_local".
        depth: messages kept, at least 1.
    """

    reliability: Reliability = "best_effort"
    durability: Durability = "volatile"
    depth: int = 5


@dataclass(frozen=True)
class ImageDecoder:
    """Crop, then resize to a fixed size.

    Attributes:
        height: rows of the result.
        width: columns of the result.
        crop: fractions (top, bottom, left, right) of the camera image that are cut off first.
    """

    height: int
    width: int
    crop: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ScanDecoder:
    """Equal sectors between two angles, each with the nearest range in it.

    Attributes:
        beams: number of sectors, counter-clockwise.
        angle_min_rad: start of the first sector.
        angle_max_rad: end of the last one; at most a full turn after the start.
        range_min_m: nearer samples are ignored (the robot's own body, dust).
        range_max_m: farther samples, and sectors without a return, have this value.
    """

    beams: int
    angle_min_rad: float
    angle_max_rad: float
    range_min_m: float
    range_max_m: float


@dataclass(frozen=True)
class OdometryDecoder:
    """Velocities of the base, in the base frame.

    Attributes:
        fields: which components, in this order.
    """

    fields: tuple[str, ...] = ("linear.x", "angular.z")


Decoder = ImageDecoder | ScanDecoder | OdometryDecoder


@dataclass(frozen=True)
class StreamSpec:
    """One stream of observations.

    Attributes:
        key: its name in frames, files and model inputs.
        topic: where it is published.
        type: message type, such as "sensor_msgs/msg/Image".
        qos: quality of service of the subscription.
        unit: of the decoded values, for people.
        rate_hz: nominal rate, for monitoring.
        max_age_s: a frame marks the stream invalid if its newest message is older than this.
        decoder: how a message becomes an array.
        normalization: how the model scales it.
    """

    key: str
    topic: str
    type: str
    qos: QosSpec
    unit: str
    rate_hz: float
    max_age_s: float
    decoder: Decoder
    normalization: Normalization = "mean_std"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the decoded array: (H, W, 3), (beams,) or (fields,)."""
        if isinstance(self.decoder, ImageDecoder):
            return self.decoder.height, self.decoder.width, 3
        if isinstance(self.decoder, ScanDecoder):
            return (self.decoder.beams,)
        return (len(self.decoder.fields),)

    @property
    def dtype(self) -> str:
        """Of the decoded array, as numpy names it."""
        return "uint8" if isinstance(self.decoder, ImageDecoder) else "float32"

    @property
    def max_age_ns(self) -> int:
        """`max_age_s` in integer nanoseconds."""
        return round(self.max_age_s * _NS_PER_S)


@dataclass(frozen=True)
class ActionSpec:
    """The velocity command: what it is made of, its limits and its timing.

    Attributes:
        topic: where commands are published.
        type: geometry_msgs/msg/Twist or TwistStamped.
        label_topic: where demonstrations carry the action to learn, if not on `topic`.
        fields: components, in this order: (A,).
        low: smallest command, (A,) [m/s, rad/s]; at most 0, so that the robot can stand still.
        high: largest command, (A,) [m/s, rad/s]; at least 0.
        max_acceleration: largest change of the command, (A,) [m/s^2, rad/s^2].
        deadband: smaller commands than this mean "stand still", (A,) [m/s, rad/s].
        rate_hz: control rate.
        chunk_length: actions in a chunk, H.
        normalization: how the model scales actions.
    """

    topic: str
    type: str
    label_topic: str | None
    fields: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    max_acceleration: tuple[float, ...]
    deadband: tuple[float, ...]
    rate_hz: float = 20.0
    chunk_length: int = 10
    normalization: Normalization = "mean_std"

    @property
    def size(self) -> int:
        """Number of components, A."""
        return len(self.fields)

    @property
    def period_ns(self) -> int:
        """Time between two commands [ns]."""
        return round(_NS_PER_S / self.rate_hz)

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each component."""
        return tuple(TWIST_FIELDS[field] for field in self.fields)
