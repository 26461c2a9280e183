"""`vla bench all` and `check`: the plan, the headlines of real results, verdicts, the page.

The files below bench_results are what the benchmarks wrote on a machine of two cores; those with
few rounds (quick) while it had other work to do.
"""

import argparse
import dataclasses
import json
import re
import shutil
import signal
from pathlib import Path

import psutil
import pytest
from documentation import ROOT

from vla_bringup.bench_suite import campaign, page
from vla_bringup.bench_suite.arguments import DEFAULT_REFERENCE
from vla_bringup.bench_suite.campaign import UNFINISHED, Options, Progress, minutes_text
from vla_bringup.bench_suite.headlines import HEADLINES
from vla_bringup.bench_suite.plan import PLAN
from vla_bringup.bench_suite.reference import Stored, compare, read_reference, write_reference
from vla_bringup.bench_suite.results import (
    BenchSuiteError,
    Result,
    figures_of,
    read_results,
    result_path,
)
from vla_bringup.benchmarks.catalogue import BENCHMARKS
from vla_bringup.cli import main
from vla_bringup.verbs import bench
from vla_simulation import benchmarks as simulation
from vla_training.benchmarks import convert, infer, train
from vla_training.benchmarks.markdown_page import check_docs

RESULTS = Path(__file__).parent / "bench_results"
PEER = Path("a_folder")


@pytest.fixture(scope="module")
def full():
    return figures_of(read_results(RESULTS, quick=False).values())


@pytest.fixture(scope="module")
def quick():
    return figures_of(read_results(RESULTS / "quick", quick=True).values())


@pytest.fixture
def folder(tmp_path):
    """Results as `vla bench all` leaves them."""
    shutil.copytree(RESULTS, tmp_path / "bench")
    return tmp_path / "bench"


def parse(*arguments):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


# --- what is measured


@pytest.mark.parametrize("peer", [None, PEER], ids=["alone", "with_peer"])
@pytest.mark.parametrize("is_quick", [False, True], ids=["full", "quick"])
def test_the_plan_is_made_of_benchmarks_as_they_are_called_and_fits_its_time(is_quick, peer):
    options = Options(Path("unused"), is_quick, peer)
    for name in PLAN:
        parsed = parse(name, *options.effort(name).arguments)
        assert parsed.benchmark == name
        assert parsed.quick == is_quick
        if name in ("load", "train"):
            assert parsed.peer == (None if is_quick else peer)
    assert parse("train", *options.effort("train").arguments).no_peer == (is_quick or peer is None)
    assert sum(options.effort(name).minutes for name in PLAN) < (10.0 if is_quick else 60.0)


def test_what_needs_data_or_hours_is_left_out():
    assert set(BENCHMARKS) - set(PLAN) == {"presets", "ablations", "lerobot", "profile"}


def test_a_named_data_set_is_loaded():
    options = Options(Path("unused"), quick=True, data=Path("x.h5"))
    assert parse("load", *options.effort("load").arguments).data == Path("x.h5")


def test_progress_is_on_the_disk_until_all_is_done(tmp_path):
    assert Progress.resume(tmp_path).done == []
    progress = Progress(tmp_path)
    *most, last = PLAN
    for name in most:
        result_path(tmp_path, name).touch()
        progress.note(name)
    resumed = Progress.resume(tmp_path)
    assert resumed.done == most
    resumed.note(last)
    assert Progress.resume(tmp_path).done == []
    assert not (tmp_path / UNFINISHED).exists()


def test_what_was_deleted_is_measured_again(tmp_path):
    progress = Progress(tmp_path)
    for name in ("sim", "leak"):
        result_path(tmp_path, name).touch()
        progress.note(name)
    result_path(tmp_path, "sim").unlink()
    assert Progress.resume(tmp_path).done == ["leak"]


def test_damaged_progress_is_none(tmp_path):
    for text in ("{", "[]", '{"done": 3}'):
        (tmp_path / UNFINISHED).write_text(text)
        assert Progress.resume(tmp_path).done == []


