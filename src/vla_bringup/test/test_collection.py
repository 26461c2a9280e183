"""`vla collect` with real processes, and the parts of it that need none."""

import json
import os
import signal
from pathlib import Path

import pytest
from rosbags.highlevel import AnyReader
from vla_msgs.msg import SimulationState

from vla_bringup.collection import CollectionOptions, collect
from vla_bringup.collection_episode import EpisodeWatch
from vla_bringup.collection_manifest import Manifest
from vla_bringup.collection_plan import SuiteMix, plan
from vla_bringup.collection_types import CollectionError
from vla_bringup.collection_worker import find_flaw
from vla_bringup.resources import default_contract
from vla_core.contract import Contract
from vla_core.errors import VlaError
from vla_recorder.bag_inspection import inspect_bag
from vla_simulation.environment import DockingEnv


def bags_in(folder):
    return sorted(path for path in folder.iterdir() if path.name.startswith("episode_"))


# ---------------------------------------------------------------------- real processes


def test_two_episodes_are_complete_and_a_third_is_added(vla, tmp_path):
    out = tmp_path / "demonstrations"
    first = vla("collect", "--episodes", 2, "--out", out, "--jobs", 2, "--json")
    assert first.wait(150) == 0, first.errors
    summary = json.loads(first.output)
    assert (summary["episodes"], summary["recorded"]) == (2, 2)
    assert first.orphans() == []
    assert [path.name for path in sorted(out.iterdir())] == [
        "collection.json",
        "episode_000000",
        "episode_000001",
        "logs",
    ]
    contract = Contract.load(default_contract())
    for seed, record in enumerate(summary["records"]):
        inspection = inspect_bag(Path(record["bag"]), contract)
        assert inspection.ok, inspection.violations
        assert find_flaw(Path(record["bag"]), contract) == ""
        for topic in ("cmd_vel", "expert/cmd_vel", "ground_truth/state", "ground_truth/dock_pose"):
            found = inspection.topic(topic) or inspection.topic(f"/{topic}")
            assert found.count == record["ticks"]
        custom = inspection.contents.custom
        assert custom["vla.seed"] == str(seed)
        assert custom["vla.suite"] == "nominal"
        assert custom["vla.goal"] == str(record["goal"])
        assert custom["vla.station_count"] == str(record["station_count"])
        assert custom["vla.outcome"] == ("success" if record["success"] else "failure")
        assert custom["vla.note"] == record["reason"]
        assert custom["vla.operator"] == "docking_expert"
        assert custom["vla.instruction"] == record["instruction"]
        # The disturbance is executed, the label is clean.
        executed, label = inspection.topic("cmd_vel"), inspection.topic("expert/cmd_vel")
        assert (executed.stamps_ns == label.stamps_ns).all()

    inspected = vla("inspect", out)
    assert inspected.wait() == 0, inspected.output
    assert "2 of 2 bags are sound" in inspected.output

    before = {bag: (bag / "metadata.yaml").stat().st_mtime_ns for bag in bags_in(out)}
    second = vla("collect", "--episodes", 3, "--out", out, "--jobs", 1)
    assert second.wait(150) == 0, second.errors
    assert "recorded 1 of them" in second.output
    assert len(bags_in(out)) == 3
    for bag, time_ns in before.items():
        assert (bag / "metadata.yaml").stat().st_mtime_ns == time_ns  # left alone


def test_every_goal_of_a_start_is_demonstrated(vla, tmp_path):
    """The bags of a start are alike but for the sentence and where the expert goes."""
    out, seed = tmp_path / "pairs", seed_with_stations(2)
    program = vla("collect", "--episodes", 1, "--seed", seed, "--out", out, "--goals", "every",
                  "--suite", "nominal:0.5,wide_start:0.5", "--noise", 0, "--json")  # fmt: skip
    assert program.wait(150) == 0, program.errors
    records = json.loads(program.output)["records"]
    assert [bag.name for bag in bags_in(out)] == [
        f"episode_{seed:06d}_goal0",
        f"episode_{seed:06d}_goal1",
    ]
    assert [record["goal"] for record in records] == [0, 1]
    assert [record["reason"] for record in records] == ["docked", "docked"]
    assert records[0]["instruction"] != records[1]["instruction"]
    states = [first_state(bag) for bag in bags_in(out)]
    assert [state.goal for state in states] == [0, 1]
    assert planar(states[0].base_pose) == planar(states[1].base_pose)
    assert planar(states[0].dock_pose) != planar(states[1].dock_pose)
    for bag, record in zip(bags_in(out), records, strict=True):
        custom = inspect_bag(bag).contents.custom
        assert custom["vla.goal"] == str(record["goal"])
        assert custom["vla.suite"] == record["suite"]


