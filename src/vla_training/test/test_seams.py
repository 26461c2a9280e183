"""The benchmark of seams: what counts as one, and latency that several inferences hide."""

import numpy as np
import pytest
from small_policies import saved, small_checkpoint

from vla_simulation.environment import DockingEnv
from vla_training.benchmarks.seam_steps import Steps
from vla_training.benchmarks.seams import SeamDriver, latency_ticks, run
from vla_training.errors import BenchmarkError
from vla_training.evaluation.workers import load_any_policy


def test_seams_are_where_a_newer_chunk_first_has_a_say():
    values = [0.0, 0.1, 0.4, 0.5, None, 0.9, 1.0]
    sources = [0, 0, 2, 2, None, 5, 5]
    commands = [None if value is None else np.array([value, 0.0]) for value in values]
    steps = Steps.between(commands, sources)
    np.testing.assert_allclose(steps.seam[:, 0], [0.3])
    np.testing.assert_allclose(steps.within[:, 0], [0.1, 0.1, 0.1])
    # What was published meanwhile is known: the first command after the gap is a seam, too.
    commands[4] = np.array([0.45, 0.0])
    np.testing.assert_allclose(Steps.between(commands, sources).seam[:, 0], [0.3, 0.45])
    figures = Steps.joined([steps, steps]).figures()["linear.x"]
    assert figures == {"seam_p99": 0.3, "within_p99": 0.1, "seam_over_within": 3.0}
    assert Steps.between([], []).figures()["angular.z"]["seam_p99"] is None


def test_latency_in_control_periods():
    assert [latency_ticks(ms) for ms in (0, 50, 300)] == [1, 2, 7]
    with pytest.raises(BenchmarkError, match="expected 0 to 400 ms"):
        run(policy="nowhere", episodes=1, added_ms=(0, 500))


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """A checkpoint that has not learned anything yet."""
    return saved(small_checkpoint(), tmp_path_factory.mktemp("policy") / "checkpoint.pt")


def test_several_inferences_under_way_keep_the_buffer_filled(policy):
    env = DockingEnv("nominal")
    shares = {}
    try:
        for in_flight in (1, 4):
            driver = SeamDriver(
                load_any_policy(policy), "real_time_chunking", 7, 2, in_flight=in_flight
            )
            env.reset(seed=1)
            driver.reset(env)
            for _ in range(49):
                env.step(driver.command(env).astype(np.float32))
            sources = driver.sources[7:]
            shares[in_flight] = sources.count(None) / len(sources)
            stamps = np.array([source for source in sources if source is not None])
            assert set(np.diff(stamps)) - {0} == {50_000_000 * (7 if in_flight == 1 else 2)}
            assert driver.inferences == (7 if in_flight == 1 else 25)
    finally:
        env.close()
    assert shares == {1: pytest.approx(4 / 7), 4: 0.0}


def test_the_benchmark_drives_every_way_with_the_same_seeds(policy):
    ways = {"modes": ("open_loop", "real_time_chunking"), "added_ms": (0, 300)}
    found = run(policy=policy, suite="single", episodes=1, seed=3, jobs=1, **ways)
    assert (found["episodes"], found["seed"]) == (1, 3)
    for mode in ways["modes"]:
        without, late = found[mode]["0 ms added"], found[mode]["300 ms added"]
        assert "cost_points" not in without
        assert late["cost_points"] == 0.0, "it never docks"
        assert without["starved_share"] == 0.0
        assert without["seams"] > 10
        for where in ("asked", "commanded"):
            assert without[where]["linear.x"]["seam_p99"] >= 0.0
    assert found["real_time_chunking"]["300 ms added"]["starved_share"] == 0.0