def test_times_are_said_as_people_say_them():
    assert [minutes_text(value) for value in (0.2, 0.999, 1.0, 52.04)] == [
        "12 s",
        "60 s",
        "1.0 min",
        "52.0 min",
    ]


# --- headlines


def test_every_benchmark_has_a_headline_and_each_is_in_a_real_result(full, quick):
    assert {headline.benchmark for headline in HEADLINES} == set(PLAN)
    names = [headline.name for headline in HEADLINES]
    assert len(set(names)) == len(names)
    assert not set(names) - full.keys() - quick.keys()


def test_figures_are_where_the_table_says(full, quick):
    sim = Result.read(RESULTS / "sim.json").figures
    factor = full["sim.real_time_factor"]
    assert (factor.value, factor.low, factor.high) == (20.579, 20.176, 21.561)
    assert factor.value == sim["one_process"]["real_time_factor"]["median"]
    assert (full["convert.long_bag"].low, full["convert.long_bag"].high) == (1.417, 1.596)
    assert full["convert.memory"].value == pytest.approx(0.39)
    assert full["train.equal_backbone_bf16"].value == 2.3566
    assert full["infer.docking_compiled"].value == pytest.approx(0.4266 / 0.7315)
    assert full["infer.docking_time"].value == pytest.approx(2.8047 / 25.0)
    leak = Result.read(RESULTS / "quick" / "leak.json").figures["state: goal"]
    assert quick["leak.state"].value == pytest.approx(leak["wilson_low"] / leak["chance"])
    loop = Result.read(RESULTS / "quick" / "loop.json").figures
    allowed = loop["empty_timer"]["p99_9_ms"] + 1.0
    assert quick["loop.p99_9"].value == pytest.approx(loop["commands"]["p99_9_ms"] / allowed)
    assert quick["record.lost"].value == 0.0
    for figure in (*full.values(), *quick.values()):
        assert figure.low <= figure.value <= figure.high, figure.name


def test_limits_are_those_of_the_benchmarks():
    limits = {headline.name: headline.limit for headline in HEADLINES}
    assert limits["sim.real_time_factor"] == simulation.REAL_TIME_FACTOR
    assert limits["sim.two_cores"] == simulation.SPEED_UP
    assert limits["convert.episodes"] == convert.MAX_RATIO
    assert limits["convert.two_processes"] == convert.MIN_SPEED_UP
    assert limits["infer.docking"] == infer.MAX_RATIO
    (docking_time,) = (each for each in HEADLINES if each.name == "infer.docking_time")
    assert docking_time.over == infer.MAX_MS
    assert limits["train.equal_backbone_bf16"] == train.MIN_RATIO


def test_a_limit_is_met_from_its_own_side(full, quick):
    assert full["sim.real_time_factor"].within_limit is True
    assert full["infer.act"].within_limit is False
    assert full["train.equal_sizes_bf16"].within_limit is None
    assert quick["sim.real_time_factor"].within_limit is None  # a look does not say


def test_what_is_not_in_a_result_is_no_figure(quick):
    result = Result.read(RESULTS / "quick" / "load.json")
    without = {key: value for key, value in result.figures.items() if key != "peer"}
    found = figures_of([dataclasses.replace(result, figures=without)])
    assert set(found) == {"load.memory", "load.mapped"}
    assert {"load.times_lerobot_image", "load.times_lerobot_video"} <= quick.keys()
    none_docked = {
        "real_time_chunking": {"0 ms added": {"successes": 0}, "300 ms added": {"successes": 0}}
    }
    assert not figures_of([dataclasses.replace(result, benchmark="seams", figures=none_docked)])


def test_results_of_another_kind_are_refused(folder):
    with pytest.raises(
        BenchSuiteError, match=r"sim\.json is a result .* without --quick, expected"
    ):
        read_results(folder, quick=True)
    result_path(folder, "sim").write_text("{}")
    with pytest.raises(BenchSuiteError, match="no result of a benchmark"):
        read_results(folder, quick=False)


# --- stored figures


def changed(figure, factor):
    return dataclasses.replace(
        figure, value=figure.value * factor, low=figure.low * factor, high=figure.high * factor
    )


