import math

import pytest

from vla_policy_node.streams import StreamState, describe_stale


def stream(age_s: float, problem: str = "") -> StreamState:
    return StreamState("scan", "scan", 20.0, age_s, 0.25, 3, problem)


@pytest.mark.parametrize("age_s", [0.0, 0.25, -0.02])
def test_a_recent_stream_is_valid(age_s):
    assert stream(age_s).valid
    assert describe_stale((stream(age_s),)) == ""


@pytest.mark.parametrize(
    ("age_s", "words"),
    [
        (0.6, "is 0.60 s old, at most 0.25 s allowed"),
        (math.inf, "never arrived"),
        (-3.0, "is stamped 3.00 s in the future"),
    ],
)
def test_a_stream_that_cannot_be_used_is_named_with_the_reason(age_s, words):
    assert not stream(age_s).valid
    assert describe_stale((stream(age_s), stream(0.1))) == f"scan (scan) {words}" + (
        "; bring the clocks of robot and policy together" if age_s < 0 else ""
    )


def test_an_unusable_message_is_quoted():
    assert describe_stale((stream(math.inf, "scan: empty ranges"),)) == "scan: empty ranges"
