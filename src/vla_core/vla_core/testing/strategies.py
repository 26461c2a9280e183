"""Hypothesis strategies of values that a YAML or JSON file from outside may hold."""

from __future__ import annotations

from hypothesis import strategies as st

any_float = st.floats(allow_nan=True, allow_infinity=True)

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
