import io
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from distributed import LocalCluster
from html_pages import Page
from PIL import Image

from vla_core.geometry import Pose2D
from vla_simulation.config import CONTROL_PERIOD_S
from vla_simulation.environment import DockingEnv
from vla_training.errors import EvaluationError
from vla_training.evaluation.drivers import ExpertDriver
from vla_training.evaluation.evaluate import evaluate
from vla_training.evaluation.figures import START_BINS, start_bins
from vla_training.evaluation.gallery import LAST_S, ClipJob, choose_failures, film
from vla_training.evaluation.report import EvaluationConfig, EvaluationReport
from vla_training.evaluation.report_page.page import evaluation_page, write_page
from vla_training.evaluation.report_page.plans import Window
from vla_training.evaluation.rollouts import run_episode
from vla_training.evaluation.traces import PLAN_TICKS, POSE_TICKS, Tracer

SENTENCE = "dock at the <b>red</b> & white charger"


@pytest.fixture(scope="module")
def report():
    """Eight episodes of the expert with their ways, three of them called failures."""
    found = evaluate("expert", "nominal", episodes=8, jobs=1, trace=True, progress=False)
    outcomes = {1: "collision", 4: "timeout", 6: "timeout"}
    results = [
        replace(
            result,
            success=number not in outcomes,
            outcome=outcomes.get(number, result.outcome),
            collision_with="robot and <post>" if number == 1 else "",
            instruction=SENTENCE,
            interventions={"acceleration": number},
        )
        for number, result in enumerate(found.results)
    ]
    return replace(found, results=tuple(results))


@pytest.fixture(scope="module")
def clip():
    result = evaluate("expert", "nominal", episodes=1, jobs=1, progress=False).results[0]
    return film(ClipJob(EvaluationConfig("expert"), result)), result


def test_traces_are_the_ways_driven(report):
    for result, trace in zip(report.results, report.traces, strict=True):
        assert trace.seed == result.seed
        ticks = round(result.time_s / CONTROL_PERIOD_S)
        assert len(trace.poses) == ticks // POSE_TICKS + 2
        start, end = trace.poses[0], trace.poses[-1]
        assert np.hypot(*start[:2]) == pytest.approx(result.start_distance_m, abs=1e-5)
        assert np.degrees(start[2]) == pytest.approx(result.start_heading_deg, abs=1e-4)
        errors = (result.longitudinal_error_mm, result.lateral_error_mm)
        assert end[:2] * 1e3 == pytest.approx(errors, abs=1e-3)
        assert trace.plans == ()  # the expert says nothing


def test_a_trace_changes_nothing_and_without_one_there_is_none(report):
    plain = evaluate("expert", "nominal", episodes=2, jobs=1, progress=False)
    assert plain.traces == ()
    assert plain.results[0] == replace(
        report.results[0], instruction=plain.results[0].instruction, interventions={}
    )


