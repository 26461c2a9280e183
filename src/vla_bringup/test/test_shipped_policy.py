"""What the shipped policy depends on: it looks where it should, and does what it is told.

The first test is quick and can only tell a policy that looks from one that does not. The others
measure, which takes a quarter of an hour: they run with VLA_SLOW_TESTS=1 in the environment.
"""

import os

import pytest

from vla_bringup.resources import default_policy
from vla_training.evaluation.evaluate import evaluate

EPISODES = 200


def measures(test):
    """For a test that takes minutes."""
    wanted = os.environ.get("VLA_SLOW_TESTS") == "1"
    test = pytest.mark.skipif(not wanted, reason="takes minutes; set VLA_SLOW_TESTS=1")(test)
    return pytest.mark.slow(pytest.mark.timeout(3600)(test))


@pytest.mark.slow
def test_without_its_eyes_it_does_not_dock():
    """Six starts in front of one station; then the same with images of other moments."""
    report = evaluate(
        default_policy(), "single", 6, disturb=["shuffle_image"], jobs=2, progress=False
    )
    disturbed = report.to_dict()["disturbed"]["shuffle_image"]
    assert report.successes >= 4
    assert disturbed["successes"] <= 1
    assert disturbed["gained"] == 0


@pytest.fixture(scope="module")
def measured():
    return evaluate(
        default_policy(),
        "nominal",
        EPISODES,
        swap=True,
        disturb=["shuffle_odometry", "shuffle_image"],
        progress=False,
    ).to_dict()


@measures
def test_odometry_of_other_moments_costs_little(measured):
    assert measured["disturbed"]["shuffle_odometry"]["cost_points"] <= 2.0


@measures
def test_images_of_other_moments_cost_at_least_half(measured):
    assert measured["disturbed"]["shuffle_image"]["cost_points"] >= 50.0


@measures
def test_it_goes_where_the_sentence_says(measured):
    assert measured["both_right_rate"] >= 0.98