def verdict(now, stored, factor=1.0):
    (change,) = compare({now.name: changed(now, factor)}, {now.name: Stored.of(stored)})
    return change.verdict


def test_a_change_counts_beyond_the_tolerance_alone(full):
    samples = full["train.equal_backbone_float32"]
    assert [verdict(samples, samples, factor) for factor in (0.8, 0.87, 1.0, 1.14, 1.2)] == [
        "worse",
        "same",
        "same",
        "same",
        "better",
    ]
    ratio = full["infer.act"]  # lower is better
    assert [verdict(ratio, ratio, factor) for factor in (0.8, 1.0, 1.2)] == [
        "better",
        "same",
        "worse",
    ]


def test_the_tolerance_grows_with_the_spread_up_to_a_half(full):
    two_cores = full["sim.two_cores"]  # 1.862, the lowest round 1.3
    assert [verdict(two_cores, two_cores, factor) for factor in (0.75, 0.65)] == ["same", "worse"]
    docking = full["infer.docking"]  # the highest round is twice the median
    assert [verdict(docking, docking, factor) for factor in (1.45, 1.55)] == ["same", "worse"]


def test_any_loss_is_more_than_none(quick):
    lost = quick["record.lost"]
    one = dataclasses.replace(lost, value=1e-4, low=1e-4, high=1e-4)
    assert verdict(lost, lost) == "same"
    assert verdict(one, lost) == "worse"
    assert verdict(lost, one) == "better"


def test_another_machine_is_not_held_against_this_one_where_its_speed_counts(full):
    def elsewhere(figure):
        machine = {**figure.result.machine, "cores": 64}
        result = dataclasses.replace(figure.result, machine=machine)
        return dataclasses.replace(figure, result=result)

    factor, ratio = full["sim.real_time_factor"], full["infer.act"]
    assert verdict(factor, elsewhere(factor), 0.1) == "other machine"
    assert verdict(ratio, elsewhere(ratio), 3.0) == "worse"


def test_missing_and_new_figures_are_named(full):
    factor, ratio = full["sim.real_time_factor"], full["infer.act"]
    changes = compare({factor.name: factor}, {ratio.name: Stored.of(ratio)})
    assert {change.name: change.verdict for change in changes} == {
        factor.name: "new",
        ratio.name: "missing",
    }


