from dataclasses import replace

import numpy as np
import pytest

from vla_core.frames import Frame
from vla_core.keys import IMAGE, ODOMETRY, SCAN
from vla_training.errors import EvaluationError
from vla_training.evaluation.disturbance import disturbance_names, make_disturbances
from vla_training.evaluation.evaluate import evaluate
from vla_training.evaluation.figures import disturbance_figures
from vla_training.evaluation.report import summary_table

NAMES = ("shuffle_image", "shuffle_odometry", "no_scan")


@pytest.fixture(scope="module")
def disturbances(bundle):
    return make_disturbances(NAMES, bundle.contract, "single")


def frame_of(contract, tick_ns=0):
    arrays = {s.key: np.full(s.shape, 7, s.dtype) for s in contract.streams}
    count = len(contract.streams)
    return Frame(tick_ns, arrays, np.ones(count, bool), np.zeros(count, np.int64))


def test_names_follow_the_contract(bundle):
    names = disturbance_names(bundle.contract)
    assert len(names) == 2 * len(bundle.contract.streams)
    assert {"shuffle_image", "no_odometry"} <= set(names)


def test_a_shuffled_stream_is_another_moment_and_all_else_stays(disturbances, bundle):
    frame = frame_of(bundle.contract)
    seen = disturbances["shuffle_image"](frame, seed=5)
    donors = disturbances["shuffle_image"].donors
    assert any(np.array_equal(seen.arrays[IMAGE], donor) for donor in donors)
    for key in (SCAN, ODOMETRY):
        assert seen.arrays[key] is frame.arrays[key]
    assert seen.valid.all()
    assert (frame.arrays[IMAGE] == 7).all()


def test_donors_are_many_and_what_a_robot_sees(disturbances):
    images = disturbances["shuffle_image"].donors
    assert len({image.tobytes() for image in images}) > 50
    motion = disturbances["shuffle_odometry"].donors
    # Moments of driving and of standing, turning either way.
    assert motion[:, 0].max() > 0.2
    assert motion[:, 0].min() < 0.1
    assert motion[:, 1].min() < 0.0 < motion[:, 1].max()


def test_which_moment_is_drawn_by_seed_and_tick(disturbances, bundle):
    shuffle = disturbances["shuffle_odometry"]

    def drawn(seed, tick):
        frame = frame_of(bundle.contract, tick * 50_000_000)
        return shuffle(frame, seed).arrays[ODOMETRY].tobytes()

    assert drawn(3, 4) == drawn(3, 4)
    assert len({drawn(3, tick) for tick in range(20)}) > 10
    assert len({drawn(seed, 4) for seed in range(20)}) > 10


def test_a_missing_stream_is_marked(disturbances, bundle):
    frame = frame_of(bundle.contract)
    seen = disturbances["no_scan"](frame, seed=0)
    assert dict(zip(bundle.contract.keys, seen.valid, strict=True)) == {
        IMAGE: True,
        SCAN: False,
        ODOMETRY: True,
    }
    assert not seen.arrays[SCAN].any()
    assert frame.valid.all()


def test_an_evaluation_runs_every_seed_again(bundle):
    names = ["shuffle_scan"]
    report = evaluate(bundle.path, "single", 2, disturb=names, jobs=1, progress=False)
    plain = evaluate(bundle.path, "single", 1, jobs=1, progress=False)
    assert report.results[:1] == plain.results
    seeds = [result.seed for result in report.results]
    assert [(r.disturbance, r.seed) for r in report.disturbed] == [(names[0], s) for s in seeds]
    again = evaluate(bundle.path, "single", 2, disturb=names, jobs=2, progress=False)
    assert again.disturbed == report.disturbed
    # It changed what the robot did.
    for result, own in zip(report.disturbed, report.results, strict=True):
        assert result.longitudinal_error_mm != own.longitudinal_error_mm
    values = report.to_dict()
    assert set(values["disturbed"]) == set(names)
    assert len(values["disturbed_records"]) == 2
    assert names[0] in {name for name, _ in summary_table(report)}
    assert "disturbed" not in plain.to_dict()


def test_costs_are_those_of_paired_seeds(bundle):
    expert = evaluate("expert", "single", 4, jobs=1, progress=False).results
    worse = [replace(r, success=index > 0, disturbance="x") for index, r in enumerate(expert)]
    figures = disturbance_figures(expert, worse)
    assert (figures["lost"], figures["gained"], figures["cost_points"]) == (1, 0, 25.0)
    assert figures["cost_points_low"] < 25.0 < figures["cost_points_high"]
    assert disturbance_figures(worse, expert)["cost_points"] == -25.0
    assert disturbance_figures(expert, expert)["cost_points"] == 0.0


def test_mistakes_are_told_before_anything_starts(bundle):
    with pytest.raises(EvaluationError, match=r"'shuffle_sonar' is unknown; choose of .*no_scan"):
        evaluate(bundle.path, episodes=1, disturb=["shuffle_sonar"])
    with pytest.raises(EvaluationError, match="driver expert is no bundle"):
        evaluate("expert", episodes=1, disturb=["shuffle_image"])
