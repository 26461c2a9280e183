"""LeRobot's ACT as a driver.

LeRobot pins other versions than this project, so what needs it needs an environment of its own:

    VLA_LEROBOT_ENVIRONMENT=DIR pytest test_lerobot_driver.py
"""

import json
import os
from pathlib import Path

import pytest

from vla_training.benchmarks import lerobot_comparison
from vla_training.errors import BenchmarkError, EvaluationError
from vla_training.evaluation.evaluate import evaluate
from vla_training.evaluation.lerobot_policy import load_lerobot_policy, stream_keys
from vla_training.evaluation.results_file import read_results


@pytest.fixture(scope="module")
def environment() -> Path:
    folder = os.environ.get("VLA_LEROBOT_ENVIRONMENT")
    if not folder:
        pytest.skip("needs VLA_LEROBOT_ENVIRONMENT, a folder with LeRobot installed")
    return Path(folder)


def test_the_streams_that_act_looks_at_are_found_by_their_kind(contract):
    assert stream_keys(contract) == {"image": "image", "state": "odometry", "environment": "scan"}


def test_a_folder_of_another_kind_is_refused(tmp_path, contract):
    with pytest.raises(EvaluationError, match=r"is no policy of LeRobot's with its vla\.json"):
        load_lerobot_policy(f"lerobot:{tmp_path}", "")
    described = {"contract": contract.to_yaml(), "features": {}}
    (tmp_path / "vla.json").write_text(json.dumps(described))
    with pytest.raises(BenchmarkError, match=r"no LeRobot 0\.4\.4 in .*nowhere; install it there"):
        load_lerobot_policy(f"lerobot:{tmp_path}", str(tmp_path / "nowhere"))
    with pytest.raises(EvaluationError, match="variants are of bundles"):
        evaluate(f"lerobot:{tmp_path}", "nominal", 1, variant="fp16", progress=False)


def test_a_comparison_needs_a_budget(dataset, tmp_path):
    with pytest.raises(BenchmarkError, match="give --minutes or --steps, one of them"):
        lerobot_comparison.run(data=dataset, out=tmp_path)
    with pytest.raises(BenchmarkError, match="give --minutes or --steps, one of them"):
        lerobot_comparison.run(data=dataset, out=tmp_path, steps=1, minutes=1.0)


@pytest.mark.timeout(900)
def test_act_is_trained_and_drives(environment, dataset, tmp_path):
    options = {"data": dataset, "peer": environment, "out": tmp_path, "jobs": 1, "batch_size": 2}
    found = lerobot_comparison.run(**options, steps=2, suite="single", episodes=1, policy="expert")
    assert found["training"]["steps"] == 2
    assert found["training"]["parameters"] > 40e6
    (lerobot,) = read_results(tmp_path / "lerobot.json").values()
    assert lerobot.policy == f"lerobot:{tmp_path / 'act'}"
    assert lerobot.records[0]["inferences"] > 10
    assert found["comparison"]["pairs"] == 1
    # What is done is not done again, and what is another training is refused.
    again = lerobot_comparison.run(**options, steps=2, suite="single", episodes=1)
    assert again["training"] == found["training"]
    with pytest.raises(BenchmarkError, match="has another training: budget differ"):
        lerobot_comparison.run(**options, steps=3, suite="single", episodes=1)
