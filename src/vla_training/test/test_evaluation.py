import json
import math

import numpy as np
import pytest

from vla_core.chunk_policy import ChunkPolicy
from vla_core.errors import BundleError
from vla_core.frames import Frame
from vla_simulation.controllers.expert import expert_action
from vla_simulation.environment import DockingEnv
from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_training.errors import EvaluationError
from vla_training.evaluation.drivers import PolicyDriver
from vla_training.evaluation.evaluate import (
    EvaluationConfig,
    EvaluationReport,
    evaluate,
    make_driver,
    summary_table,
)
from vla_training.evaluation.intervals import wilson_interval
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
    failed = [
        type(result)(**{**vars(result), "success": False, "outcome": "timeout"})
        for result in expert_report.results
    ]
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
    driver = PolicyDriver(policy, latency_ticks=latency)
    env.reset(seed=1)
    driver.reset()
    commands = []
    for _ in range(12):
        command = driver.command(env)
        commands.append(command)
        env.advance(command.astype(np.float32))
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
    driver.reset()
    for _ in range(40):
        env.advance(driver.command(env).astype(np.float32))
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
        contract = type(bundle.contract).from_dict(
            {
                **bundle.contract.to_dict(),
                "action": {**bundle.contract.to_dict()["action"], "rate_hz": 10},
            }
        )

    with pytest.raises(EvaluationError, match=r"10.* Hz, the simulated robot .* 20 Hz"):
        PolicyDriver(ChunkPolicy(Slower(), lambda feeds: feeds["image"]))


def test_the_drivers_by_name(bundle):
    assert type(make_driver(EvaluationConfig("expert"))).__name__ == "ExpertDriver"
    assert type(make_driver(EvaluationConfig(str(bundle.path)))).__name__ == "PolicyDriver"