def seed_with_stations(count):
    suites = SuiteMix.parse("nominal:0.5,wide_start:0.5")
    for seed in range(100):
        orders = plan(suites, [seed], "every")
        if len(orders) == count and orders[0].suite == "wide_start":
            return seed
    raise AssertionError(f"no seed with {count} stations")


def first_state(bag):
    with AnyReader([bag]) as reader:
        connections = [c for c in reader.connections if c.topic.endswith("ground_truth/state")]
        connection, _, data = next(reader.messages(connections))
        return reader.deserialize(data, connection.msgtype)


def planar(pose):
    return pose.x, pose.y, pose.theta


@pytest.fixture
def running(vla, tmp_path):
    """A collection that has finished an episode and is busy with the next."""
    out = tmp_path / "demonstrations"
    program = vla("collect", "--episodes", 500, "--out", out, "--jobs", 1)
    program.wait_for("collecting: 1/500", 150)
    return program, out


def test_a_node_that_dies_ends_the_collection_with_one_line(running):
    program, out = running
    program.node("simulator").send_signal(signal.SIGKILL)
    assert program.wait(60) == 1
    last = program.error_lines[-1]
    assert last.startswith("vla collect: error: simulator was killed by SIGKILL")
    assert "simulator.log" in last
    assert "Traceback" not in program.errors
    assert program.orphans() == []
    assert not (out / ".partial").exists()
    assert all(inspect_bag(bag).ok for bag in bags_in(out))


def test_ctrl_c_ends_everything(running):
    program, out = running
    program.signal(signal.SIGINT)
    assert program.wait(60) == 130
    assert "run it again to go on" in program.errors
    assert "Traceback" not in program.errors
    assert program.orphans() == []
    assert not (out / ".partial").exists()
    assert bags_in(out)
    assert all(inspect_bag(bag).ok for bag in bags_in(out))


def test_a_killed_collection_leaves_no_orphans(running):
    program, _ = running
    program.signal(signal.SIGKILL)
    program.wait()
    assert program.orphans(20.0) == []


# ---------------------------------------------------------------------- refusals


def options(tmp_path, **changes):
    return CollectionOptions(
        **{"episodes": 2, "out": tmp_path / "out", "contract": default_contract(), **changes}
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 999_999}, "held out for evaluation"),
        ({"seed": 1_000_000}, "held out for evaluation"),
        ({"seed": -1}, "seed is -1"),
        ({"episodes": 0}, "episodes is 0"),
        ({"noise": -0.5}, "noise is -0.5"),
        ({"jobs": 0}, "jobs is 0"),
        ({"settle_s": -1.0}, "settle is -1.0"),
        ({"suite": "no_such_suite"}, "no_such_suite"),
        ({"suite": "paraphrase"}, "'paraphrase' is for evaluation only"),
        ({"suite": "nominal,new_station:0.1"}, "'new_station' is for evaluation only"),
        ({"suite": "nominal:0"}, "share '0' of suite 'nominal'"),
        (
            {"suite": "nominal:much,nominal"},
            "'much' of suite 'nominal', .* 'nominal' is there twice",
        ),
        ({"goals": "some"}, "goals is 'some', expected one of: one, every"),
        ({"contract": "no_such_contract.yaml"}, "no_such_contract.yaml"),
    ],
)
def test_wrong_options_are_refused_before_anything_starts(tmp_path, changes, said):
    with pytest.raises(VlaError, match=said):
        collect(options(tmp_path, **changes), show_progress=False)
    assert not (tmp_path / "out").exists()


def test_bags_of_others_are_left_alone(tmp_path):
    foreign = tmp_path / "out" / "episode_000001"
    foreign.mkdir(parents=True)
    (foreign / "precious").touch()
    with pytest.raises(CollectionError, match="not from this collection"):
        collect(options(tmp_path), show_progress=False)
    assert (foreign / "precious").exists()


