"""What is drawn of the surroundings, and what it must not depend on."""

import dataclasses
import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_simulation.config import StationConfig
from vla_simulation.scenes import scene as scene_module
from vla_simulation.scenes import starts
from vla_simulation.scenes.instructions import STATION_COLOURS, all_instructions
from vla_simulation.scenes.scene import sample_scene
from vla_simulation.scenes.stations import STATION_SHAPES, bay_frame
from vla_simulation.seeds import random_stream
from vla_simulation.suites import load_suite, suite_names

SUITE = load_suite("nominal")
STATION = StationConfig()
RANGES = SUITE.randomization.scene


def draw(seed, suite=SUITE):
    return sample_scene(seed, suite.randomization.scene, suite.language, STATION)


SCENES = [draw(seed) for seed in range(300)]


def share(condition, scenes=SCENES):
    return sum(map(condition, scenes)) / len(scenes)


def test_one_to_three_stations_in_the_suites_shares():
    for count, expected in zip((1, 2, 3), RANGES.station_count_shares, strict=True):
        found = share(lambda scene, n=count: len(scene.stations) == n)
        assert found == pytest.approx(expected, abs=0.09)  # three standard deviations


def test_every_station_is_the_goal_equally_often():
    for count in (2, 3):
        scenes = [scene for scene in SCENES if len(scene.stations) == count]
        for k in range(count):
            sigma = math.sqrt((1 / count) * (1 - 1 / count) / len(scenes))
            found = share(lambda scene, k=k: scene.goal == k, scenes)
            assert found == pytest.approx(1 / count, abs=3.3 * sigma)


def test_stations_stand_beside_each_other_along_a_wall_left_to_right():
    for scene in SCENES:
        poses = [s.world_from_dock.relative_to(scene.world_from_bay) for s in scene.stations]
        for left, right in itertools.pairwise(poses):
            assert 0.9 < left.y - right.y < 1.7  # left is +y for a robot that faces them
            assert abs(left.x - right.x) < 0.45
        assert all(abs(pose.yaw) <= 0.24 + 1e-9 for pose in poses)
        for a, one in enumerate(scene.stations):
            for other in scene.stations[:a]:
                assert not one.footprint(STATION).overlaps(other.footprint(STATION))
        sides = [station.side for station in scene.stations]
        expected = {1: ["only"], 2: ["left", "right"], 3: ["left", "middle", "right"]}
        assert sides == expected[len(sides)]


def test_the_bay_is_the_mean_of_the_docked_poses():
    for scene in SCENES[:50]:
        poses = [s.world_from_dock.relative_to(bay_frame(scene.stations)) for s in scene.stations]
        assert sum(pose.x for pose in poses) == pytest.approx(0.0, abs=1e-9)
        assert sum(pose.y for pose in poses) == pytest.approx(0.0, abs=1e-9)
        assert sum(pose.yaw for pose in poses) == pytest.approx(0.0, abs=1e-9)


def test_a_sentence_is_never_ambiguous():
    named_by_colour = equal_colours = 0
    for scene in SCENES:
        looks = [station.look for station in scene.stations]
        colours = {look.colour for look in looks}
        assert len({look.number for look in looks}) == len(looks)
        if scene.naming == "colour":
            named_by_colour += 1
            assert len(colours) == len(looks)
        equal_colours += len(colours) < len(looks)
        sentences = {scene.with_goal(k).instruction for k in range(len(looks))}
        assert len(sentences) == len(looks)
    assert named_by_colour > 100
    assert equal_colours > 3  # colour does not tell the stations apart where it need not


def test_clutter_stands_in_the_room_and_neither_in_each_other_nor_before_a_station():
    for scene in SCENES[:80]:
        for k, item in enumerate(scene.clutter):
            assert abs(item.pose.x) < scene.room_length_m / 2
            assert abs(item.pose.y) < scene.room_width_m / 2
            assert not any(item.footprint.overlaps(o.footprint) for o in scene.clutter[:k])
            for station in scene.stations:
                assert not item.footprint.overlaps(station.footprint(STATION))
                docked = dataclasses.replace(item.footprint, pose=station.world_from_dock)
                robot = dataclasses.replace(docked, half_length_m=0.3, half_width_m=0.25)
                assert not item.footprint.overlaps(robot)


