import math

import pytest

from vla_simulation.errors import SuiteError
from vla_simulation.suites import load_suite, parse_suite, suite_names

DIFFERS = {
    "nominal": set(),
    "lighting": {"scene"},
    "clutter": {"scene", "start"},
    "occlusion": {"scene", "start"},
    "sensor_noise": {"sensors"},
    "scan_dropout": {"sensors"},
    "latency": {"physics"},
    "slip": {"physics"},
    "payload": {"physics"},
    "wide_start": {"start"},
    "paraphrase": {"language"},
    "new_station": {"scene"},
    "single": {"scene"},
    "plain": {"scene"},
    "randomized": {"start", "scene", "physics", "sensors"},
}
"""In which sections a suite differs from `nominal`."""


def test_the_suites_of_the_design():
    assert set(suite_names()) == set(DIFFERS)
    nominal, wide = load_suite("nominal"), load_suite("wide_start")
    assert (nominal.start.min_distance_m, nominal.start.max_distance_m) == (1.0, 2.5)
    assert nominal.start.max_bearing_rad == pytest.approx(math.radians(25), abs=1e-4)
    assert nominal.start.max_heading_rad == pytest.approx(math.radians(20), abs=1e-4)
    assert nominal.randomization.scene.station_count_shares == (0.2, 0.5, 0.3)
    assert nominal.language.naming_shares == (0.5, 0.3, 0.2)
    assert wide.start.max_distance_m == 3.0
    assert wide.start.max_bearing_rad == pytest.approx(math.radians(45), abs=1e-4)
    assert wide.start.max_heading_rad == pytest.approx(math.radians(45), abs=1e-4)
    assert wide.randomization == nominal.randomization
    single = load_suite("single")
    assert single.randomization.scene.station_count_shares == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("name", suite_names())
def test_a_suite_differs_from_nominal_in_its_own_field_only(name):
    suite, nominal = load_suite(name), load_suite("nominal")
    pairs = {
        "start": (suite.start, nominal.start),
        "language": (suite.language, nominal.language),
        "scene": (suite.randomization.scene, nominal.randomization.scene),
        "physics": (suite.randomization.physics, nominal.randomization.physics),
        "sensors": (suite.randomization.sensors, nominal.randomization.sensors),
    }
    assert {section for section, (own, other) in pairs.items() if own != other} == DIFFERS[name]
    assert suite.name == name
    assert suite.time_limit_s == 30.0


def test_an_unknown_suite_names_the_known_ones():
    with pytest.raises(SuiteError, match=r"'nomnal' is unknown, expected one of: nominal"):
        load_suite("nomnal")


def test_all_mistakes_are_reported_together():
    description = {
        "bad": {
            "time_limit_s": -1,
            "speed": 3,
            "evaluation_only": "yes",
            "start": {"max_distance": 2.0, "min_distance_m": "far"},
            "scene": {
                "clutter_count": [5, 2],
                "station_count_shares": [0.5, 0.5],
                "held_out_looks": 1,
            },
            "sensors": {"scan_dropout": 0.1},
            "language": {"naming_shares": [0, 0, 0], "korean_share": True},
            "physics": [1],
        }
    }
    with pytest.raises(SuiteError) as error:
        parse_suite("bad", description)
    message = str(error.value)
    for part in (
        "time_limit_s is -1",
        "'speed' is unknown",
        "evaluation_only is 'yes'",
        "start.max_distance is unknown",
        "start.min_distance_m is 'far'",
        "scene.clutter_count is [5, 2]",
        "scene.station_count_shares is [0.5, 0.5], expected 3 shares",
        "scene.held_out_looks is 1, expected true or false",
        "sensors.scan_dropout is 0.1",
        "language.naming_shares is [0, 0, 0]",
        "language.korean_share is True, expected a number",
        "physics is [1], expected a mapping",
    ):
        assert part in message
    assert "\n" not in message


def test_contradicting_distances_are_refused():
    with pytest.raises(SuiteError, match="min_distance_m <= max_distance_m"):
        parse_suite("bad", {"bad": {"start": {"min_distance_m": 3.0, "max_distance_m": 1.0}}})


def test_a_suite_takes_from_its_base_what_it_does_not_name():
    suites = {
        "base": {"time_limit_s": 12.0, "start": {"min_distance_m": 0.5}, "evaluation_only": True},
        "child": {"base": "base", "start": {"max_distance_m": 0.7}},
    }
    suite = parse_suite("child", suites)
    assert suite.time_limit_s == 12.0
    assert suite.evaluation_only
    assert (suite.start.min_distance_m, suite.start.max_distance_m) == (0.5, 0.7)


def test_bases_that_form_a_ring_are_refused():
    with pytest.raises(SuiteError, match="refers back"):
        parse_suite("a", {"a": {"base": "b"}, "b": {"base": "a"}})
