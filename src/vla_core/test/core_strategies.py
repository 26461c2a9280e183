"""Hypothesis strategies that several tests share."""

import copy

import core_builders
import numpy as np
import yaml
from hypothesis import strategies as st

any_float = st.floats(allow_nan=True, allow_infinity=True)
finite = st.floats(-1e6, 1e6)
small = st.floats(-3.0, 3.0)
stamps_ns = st.integers(0, 10_000_000_000)


def vectors(elements, size: int = 2):
    return st.lists(elements, min_size=size, max_size=size).map(np.array)


def chunks(elements=small, length: int = 10, size: int = 2):
    """(length, size) float64."""
    flat = st.lists(elements, min_size=length * size, max_size=length * size)
    return flat.map(lambda values: np.array(values).reshape(length, size))


yaml_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | any_float
    | st.text(max_size=20)
    | st.sampled_from(["image", "m/s", "linear.x", "sensor_msgs/msg/Image", 10**400])
)
yaml_values = st.recursive(
    yaml_scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def damaged_contracts(draw):
    """A valid contract in which a few values were replaced, removed or added."""
    values = copy.deepcopy(core_builders.contract_dict())
    for _ in range(draw(st.integers(1, 3))):
        node = values
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = node[key]
            if isinstance(inner, (dict, list)) and draw(st.booleans()):
                node = inner
                continue
            action = draw(st.sampled_from(["replace", "remove", "add"]))
            if action == "replace":
                node[key] = draw(yaml_values)
            elif action == "remove":
                del node[key]
            elif isinstance(node, dict):
                node[draw(st.text(max_size=5))] = draw(yaml_values)
            else:
                node.append(draw(yaml_values))
            break
    return values


@st.composite
def contract_dicts(draw):
    """Valid contracts of many kinds."""
    values = core_builders.contract_dict()
    image, scan, odometry = values["streams"]
    image["decoder"] = {
        "height_px": draw(st.integers(1, 40)),
        "width_px": draw(st.integers(1, 40)),
        "crop_fraction": {
            side: draw(st.floats(0.0, 0.45)) for side in ("top", "bottom", "left", "right")
        },
    }
    scan["decoder"]["beams"] = draw(st.integers(1, 60))
    scan["decoder"]["angle_min_rad"] = draw(st.floats(-3.1, -0.1))
    scan["decoder"]["angle_max_rad"] = draw(st.floats(0.1, 3.1))
    odometry["decoder"]["fields"] = draw(
        st.permutations(["linear.x", "angular.z"]) | st.just(["linear.x"])
    )
    for stream in values["streams"]:
        stream["max_age_s"] = draw(st.floats(0.01, 2.0))
        stream["unit"] = draw(st.sampled_from(["m", "m/s, rad/s", "ｍ·s⁻¹", "'quoted: #"]))
    values["streams"] = draw(st.permutations(values["streams"]))
    values["action"]["chunk_length"] = draw(st.integers(1, 40))
    values["action"]["rate_hz"] = draw(st.sampled_from([5, 10, 20, 20.0, 30, 50.0]))
    return values


def shuffled(values, draw):
    """The same mapping with the keys of every mapping in another order."""
    if isinstance(values, dict):
        return {key: shuffled(values[key], draw) for key in draw(st.permutations(list(values)))}
    if isinstance(values, list):
        return [shuffled(item, draw) for item in values]
    return values


def yaml_text(values, flow: bool) -> str:
    return yaml.safe_dump(values, default_flow_style=flow, sort_keys=False, allow_unicode=True)
