"""Evaluation through the live graph: what it keeps, what it survives, what it says."""

import json
import math
import signal
import time

import pytest
from builtin_interfaces.msg import Time
from vla_msgs.msg import PolicyStatus, SimulationState

from vla_bringup.live_evaluation.episode_watch import EpisodeWatch
from vla_bringup.live_evaluation.episodes import outcome_of
from vla_bringup.live_evaluation.kept_episodes import KeptEpisode, KeptEpisodes
from vla_bringup.live_evaluation.options import LiveEvaluationError, LiveOptions
from vla_bringup.resources import default_policy
from vla_simulation.environment import DockingEnv
from vla_training.evaluation.compare import compare
from vla_training.evaluation.evaluate import evaluate
from vla_training.evaluation.report import OUTCOMES

SEED = 1_000_000


def state(time_s, seed=7, x=-1.0, **fields) -> SimulationState:
    message = SimulationState(seed=seed, time_s=time_s, docked_station=-1, goal=0)
    message.base_pose.x = x
    message.contact_speed_mps = math.nan
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def stamp(time_s) -> Time:
    return Time(sec=int(time_s), nanosec=round((time_s % 1.0) * 1e9))


def test_an_episode_counts_from_its_goal_and_ends_as_in_lock_step():
    watch = EpisodeWatch(seed=7, time_limit_s=30.0)
    watch.see_state(state(0.3, seed=6, collision=True))  # of the episode before
    watch.see_state(state(0.6))
    watch.see_status(PolicyStatus(interventions=["deadband"]))
    watch.begin()
    for tick in range(1, 6):
        watch.see_state(state(0.6 + 0.05 * tick, x=-1.0 + 0.01 * tick))
        watch.see_status(
            PolicyStatus(
                interventions=["acceleration"],
                chunk=[0.1, 0.0] * 4,
                horizon=4,
                action_size=2,
                chunk_stamp=stamp(0.1 * (tick // 2)),
            )
        )
    assert watch.final is None
    watch.see_state(state(0.9, x=-0.002, docked=True, docked_station=0))
    watch.see_state(state(0.95, collision=True))  # what comes later is no part of it
    watch.see_status(PolicyStatus(interventions=["acceleration"]))
    assert outcome_of(watch.final) == "docked"
    assert watch.time_s == pytest.approx(0.3)
    assert watch.interventions == {"acceleration": 5}
    assert watch.inferences == 3
    assert watch.trace().poses[:, 0] == pytest.approx([-0.99, -0.97, -0.95, -0.002])


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"collision": True}, "collision"),
        ({"docked_station": 1}, "wrong_station"),
        ({"time_s": 12.01}, "timeout"),
    ],
)
def test_failures_have_the_names_of_lock_step(fields, outcome):
    watch = EpisodeWatch(seed=7, time_limit_s=12.0)
    watch.begin()
    watch.see_state(state(11.9))
    assert watch.final is None
    watch.see_state(state(**{"time_s": 11.95, **fields}))
    assert outcome_of(watch.final) == outcome


def test_what_is_left_of_a_chunk_is_where_the_robot_wants_to_go():
    watch = EpisodeWatch(seed=7, time_limit_s=30.0)
    watch.begin()
    actions = [0.1, 0.0] * 2 + [0.4, 0.0] * 2
    watch.see_status(PolicyStatus(chunk=actions, horizon=4, action_size=2, chunk_stamp=stamp(1.0)))
    late = state(0.1)
    late.header.stamp = stamp(1.1)  # two of the four actions are past
    watch.see_state(late)
    (plan,) = watch.trace().plans
    assert plan[:, 0] == pytest.approx([-1.0, -0.98, -0.96], abs=1e-5)


