import math

import pytest

from vla_simulation.errors import SuiteError
from vla_simulation.suites import (
    FIRST_HELD_OUT_SEED,
    is_held_out,
    load_suite,
    parse_suite,
    suite_names,
)


def test_the_suites_of_the_design():
    assert {"nominal", "wide_start"} <= set(suite_names())
    nominal, wide = load_suite("nominal"), load_suite("wide_start")
    assert (nominal.start.min_distance_m, nominal.start.max_distance_m) == (1.0, 2.5)
    assert nominal.start.max_bearing_rad == pytest.approx(math.radians(25), abs=1e-4)
    assert nominal.start.max_heading_rad == pytest.approx(math.radians(20), abs=1e-4)
    assert wide.start.max_distance_m == 3.0
    assert wide.start.max_bearing_rad == pytest.approx(math.radians(45), abs=1e-4)
    assert nominal.time_limit_s == 30.0
    assert wide.randomization == nominal.randomization


def test_held_out_seeds():
    assert FIRST_HELD_OUT_SEED == 1_000_000
    assert not is_held_out(999_999)
    assert is_held_out(1_000_000)


def test_an_unknown_suite_names_the_known_ones():
    with pytest.raises(SuiteError, match=r"'nomnal' is unknown, expected one of: nominal"):
        load_suite("nomnal")


def test_all_mistakes_are_reported_together():
    description = {
        "bad": {
            "time_limit_s": -1,
            "speed": 3,
            "start": {"max_distance": 2.0, "min_distance_m": "far"},
            "randomization": {"clutter_count": [5, 2], "scan_dropout": 0.1},
        }
    }
    with pytest.raises(SuiteError) as error:
        parse_suite("bad", description)
    message = str(error.value)
    for part in (
        "time_limit_s is -1",
        "'speed' is unknown",
        "start.max_distance is unknown",
        "start.min_distance_m is 'far'",
        "randomization.clutter_count is [5, 2]",
        "randomization.scan_dropout is 0.1",
    ):
        assert part in message
    assert "\n" not in message


def test_contradicting_distances_are_refused():
    with pytest.raises(SuiteError, match="min_distance_m <= max_distance_m"):
        parse_suite("bad", {"bad": {"start": {"min_distance_m": 3.0, "max_distance_m": 1.0}}})


def test_a_suite_takes_from_its_base_what_it_does_not_name():
    suites = {
        "base": {"time_limit_s": 12.0, "start": {"min_distance_m": 0.5}},
        "child": {"base": "base", "start": {"max_distance_m": 0.7}},
    }
    suite = parse_suite("child", suites)
    assert suite.time_limit_s == 12.0
    assert (suite.start.min_distance_m, suite.start.max_distance_m) == (0.5, 0.7)


def test_bases_that_form_a_ring_are_refused():
    with pytest.raises(SuiteError, match="refers back"):
        parse_suite("a", {"a": {"base": "b"}, "b": {"base": "a"}})
