"""Which views Rerun opens on a recording: only those that it has something for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import rerun.blueprint as rrb

from vla_bringup.rerun_messages import BATTERY, CAMERA, COMMANDS, LOG, POLICY, TRUTH, WORLD
from vla_core.contract_specs import IMAGE_TYPES, ODOMETRY_TYPE, SCAN_TYPE
from vla_recorder.bag_contents import TopicContents

_STATUS: Final = "vla_msgs/msg/PolicyStatus"
_STATE: Final = "vla_msgs/msg/SimulationState"
_BATTERY: Final = "sensor_msgs/msg/BatteryState"


def layout(topics: Mapping[str, TopicContents]) -> rrb.Blueprint:
    """Camera and episode left, plan in the middle, curves right.

    Args:
        topics: of the bag.
    """
    types = {topic.type for topic in topics.values()}
    cameras: list[Any] = [
        rrb.Spatial2DView(origin=f"{CAMERA}{topic.name}", name=topic.name)
        for topic in topics.values()
        if topic.type in IMAGE_TYPES
    ]
    left = rrb.Vertical(*cameras, rrb.TextDocumentView(origin="episode", name="Episode"))
    curves: list[Any] = []
    if any("Twist" in kind or kind == ODOMETRY_TYPE for kind in types):
        for field, name in (("linear_x_mps", "Speed [m/s]"), ("angular_z_radps", "Turn [rad/s]")):
            curves.append(_series(f"/{COMMANDS}/**/{field}", name))
    if _STATE in types:
        curves.append(_series(f"/{TRUTH}/lateral_error_mm", "Lateral error [mm]"))
    if _STATUS in types:
        curves.append(_series(f"/{POLICY}/**", "Policy: buffer, latency [ms]"))
        curves.append(rrb.TextLogView(origin=LOG, name="Interventions"))
    if _BATTERY in types:
        curves.append(_series(f"/{BATTERY}/**", "Battery: current [A], charging"))
    columns: list[Any] = [left]
    if types & {ODOMETRY_TYPE, SCAN_TYPE}:
        columns.append(rrb.Spatial3DView(origin=WORLD, name="Plan"))
    if curves:
        columns.append(rrb.Vertical(*curves))
    return rrb.Blueprint(rrb.Horizontal(*columns), collapse_panels=True)


def _series(contents: str, name: str) -> rrb.TimeSeriesView:
    return rrb.TimeSeriesView(origin="/", contents=contents, name=name)
