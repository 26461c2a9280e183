import copy
import math
from pathlib import Path

import core_builders as cb
import core_strategies as cs
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vla_core.contract import Contract, ImageDecoder, OdometryDecoder, QosSpec, ScanDecoder
from vla_core.errors import ContractError

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "vla_bringup/contracts").glob("*.yaml"))


def mistakes_of(values) -> tuple[str, ...]:
    with pytest.raises(ContractError) as caught:
        Contract.from_dict(values)
    assert "\n" not in str(caught.value)
    return caught.value.mistakes


def test_parts_are_parsed(contract):
    assert contract.keys == ("image", "scan", "odometry")
    image, scan, odometry = contract.streams
    assert image.decoder == ImageDecoder(6, 8)
    assert (image.shape, image.dtype) == ((6, 8, 3), "uint8")
    assert scan.decoder == ScanDecoder(8, -2.0, 2.0, 0.1, 8.0)
    assert scan.shape == (8,)
    assert scan.qos == QosSpec("best_effort", "volatile", 5)
    assert odometry.decoder == OdometryDecoder(("linear.x", "angular.z"))
    assert odometry.shape == (2,)
    assert odometry.max_age_ns == 100_000_000
    action = contract.action
    assert action.low == (-0.3, -1.0)
    assert action.high == (0.5, 1.0)
    assert (action.size, action.period_ns, action.chunk_length) == (2, 50_000_000, 10)
    assert action.units == ("m/s", "rad/s")
    assert contract.stream("scan") is scan
    assert hash(contract) == hash(copy.deepcopy(contract))


def test_unknown_stream_is_an_error_with_the_known_ones(contract):
    with pytest.raises(ContractError, match="no stream 'depth', only image, scan, odometry"):
        contract.stream("depth")


@pytest.mark.skipif(not SHIPPED, reason="the contracts of vla_bringup are not beside this package")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_contracts_are_valid(path):
    contract = Contract.load(path)
    assert contract.name == path.stem
    assert Contract.from_yaml(contract.to_yaml()) == contract


@given(cs.contract_dicts(), st.booleans(), st.data())
def test_round_trip_and_hash_do_not_depend_on_order_or_format(values, flow, data):
    contract = Contract.from_dict(values)
    again = Contract.from_yaml(cs.yaml_text(cs.shuffled(values, data.draw), flow))
    assert again == contract
    assert again.hash == contract.hash
    assert Contract.from_dict(contract.to_dict()) == contract
    assert Contract.from_yaml(contract.to_yaml()).hash == contract.hash
    assert len(contract.hash) == 64


@given(cs.contract_dicts(), cs.contract_dicts())
def test_differences_are_empty_exactly_if_hashes_are_equal(first, second):
    a, b = Contract.from_dict(first), Contract.from_dict(second)
    assert (not a.differences(b)) == (a.hash == b.hash)
    assert a.differences(a) == []
    assert len(a.differences(b)) == len(b.differences(a))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), "other"),
        (("version",), 2),
        (("robot",), "other"),
        (("base_frame",), "base_footprint"),
        (("dock_pose_topic",), None),
        (("streams", 0, "topic"), "/front/image"),
        (("streams", 0, "qos", "depth"), 1),
        (("streams", 0, "rate_hz"), 30),
        (("action", "topic"), "cmd_vel_raw"),
        (("action", "type"), "geometry_msgs/msg/Twist"),
        (("action", "label_topic"), None),
    ],
)
def test_hash_ignores_transport(contract, contract_dict, path, value):
    *folders, last = path
    node = contract_dict
    for folder in folders:
        node = node[folder]
    assert node[last] != value
    node[last] = value
    changed = Contract.from_dict(contract_dict)
    assert changed != contract
    assert changed.hash == contract.hash


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (
            ("streams", 0, "decoder", "height_px"),
            120,
            "stream 'image': shape (6, 8, 3) in the bundle, (120, 8, 3) live",
        ),
        (
            ("streams", 0, "decoder", "crop_fraction"),
            {"top": 0.25},
            "stream 'image': crop_fraction (top 0.0, bottom 0.0, left 0.0, right 0.0) in the "
            "bundle, (top 0.25, bottom 0.0, left 0.0, right 0.0) live",
        ),
        (
            ("streams", 1, "decoder", "range_max_m"),
            12,
            "stream 'scan': range_max_m 8.0 in the bundle, 12.0 live",
        ),
        (
            ("streams", 2, "max_age_s"),
            1,
            "stream 'odometry': max_age_s 0.1 in the bundle, 1.0 live",
        ),
        (("action", "chunk_length"), 20, "action: chunk_length 10 in the bundle, 20 live"),
        (
            ("action", "fields", 0, "high"),
            1,
            "action: high (0.5, 1.0) in the bundle, (1.0, 1.0) live",
        ),
        (("streams", 1, "key"), "rear_scan", "stream 'scan': only in the bundle"),
    ],
)
def test_differences_name_both_sides(contract, contract_dict, path, value, sentence):
    *folders, last = path
    node = contract_dict
    for folder in folders:
        node = node[folder]
    node[last] = value
    live = Contract.from_dict(contract_dict)
    assert sentence in contract.differences(live, "in the bundle", "live")
    assert live.hash != contract.hash


