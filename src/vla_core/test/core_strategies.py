"""Hypothesis strategies that several tests share."""

import copy

import core_builders
import numpy as np
import yaml
from hypothesis import strategies as st

from vla_core.testing.damage import damage_once
from vla_core.testing.strategies import any_float, yaml_values

__all__ = ["any_float", "yaml_values"]

finite = st.floats(-1e6, 1e6)
small = st.floats(-3.0, 3.0)
stamps_ns = st.integers(0, 10_000_000_000)


def vectors(elements, size: int = 2):
    return st.lists(elements, min_size=size, max_size=size).map(np.array)


def chunks(elements=small, length: int = 10, size: int = 2):
    """(length, size) float64."""
    flat = st.lists(elements, min_size=length * size, max_size=length * size)
    return flat.map(lambda values: np.array(values).reshape(length, size))


@st.composite
def damaged_contracts(draw):
    """A valid contract in which a few values were replaced, removed or added."""
    values = copy.deepcopy(core_builders.contract_dict())
    for _ in range(draw(st.integers(1, 3))):
        damage_once(
            values,
            choose=lambda options: draw(st.sampled_from(options)),
            new_value=lambda: draw(yaml_values),
            new_key=lambda: draw(st.text(max_size=5)),
        )
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
