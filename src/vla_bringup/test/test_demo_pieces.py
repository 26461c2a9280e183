"""The demo's arithmetic and files, without a graph."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from vla_bringup.demo.paths_plot import Path2D, plot_paths
from vla_bringup.demo.plan_view import PlanView
from vla_bringup.demo.recording import Chunk
from vla_bringup.demo.results import RunResult, print_table, write_csv, write_json, write_markdown
from vla_core.geometry import Pose2D
from vla_simulation.viewer.drawing import INTENT
from vla_simulation.viewer.video import _palette


def result(**changes):
    values = {
        "seed": 1_000_000,
        "instruction": "dock at the orange charger",
        "docked": True,
        "precise": True,
        "collision": False,
        "start_distance_m": 1.5,
        "longitudinal_error_m": -0.0012,
        "lateral_error_m": 0.0004,
        "yaw_error_rad": 0.002,
        "time_s": 8.7,
        "contact_speed_mps": 0.019,
        "reason": "docked",
        "bag": "bags/run_1",
    }
    return RunResult(**{**values, **changes})


def test_results_say_nan_as_null(tmp_path):
    write_json(tmp_path / "r.json", [result(contact_speed_mps=math.nan)], {"suite": "nominal"})
    document = json.loads((tmp_path / "r.json").read_text())
    assert document["runs"][0]["contact_speed_mps"] is None
    assert document["episodes"] == document["docked"] == document["precise"] == 1


def test_tables_name_failures(tmp_path, capsys):
    results = [result(), result(docked=False, precise=False, collision=True)]
    write_markdown(tmp_path / "r.md", results, ["paths.png"])
    text = (tmp_path / "r.md").read_text()
    assert "1 of 2 runs docked" in text
    assert "no: collision" in text
    assert "![paths](paths.png)" in text
    write_csv(tmp_path / "r.csv", results)
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 3
    print_table(results)
    assert "precise" in capsys.readouterr().out


@pytest.mark.parametrize("count", [1, 7])
def test_plot_of_few_and_of_many_runs(tmp_path, count):
    poses = [Pose2D(-1.5 + 0.1 * i, 0.02 * (15 - i), 0.0) for i in range(16)]
    runs = [Path2D(poses, i % 2 == 0, f"{i}  dock\n    far") for i in range(count)]
    plot_paths(tmp_path / "p.png", runs, "runs")
    with Image.open(tmp_path / "p.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_drawn_colours_survive_the_palette():
    view = PlanView((160, 120), farthest_m=2.0, widest_m=0.5)
    chunk = Chunk(0, np.tile(np.array([0.5, 0.0], np.float32), (10, 1)))
    start = Pose2D(-1.5, 0.0, 0.0)
    frame = view.draw([start], None, [(start, chunk)], 0.05)
    indexed = frame.quantize(palette=_palette([frame], 64), dither=Image.Dither.NONE)
    colours = np.asarray(indexed.convert("RGB")).reshape(-1, 3).tolist()
    assert list(INTENT) in colours