def test_plans_begin_where_the_robot_is():
    class Straight(ExpertDriver):
        """Says that it goes straight ahead."""

        def planned(self, env):
            return np.tile([0.2, 0.0], (10, 1))

    env, driver = DockingEnv("nominal", render=False), Straight()
    try:
        tracer = Tracer(env, driver)
        run_episode(env, driver, 3, watch=tracer)
    finally:
        env.close()
    trace = tracer.trace()
    for number, plan in enumerate(trace.plans[:5]):
        pose = trace.poses[number * PLAN_TICKS // POSE_TICKS]
        assert plan[0] == pytest.approx(pose)
        ahead = Pose2D(*plan[0].tolist()) @ Pose2D(0.2 * 10 * CONTROL_PERIOD_S)
        assert plan[-1] == pytest.approx((ahead.x, ahead.y, ahead.yaw), abs=1e-5)


def test_start_bins_hold_every_episode_once(report):
    bins = start_bins(report.results)
    assert set(bins) == set(START_BINS)
    for name, parts in bins.items():
        field, width, _ = START_BINS[name]
        assert sum(part["episodes"] for part in parts) == len(report.results)
        assert sum(part["successes"] for part in parts) == 5
        for part in parts:
            inside = [part["low"] <= getattr(r, field) < part["high"] for r in report.results]
            assert sum(inside) == part["episodes"]
            assert part["high"] - part["low"] == pytest.approx(width)
    straight = next(part for part in bins["bearing_deg"] if part["low"] < 0 < part["high"])
    assert (straight["low"], straight["high"]) == (-5.0, 5.0)
    assert report.to_dict()["by_start"] == bins


def test_failures_are_chosen_from_every_kind(report):
    def failed(seed, outcome):
        return replace(report.results[0], seed=seed, success=False, outcome=outcome)

    many = [failed(seed, "timeout") for seed in range(20)]
    rare = [failed(30, "collision"), failed(31, "wrong_station")]
    chosen = choose_failures([*many, *rare, report.results[0]], 4)
    assert {result.outcome for result in chosen} == {"timeout", "collision", "wrong_station"}
    assert len(chosen) == 4
    assert choose_failures([report.results[0]], 4) == []


def test_a_clip_is_the_end_of_the_very_same_episode(clip):
    (film_of_it, result) = clip
    assert film_of_it.result == result
    moving = Image.open(io.BytesIO(film_of_it.moving))
    period_s = 0.2
    assert moving.n_frames == int(LAST_S / period_s) + 1
    moving.seek(moving.n_frames - 1)
    last = np.asarray(Image.open(io.BytesIO(film_of_it.last)), float)
    assert last.shape == (418, 720, 3)
    assert np.abs(np.asarray(moving.convert("RGB"), float) - last).mean() < 6.0
    moving.seek(0)
    assert np.abs(np.asarray(moving.convert("RGB"), float) - last).mean() > 1.0
    # A robot that has docked is charging, and its picture is no empty one.
    assert last.std() > 20.0


def test_the_page_stands_alone_and_shows_every_episode(report, clip):
    text = evaluation_page({"nominal": report}, {"nominal": [clip[0]]})
    page = Page(text)
    for _, name, value in page.attributes:
        if name in ("src", "href", "data", "action"):
            assert value.startswith("data:image/")
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "url(" not in text
    assert "@import" not in text
    kinds = [value for tag, name, value in page.attributes if (tag, name) == ("polyline", "class")]
    # All of them in the wide plan and in the close one, failures above the others.
    assert len(kinds) == 2 * len(report.results)
    assert kinds[:8] == ["docked"] * 5 + ["collision", "timeout", "timeout"]
    shown = " ".join(page.texts)
    for words in (
        "62.5 %",
        "5 of 8",
        "3 of 8 episodes failed: 2 ran out of time, 1 collided.",
        "collided: robot and <post>",
        SENTENCE,
        "acceleration",
        "start bearing",
        "vla sim --policy expert --suite nominal --seed 1000001 --view",
    ):
        assert words in shown
    low, high = report.to_dict()["wilson_low"], report.to_dict()["wilson_high"]
    assert f"95 % {100 * low:.1f} to {100 * high:.1f} %" in shown
    assert "<b>red" not in text


def test_a_page_of_several_suites_without_failures(report, tmp_path):
    good = [replace(result, success=True, outcome="docked") for result in report.results]
    other = EvaluationReport(EvaluationConfig("expert", "slip"), tuple(good), 1.0, (), (), ())
    path = tmp_path / "below" / "page.html"
    write_page(evaluation_page({"nominal": report, "slip": other}, {}), path)
    shown = " ".join(Page(path.read_text("utf-8")).texts)
    assert shown.count("Failures") == 2
    assert "None." in shown
    assert "Suites" in shown
    (tmp_path / "file").write_text("")
    with pytest.raises(EvaluationError, match="cannot be written"):
        write_page("", tmp_path / "file" / "page.html")


def test_points_are_where_they_belong_in_a_plan():
    window = Window(front_m=2.0, beyond_m=0.5, side_m=1.0, grid_m=0.5)
    dock, ahead, left = window.place(np.array([[0.0, 0.0], [0.4, 0.0], [-1.0, 0.5]]))
    assert ahead[1] < dock[1] < left[1]  # the station is at the top
    assert left[0] < dock[0]
    assert window.place(np.array([[0.5, 1.0], [-2.0, -1.0]])).tolist() == [
        [0.0, 0.0],
        [pytest.approx(420.0), pytest.approx(window.height)],
    ]


def test_a_dask_cluster_gives_the_same_episodes():
    """Two workers in threads: each has a simulator of its own."""
    with LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp",
        dashboard_address=None,
    ) as cluster:
        there = evaluate(
            "expert", episodes=4, swap=True, scheduler=cluster.scheduler_address, progress=False
        )
    here = evaluate("expert", episodes=4, swap=True, jobs=1, progress=False)
    assert there.results == here.results
    assert there.swapped == here.swapped


def test_no_scheduler_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr("vla_training.executors.CONNECTION_TIMEOUT_S", 0.5)
    with pytest.raises(EvaluationError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:1 "):
        evaluate("expert", episodes=1, scheduler="tcp://127.0.0.1:1", progress=False)


def test_long_ways_do_not_make_the_page_long(report):
    """What nobody can see is left out of a polyline."""
    standing = SimpleNamespace(
        seed=1, poses=np.repeat(report.traces[0].poses[:1], 600, axis=0), plans=()
    )
    text = evaluation_page({"nominal": replace(report, traces=(standing, *report.traces[1:]))}, {})
    points = [found.count(",") for found in re.findall(r'<polyline[^>]*points="([^"]*)"', text)]
    assert min(points) == 2