def test_everything_that_can_be_drawn_is_drawn():
    looks = [station.look for scene in SCENES for station in scene.stations]
    assert {look.colour for look in looks} == set(STATION_COLOURS)
    assert {look.shape for look in looks} == set(STATION_SHAPES)
    assert {look.number for look in looks} == {1, 2, 3}
    assert {scene.naming for scene in SCENES} == {"colour", "side", "number", "none"}
    assert {scene.phrasing.language for scene in SCENES} == {"en", "ko"}
    assert len({scene.surfaces.floor for scene in SCENES}) >= 5
    assert len({scene.surfaces.walls[0] for scene in SCENES}) >= 5
    assert len({len(scene.clutter) for scene in SCENES}) >= 5


# ---------------------------------------------------------------------- independence


@settings(max_examples=30, deadline=None)
@given(
    suite=st.sampled_from(suite_names()), seed=st.integers(0, 2**40), other=st.integers(1, 2**20)
)
def test_the_stream_of_the_goal_decides_nothing_but_the_goal(suite, seed, other):
    """Whatever the coin of the goal shows, scene and start are the same."""
    suite = load_suite(suite)
    first, start = starts.sample_episode(seed, suite, STATION)
    with pytest.MonkeyPatch.context() as patch:

        def other_coin(episode, name, attempt=0):
            return random_stream(episode + other if name == "goal" else episode, name, attempt)

        patch.setattr(scene_module, "random_stream", other_coin)
        second, same_start = starts.sample_episode(seed, suite, STATION)
    assert same_start == start
    assert second.with_goal(first.goal) == first
    assert (second.instruction == first.instruction) == (second.goal == first.goal)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**40))
def test_another_goal_is_another_sentence_in_the_same_phrasing(seed):
    scene = draw(seed)
    for k, station in enumerate(scene.stations):
        commanded = scene.with_goal(k)
        assert commanded.goal_station is station
        assert commanded.phrasing == scene.phrasing
        assert commanded.with_goal(scene.goal) == scene


def test_streams_of_other_names_and_attempts_differ_and_equal_ones_agree():
    first = random_stream(5, "room").random(4).tolist()
    assert first == random_stream(5, "room").random(4).tolist()
    others = [random_stream(5, "start"), random_stream(6, "room"), random_stream(5, "room", 1)]
    assert all(first != other.random(4).tolist() for other in others)


def test_what_one_part_draws_does_not_shift_the_others():
    """Twice the clutter leaves room, stations, goal, surfaces and light as they were."""
    crowded = dataclasses.replace(RANGES, clutter_count=(16, 16))
    for seed in range(20):
        scene = sample_scene(seed, crowded, SUITE.language, STATION)
        assert dataclasses.replace(scene, clutter=()) == dataclasses.replace(draw(seed), clutter=())


def test_the_scene_does_not_depend_on_the_suites_start():
    wide = load_suite("wide_start")
    same = sum(
        starts.sample_episode(seed, SUITE, STATION)[0]
        == starts.sample_episode(seed, wide, STATION)[0]
        for seed in range(60)
    )
    assert same >= 40  # the others had no feasible start in their first scene


def test_paraphrases_name_the_commanded_station_and_no_other():
    training = set(all_instructions())
    for scene in SCENES[:60]:
        said = {scene.with_goal(k).paraphrases for k in range(len(scene.stations))}
        sentences = [sentence for group in said for sentence in group]
        assert len(set(sentences)) == len(sentences) >= 10 * len(scene.stations)
        assert training.issuperset(sentences)
        assert scene.instruction in scene.paraphrases
