from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vla_core import keys
from vla_training.conversion.episodes import (
    BagTimeline,
    Segment,
    SegmentLimits,
    is_recorded_episode,
    segments,
    whole,
)
from vla_training.errors import ConversionError

S = 1_000_000_000
LIMITS = SegmentLimits()


def timeline(
    duration_s: float = 10.0, moving=lambda t: True, silent=lambda key, t: False, coasting=None
) -> BagTimeline:
    """Streams at 20 Hz, except where one is silent; commands and odometry of the same motion."""
    coasting = coasting or moving
    ticks = np.arange(0.0, duration_s, 0.05)
    stamps, values = {}, {}
    for key in (keys.IMAGE, keys.ODOMETRY, keys.ACTION):
        own = [t for t in ticks.tolist() if not silent(key, t)]
        is_moving = coasting if key == keys.ODOMETRY else moving
        stamps[key] = np.array([round(t * S) for t in own], np.int64)
        values[key] = np.array([[0.2 if is_moving(t) else 0.0, 0.0] for t in own]).reshape(-1, 2)
    return BagTimeline(stamps, values[keys.ACTION], values[keys.ODOMETRY])


def in_seconds(found: list[Segment]):
    return [
        (round(s.start_ns / S, 3), round(s.end_ns / S, 3), s.dropped.split(" ", 2)[-1])
        for s in found
    ]


def test_a_bag_without_gaps_or_rests_is_one_episode():
    assert in_seconds(segments(timeline(), LIMITS)) == [(0.0, 9.95, "")]


def test_a_silence_cuts_and_is_named():
    line = timeline(silent=lambda key, t: key == keys.IMAGE and 4.02 < t < 5.98)
    assert in_seconds(segments(line, LIMITS)) == [
        (0.0, 4.0, ""),
        (4.0, 6.0, "without image"),
        (6.0, 9.95, ""),
    ]


def test_a_short_silence_does_not_cut():
    line = timeline(silent=lambda key, t: key == keys.IMAGE and 4.02 < t < 4.98)
    assert in_seconds(segments(line, LIMITS)) == [(0.0, 9.95, "")]


def test_silences_that_overlap_are_one():
    def silent(key, t):
        return (key == keys.IMAGE and 3.02 < t < 4.98) or (key == keys.ACTION and 4.02 < t < 6.98)

    assert in_seconds(segments(timeline(silent=silent), LIMITS)) == [
        (0.0, 3.0, ""),
        (3.0, 7.0, "without image, action"),
        (7.0, 9.95, ""),
    ]


def test_what_comes_before_the_last_stream_is_there_is_dropped():
    line = timeline(silent=lambda key, t: key == keys.ODOMETRY and t < 0.48)
    assert in_seconds(segments(line, LIMITS))[0] == (0.0, 0.5, "without odometry")


def test_a_stream_that_ends_early_ends_the_episode():
    line = timeline(silent=lambda key, t: key == keys.ACTION and t > 6.02)
    assert in_seconds(segments(line, LIMITS)) == [(0.0, 6.0, ""), (6.0, 9.95, "without action")]


def test_rests_at_the_ends_are_trimmed_to_a_moment():
    line = timeline(30.0, moving=lambda t: 9.99 < t < 20.01)
    assert in_seconds(segments(line, LIMITS)) == [
        (0.0, 9.5, "of standing still"),
        (9.5, 21.5, ""),
        (21.5, 29.95, "of standing still"),
    ]


def test_a_rest_between_two_drives_makes_two_episodes():
    line = timeline(30.0, moving=lambda t: t < 10.01 or t > 19.99)
    assert in_seconds(segments(line, LIMITS)) == [
        (0.0, 11.5, ""),
        (11.5, 19.5, "of standing still"),
        (19.5, 29.95, ""),
    ]


def test_short_rests_stay():
    line = timeline(moving=lambda t: 2.5 < t < 7.5)
    assert in_seconds(segments(line, LIMITS)) == [(0.0, 9.95, "")]


def test_coasting_is_motion():
    """The command is zero but the robot has not stopped yet."""
    line = timeline(20.0, moving=lambda t: t < 10.01, coasting=lambda t: t < 12.01)
    assert in_seconds(segments(line, LIMITS))[0] == (0.0, 13.5, "")


def test_a_robot_that_never_moves_is_no_episode():
    assert in_seconds(segments(timeline(moving=lambda t: False), LIMITS)) == [
        (0.0, 9.95, "of standing still")
    ]


def test_too_short_an_episode_is_dropped():
    (found,) = segments(timeline(1.5), LIMITS)
    assert found.dropped == "1.45 s long, an episode has at least 2 s"


def test_without_odometry_commands_decide():
    line = timeline(30.0, moving=lambda t: t < 10.01)
    stamps = {key: value for key, value in line.stamps_ns.items() if key != keys.ODOMETRY}
    found = segments(BagTimeline(stamps, line.commands), LIMITS)
    assert in_seconds(found)[0] == (0.0, 11.5, "")


def test_numbers_that_are_none_are_not_taken_for_rest():
    line = timeline(30.0, moving=lambda t: t < 10.01)
    line.commands[-1] = np.nan
    assert in_seconds(segments(line, LIMITS))[-1] == (
        29.45,
        29.95,
        "long, an episode has at least 2 s",
    )


@pytest.mark.parametrize("key", [keys.IMAGE, keys.ODOMETRY, keys.ACTION])
def test_a_stream_that_says_nothing_leaves_nothing(key):
    line = timeline(silent=lambda name, t: name == key)
    assert segments(line, LIMITS) == []
    assert whole(line) == []


