import math

import core_builders as cb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_core.contract import Contract
from vla_core.contract_safety import DockCorridor, Footprint, ObstacleSpec, SafetySpec
from vla_core.errors import ContractError
from vla_core.geometry import Pose2D

FOOTPRINT = {"front_m": 0.31, "rear_m": 0.28, "half_width_m": 0.2}


def with_safety(safety, **changes):
    return cb.contract_dict() | {"safety": safety} | changes


def mistakes_of(values):
    with pytest.raises(ContractError) as caught:
        Contract.from_dict(values)
    return caught.value.mistakes


def test_a_contract_without_the_section_has_none_and_writes_none(contract):
    assert contract.safety is None
    assert "safety" not in contract.to_dict()


def test_the_least_that_can_be_said():
    contract = Contract.from_dict(
        with_safety({"obstacles": {"footprint": FOOTPRINT, "scanner": {"x_m": 0.15}}})
    )
    expected = ObstacleSpec(Footprint(0.31, 0.28, 0.2), Pose2D(0.15, 0.0, 0.0))
    assert contract.safety == SafetySpec(obstacles=expected)
    assert expected.corridor == DockCorridor(station="pose")
    assert Contract.from_dict(with_safety({})).safety == SafetySpec()


positive = st.floats(0.01, 5.0)
sections = st.fixed_dictionaries(
    {},
    optional={
        "max_jerk": st.fixed_dictionaries(
            {}, optional={"linear.x": positive, "angular.z": positive}
        ),
        "obstacles": st.fixed_dictionaries(
            {
                "footprint": st.fixed_dictionaries(dict.fromkeys(FOOTPRINT, positive)),
                "scanner": st.fixed_dictionaries(
                    {"x_m": positive}, optional={"y_m": positive, "yaw_rad": st.floats(-3.0, 3.0)}
                ),
            },
            optional={
                "stop_distance_m": positive,
                "side_margin_m": positive,
                "reaction_s": st.floats(0.0, 2.0),
                "corridor": st.fixed_dictionaries(
                    {},
                    optional={
                        "station": st.sampled_from(["pose", "ahead"]),
                        "length_m": positive,
                        "half_width_m": positive,
                        "yaw_rad": st.floats(0.0, 3.0),
                        "station_half_width_m": positive,
                        "creep_mps": st.floats(0.0, 0.3),
                    },
                ),
            },
        ),
    },
)


@given(sections)
def test_it_goes_around_and_does_not_change_what_policies_fit(section):
    contract = Contract.from_dict(with_safety(section))
    assert Contract.from_yaml(contract.to_yaml()) == contract
    plain = Contract.from_dict(cb.contract_dict())
    assert contract.hash == plain.hash
    assert contract.differences(plain) == []


def test_a_jerk_limit_may_be_set_for_one_component():
    contract = Contract.from_dict(with_safety({"max_jerk": {"angular.z": 20.0}}))
    assert contract.safety.max_jerk == (math.inf, 20.0)
    assert contract.to_dict()["safety"] == {"max_jerk": {"angular.z": 20.0}}


@pytest.mark.parametrize(
    ("safety", "expected"),
    [
        (3, "safety: got 3, expected a mapping"),
        ({"bumper": 1}, "safety: unknown key 'bumper', expected only max_jerk, obstacles"),
        (
            {"max_jerk": {"linear.x": 0}},
            "safety.max_jerk.linear.x: got 0, expected a number, above",
        ),
        ({"max_jerk": {"linear.y": 1}}, "safety.max_jerk: unknown key 'linear.y'"),
        ({"obstacles": {"scanner": {"x_m": 0}}}, "safety.obstacles.footprint: is missing"),
        ({"obstacles": {"footprint": FOOTPRINT}}, "safety.obstacles.scanner: is missing"),
        (
            {"obstacles": {"footprint": FOOTPRINT | {"rear_m": -0.2}, "scanner": {"x_m": 0}}},
            "safety.obstacles.footprint.rear_m: got -0.2, expected a number, above 0",
        ),
        (
            {
                "obstacles": {
                    "footprint": FOOTPRINT,
                    "scanner": {"x_m": 0},
                    "corridor": {"station": "somewhere"},
                }
            },
            "corridor.station: got 'somewhere', expected one of pose, ahead",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(safety, expected):
    (mistake,) = mistakes_of(with_safety(safety))
    assert expected in mistake


def test_braking_for_obstacles_takes_a_scan():
    values = with_safety({"obstacles": {"footprint": FOOTPRINT, "scanner": {"x_m": 0.1}}})
    values["streams"] = [stream for stream in values["streams"] if stream["key"] != "scan"]
    (mistake,) = mistakes_of(values)
    assert "needs a stream of scans with the key 'scan', there is none" in mistake
