"""End to end with the shipped policy: the live graph docks the robot."""

import csv
import json
import re
import signal

import pytest
from PIL import Image

from vla_bringup.resources import default_contract, default_policy
from vla_core.bundle import PolicyBundle
from vla_core.contract import Contract


def test_shipped_bundle_is_whole_and_fits_the_shipped_contract():
    bundle = PolicyBundle.load(default_policy())
    bundle.check_contract(Contract.load(default_contract()))
    size = sum(file.stat().st_size for file in bundle.path.rglob("*") if file.is_file())
    assert size < 20e6


def test_up_docks_records_and_ends(vla, tmp_path):
    program = vla(
        "up",
        "dock",
        "instruction:=park on the white charger",
        "seed:=1000001",
        "record:=true",
        f"record_directory:={tmp_path / 'bags'}",
        "shutdown_when_done:=true",
    )
    assert program.wait(150) == 0, program.output + program.errors
    assert program.orphans() == []
    docked = re.search(
        r"docked in [\d.]+ s: ([+-][\d.]+) mm along, ([+-][\d.]+) mm", program.output
    )
    assert docked, program.output
    assert abs(float(docked[1])) <= 20.0
    assert abs(float(docked[2])) <= 10.0
    bags = list((tmp_path / "bags").iterdir())
    assert len(bags) == 1
    assert (bags[0] / "metadata.yaml").is_file()


def test_dock_and_undock_verbs_in_a_namespace(vla):
    graph = vla("up", "dock", "namespace:=robot_1", "seed:=1000007")
    graph.wait_for("all active")
    client = vla("dock", "park on the white charger", "--namespace", "robot_1", "--json")
    assert client.wait(120) == 0, client.output + client.errors
    result = json.loads(client.output)
    assert result["success"]
    assert result["error_code"] == 0
    assert abs(result["lateral_error_m"]) <= 0.010
    assert 0.0 < result["contact_speed_mps"] < 0.1

    client = vla("undock", "--namespace", "robot_1", "--distance", "0.4", "--json")
    assert client.wait(120) == 0, client.output + client.errors
    result = json.loads(client.output)
    assert result["success"]
    assert result["backed_m"] == pytest.approx(0.4, abs=0.05)


def test_demo_leaves_table_pictures_and_bags(vla, tmp_path):
    out = tmp_path / "demo"
    program = vla("demo", "--runs", "1", "--out", out)
    assert program.wait(250) == 0, program.output + program.errors
    assert program.orphans() == []
    results = json.loads((out / "results.json").read_text())
    assert results["episodes"] == results["docked"] == 1
    run = results["runs"][0]
    assert run["seed"] >= 1_000_000, "held out"
    assert abs(run["lateral_error_m"]) <= 0.010
    with (out / "results.csv").open() as file:
        assert [row["docked"] for row in csv.DictReader(file)] == ["True"]
    assert "| 1 | 1000000 |" in (out / "results.md").read_text()
    with Image.open(out / "docking.gif") as video:
        assert video.n_frames > 30
    assert (out / "docking.gif").stat().st_size <= 6_000_000
    with Image.open(out / "paths.png") as plot:
        assert plot.width > 1000
    assert (out / "bags" / "run_1" / "metadata.yaml").is_file()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_demo_that_is_stopped_leaves_nothing_running(vla, tmp_path, signum, code):
    program = vla("demo", "--runs", "1", "--out", tmp_path / "demo")
    program.wait_for("driving")
    assert len(program.descendants()) >= 5
    program.signal(signum)
    assert program.wait(60) == code
    assert program.orphans(timeout_s=40.0) == []


def test_demo_spares_a_folder_of_others(vla, tmp_path):
    (tmp_path / "thesis.tex").touch()
    program = vla("demo", "--runs", "1", "--out", tmp_path)
    assert program.wait(60) == 1
    assert "is not empty" in program.errors
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("arguments", [["--runs", "0"], ["--runs", "many"]])
def test_demo_usage(vla, arguments):
    assert vla("demo", *arguments).wait() == 2
