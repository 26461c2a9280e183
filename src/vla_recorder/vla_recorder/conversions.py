"""What the recorder is asked and answers, between messages and its own terms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vla_msgs.action import RecordEpisode
from vla_msgs.msg import StreamStatus
from vla_msgs.srv import SaveRecent, StopEpisode

from vla_core.bag_metadata import Outcome
from vla_recorder.episode import Episode, EpisodeRequest, EpisodeSummary
from vla_recorder.errors import RecorderError
from vla_recorder.recording_plan import WatchedStream
from vla_recorder.stream_monitor import StreamMonitor

OUTCOMES: Final = {
    StopEpisode.Request.UNKNOWN: Outcome.UNKNOWN,
    StopEpisode.Request.SUCCESS: Outcome.SUCCESS,
    StopEpisode.Request.FAILURE: Outcome.FAILURE,
    StopEpisode.Request.DISCARD: Outcome.DISCARDED,
}
"""What a client may say about an episode, by the number that it sends."""


def episode_request(goal: RecordEpisode.Goal) -> EpisodeRequest:
    """What a goal asks for.

    Raises:
        RecorderError: names everything that is wrong with it.
    """
    return EpisodeRequest.checked(
        goal.name,
        goal.instruction,
        goal.operator_name,
        goal.max_duration_s,
        goal.metadata_keys,
        goal.metadata_values,
    )


def recent_request(request: SaveRecent.Request) -> tuple[EpisodeRequest, Outcome]:
    """What a request to save the last seconds asks for.

    Raises:
        RecorderError: names what is wrong with it.
    """
    outcome = OUTCOMES.get(request.outcome)
    if outcome is None or outcome is Outcome.DISCARDED:
        raise RecorderError(f"outcome {request.outcome} is none that can be saved, expected 0 to 2")
    if not 0.0 <= request.duration_s < float("inf"):
        raise RecorderError(f"duration_s is {request.duration_s}, expected 0 or more")
    wanted = EpisodeRequest.checked(
        request.name, request.instruction, request.operator_name, 0.0, (), ()
    )
    return wanted, outcome


def feedback_message(
    episode: Episode, streams: Iterable[tuple[WatchedStream, StreamMonitor]], now_ns: int
) -> RecordEpisode.Feedback:
    """How far an episode has come and how its streams arrive, as of `now_ns`."""
    feedback = RecordEpisode.Feedback(
        elapsed_s=episode.elapsed_s,
        messages=episode.writer.messages,
        bytes=episode.writer.size_bytes,
    )
    for stream, monitor in streams:
        report = monitor.report(now_ns)
        feedback.streams.append(
            StreamStatus(
                key=stream.key,
                topic=stream.topic,
                rate_hz=report.rate_hz,
                age_s=report.age_s,
                messages=report.messages,
                valid=report.valid,
            )
        )
    return feedback


def result_message(summary: EpisodeSummary) -> RecordEpisode.Result:
    """How an episode ended."""
    discarded = summary.outcome is Outcome.DISCARDED
    return RecordEpisode.Result(
        success=summary.success,
        bag_path="" if discarded else str(summary.path),
        outcome=summary.outcome.value,
        messages=summary.messages,
        bytes=summary.size_bytes,
        duration_s=summary.duration_s,
        message=summary.message,
    )
