"""Stations by name and kind, and what a goal means by them."""

import math
from types import SimpleNamespace

import pytest

from vla_core.geometry import Pose2D
from vla_policy_node.docking.dock_database import DatabaseError, DockDatabase
from vla_policy_node.docking.request import DockingRequest
from vla_policy_node.errors import DockNotInDatabase, DockNotValid

FILE = """
docks:
  home_dock:
    type: orange
    frame: map
    pose: [1.0, 2.0, 0.5]
    id: "7"
  bay_1: {type: blue, instruction: dock at the blue charger on the left}
  bare: {type: grey}
dock_types:
  orange: {instruction: dock at the orange charger}
"""
STAGING = {"navigate_to_staging_pose": True, "max_staging_time": 60.0}


@pytest.fixture
def database(tmp_path):
    (tmp_path / "docks.yaml").write_text(FILE)
    return DockDatabase.load(str(tmp_path / "docks.yaml"))


def goal(**fields):
    values = {"use_dock_id": True, "dock_id": "", "dock_type": "", "instruction": ""}
    return SimpleNamespace(**{**values, **STAGING, "dock_pose": dock_pose(), **fields})


def dock_pose(frame="", x=0.0, qw=1.0):
    position = SimpleNamespace(x=x, y=0.0, z=0.0)
    orientation = SimpleNamespace(x=0.0, y=0.0, z=0.0, w=qw)
    return SimpleNamespace(
        header=SimpleNamespace(frame_id=frame),
        pose=SimpleNamespace(position=position, orientation=orientation),
    )


def instruction(database, default="", **fields):
    return DockingRequest.from_goal(goal(**fields), database, default).instruction


def test_a_station_has_its_own_words_or_those_of_its_type(database):
    assert instruction(database, dock_id="bay_1") == "dock at the blue charger on the left"
    assert instruction(database, dock_id="home_dock") == "dock at the orange charger"
    assert instruction(database, use_dock_id=False, dock_type="orange").endswith("orange charger")
    assert database.docks["home_dock"].pose == Pose2D(1.0, 2.0, 0.5)


def test_the_words_of_the_goal_come_first_and_the_default_last(database):
    assert instruction(database, dock_id="bay_1", instruction="go home") == "go home"
    assert instruction(database, dock_id="elsewhere", instruction="go home") == "go home"
    assert instruction(database, default="dock") == "dock"


def test_a_goal_of_nav2_has_no_instruction(database):
    request = goal(dock_id="home_dock")
    del request.instruction
    assert DockingRequest.from_goal(request, database, "").instruction.endswith("orange charger")


def staging(database, **fields):
    return DockingRequest.from_goal(goal(**fields), database, "dock", 1.5).staging


def test_staging_lies_in_front_of_the_docked_pose(database):
    there = staging(database, dock_id="home_dock")
    assert there.frame == "map"
    assert (there.pose.x, there.pose.y) == pytest.approx(
        (1.0 - 1.5 * math.cos(0.5), 2.0 - 1.5 * math.sin(0.5))
    )
    given = staging(database, use_dock_id=False, dock_pose=dock_pose("odom", x=4.0))
    assert (given.frame, given.pose) == ("odom", Pose2D(2.5, 0.0, 0.0))


def test_no_staging_without_a_pose_or_where_the_robot_stands_there(database):
    assert staging(database, dock_id="bay_1") is None, "its pose is not known"
    assert staging(database) is None
    assert staging(database, dock_id="home_dock", navigate_to_staging_pose=False) is None
    with pytest.raises(DockNotValid, match="max_staging_time"):
        staging(database, dock_id="home_dock", max_staging_time=0.0)
    with pytest.raises(DockNotValid, match="dock_pose"):
        staging(database, use_dock_id=False, dock_pose=dock_pose("odom", qw=0.0))


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"dock_id": "a7"}, DockNotInDatabase, "stations known by name: bare, bay_1, home_dock"),
        ({"dock_id": "bare"}, DockNotValid, "dock_type 'grey' has no instruction"),
        ({"use_dock_id": False, "dock_type": "x"}, DockNotValid, "types that have one: orange"),
        ({}, DockNotValid, "no instruction"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(database, fields, error, text):
    with pytest.raises(error, match=text):
        instruction(database, **fields)


def test_an_unknown_station_is_never_replaced_by_the_default(database):
    with pytest.raises(DockNotInDatabase):
        instruction(database, default="dock at the orange charger", dock_id="a7")


def test_without_a_file_nothing_is_known_by_name():
    database = DockDatabase.load("")
    with pytest.raises(DockNotInDatabase, match="none"):
        instruction(database, dock_id="a7")


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("docks: [1]", ["docks: got [1], expected a mapping by name"]),
        ("docks: {a: 1}", ["docks.a: got 1, expected a mapping"]),
        ("docks: {a: {pose: [1, 2]}}", ["docks.a.pose: got [1, 2], expected [x, y, yaw]"]),
        ("docks: {a: {type: 1}}\ndock_types: {b: {}}", ["docks.a.type", "dock_types.b.instruc"]),
        ("{}", ["expected a mapping with docks"]),
        ("docks: {a: 1, a: 2}", ["is there twice"]),
    ],
)
def test_mistakes_of_the_file_are_named(tmp_path, text, mistakes):
    path = tmp_path / "docks.yaml"
    path.write_text(text)
    with pytest.raises(DatabaseError) as error:
        DockDatabase.load(str(path))
    assert str(path) in str(error.value)
    for mistake in mistakes:
        assert mistake in str(error.value)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(DatabaseError, match=r"none\.yaml"):
        DockDatabase.load(str(tmp_path / "none.yaml"))
