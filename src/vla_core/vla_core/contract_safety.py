"""The optional part `safety` of a contract: what guards the robot beyond the limits of a command.

It is about one robot, not about what a policy learned, so it is no part of the contract's hash.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

from vla_core.contract_specs import ScanDecoder, StreamSpec
from vla_core.geometry import Pose2D
from vla_core.keys import SCAN
from vla_core.strict_yaml import Section, describe

StationSource = Literal["pose", "ahead"]

STATION_SOURCES: Final[tuple[StationSource, ...]] = ("pose", "ahead")

_MAX_LENGTH_M = 10.0
_MAX_JERK = 10_000.0
_MAX_CREEP_MPS = 0.3


@dataclass(frozen=True)
class Footprint:
    """The rectangle that the robot covers, in its base frame.

    Attributes:
        front_m: from the origin to the foremost point, above 0.
        rear_m: from the origin to the rearmost point, above 0.
        half_width_m: to either side, above 0.
    """

    front_m: float
    rear_m: float
    half_width_m: float


@dataclass(frozen=True)
class DockCorridor:
    """Where the robot may creep closer to its station than to anything else.

    Attributes:
        station: what tells where the station is. "pose": a measured pose of the station; without a
            fresh one nothing may be crept up to. "ahead": for robots that measure none, whatever
            is ahead counts as the station.
        length_m: how far in front of the docked pose it begins.
        half_width_m: how far the base may be aside of the approach line.
        yaw_rad: how far it may be turned off that line.
        station_half_width_m: what lies farther aside of the line is not the station.
        creep_mps: speed up to which the station is no obstacle there.
    """

    station: StationSource = "pose"
    length_m: float = 0.8
    half_width_m: float = 0.15
    yaw_rad: float = 0.35
    station_half_width_m: float = 0.35
    creep_mps: float = 0.08


@dataclass(frozen=True)
class ObstacleSpec:
    """What the braking-distance limit needs to know about the robot.

    Attributes:
        footprint: of the robot.
        base_from_scanner: where the scanner sits.
        stop_distance_m: free space that is left in front of an obstacle, and behind.
        side_margin_m: width that is added to either side of the footprint.
        reaction_s: time from a command until the base follows it.
        corridor: exemption for the station.
    """

    footprint: Footprint
    base_from_scanner: Pose2D
    stop_distance_m: float = 0.05
    side_margin_m: float = 0.02
    reaction_s: float = 0.1
    corridor: DockCorridor = DockCorridor()


@dataclass(frozen=True)
class SafetySpec:
    """All of the section; every part is optional.

    Attributes:
        max_jerk: largest change of the acceleration, (A,) [m/s^3, rad/s^3], infinite where there
            is no limit; empty without any.
        obstacles: None where the robot does not brake for obstacles.
    """

    max_jerk: tuple[float, ...] = ()
    obstacles: ObstacleSpec | None = None


def parse_safety(
    root: Section, fields: tuple[str, ...], streams: tuple[StreamSpec, ...]
) -> SafetySpec | None:
    """The `safety` part; None where the contract has none.

    Args:
        root: the contract.
        fields: components of the action.
        streams: of the contract; to brake for obstacles takes a scan.
    """
    section = root.section("safety", required=False)
    if section is None:
        return None
    spec = SafetySpec(_parse_jerk(section, fields), _parse_obstacles(section, streams))
    section.finish()
    return spec


def _parse_jerk(safety: Section, fields: tuple[str, ...]) -> tuple[float, ...]:
    section = safety.section("max_jerk", required=False)
    if section is None:
        return ()
    values = tuple(
        section.number(field, 0.0, _MAX_JERK, above_low=True, default=math.inf) for field in fields
    )
    section.finish()
    return values if any(math.isfinite(value) for value in values) else ()


def _parse_obstacles(safety: Section, streams: tuple[StreamSpec, ...]) -> ObstacleSpec | None:
    section = safety.section("obstacles", required=False)
    if section is None:
        return None
    scans = [stream.key for stream in streams if isinstance(stream.decoder, ScanDecoder)]
    if SCAN not in scans:
        section.mistake(
            None, f"needs a stream of scans with the key {describe(SCAN)}, there is none"
        )
    footprint = section.section("footprint")
    scanner = section.section("scanner")
    corridor = section.section("corridor", required=False)
    default = ObstacleSpec(Footprint(1.0, 1.0, 1.0), Pose2D())
    spec = ObstacleSpec(
        footprint=_parse_footprint(footprint) if footprint else default.footprint,
        base_from_scanner=_parse_pose(scanner) if scanner else default.base_from_scanner,
        stop_distance_m=section.number(
            "stop_distance_m", 0.0, _MAX_LENGTH_M, default=default.stop_distance_m
        ),
        side_margin_m=section.number(
            "side_margin_m", 0.0, _MAX_LENGTH_M, default=default.side_margin_m
        ),
        reaction_s=section.number("reaction_s", 0.0, 2.0, default=default.reaction_s),
        corridor=_parse_corridor(corridor) if corridor else default.corridor,
    )
    section.finish()
    return spec


def _parse_footprint(section: Section) -> Footprint:
    sides = ("front_m", "rear_m", "half_width_m")
    values = [section.number(side, 0.0, _MAX_LENGTH_M, above_low=True) for side in sides]
    section.finish()
    return Footprint(*values)


def _parse_pose(section: Section) -> Pose2D:
    pose = Pose2D(
        x=section.number("x_m", -_MAX_LENGTH_M, _MAX_LENGTH_M),
        y=section.number("y_m", -_MAX_LENGTH_M, _MAX_LENGTH_M, default=0.0),
        yaw=section.number("yaw_rad", -math.pi, math.pi, default=0.0),
    )
    section.finish()
    return pose


def _parse_corridor(section: Section) -> DockCorridor:
    default = DockCorridor()
    corridor = DockCorridor(
        station=section.choice("station", STATION_SOURCES, default.station),
        length_m=section.number("length_m", 0.0, _MAX_LENGTH_M, default=default.length_m),
        half_width_m=section.number(
            "half_width_m", 0.0, _MAX_LENGTH_M, default=default.half_width_m
        ),
        yaw_rad=section.number("yaw_rad", 0.0, math.pi, default=default.yaw_rad),
        station_half_width_m=section.number(
            "station_half_width_m", 0.0, _MAX_LENGTH_M, default=default.station_half_width_m
        ),
        creep_mps=section.number("creep_mps", 0.0, _MAX_CREEP_MPS, default=default.creep_mps),
    )
    section.finish()
    return corridor


def safety_to_dict(safety: SafetySpec, fields: tuple[str, ...]) -> dict[str, Any]:
    """The mapping that `parse_safety` reads."""
    values: dict[str, Any] = {}
    if safety.max_jerk:
        limits = zip(fields, safety.max_jerk, strict=True)
        values["max_jerk"] = {field: limit for field, limit in limits if math.isfinite(limit)}
    if safety.obstacles is not None:
        values["obstacles"] = _obstacles_to_dict(safety.obstacles)
    return values


def _obstacles_to_dict(spec: ObstacleSpec) -> dict[str, Any]:
    footprint, scanner, corridor = spec.footprint, spec.base_from_scanner, spec.corridor
    return {
        "footprint": {
            "front_m": footprint.front_m,
            "rear_m": footprint.rear_m,
            "half_width_m": footprint.half_width_m,
        },
        "scanner": {"x_m": scanner.x, "y_m": scanner.y, "yaw_rad": scanner.yaw},
        "stop_distance_m": spec.stop_distance_m,
        "side_margin_m": spec.side_margin_m,
        "reaction_s": spec.reaction_s,
        "corridor": {
            "station": corridor.station,
            "length_m": corridor.length_m,
            "half_width_m": corridor.half_width_m,
            "yaw_rad": corridor.yaw_rad,
            "station_half_width_m": corridor.station_half_width_m,
            "creep_mps": corridor.creep_mps,
        },
    }