def test_a_recorded_episode_is_not_cut():
    line = timeline(30.0, moving=lambda t: t < 10.0, silent=lambda k, t: k == "image" and 3 < t < 9)
    assert whole(line) == [Segment(0, round(29.95 * S))]
    assert is_recorded_episode({"vla.outcome": "success"})
    assert not is_recorded_episode({"operator": "somebody"})


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_gap_s": -1.0}, "max_gap_s is -1.0, expected 0 or more"),
        ({"min_duration_s": float("nan")}, "min_duration_s is nan"),
        ({"max_idle_s": 1.0}, "add up to 2 s, expected at most max_idle_s, which is 1 s"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits, expected):
    with pytest.raises(ConversionError, match=expected):
        SegmentLimits(**limits)


# Property tests


STEPS = np.array([1, 1, 1, 2, 8, 15, 40, 1])  # tenths of a second


@st.composite
def timelines(draw):
    stamps, values = {}, {}
    for key in (keys.IMAGE, keys.ODOMETRY, keys.ACTION):
        # One byte for each message: how long after the one before, and whether it means motion.
        choices = np.frombuffer(draw(st.binary(min_size=1, max_size=60)), np.uint8)
        steps, moving = STEPS[choices % 8], choices >= 64
        for first, count in draw(st.lists(st.tuples(st.integers(0, 59), st.integers(1, 40)))):
            moving[first : first + count] = False
        stamps[key] = (draw(st.integers(0, 30)) + np.cumsum(steps)).astype(np.int64) * (S // 10)
        values[key] = np.stack([moving * 0.3, np.zeros(len(steps))], axis=1)
    return BagTimeline(stamps, values[keys.ACTION], values[keys.ODOMETRY])


limits = st.builds(
    SegmentLimits,
    max_gap_s=st.sampled_from([0.3, 1.0, 2.0]),
    max_idle_s=st.sampled_from([2.0, 3.0, 5.0]),
    keep_before_s=st.sampled_from([0.0, 0.5]),
    keep_after_s=st.sampled_from([0.0, 1.5]),
    min_duration_s=st.sampled_from([0.0, 0.5, 2.0]),
)


def motions(line: BagTimeline) -> np.ndarray:
    found = [
        line.stamps_ns[key][np.abs(values[:, 0]) > 0.1]
        for key, values in ((keys.ACTION, line.commands), (keys.ODOMETRY, line.velocities))
    ]
    return np.sort(np.concatenate(found))


@settings(max_examples=200, deadline=None)
@given(timelines(), limits)
def test_stretches_are_a_partition_and_keep_what_they_promise(line, limits):
    found = segments(line, limits)
    stamps = line.stamps_ns.values()
    assert found[0].start_ns == min(s[0] for s in stamps)
    assert found[-1].end_ns == max(s[-1] for s in stamps)
    for before, after in pairwise(found):
        assert before.end_ns == after.start_ns
    moved = motions(line)
    for segment in found:
        inside = moved[(moved > segment.start_ns) & (moved < segment.end_ns)]
        if "standing still" in segment.dropped:
            assert not len(inside)
        if segment.dropped:
            continue
        assert segment.duration_s >= limits.min_duration_s
        for own in stamps:
            # Something is there at the start, and nothing is silent for too long after.
            assert own[0] <= segment.start_ns
            own = own[(own > segment.start_ns) & (own < segment.end_ns)]
            edges = np.concatenate([[segment.start_ns], own, [segment.end_ns]])
            assert (np.diff(edges) <= limits.max_gap_s * S).all()
        ends = [segment.start_ns, *inside.tolist(), segment.end_ns]
        assert (np.diff(ends) <= limits.max_idle_s * S).all()


@settings(max_examples=100, deadline=None)
@given(timelines(), st.integers(0, 99))
def test_the_order_of_the_messages_does_not_matter(line, seed):
    rng = np.random.default_rng(seed)
    orders = {key: rng.permutation(len(s)) for key, s in line.stamps_ns.items()}
    shuffled = BagTimeline(
        {key: s[orders[key]] for key, s in line.stamps_ns.items()},
        line.commands[orders[keys.ACTION]],
        line.velocities[orders[keys.ODOMETRY]],
    )
    assert segments(shuffled, LIMITS) == segments(line, LIMITS)
    assert whole(shuffled) == whole(line)


@settings(max_examples=100, deadline=None)
@given(timelines(), limits)
@example(
    BagTimeline(
        {
            keys.IMAGE: np.array([300_000_000, 400_000_000]),
            keys.ODOMETRY: np.array([100_000_000, 200_000_000, 300_000_000, 500_000_000]),
            keys.ACTION: np.array([400_000_000]),
        },
        np.zeros((1, 2)),
        np.zeros((4, 2)),
    ),
    SegmentLimits(0.3, 2.0, 0.0, 0.0, 0.0),
)
def test_an_episode_is_not_cut_again(line, limits):
    """What is left of an episode alone, with what was there when it began, is the same episode."""
    for segment in segments(line, limits):
        if segment.dropped:
            continue
        stamps, values = {}, {}
        for key, own in line.stamps_ns.items():
            order = np.argsort(own, kind="stable")
            order = order[own[order] <= segment.end_ns]
            order = order[max(np.searchsorted(own[order], segment.start_ns, "right") - 1, 0) :]
            stamps[key], values[key] = np.maximum(own[order], segment.start_ns), order
        alone = BagTimeline(
            stamps, line.commands[values[keys.ACTION]], line.velocities[values[keys.ODOMETRY]]
        )
        kept = [
            s
            for s in segments(alone, SegmentLimits(**{**vars(limits), "min_duration_s": 0.0}))
            if not s.dropped
        ]
        assert len(kept) == 1
        assert kept[0].start_ns == segment.start_ns
        assert kept[0].end_ns <= segment.end_ns