def test_kept_episodes_come_back_and_others_are_refused(tmp_path):
    report = evaluate("expert", "nominal", 2, SEED, trace=True, progress=False, jobs=1)
    path = tmp_path / "live.json.partial"
    kept = KeptEpisodes(path, {"policy": "a"})
    for result, trace in zip(report.results, report.traces, strict=True):
        kept.add(KeptEpisode("nominal", result, trace, 1.5))
    again = KeptEpisodes(path, {"policy": "a"})
    assert list(again.found) == [("nominal", SEED, False), ("nominal", SEED + 1, False)]
    for key, episode in again.found.items():
        assert episode.result.to_dict() == kept.found[key].result.to_dict()
        assert episode.trace.poses == pytest.approx(kept.found[key].trace.poses, abs=1e-5)
    with pytest.raises(LiveEvaluationError, match="another evaluation: policy a \\(now b\\)"):
        KeptEpisodes(path, {"policy": "b"})
    # Whoever was killed while it wrote has lost this one episode.
    path.write_text(path.read_text()[:-20])
    torn = KeptEpisodes(path, {"policy": "a"})
    assert list(torn.found) == [("nominal", SEED, False)]
    torn.add(kept.found["nominal", SEED + 1, False])
    assert len(KeptEpisodes(path, {"policy": "a"}).found) == 2
    path.write_text(path.read_text().replace('"outcome"', '"outcame"'))
    with pytest.raises(LiveEvaluationError, match="is damaged"):
        KeptEpisodes(path, {"policy": "a"})


def test_retries_and_replanning_reach_the_policy_node():
    options = LiveOptions(default_policy(), ["slip"], 1, SEED, replan_steps=4, retries=2)
    options.check()
    nodes = {spec.name: spec for spec in options.node_specs()}
    assert nodes["simulator"].parameters["suite"] == "slip"
    assert nodes["vla_policy"].parameters["max_retries"] == 2
    assert nodes["vla_policy"].parameters["inference_rate_hz"] == pytest.approx(5.0)
    assert "lifecycle_manager" in nodes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--policy", "expert"), "takes a bundle"),
        (("--latency-ticks", "2"), "--latency-ticks is given with --mode ros"),
        (("--disturb", "no_scan"), "--disturb is given with --mode ros"),
        (("--retries", "101"), "--retries is 101"),
    ],
)
def test_what_the_graph_cannot_do_is_told_before_it_starts(arguments, message, capsys):
    from vla_bringup.cli import main

    assert main(["evaluate", "--mode", "ros", *arguments]) == 1
    assert message in capsys.readouterr().err


def lines_of(path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.timeout(600)
def test_survives_a_dead_node_and_an_interruption_and_pairs_with_lock_step(vla, tmp_path):
    live, kept = tmp_path / "live.json", tmp_path / "live.json.partial"
    command = ("evaluate", "--mode", "ros", "--suite", "nominal", "--json", live, "--episodes")
    program = vla(*command, "2")
    deadline = time.monotonic() + 90.0
    while "vla_policy" not in " ".join(arguments_of(program)):
        assert time.monotonic() < deadline, program.errors
        assert program.process.poll() is None, program.errors
        time.sleep(0.1)
    program.node("vla_policy").kill()
    program.wait_for("starting the graph anew", 60)
    deadline = time.monotonic() + 150.0
    while lines_of(kept) < 2:
        assert time.monotonic() < deadline, program.errors
        assert program.process.poll() is None, program.errors
        program.descendants()
        time.sleep(0.1)
    program.signal(signal.SIGINT)
    assert program.wait(60) == 130, program.errors
    assert "the same command goes on" in program.errors
    assert program.orphans() == []
    assert not live.exists()

    # What is kept is enough for one episode: no graph is started for it.
    again = vla(*command, "1")
    assert again.wait(60) == 0, again.errors
    assert not kept.exists()
    report = json.loads(live.read_text())
    (record,) = report["records"]
    assert (report["through"], report["latency_ticks"], report["episodes"]) == ("ros", None, 1)
    assert record["live"]["graph_restarts"] >= 1
    assert record["live"]["docking_time_s"] > 0.0
    assert record["outcome"] in OUTCOMES
    assert record["inferences"] > 5
    env = DockingEnv("nominal", render=False)
    try:
        env.reset(seed=SEED)
        start_m, sentence = env.truth.dock_from_base.distance, env.instruction
    finally:
        env.close()
    assert record["start_distance_m"] == pytest.approx(start_m, abs=1e-3)
    assert record["instruction"] == sentence
    lock_step = tmp_path / "lock_step.json"
    evaluate("expert", "nominal", 1, SEED, progress=False, jobs=1).write_json(lock_step)
    (paired,) = compare(lock_step, live)
    assert paired.own.pairs == 1
    assert "through differs: lock_step for A, ros for B" in paired.remarks


def arguments_of(program) -> list[str]:
    found = []
    for process in program.descendants():
        try:
            found += [part for part in process.cmdline() if part.startswith("__node:=")]
        except Exception:
            continue
    return found
