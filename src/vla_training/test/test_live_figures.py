"""What a report says of episodes through the live graph, without a graph."""

import dataclasses
import json

import pytest

from vla_training.evaluation.compare import compare
from vla_training.evaluation.evaluate import evaluate
from vla_training.evaluation.live import ROS, LiveFacts
from vla_training.evaluation.report import EvaluationReport, summary_table
from vla_training.evaluation.report_page.making import write_report
from vla_training.evaluation.rollouts import EpisodeResult

SEED = 1_000_000


@pytest.fixture(scope="module")
def lock_step() -> EvaluationReport:
    return evaluate("expert", "nominal", 4, SEED, jobs=1, trace=True, progress=False)


@pytest.fixture(scope="module")
def live(lock_step) -> EvaluationReport:
    """The same episodes, the last of which was reported docked and was not."""
    facts = [
        LiveFacts(True, 0, "docked", 0, 0.02, 8.4, 1),
        LiveFacts(True, 0, "docked", 1, 0.04, 12.0),
        LiveFacts(False, 906, "it does not charge", 0, None, 14.0),
        LiveFacts(True, 0, "docked", 0, 0.9, 9.0),
    ]
    results = [
        dataclasses.replace(result, live=fact, interventions={"deadband": 3})
        for result, fact in zip(lock_step.results, facts, strict=True)
    ]
    results[-1] = dataclasses.replace(results[-1], success=False, outcome="timeout")
    config = dataclasses.replace(lock_step.config, through=ROS)
    return dataclasses.replace(lock_step, config=config, results=tuple(results))


def test_where_the_action_contradicts_the_simulator_is_counted(live):
    values = live.to_dict()
    assert (values["through"], values["latency_ticks"]) == ("ros", None)
    assert values["live"] == {
        "reported_successes": 3,
        "reported_not_docked": 1,
        "docked_not_reported": 1,
        "error_codes": {"0": 3, "906": 1},
        "retries": 1,
        "reported_contact_speed_mps": {"median": 0.03, "p95": 0.039},
        "graph_restarts": 1,
    }
    assert values["interventions"] == {"deadband": {"episodes": 4, "ticks": 12}}
    rows = dict(summary_table(live))
    assert rows["  against the simulator"].startswith("1 reported but not docked, 1 docked but")
    assert rows["  result codes"] == "3 x 0, 1 x 906"


def test_records_come_back_as_they_were(live, lock_step):
    for result in (*live.results, *lock_step.results):
        fields = json.loads(json.dumps(result.to_dict()))
        assert EpisodeResult.from_dict(fields).to_dict() == result.to_dict()
    assert "live" not in lock_step.results[0].to_dict()


def test_live_and_lock_step_are_compared_by_seed(live, lock_step, tmp_path):
    paths = tmp_path / "lock_step.json", tmp_path / "live.json"
    lock_step.write_json(paths[0])
    live.write_json(paths[1])
    (paired,) = compare(*paths)
    assert (paired.own.pairs, paired.own.only_a, paired.own.only_b) == (4, 1, 0)
    # There is no latency of the graph that could differ from the one that was set.
    assert paired.remarks == ("through differs: lock_step for A, ros for B",)


def test_the_page_films_nothing_that_was_not_driven(live, tmp_path):
    path = tmp_path / "page.html"
    write_report({"nominal": live}, path, progress=False)
    text = path.read_text()
    assert "live ROS graph" in text
    assert "1 of 4 episodes failed" in text
    assert "image/webp" not in text