def test_order_of_streams_is_a_difference(contract, contract_dict):
    contract_dict["streams"].reverse()
    other = Contract.from_dict(contract_dict)
    assert contract.differences(other, "in A", "in B") == [
        "order of streams: image, scan, odometry in A, odometry, scan, image in B"
    ]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("surplus",), 1, "unknown key 'surplus', expected only action, base_frame"),
        (("name",), "", "name: got '', expected a text"),
        (("name",), "two\nlines", "expected printable characters on one line"),
        (("version",), True, "version: got True, expected a whole number"),
        (("version",), 1.0, "version: got 1.0, expected a whole number"),
        (("base_frame",), "a b", "base_frame: got 'a b', expected a ROS name"),
        (("streams",), [], "streams: got [], expected a list"),
        (("streams",), {"image": {}}, "expected a list with at least one entry"),
        (("streams", 1), "scan", "streams[1]: got 'scan', expected a mapping"),
        (("streams", 0, "key"), "Front Camera", "expected a snake_case name"),
        (("streams", 0, "key"), "action", "streams[0].key: got 'action', which has a fixed"),
        (("streams", 0, "key"), "scan", "streams: 'key scan' is there 2 times"),
        (("streams", 0, "topic"), "/scan", "streams: 'topic scan' is there 2 times"),
        (("streams", 0, "topic"), "1/2", "streams[0].topic: got '1/2', expected a ROS name"),
        (
            ("streams", 0, "type"),
            "sensor_msgs/msg/PointCloud2",
            "expected one of sensor_msgs/msg/Image, sensor_msgs/msg/CompressedImage, sensor_msgs/",
        ),
        (("streams", 0, "qos", "reliability"), "some", "expected one of reliable, best_effort"),
        (("streams", 0, "qos", "depth"), 0, "streams[0].qos.depth: got 0, expected a whole number"),
        (("streams", 0, "rate_hz"), 0, "streams[0].rate_hz: got 0, expected a number"),
        (("streams", 0, "rate_hz"), -5.0, "streams[0].rate_hz: got -5.0, expected a number"),
        (("streams", 0, "rate_hz"), math.nan, "streams[0].rate_hz: got nan"),
        (("streams", 0, "rate_hz"), "20", "streams[0].rate_hz: got '20'"),
        (("streams", 0, "max_age_s"), math.inf, "streams[0].max_age_s: got inf"),
        (("streams", 0, "normalization"), "log", "expected one of mean_std, min_max, none"),
        (("streams", 0, "decoder", "beams"), 3, "streams[0].decoder: unknown key 'beams'"),
        (("streams", 0, "decoder", "width_px"), 0, "decoder.width_px: got 0"),
        (
            ("streams", 0, "decoder", "crop_fraction"),
            {"top": 0.5, "bottom": 0.5},
            "top and bottom add up to 1, expected below 1",
        ),
        (("streams", 1, "decoder", "angle_min_rad"), 2.0, "is 2, expected below angle_max_rad"),
        (("streams", 1, "decoder", "range_min_m"), 9, "is 9, expected below range_max_m"),
        (("streams", 1, "decoder", "angle_max_rad"), 6.0, "expected at most a full turn"),
        (("streams", 2, "decoder", "fields"), ["linear.y"], "got 'linear.y', expected one of"),
        (("streams", 2, "decoder", "fields"), ["linear.x"] * 2, "'linear.x' is there 2 times"),
        (("action", "rate_hz"), 0, "action.rate_hz: got 0, expected a number, 0.01 to 1000"),
        (("action", "rate_hz"), 1e-300, "action.rate_hz: got 1e-300"),
        (("action", "chunk_length"), 10**30, "action.chunk_length: got 1000000"),
        pytest.param(
            ("action", "chunk_length"), 10**5000, "chunk_length: got a huge int", id="huge"
        ),
        (("action", "type"), "geometry_msgs/msg/Pose", "expected one of geometry_msgs/msg/Twist,"),
        (
            ("action", "fields"),
            cb.contract_dict()["action"]["fields"][:1] * 2,
            "action.fields: 'linear.x' is there 2 times",
        ),
        (("action", "fields", 0, "unit"), "km/h", "unit: got 'km/h', expected m/s"),
        (("action", "fields", 0, "high"), -0.5, "high: got -0.5, expected a number, 0 to 100"),
        (("action", "fields", 0, "max_acceleration"), 0, "max_acceleration: got 0, expected"),
        (("action", "fields"), [], "action.fields: got [], expected a list"),
    ],
)
def test_a_mistake_is_named_with_place_value_and_expectation(contract_dict, path, value, expected):
    *folders, last = path
    node = contract_dict
    for folder in folders:
        node = node[folder]
    node[last] = value
    mistakes = mistakes_of(contract_dict)
    assert any(expected in mistake for mistake in mistakes), mistakes
    assert len(mistakes) == 1, "one mistake must not be reported twice"


