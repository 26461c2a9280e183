"""`vla bench loop` with the real node, short: every figure is there and adds up."""

import json

import pytest

from vla_bringup.benchmarks import catalogue
from vla_bringup.benchmarks.loop_probe import Tick, spells
from vla_bringup.cli import main
from vla_core import action_chunks
from vla_core.safety_envelope import Intervention


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
    assert 0.0 < figures["inference_latency_ms"]["p50"] <= figures["inference_latency_ms"]["max"]
    assert figures["chunk_age_ms"]["p50"] > 0.0
    for name in ("starved", "stale"):
        spells_of = figures[f"{name}_spells"]
        assert figures[f"{name}_ticks"] == sum(spell["ticks"] for spell in spells_of)
    assert set(figures["streams"]) == {"camera/image_raw", "scan", "odom"}
    for stream in figures["streams"].values():
        assert stream["received_hz"] > 0.0
        assert 0.0 < stream["age_ms"]["p50"] <= stream["age_ms"]["max"]
    assert figures["recorded_episodes"] == 0


def tick(stamp_s, *interventions, image_s=0.05):
    return Tick(
        stamp_s=stamp_s,
        interventions=interventions,
        chunk_age_s=2.0 * image_s,
        latency_s=0.01,
        ages_s={"camera": image_s, "scan": 0.02},
        messages={"camera": 1, "scan": 1},
    )


def test_spells_are_told_apart_and_say_what_had_stopped_coming():
    ticks = [
        tick(10.0, "velocity"),
        tick(10.05, "starved", "stale", image_s=0.3),
        tick(10.1, "starved", "stale", image_s=0.35),
        tick(10.15),
        tick(10.2, "starved"),
    ]
    assert spells(ticks, Intervention.STARVED) == [
        {
            "at_s": 0.05,
            "ticks": 2,
            "chunk_age_ms": 700.0,
            "stream_ages_ms": {"camera": 350.0, "scan": 20.0},
        },
        {
            "at_s": 0.2,
            "ticks": 1,
            "chunk_age_ms": 100.0,
            "stream_ages_ms": {"camera": 50.0, "scan": 20.0},
        },
    ]
    assert [spell["ticks"] for spell in spells(ticks, Intervention.STALE)] == [2]
    assert spells(ticks[3:4], Intervention.STARVED) == []


def test_what_the_command_line_knows_of_execution_modes_is_true():
    assert catalogue.EXECUTION_MODES == action_chunks.EXECUTION_MODES
    assert action_chunks.DEFAULT_EXECUTION_MODE == catalogue.DEFAULT_EXECUTION_MODE
