"""Who drove: the topic tells, row by row; where it does not, the recorder's note."""

import numpy as np
import pytest
from bag_making import START_NS, TYPES, Message, header
from rosbags.typesys import get_types_from_msg
from small_bags import METADATA, MS, SMALL_CONTRACT, small_messages, write_small_bag

from vla_core.bag_metadata import OPERATOR
from vla_core.bag_metadata import START_NS as START_KEY
from vla_training.conversion.alignment import BagAlignment
from vla_training.conversion.bags import open_folder
from vla_training.conversion.driving import DRIVER_TYPE, drivers_at
from vla_training.conversion.messages import BagMessages
from vla_training.dataset.layout import DRIVER, DRIVERS

if DRIVER_TYPE not in TYPES.fielddefs:
    TYPES.register(get_types_from_msg("std_msgs/Header header\nstring driver", DRIVER_TYPE))


def said(tick, driver, frame=""):
    stamp_ns = START_NS + tick * 50 * MS
    stamp = header(stamp_ns)
    stamp.frame_id = frame  # of any length: what follows is aligned
    return Message("/driver", stamp_ns, TYPES.types[DRIVER_TYPE](stamp, driver))


def rows_of(path):
    with BagMessages(open_folder(path)) as bag:
        alignment = BagAlignment(bag, SMALL_CONTRACT)
        drivers = drivers_at(bag, alignment.ticks_ns)
        rows = list(alignment.blocks(drivers))
        assert np.concatenate([row[DRIVER] for row in rows]).tolist() == drivers.tolist()
        return alignment.ticks_ns, [DRIVERS[driver] for driver in drivers]


@pytest.mark.parametrize("frame", ["", "a", "base", "base_link"])
def test_row_by_row(tmp_path, frame):
    messages = [
        *small_messages(30),
        said(5, "policy", frame),
        said(10, "person", frame),
        said(20, "", frame),
        said(25, "docking_expert", frame),
    ]
    bag = write_small_bag(tmp_path / "bag", messages, metadata={**METADATA, OPERATOR: "Ada"})
    ticks_ns, drivers = rows_of(bag)
    assert len(drivers) > 25
    for tick_ns, driver in zip(ticks_ns, drivers, strict=True):
        tick = (tick_ns - START_NS) / (50 * MS)
        expected = (
            "person"  # Ada, whom the recorder noted
            if tick < 5
            else "policy"
            if tick < 10
            else "person"
            if tick < 20
            else "unknown"
            if tick < 25
            else "expert"
        )
        assert driver == expected, tick


def test_what_was_said_long_ago_does_not_hold(tmp_path):
    bag = write_small_bag(tmp_path / "bag", [*small_messages(100), said(2, "policy")])
    ticks_ns, drivers = rows_of(bag)
    ages_s = (ticks_ns - START_NS - 100 * MS) * 1e-9
    for age_s, driver in zip(ages_s, drivers, strict=True):
        assert driver == ("policy" if 0.0 <= age_s <= 3.0 else "unknown")
    assert "policy" in drivers


@pytest.mark.parametrize(
    ("operator", "expected"),
    [("", "unknown"), ("policy", "policy"), ("docking_expert", "expert"), ("Ada", "person")],
)
def test_without_the_topic_the_operator_counts(tmp_path, operator, expected):
    metadata = {**METADATA, OPERATOR: operator}
    bag = write_small_bag(tmp_path / "bag", small_messages(8), metadata=metadata)
    assert set(rows_of(bag)[1]) == {expected}


def test_pre_roll_becomes_no_row(tmp_path):
    whole = write_small_bag(tmp_path / "whole", small_messages(30))
    begin_ns = START_NS + 600 * MS
    metadata = {**METADATA, START_KEY: str(begin_ns)}
    rolled = write_small_bag(tmp_path / "rolled", small_messages(30), metadata=metadata)
    ticks_ns, _ = rows_of(rolled)
    assert ticks_ns[0] == begin_ns
    assert len(ticks_ns) < len(rows_of(whole)[0]) - 10