def test_stored_figures_are_read_back_and_kinds_are_kept_apart(tmp_path, full, quick):
    path = tmp_path / "docs" / "benchmarks.json"
    write_reference(path, full, quick=False)
    write_reference(path, {"record.lost": quick["record.lost"]}, quick=True)
    stored = read_reference(path, quick=False)
    assert set(stored) == set(full)
    assert stored["sim.two_cores"] == Stored.of(full["sim.two_cores"])
    assert stored["sim.two_cores"].machine == {"cpu": "Intel(R) Xeon(R) Processor", "cores": 2}
    assert set(read_reference(path, quick=True)) == {"record.lost"}
    later = changed(full["sim.two_cores"], 2.0)
    write_reference(path, {later.name: later}, quick=False)
    again = read_reference(path, quick=False)
    assert again.keys() == stored.keys()
    assert again["sim.two_cores"].value == pytest.approx(2.0 * stored["sim.two_cores"].value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no stored figures"),
        ("[]", "no stored figures"),
        ('{"format": 2}', "has format 2, expected 1"),
        ('{"format": 1, "full": {"sim.two_cores": {"speed": 3}}, "quick": {}}', "no stored figu"),
    ],
)
def test_damaged_stored_figures_are_refused(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(BenchSuiteError, match=message):
        read_reference(path, quick=False)


# --- the commands


def test_check_tells_what_got_worse(folder, tmp_path, capsys):
    file = tmp_path / "reference.json"
    arguments = ["bench", "check", "--out", str(folder), "--reference", str(file)]
    assert main(arguments) == 1
    assert f"{file} does not exist" in capsys.readouterr().err
    assert main([*arguments, "--store"]) == 0
    assert main(arguments) == 0
    capsys.readouterr()
    values = json.loads(file.read_text())
    values["full"]["infer.act"]["value"] /= 2.0  # it was twice as good once
    values["full"]["seams.linear"] = values["full"]["infer.act"]
    file.write_text(json.dumps(values))
    assert main([*arguments, "--json", str(tmp_path / "verdicts.json")]) == 1
    lines = capsys.readouterr().out.splitlines()
    worst = r"worse +infer\.act +0\.553 \(0\.523 to 0\.566\) +0\.276 +-100 % +50 %"
    assert re.fullmatch(worst, lines[1])
    assert "missing, stored but not measured: seams.linear" in lines
    assert "stored figures are of: Intel(R) Xeon(R) Processor, 2 cores" in lines
    verdicts = {each["name"]: each for each in json.loads((tmp_path / "verdicts.json").read_text())}
    assert verdicts["infer.act"]["verdict"] == "worse"
    assert verdicts["sim.two_cores"]["verdict"] == "same"
    # Those of a look are compared with those of a look.
    assert main([*arguments, "--quick", "--store"]) == 0
    assert main([*arguments, "--quick"]) == 0
    output = capsys.readouterr().out
    assert "measured on a busy machine (load average before): " in output
    assert "loop (3.4)" in output


def test_without_results_check_says_how_to_get_them(tmp_path, capsys):
    assert main(["bench", "check", "--quick", "--out", str(tmp_path)]) == 1
    assert "holds no results; measure with vla bench all --quick" in capsys.readouterr().err


def test_the_plan_is_listed_and_nothing_is_measured(tmp_path, capsys):
    arguments = ["--list", "--only", "seams", "sim", "--out", str(tmp_path / "x")]
    assert main(["bench", "all", *arguments]) == 0
    first, second, total = capsys.readouterr().out.splitlines()
    assert first.endswith("vla bench sim")
    assert "vla bench seams --modes" in second
    assert total == "6.0 min in all"
    assert not (tmp_path / "x").exists()


# --- the page


def test_the_page_has_every_figure_its_run_and_a_picture(folder, tmp_path, full):
    docs = tmp_path / "benchmarks.md"
    docs.write_text("# Before\n\n<!-- table -->\nNot yet.\n<!-- /table -->\n\nAfter\n")
    file = tmp_path / "none.json"
    arguments = ["--out", str(folder), "--reference", str(file), "--docs", str(docs)]
    assert main(["bench", "check", *arguments]) == 0
    text = docs.read_text()
    assert text.startswith("# Before\n\n<!-- table -->\n| figure | what | over | ratio |")
    assert text.endswith("<!-- /table -->\n\nAfter\n")
    assert "| 20.6 (20.2 to 21.6) | higher | at least 20 | yes |" in text
    assert "| 0.553 (0.523 to 0.566) | lower | at most 0.5 | **no** |" in text
    assert "| `sim` | 2026-11-22 05:11 | – | 1.1, 2.3 | 2 cores, Intel(R) Xeon(R) Proc" in text
    rows = re.findall(r"^\| `(\w+\.\w+)` \|", text, re.MULTILINE)
    assert rows == list(full)
    assert "Not measured yet: `leak`, `load`, `record`, `loop`, `seams`.\n" in text
    assert "](images/benchmarks.svg)" in text
    picture = (tmp_path / "images" / "benchmarks.svg").read_text()
    assert "infer.act" in picture
    assert "limit missed" in picture
    assert main(["bench", "check", *arguments]) == 0
    assert (tmp_path / "images" / "benchmarks.svg").read_text() == picture


def test_a_page_without_a_place_is_refused_before_anything_is_measured(tmp_path, capsys):
    docs = tmp_path / "benchmarks.md"
    docs.write_text("# Nothing\n")
    out = tmp_path / "x"
    assert main(["bench", "all", "--quick", "--out", str(out), "--docs", str(docs)]) == 1
    assert "no place for the table" in capsys.readouterr().err
    assert not out.exists()


def test_margins_are_beyond_one_on_the_good_side(full, quick):
    margins = page.margins(full.values())
    value, low, high = margins["infer.act"]  # 0.553 where 0.5 is the limit
    assert value == pytest.approx(0.5 / 0.5528)
    assert low < value < high < 1.0
    assert margins["sim.real_time_factor"][0] == pytest.approx(20.579 / 20.0)
    assert "train.equal_sizes_bf16" not in margins  # no limit
    assert not page.margins(quick.values())


def test_ratios_have_the_digits_that_are_of_interest():
    assert [
        page.ratio_text(value) for value in (0.0, 0.07863, 0.5528, 2.0028, 20.58, 99.7, 1708.3)
    ] == [
        "0",
        "0.0786",
        "0.553",
        "2.00",
        "20.6",
        "100",
        "1,708",
    ]


def test_the_page_of_the_documentation_can_receive_figures():
    check_docs(ROOT / "docs" / "benchmarks.md")


def test_the_stored_figures_of_the_repository_are_headlines():
    known = {headline.name: headline for headline in HEADLINES}
    for is_quick in (False, True):
        for name, stored in read_reference(ROOT / DEFAULT_REFERENCE, is_quick).items():
            assert name in known
            assert stored.low <= stored.value <= stored.high
            assert stored.measured


# --- with real benchmarks


def test_a_benchmark_is_measured_stored_and_compared(tmp_path, capfd):
    out, file = tmp_path / "bench", tmp_path / "reference.json"
    assert main(["bench", "all", "--quick", "--only", "sim", "--out", str(out)]) == 0
    printed = capfd.readouterr()
    assert "sim.real_time_factor" in printed.out
    assert re.search(r"sim \(1 of 1\): about 12 s\nsim done in", printed.err)
    found = figures_of(read_results(out / "quick", quick=True).values())
    assert set(found) == {"sim.real_time_factor", "sim.two_cores"}
    assert found["sim.real_time_factor"].value > 0.0
    result = found["sim.two_cores"].result
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", result.measured)
    assert result.took_s > 0.0
    assert {path.name for path in (out / "quick").iterdir()} == {"sim.json", "sim.log"}
    check = ["bench", "check", "--quick", "--out", str(out), "--reference", str(file)]
    assert main([*check, "--store"]) == 0
    assert main(check) == 0


def test_one_that_fails_is_reported_and_the_rest_goes_on(tmp_path, capfd):
    out = tmp_path / "bench"
    arguments = ["--only", "train", "load", "--peer=-x", "--out", str(out)]  # no name of a folder
    assert main(["bench", "all", *arguments]) == 1
    printed = capfd.readouterr()
    reason = "code 2: vla bench {}: error: argument --peer: expected one argument"
    assert printed.out.splitlines() == [
        f"failed: {name}: {reason.format(name)}" for name in ("load", "train")
    ]
    for number, name in enumerate(("load", "train"), 1):
        assert f"{name} ({number} of 2): about " in printed.err
        assert f"{reason.format(name)}; see {out / name}.log" in printed.err
        assert (out / "work" / name).is_dir()
    assert not read_results(out, quick=False)


def test_one_that_hangs_is_ended_and_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "_LIMIT_FACTOR", 0.0)
    monkeypatch.setattr(campaign, "_LIMIT_OFFSET_MIN", 0.01)
    before = set(psutil.Process().children(recursive=True))
    lines = []
    failed = campaign.measure(["sim"], Options(tmp_path, quick=True), lines.append)
    assert failed == {"sim": "it was not finished after 1 s, and was ended"}
    assert lines[1].startswith("sim failed after ")
    assert not result_path(tmp_path, "sim").exists()
    assert set(psutil.Process().children(recursive=True)) <= before


def test_an_interrupted_call_leaves_no_process_and_is_gone_on_with(vla, tmp_path, capsys):
    out = tmp_path / "bench"
    program = vla("bench", "all", "--quick", "--out", out)
    program.wait_for("leak (2 of", timeout_s=120.0)
    program.signal(signal.SIGINT)
    assert program.wait(90.0) == 130
    assert program.orphans() == []
    assert Progress.resume(out / "quick").done == ["sim"]
    arguments = ["bench", "all", "--quick", "--list", "--out", str(out)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("vla bench leak --quick")
    assert main([*arguments, "--again"]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("vla bench sim --quick")
