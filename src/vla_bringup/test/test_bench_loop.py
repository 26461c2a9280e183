"""`vla bench loop` with the real node, short: every figure is there and adds up."""

import json

import pytest

from vla_bringup.cli import main


@pytest.fixture
def figures(tmp_path, bundle):
    path = tmp_path / "loop.json"
    arguments = ["--minutes", "0.1", "--no-recorder", "--policy", str(bundle)]
    assert main(["bench", "loop", *arguments, "--json", str(path)]) == 0
    return json.loads(path.read_text())["figures"]


def test_commands_and_the_empty_timer_are_measured_at_the_same_time(figures):
    assert figures["period_ms"] == 50.0
    assert 1.0 < figures["duration_s"] < 9.0
    for name in ("commands", "empty_timer"):
        errors = figures[name]
        expected = 20.0 * figures["duration_s"]
        assert 0.5 * expected < errors["count"] <= expected + 2
        assert 0.0 <= errors["p50_ms"] <= errors["p99_ms"] <= errors["p99_9_ms"] <= errors["max_ms"]
        assert errors["max_ms"] < 1000.0
    assert figures["inference_latency_ms"] > 0.0
    assert figures["starved_ticks"] >= 0
    assert figures["recorded_episodes"] == 0
