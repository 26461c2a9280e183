"""What the node shows of itself: chunk, predicted path, markers, annotated picture, latencies.

Nothing is computed for a topic that nobody has subscribed to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from nav_msgs.msg import Path
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray
from vla_msgs.msg import ActionChunk

from vla_core import keys
from vla_core.contract import Contract, ImageDecoder
from vla_core.errors import DecodeError
from vla_core.readings import ImageReading, reading_from_message
from vla_policy_node.control.loop import Chunk
from vla_policy_node.control.messages import Report
from vla_policy_node.observability.geometry import PinholeCamera, predicted_path
from vla_policy_node.observability.latency import LatencyHistogram
from vla_policy_node.observability.messages import (
    chunk_message,
    header,
    markers_message,
    path_message,
)
from vla_policy_node.observability.parameters import ObservabilityParameters
from vla_policy_node.observability.picture import annotate
from vla_policy_node.sensing.streams import StreamHub


class Observability:
    """Publishes what people look at, where somebody looks.

    Args:
        contract: of the robot.
        parameters: of the node.
        streams: whose newest scan is shown.
        advertise: makes a publisher from type, topic and depth.
    """

    def __init__(
        self,
        contract: Contract,
        parameters: ObservabilityParameters,
        streams: StreamHub,
        advertise: Callable[[Any, str, int], Any],
    ) -> None:
        self._contract = contract
        self._streams = streams
        self._obstacles = contract.safety.obstacles if contract.safety else None
        self._half_width_m = (
            self._obstacles.footprint.half_width_m
            if self._obstacles
            else parameters.robot_half_width_m
        )
        self._camera = PinholeCamera(
            parameters.camera_x_m,
            parameters.camera_z_m,
            parameters.camera_pitch_rad,
            parameters.camera_horizontal_fov_rad,
        )
        self._picture_period_s = 1.0 / parameters.debug_image_rate_hz
        self._picture_s = 0.0
        self._has_camera = any(
            stream.key == keys.IMAGE and isinstance(stream.decoder, ImageDecoder)
            for stream in contract.streams
        )
        self._image: Any = None
        self._chunk: Chunk | None = None
        self._latencies = LatencyHistogram()
        self._chunks = advertise(ActionChunk, "~/action_chunk", 10)
        self._paths = advertise(Path, "~/predicted_path", 10)
        self._markers = advertise(MarkerArray, "~/markers", 10)
        self._pictures = advertise(Image, "~/debug_image", 1)

    def on_image(self, message: Any) -> None:
        """Remember the newest picture, if somebody wants to see it."""
        self._image = message if _wanted(self._pictures) else None

    def on_report(
        self, report: Report, chunk: Chunk | None, instruction: str, latency_s: float
    ) -> None:
        """Show what happened at a tick.

        Args:
            report: of the control process.
            chunk: the newest one of the goal.
            instruction: of the goal.
            latency_s: of the newest chunk.
        """
        if chunk is not None and chunk is not self._chunk:
            self._latencies.add(latency_s)
            self._show_chunk(chunk, instruction, latency_s)
        self._chunk = chunk
        if _wanted(self._markers):
            self._show_markers(report, instruction)
        if self._image is not None and _wanted(self._pictures):
            self._show_picture(report, instruction, latency_s)

    def latency_status(self, name: str) -> DiagnosticStatus:
        """The histogram for /diagnostics."""
        values = self._latencies.values()
        return DiagnosticStatus(
            level=DiagnosticStatus.OK,
            name=f"{name}: inference latency",
            message=f"{self._latencies.count} chunks",
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )

    def _show_chunk(self, chunk: Chunk, instruction: str, latency_s: float) -> None:
        frame, action = self._contract.base_frame, self._contract.action
        if _wanted(self._chunks):
            self._chunks.publish(chunk_message(action, frame, chunk, instruction, latency_s))
        if _wanted(self._paths):
            poses = self._predicted(chunk)
            self._paths.publish(path_message(frame, chunk.stamp_ns, poses, action.period_ns))

    def _show_markers(self, report: Report, instruction: str) -> None:
        chunk = self._chunk
        self._markers.publish(
            markers_message(
                self._contract.base_frame,
                chunk.stamp_ns if chunk else report.tick_ns or 0,
                self._predicted(chunk) if chunk else [],
                " | ".join(_lines(report, instruction)),
                stopped=_is_stopped(report),
                obstacles=self._obstacles,
                surroundings=self._streams.surroundings,
            )
        )

    def _show_picture(self, report: Report, instruction: str, latency_s: float) -> None:
        now_s = time.monotonic()
        if not self._has_camera or now_s - self._picture_s < self._picture_period_s:
            return
        self._picture_s = now_s
        image = self._image
        try:
            reading = reading_from_message(self._contract.stream(keys.IMAGE), image)
        except DecodeError:
            return  # the stream itself reports it
        if not isinstance(reading, ImageReading):
            return
        chunk = self._chunk
        rgb = annotate(
            reading.rgb,
            self._predicted(chunk) if chunk else [],
            self._half_width_m,
            self._camera,
            [*_lines(report, instruction), f"latency {1e3 * latency_s:.0f} ms"],
            _is_stopped(report),
        )
        height, width = rgb.shape[:2]
        message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
        message.header = header(image.header.frame_id, 0)
        message.header.stamp = image.header.stamp
        message.data.frombytes(rgb.tobytes())
        self._pictures.publish(message)

    def _predicted(self, chunk: Chunk) -> list[Any]:
        action = self._contract.action
        return predicted_path(chunk.actions, action.fields, 1.0 / action.rate_hz)


def _wanted(publisher: Any) -> bool:
    return publisher.get_subscription_count() > 0


def _is_stopped(report: Report) -> bool:
    return bool(report.fault or report.interventions)


def _lines(report: Report, instruction: str) -> list[str]:
    """What the robot is told, what it does, and why it does not."""
    values = ", ".join(f"{value:.2f}" for value in report.values or ())
    lines = [instruction, f"command {values or 'none'}, buffer {report.buffer_depth}"]
    if report.fault:
        lines.append(report.fault)
    elif report.interventions:
        lines.append(f"held back: {', '.join(report.interventions)}")
    return lines
