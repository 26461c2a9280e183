import json
import math
from dataclasses import replace

import numpy as np
import pytest

from vla_core.chunk_policy import ChunkPolicy
from vla_core.errors import BundleError
from vla_core.frames import Frame
from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE, ODOMETRY, SCAN
from vla_simulation.controllers.expert import expert_action
from vla_simulation.controllers.pose_filter import pose_difference
from vla_simulation.environment import DockingEnv
from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_training.errors import EvaluationError
from vla_training.evaluation.classical import navigation_guess
from vla_training.evaluation.drivers import ExpertDriver, PolicyDriver
from vla_training.evaluation.evaluate import evaluate, make_driver, make_environment
from vla_training.evaluation.intervals import wilson_interval
from vla_training.evaluation.report import (
    EvaluationConfig,
    EvaluationReport,
    summary_table,
    swap_figures,
)
from vla_training.evaluation.rollouts import run_episode

DESIGNED = [
    "episodes",
    "successes",
    "success_rate",
    "wilson_low",
    "wilson_high",
    "longitudinal_error_mm",
    "lateral_error_mm",
    "yaw_error_deg",
    "time_to_dock_s",
    "collisions",
    "wrong_station",
    "records",
]


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Closed forms at the ends: z^2 / (n + z^2); values in between solved by bisection of
        # |p - s/n| = z sqrt(p (1 - p) / n).
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
        (90, 100, 0.825634, 0.944771),
        (1, 2, 0.094531, 0.905469),
    ],
)
def test_wilson_interval(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=1e-6)


def test_wilson_bounds_solve_their_equation():
    z = 1.959963984540054
    for trials in (1, 7, 128, 5000):
        for successes in {0, 1, trials // 2, trials}:
            for bound in wilson_interval(successes, trials):
                distance = abs(bound - successes / trials)
                assert distance == pytest.approx(
                    z * math.sqrt(bound * (1.0 - bound) / trials), abs=1e-9
                )


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ValueError, match="expected 0 <= s <= n"):
        wilson_interval(successes, trials)


@pytest.fixture(scope="module")
def expert_report():
    return evaluate("expert", "nominal", episodes=6, jobs=2, progress=False)


def test_the_expert_docks(expert_report):
    report = expert_report.to_dict()
    assert report["successes"] == 6
    assert report["held_out"]
    assert report["collisions"] == report["timeouts"] == report["wrong_station"] == 0
    assert report["lateral_error_mm"]["p95"] <= 10.0
    assert report["longitudinal_error_mm"]["p95"] <= 20.0
    assert report["yaw_error_deg"]["p95"] <= 2.0
    assert report["contact_speed_mps"]["p95"] < 0.1


def test_a_report_has_what_the_design_names(expert_report, tmp_path):
    path = tmp_path / "deep" / "report.json"
    expert_report.write_json(path)
    report = json.loads(path.read_text())
    assert set(DESIGNED) <= set(report)
    assert [record["seed"] for record in report["records"]] == [
        FIRST_HELD_OUT_SEED + i for i in range(6)
    ]
    for name in ("longitudinal_error_mm", "lateral_error_mm", "yaw_error_deg", "time_to_dock_s"):
        assert set(report[name]) == {"median", "p95"}
    low, high = wilson_interval(6, 6)
    assert (report["wilson_low"], report["wilson_high"]) == (round(low, 4), round(high, 4))
    assert any("6 of 6" in text for _, text in summary_table(expert_report))


def test_one_process_gives_the_same_episodes(expert_report):
    report = evaluate("expert", "nominal", episodes=2, jobs=1, progress=False)
    assert report.results == expert_report.results[:2]


def test_a_report_without_success_has_no_errors(expert_report):
    failed = [replace(result, success=False, outcome="timeout") for result in expert_report.results]
    report = EvaluationReport(EvaluationConfig("expert"), tuple(failed), 1.0)
    values = report.to_dict()
    assert values["successes"] == 0
    assert values["timeouts"] == 6
    assert values["lateral_error_mm"] == {"median": None, "p95": None}
    assert ("lateral error [mm]", "-") in summary_table(report)


def test_mistakes_are_told_before_anything_starts(tmp_path):
    with pytest.raises(EvaluationError, match=r"episodes is 0.*latency_ticks is 99"):
        evaluate("expert", episodes=0, latency_ticks=99)
    with pytest.raises(BundleError, match="does not exist"):
        evaluate(tmp_path / "nowhere", episodes=1)


