"""A chunk of actions as messages for people and tools."""

from __future__ import annotations

from collections.abc import Sequence

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from nav_msgs.msg import Path
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray
from vla_msgs.msg import ActionChunk

from vla_core.clearance import Surroundings
from vla_core.contract import ActionSpec
from vla_core.contract_safety import ObstacleSpec
from vla_core.geometry import Pose2D
from vla_policy_node.control.command_messages import time_message
from vla_policy_node.control.loop import Chunk

_LIFETIME_NS = 500_000_000
_GREEN = (0.15, 0.85, 0.35, 0.9)
_RED = (0.95, 0.25, 0.2, 0.9)
_GREY = (0.6, 0.65, 0.7, 0.8)
_ORANGE = (1.0, 0.6, 0.1, 0.9)
_WHITE = (1.0, 1.0, 1.0, 0.95)


def header(frame: str, stamp_ns: int) -> Header:
    """A header."""
    return Header(frame_id=frame, stamp=time_message(stamp_ns))


def chunk_message(
    action: ActionSpec, frame: str, chunk: Chunk, instruction: str, latency_s: float
) -> ActionChunk:
    """The chunk itself."""
    return ActionChunk(
        header=header(frame, chunk.stamp_ns),
        instruction=instruction,
        fields=list(action.fields),
        period_s=1.0 / action.rate_hz,
        horizon=len(chunk.actions),
        actions=chunk.actions.ravel().tolist(),
        inference_latency_s=latency_s,
    )


def path_message(frame: str, stamp_ns: int, poses: Sequence[Pose2D], period_ns: int) -> Path:
    """Where the chunk leads; each pose is stamped with the time at which it is reached."""
    return Path(
        header=header(frame, stamp_ns),
        poses=[
            PoseStamped(header=header(frame, stamp_ns + index * period_ns), pose=_pose(pose))
            for index, pose in enumerate(poses)
        ],
    )


def markers_message(
    frame: str,
    stamp_ns: int,
    poses: Sequence[Pose2D],
    text: str,
    *,
    stopped: bool,
    obstacles: ObstacleSpec | None,
    surroundings: Surroundings | None,
) -> MarkerArray:
    """Path, footprint, nearby obstacles and a line of text above the robot.

    Args:
        frame: of the base.
        stamp_ns: of the chunk.
        poses: see `predicted_path`.
        text: what the robot is doing.
        stopped: whether the safety envelope holds it.
        obstacles: of the contract, None without.
        surroundings: the newest scan, None without.
    """
    path = _marker(frame, stamp_ns, 0, Marker.LINE_STRIP, _RED if stopped else _GREEN, 0.03)
    path.points = [Point(x=pose.x, y=pose.y, z=0.02) for pose in poses]
    label = _marker(frame, stamp_ns, 1, Marker.TEXT_VIEW_FACING, _WHITE, 0.12)
    label.pose.position.z = 0.8
    label.text = text
    markers = [path, label]
    if obstacles is not None:
        outline = _marker(frame, stamp_ns, 2, Marker.LINE_STRIP, _GREY, 0.015)
        footprint = obstacles.footprint
        front, rear, side = footprint.front_m, -footprint.rear_m, footprint.half_width_m
        corners = [(front, side), (rear, side), (rear, -side), (front, -side), (front, side)]
        outline.points = [Point(x=x, y=y, z=0.02) for x, y in corners]
        markers.append(outline)
    if surroundings is not None and len(surroundings.points):
        dots = _marker(frame, surroundings.stamp_ns, 3, Marker.POINTS, _ORANGE, 0.03)
        dots.scale.y = 0.03
        dots.points = [Point(x=float(x), y=float(y), z=0.2) for x, y in surroundings.points]
        markers.append(dots)
    return MarkerArray(markers=markers)


def _marker(
    frame: str,
    stamp_ns: int,
    number: int,
    kind: int,
    colour: tuple[float, float, float, float],
    size_m: float,
) -> Marker:
    red, green, blue, alpha = colour
    marker = Marker(header=header(frame, stamp_ns), ns="vla_policy", id=number, type=kind)
    marker.action = Marker.ADD
    marker.color = ColorRGBA(r=red, g=green, b=blue, a=alpha)
    marker.scale.x = marker.scale.z = size_m
    marker.pose.orientation.w = 1.0
    marker.lifetime = Duration(nanosec=_LIFETIME_NS)
    return marker


def _pose(pose: Pose2D) -> Pose:
    x, y, z, w = pose.quaternion()
    return Pose(
        position=Point(x=pose.x, y=pose.y, z=0.0), orientation=Quaternion(x=x, y=y, z=z, w=w)
    )