def test_one_collection_per_folder_at_a_time(tmp_path):
    import fcntl

    (tmp_path / "out").mkdir()
    descriptor = os.open(tmp_path / "out", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(CollectionError, match="another vla collect"):
            collect(options(tmp_path), show_progress=False)
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------------- plan


def test_a_plan_has_each_start_once_or_once_for_every_station():
    mix = SuiteMix.parse("nominal")
    once, every = plan(mix, range(30), "one"), plan(mix, range(30), "every")
    assert [order.name for order in once] == [f"episode_{seed:06d}" for seed in range(30)]
    assert {order.goal for order in once} == {-1}
    env = DockingEnv("nominal", render=False)
    for seed in range(30):
        _, info = env.reset(seed=seed)
        of_seed = [order for order in every if order.seed == seed]
        assert [order.goal for order in of_seed] == list(range(info["station_count"]))
        assert [order.name for order in of_seed] == [
            f"episode_{seed:06d}_goal{k}" for k in range(info["station_count"])
        ]
    env.close()


def test_suites_are_mixed_by_their_shares_and_the_seed_alone():
    mix = SuiteMix.parse(" nominal:0.7, wide_start:0.3")
    assert str(mix) == "nominal:0.7,wide_start:0.3"
    drawn = [order.suite for order in plan(mix, range(1000), "one")]
    assert drawn.count("wide_start") / 1000 == pytest.approx(0.3, abs=0.045)  # three sigma
    assert set(drawn) == {"nominal", "wide_start"}
    assert [order.suite for order in plan(mix, range(400, 500), "one")] == drawn[400:500]
    assert str(SuiteMix.parse("nominal")) == "nominal"
    assert SuiteMix.parse("nominal,wide_start").shares == (1.0, 1.0)


# ---------------------------------------------------------------------- manifest


def test_manifest_remembers_episodes_whose_bag_is_there(tmp_path):
    manifest = Manifest.open(tmp_path, {"suite": "nominal"})
    for name in ("episode_000000", "episode_000001"):
        bag = tmp_path / ".partial" / name
        bag.mkdir(parents=True)
        manifest.add({"success": True}, bag)
    (tmp_path / "episode_000001").rmdir()
    again = Manifest.open(tmp_path, {"suite": "nominal"})
    assert list(again.episodes) == ["episode_000000"]
    assert again.episodes["episode_000000"]["bag"] == str(tmp_path / "episode_000000")


def test_manifest_refuses_other_settings_and_damage(tmp_path):
    Manifest.open(tmp_path, {"suite": "nominal", "noise": 1.0})
    with pytest.raises(CollectionError, match=r"noise 1\.0 there, 0\.5 now"):
        Manifest.open(tmp_path, {"suite": "nominal", "noise": 0.5})
    (tmp_path / "collection.json").write_text("{")
    with pytest.raises(CollectionError, match="is damaged"):
        Manifest.open(tmp_path, {"suite": "nominal", "noise": 1.0})


# ---------------------------------------------------------------------- when an episode is over


def watched(*states):
    watch = EpisodeWatch(time_limit_s=30.0, settle_s=1.5)
    for time_s, docked, collision in states:
        watch.see(
            SimulationState(
                time_s=time_s, docked=docked, collision=collision, docked_station=docked - 1
            )
        )
    return watch.reason


def test_docked_at_another_station_ends_the_episode():
    watch = EpisodeWatch(time_limit_s=30.0, settle_s=1.5)
    watch.see(SimulationState(time_s=8.0, goal=1, docked_station=-1))
    assert watch.reason == ""
    watch.see(SimulationState(time_s=8.05, goal=1, docked_station=0))
    assert watch.reason == "wrong_station"


def test_docked_and_settled():
    assert watched((8.0, True, False), (9.4, True, False)) == ""
    assert watched((8.0, True, False), (9.5, True, False)) == "docked"


def test_leaving_the_dock_starts_the_wait_again():
    states = [(8.0, True, False), (9.0, False, False), (9.2, True, False), (10.0, True, False)]
    assert watched(*states) == ""
    assert watched(*states, (10.7, True, False)) == "docked"


def test_timeout_and_collision():
    assert watched((29.95, False, False)) == ""
    assert watched((30.0, False, False)) == "timeout"
    assert watched((3.0, False, True), (3.05, True, True)) == "collision"


def test_docked_at_the_last_moment_may_settle():
    states = [(29.9, True, False), (31.0, True, False)]
    assert watched(*states) == ""
    assert watched(*states, (31.4, True, False)) == "docked"