class ExpertPolicy(ChunkPolicy):
    """Puts the expert behind the interface of a learned policy, and counts its calls.

    A chunk repeats the expert's command for the state of its frame, except that the second
    component says how far into the chunk an action is: the driver's clockwork becomes visible.
    """

    def __init__(self, bundle, env: DockingEnv, clockwork: bool) -> None:
        super().__init__(bundle, lambda feeds: np.zeros((1, 10, 2), np.float32))
        self.env = env
        self.clockwork = clockwork
        self.ticks: list[int] = []

    def __call__(self, frame: Frame, instruction: str) -> np.ndarray:
        assert instruction == self.env.instruction
        self.ticks.append(frame.tick_ns // 50_000_000)
        chunk = np.tile(np.float32(expert_action(self.env.truth.dock_from_base)), (10, 1))
        if self.clockwork:
            chunk = np.stack([np.full(10, 0.001), np.arange(10) * 0.01], axis=1)
        return chunk.astype(np.float32)


@pytest.fixture(scope="module")
def env():
    env = DockingEnv("nominal")
    yield env
    env.close()


@pytest.mark.parametrize("latency", [0, 1, 3])
def test_latency_is_compensated_by_the_chunk(bundle, env, latency):
    """The action executed at a tick is the one that its chunk holds for that very tick."""
    policy = ExpertPolicy(bundle, env, clockwork=True)
    driver = PolicyDriver(policy, "receding_horizon", latency_ticks=latency)
    env.reset(seed=1)
    driver.reset(env)
    commands = []
    for _ in range(12):
        command = driver.command(env)
        commands.append(command)
        env.step(command.astype(np.float32))
    step = max(1, latency)
    assert policy.ticks == list(range(0, 12, step))
    ages = [round(command[1] / 0.01) for command in commands]
    # Before the first chunk there is nothing; then each chunk is used from its own latency on.
    assert ages[:latency] == [0] * latency
    assert ages[latency:] == [latency + tick % step for tick in range(12 - latency)]
    assert driver.interventions["starved"] == latency
    assert driver.inferences == len(policy.ticks)


def test_a_policy_as_good_as_the_expert_docks_through_the_whole_pipeline(bundle, env):
    policy = ExpertPolicy(bundle, env, clockwork=False)
    result = run_episode(env, PolicyDriver(policy, latency_ticks=1), seed=3)
    assert result.success
    assert result.outcome == "docked"
    assert result.inferences > 20
    assert result.interventions["starved"] == 1
    assert abs(result.lateral_error_mm) <= 10.0


def test_open_loop_asks_once_a_chunk(bundle, env):
    policy = ExpertPolicy(bundle, env, clockwork=True)
    driver = PolicyDriver(policy, mode="open_loop", latency_ticks=1)
    env.reset(seed=1)
    driver.reset(env)
    for _ in range(40):
        env.step(driver.command(env).astype(np.float32))
    assert len(policy.ticks) <= 6
    assert driver.interventions["starved"] == 1


def test_a_bundle_runs_and_its_processes_agree(bundle):
    kwargs = {"episodes": 2, "progress": False, "suite": "nominal"}
    here = evaluate(bundle.path, jobs=1, **kwargs)
    there = evaluate(bundle.path, jobs=2, **kwargs)
    assert here.results == there.results
    assert here.results[0].inferences > 10


def test_a_policy_for_another_robot_is_refused(bundle, tmp_path):
    class Slower:
        path = tmp_path
        vocabulary = bundle.vocabulary
        encoder_path = None
        contract = type(bundle.contract).from_dict(
            {
                **bundle.contract.to_dict(),
                "action": {**bundle.contract.to_dict()["action"], "rate_hz": 10},
            }
        )

    with pytest.raises(EvaluationError, match=r"10.* Hz, the simulated robot .* 20 Hz"):
        PolicyDriver(ChunkPolicy(Slower(), lambda feeds: feeds["image"]))


@pytest.mark.parametrize(
    ("name", "driver", "streams"),
    [
        ("expert", "ExpertDriver", set()),
        ("fiducial", "FiducialDriver", {IMAGE, ODOMETRY}),
        ("scan_matching", "ScanMatchingDriver", {SCAN, ODOMETRY}),
    ],
)
def test_a_driver_by_name_gets_the_sensors_that_it_looks_at(name, driver, streams):
    made = make_driver(EvaluationConfig(name))
    assert type(made).__name__ == driver
    assert made.streams == streams
    if IMAGE not in streams:
        assert IMAGE not in make_environment("nominal", made).observation_space.spaces


def test_a_bundle_makes_a_policy_driver(bundle):
    driver = make_driver(EvaluationConfig(str(bundle.path)))
    assert type(driver).__name__ == "PolicyDriver"
    assert driver.streams == {IMAGE, SCAN, ODOMETRY}


@pytest.fixture(scope="module")
def swapped_report():
    return evaluate("expert", "nominal", episodes=8, swap=True, jobs=1, progress=False)


def test_the_swap_runs_every_seed_with_two_stations_again(swapped_report):
    values = swapped_report.to_dict()
    several = [result.seed for result in swapped_report.results if result.station_count > 1]
    assert 0 < len(several) < 8  # this test needs both kinds of scenes
    assert [result.seed for result in swapped_report.swapped] == several
    assert values["swap_pairs"] == len(several)
    assert values["swap_left_out"] == 8 - len(several)
    # The expert goes where the sentence says.
    assert values["both_right"] == values["swapped_successes"] == len(several)
    assert values["same_station_twice"] == 0
    assert values["episodes"] == 8
    assert len(values["swapped_records"]) == len(several)


def test_the_swap_changes_the_sentence_and_the_goal_alone(swapped_report):
    own = {result.seed: result for result in swapped_report.results}
    for other in swapped_report.swapped:
        mine = own[other.seed]
        assert other.swapped
        assert not mine.swapped
        assert other.goal != mine.goal
        assert other.instruction != mine.instruction
        assert other.naming == mine.naming
        assert other.docked_station == other.goal


def test_without_a_swap_the_report_does_not_speak_of_it(expert_report):
    assert not any("swap" in key or "both" in key for key in expert_report.to_dict())


def test_who_ignores_the_sentence_is_found_out(swapped_report):
    """Docked at one station whatever the sentence: right half of the time, never twice."""
    own = [result for result in swapped_report.results if result.station_count > 1]
    deaf = [
        replace(
            other,
            success=False,
            outcome="wrong_station",
            wrong_station=True,
            docked_station=mine.docked_station,
        )
        for mine, other in zip(own, swapped_report.swapped, strict=True)
    ]
    figures = swap_figures(own, deaf)
    assert figures["both_right"] == figures["swapped_successes"] == 0
    assert figures["same_station_twice"] == figures["swap_pairs"] == len(own)
    lost = [replace(result, success=False, docked_station=None) for result in own]
    assert swap_figures(lost, lost)["same_station_twice"] == 0
    assert swap_figures(own, [])["both_right_rate"] is None


def test_figures_are_split_by_naming_and_by_stations(swapped_report):
    values = swapped_report.to_dict()
    for split, field in (("by_naming", "naming"), ("by_station_count", "station_count")):
        assert sum(part["episodes"] for part in values[split].values()) == 8
        assert set(values[split]) == {str(record[field]) for record in values["records"]}


def test_a_collision_names_its_parties(env):
    class Blind(ExpertDriver):
        """Drives on whatever stands there."""

        def command(self, env):
            return np.array([0.4, 0.0])

    result = run_episode(env, Blind(), seed=3)
    assert result.outcome == "collision"
    assert not result.success
    assert " and " in result.collision_with


def test_a_wrong_station_ends_the_episode_and_is_counted(env):
    class Disobedient(ExpertDriver):
        """Docks at the station after the commanded one."""

        def command(self, env):
            stations = env.scene.stations
            other = stations[(env.scene.goal + 1) % len(stations)]
            return np.array(
                expert_action(env.truth.world_from_base.relative_to(other.world_from_dock))
            )

    seed = next(seed for seed in range(50) if station_count(env, seed) > 1)
    result = run_episode(env, Disobedient(), seed)
    assert result.outcome == "wrong_station"
    assert result.wrong_station
    assert not result.success
    assert result.docked_station not in (None, result.goal)


def station_count(env, seed):
    env.reset(seed=seed)
    return len(env.scene.stations)


def test_the_classical_peers_dock_by_their_sensors_alone():
    for name in ("fiducial", "scan_matching"):
        report = evaluate(name, "single", episodes=2, jobs=1, progress=False)
        assert report.successes == 2, name
        assert all(abs(result.lateral_error_mm) < 8.0 for result in report.results)


def test_a_navigation_guess_has_the_error_that_it_claims():
    pose = Pose2D(-1.5, 0.3, 0.1)
    errors = [pose_difference(navigation_guess(pose, s).dock_from_base, pose) for s in range(400)]
    claimed = np.sqrt(np.diag(navigation_guess(pose, 0).covariance))
    assert np.std(errors, axis=0) == pytest.approx(claimed, rel=0.12)
    assert (np.abs(np.mean(errors, axis=0)) < 4 * claimed / 20).all()
    assert navigation_guess(pose, 7).dock_from_base == navigation_guess(pose, 7).dock_from_base