def test_low_and_high_of_zero_cannot_be(contract_dict):
    contract_dict["action"]["fields"][0].update(low=0, high=0)
    assert mistakes_of(contract_dict) == (
        "action.fields[0].low: is 0, expected below high, which is 0",
    )


def test_all_mistakes_come_together(contract_dict):
    contract_dict["streams"][0]["rate_hz"] = 0
    contract_dict["streams"][1]["decoder"]["beams"] = "many"
    del contract_dict["action"]["topic"]
    contract_dict["speed"] = 3
    mistakes = mistakes_of(contract_dict)
    assert len(mistakes) == 4
    with pytest.raises(ContractError, match="4 mistakes: "):
        Contract.from_dict(contract_dict)


def test_missing_action_does_not_hide_other_mistakes(contract_dict):
    del contract_dict["action"]
    contract_dict["streams"][0]["rate_hz"] = 0
    assert len(mistakes_of(contract_dict)) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a\nname: b", "line 2: key 'name' is there twice"),
        ("streams: [", "line 1"),
        ("!!int ''", "no YAML"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        (b"\xff\xfe\x00", "no YAML"),
        ("? [1, 2]\n: 3", "line 1"),
        ("", "got None, expected a mapping"),
        ("[" * 5000, "contract: "),
        ("a: &a [*a]", "unknown key 'a'"),
        ("name: 2024-13-45", "streams: is missing"),
    ],
)
def test_texts_that_are_no_contract(text, expected):
    with pytest.raises(ContractError) as caught:
        Contract.from_yaml(text)
    assert expected in str(caught.value)


def test_numbers_may_be_written_as_in_json(contract_dict):
    text = yaml.safe_dump(contract_dict).replace("max_age_s: 0.2", "max_age_s: 2e-1")
    assert Contract.from_yaml(text).stream("image").max_age_s == 0.2


def test_merge_keys_work(contract_dict):
    text = yaml.safe_dump(contract_dict)
    text += "x: &q {depth: 7}\n"
    text = text.replace("    qos:\n", "    qos:\n      <<: {reliability: reliable}\n", 1)
    assert mistakes_of(yaml.safe_load(text))[0].startswith("unknown key 'x'")
    contract = Contract.from_yaml(text.replace("x: &q {depth: 7}\n", ""))
    assert contract.stream("image").qos.reliability == "best_effort"  # the own value wins


def test_unreadable_files_are_contract_errors(tmp_path):
    with pytest.raises(ContractError, match=r"missing\.yaml: cannot be read"):
        Contract.load(tmp_path / "missing.yaml")
    with pytest.raises(ContractError, match="cannot be read"):
        Contract.load(tmp_path)


@given(cs.yaml_values)
def test_any_value_is_a_contract_or_a_contract_error(values):
    mistakes_of(values)


@given(cs.damaged_contracts())
def test_any_damage_is_a_contract_error_or_harmless(values):
    contract, error = cb.attempt(ContractError, Contract.from_dict, values)
    if error is None:
        assert Contract.from_dict(contract.to_dict()) == contract
    else:
        assert error.mistakes
        assert "\n" not in str(error)


_FRAGMENTS = st.sampled_from(
    [
        *["a", ": ", "\n", "  ", "- ", "[", "]", "{", "}", "&a ", "*a", "? ", "|", ">", "'", '"'],
        *["#", "---", "%YAML 9", "0x", "1e5", "2001-01-01", "\t", "~", "=", "<<: ", "\x00", "🤖"],
        *["!!int ", "!!binary ", "!!set ", "!!omap ", "!!bool x", "!!timestamp x", "!!float ."],
        *["!!merge <<", "\x85"],
    ]
)


@given(st.lists(_FRAGMENTS, max_size=15).map("".join) | st.text(max_size=40))
def test_any_text_is_a_contract_error(text):
    with pytest.raises(ContractError):
        Contract.from_yaml(text)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_contract_error(data):
    with pytest.raises(ContractError):
        Contract.from_yaml(data)
