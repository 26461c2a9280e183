"""`vla bench profile`: each hot path runs, and its time is attributed to what takes it."""

import json
import math
import time

import pytest

from vla_bringup.benchmarks import profile
from vla_bringup.benchmarks.call_profile import python_parts, torch_parts
from vla_bringup.benchmarks.profiled_paths import PATHS, ProfiledPath
from vla_bringup.cli import main
from vla_training.benchmarks.markdown_page import BEGIN, END
from vla_training.errors import BenchmarkError


def nap():
    time.sleep(0.01)


def test_time_goes_to_what_takes_it():
    parts = python_parts(nap, 20)
    assert max(parts, key=parts.get) == "time.sleep"
    assert parts["time.sleep"] >= 20 * 0.01
    assert set(parts) >= {"test.test_profile"}


def test_operators_of_a_network():
    import torch

    large, small = torch.ones(300, 300), torch.ones(3)
    parts = torch_parts(lambda: (large @ large, small.exp()), 5)
    assert parts["aten::mm"] > parts["aten::exp"]


def test_a_call_is_timed_without_the_profiler():
    figures = ProfiledPath("A nap", nap, 10).measure(quick=True)
    assert figures["rounds"] == 3
    assert figures["calls"] == 1
    assert 10.0 <= figures["ms"]["lowest"] <= figures["ms"]["median"] <= figures["ms"]["highest"]
    assert math.isclose(sum(figures["share"].values()), 1.0)
    assert next(iter(figures["share"])) == "time.sleep"


def test_every_path_through_the_command(tmp_path, capsys):
    docs, answer = tmp_path / "page.md", tmp_path / "figures.json"
    docs.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    quick = ["bench", "profile", "--quick", "--preset", "mini_vla"]
    assert main([*quick, "--docs", str(docs), "--json", str(answer)]) == 0
    figures = json.loads(answer.read_text())["figures"]
    assert tuple(figures) == PATHS
    for entry in figures.values():
        assert entry["ms"]["median"] > 0.0
        assert math.isclose(sum(entry["share"].values()), 1.0)
    assert any(part.startswith("vla_core.") for part in figures["tick"]["share"])
    assert any("deserialize" in part for part in figures["frame"]["share"])
    assert any(part.startswith("aten::") for part in figures["training"]["share"])
    text = docs.read_text()
    assert "old" not in text
    assert text.startswith("before\n")
    for path in PATHS:
        assert f"### {path}\n" in text
    assert "ms" in capsys.readouterr().out


def test_unknown_path():
    with pytest.raises(BenchmarkError, match=r"no path nap; it has tick, frame"):
        profile.run(paths=["nap"])
