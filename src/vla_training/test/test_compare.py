import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from vla_training.errors import EvaluationError
from vla_training.evaluation.bootstrap import bootstrap_interval, mean_of, ratio_of_sums
from vla_training.evaluation.compare import SuccessComparison, compare
from vla_training.evaluation.conclusions import conclusions
from vla_training.evaluation.evaluate import evaluate
from vla_training.evaluation.paired_tests import (
    POWER,
    difference_interval,
    exact_mcnemar,
    holm,
    mcnemar_power,
    pairs_needed,
    smallest_difference,
)
from vla_training.evaluation.report import EvaluationConfig, EvaluationReport
from vla_training.evaluation.results_file import read_results


@pytest.mark.parametrize(
    ("only_a", "only_b"), [(0, 0), (0, 1), (5, 0), (3, 11), (40, 40), (100, 61), (700, 820)]
)
def test_mcnemar_is_a_binomial_test_of_the_disagreements(only_a, only_b):
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert exact_mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_the_interval_of_a_difference_covers_it():
    """95 % of the intervals hold the true difference; for rare disagreements a few more do."""
    rng = np.random.default_rng(1)
    for both, only_a, only_b in ((0.9, 0.02, 0.06), (0.5, 0.2, 0.1), (0.97, 0.01, 0.02)):
        shares = [both, only_a, only_b, 1 - both - only_a - only_b]
        drawn = rng.multinomial(100, shares, size=2000)
        intervals = [difference_interval(a, b, 100) for _, a, b, _ in drawn.tolist()]
        inside = [low <= only_b - only_a <= high for low, high in intervals]
        assert np.mean(inside) >= 0.935
        if only_a >= 0.02:
            assert np.mean(inside) <= 0.98


def exact_power(pairs, better, worse):
    """By SciPy's distributions, every number of disagreements and every split of it."""
    total = 0.0
    for count in range(pairs + 1):
        split = np.arange(count + 1)
        p = np.minimum(1.0, 2 * stats.binom.cdf(np.minimum(split, count - split), count, 0.5))
        found = stats.binom.pmf(split, count, better / (better + worse))[p < 0.05 + 1e-12].sum()
        total += found * stats.binom.pmf(count, pairs, better + worse)
    return total


@pytest.mark.parametrize(
    ("pairs", "better", "worse"),
    [(30, 0.3, 0.1), (100, 0.1, 0.02), (150, 0.05, 0.0), (5, 0.9, 0.1)],
)
def test_power_is_the_exact_tests(pairs, better, worse):
    expected = exact_power(pairs, better, worse)
    assert mcnemar_power(pairs, better, worse) == pytest.approx(expected, abs=1e-6)
    assert mcnemar_power(pairs, worse, better) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("better", "worse"), [(0.10, 0.04), (0.02, 0.0), (0.3, 0.1)])
def test_pairs_needed_are_just_enough(better, worse):
    needed = pairs_needed(better, worse)
    assert mcnemar_power(needed, better, worse) >= POWER
    assert mcnemar_power(needed - 1, better, worse) < POWER
    assert needed == pairs_needed(worse, better)
    # Connor's formula is for the approximate test, which needs a little less.
    difference, disagreeing = better - worse, better + worse
    z, z_power = stats.norm.ppf([0.975, POWER])
    spread = math.sqrt(disagreeing - difference**2)
    formula = (z * math.sqrt(disagreeing) + z_power * spread) ** 2 / difference**2
    assert formula <= needed <= 1.45 * formula


def test_no_difference_needs_no_number_and_a_tiny_one_a_large_number():
    assert pairs_needed(0.05, 0.05) is None
    assert pairs_needed(0.0, 0.0) is None
    assert pairs_needed(0.051, 0.05) == pytest.approx(7.849 * 0.101 / 0.001**2, rel=0.01)


def test_the_smallest_difference_found_is_found():
    for pairs, both_ways in ((100, 0.0), (200, 0.03), (1000, 0.01)):
        difference = smallest_difference(pairs, both_ways)
        assert mcnemar_power(pairs, both_ways + difference, both_ways) >= POWER
        assert mcnemar_power(pairs, both_ways + 0.9 * difference, both_ways) < POWER
    assert smallest_difference(4, 0.0) is None


def test_holm_keeps_the_order():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9]) == [0.9]


def test_bootstrap_intervals_are_scipys():
    rng = np.random.default_rng(3)
    skewed = rng.exponential(2.0, 60)
    ours = bootstrap_interval(skewed[:, None], mean_of(), resamples=20_000)
    theirs = stats.bootstrap(
        (skewed,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(4)
    ).confidence_interval
    assert ours == pytest.approx(theirs, rel=0.02)
    pairs = np.stack([skewed, skewed * rng.uniform(1.0, 3.0, 60)], axis=1)
    ours = bootstrap_interval(pairs, ratio_of_sums(), resamples=20_000)
    theirs = stats.bootstrap(
        (pairs[:, 0], pairs[:, 1]),
        lambda a, b, axis=-1: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(4),
    ).confidence_interval
    assert ours == pytest.approx(theirs, rel=0.02)


def test_bootstrap_of_next_to_nothing():
    assert all(math.isnan(end) for end in bootstrap_interval(np.ones((1, 1)), mean_of()))
    assert bootstrap_interval(np.full((9, 1), 2.5), mean_of()) == (2.5, 2.5)


@pytest.fixture(scope="module")
def expert():
    return evaluate("expert", "nominal", episodes=12, swap=True, jobs=1, progress=False)


def write(report, path, **changes):
    path.write_text(json.dumps({**report.to_dict(), **changes}))
    return path


def worse(report, lost, aside_mm=1.5):
    """The same episodes with some of them lost and all of them less exact."""
    results = [
        replace(
            result,
            success=result.success and number not in lost,
            lateral_error_mm=result.lateral_error_mm
            + math.copysign(aside_mm + 0.1 * (number % 3), result.lateral_error_mm),
        )
        for number, result in enumerate(report.results)
    ]
    config = EvaluationConfig("out/worse", swap=True)
    return EvaluationReport(config, tuple(results), 1.0, report.swapped)


def test_a_worse_policy_is_called_worse(expert, tmp_path):
    a = write(expert, tmp_path / "a.json")
    b = write(worse(expert, lost=range(8)), tmp_path / "b.json")
    (comparison,) = compare(a, b)
    own = comparison.own
    assert (own.pairs, own.both, own.only_a, own.only_b) == (12, 4, 8, 0)
    assert own.p == pytest.approx(2 * 0.5**8)
    assert own.interval[1] < 0.0
    assert comparison.policies == ("expert", "out/worse")
    assert comparison.other.p == 1.0
    lateral = next(m for m in comparison.metrics if m.name == "lateral_error_mm")
    assert (lateral.pairs, lateral.is_decided) == (4, True)
    assert lateral.difference == pytest.approx(1.575, abs=0.1)
    verdict, need, *others = conclusions(comparison, margin=0.02)
    assert "A docks more often than B" in verdict
    assert "A docks in 12 and B in 4 of the same 12 episodes" in verdict
    assert f"with {own.needed} episodes" in need or f"{own.needed} episodes would" in need
    assert any(f"lateral error is larger by {lateral.difference:.3g} mm" in each for each in others)
    json.dumps(comparison.to_dict(), allow_nan=False)


def test_few_episodes_prove_neither_difference_nor_equality(expert, tmp_path):
    a, b = write(expert, tmp_path / "a.json"), tmp_path / "b.json"
    (comparison,) = compare(a, write(worse(expert, lost=[3]), b))
    verdict, need, *_ = conclusions(comparison, margin=0.02)
    assert "neither can be called better, nor can they be called equal" in verdict
    assert comparison.own.needed > 12
    assert f"{comparison.own.needed} episodes would be needed" in need


def test_many_equal_episodes_are_called_equal():
    same = SuccessComparison.of([(True, True)] * 990 + [(False, False)] * 10)
    assert same.p == 1.0
    assert same.needed is None
    assert -0.01 < same.interval[0] < 0.0 < same.interval[1] < 0.01


def test_files_that_do_not_belong_together_are_refused(expert, tmp_path):
    a = write(expert, tmp_path / "a.json")
    short = replace(expert, results=expert.results[:9], swapped=())
    b = write(short, tmp_path / "b.json")
    with pytest.raises(EvaluationError, match=r"b\.json lacks seed .*--common"):
        compare(a, b)
    (common,) = compare(a, b, common=True)
    assert (common.own.pairs, common.other) == (9, None)
    moved = [replace(r, start_distance_m=r.start_distance_m + 0.1) for r in expert.results]
    c = write(replace(expert, results=tuple(moved)), tmp_path / "c.json")
    with pytest.raises(EvaluationError, match="simulator or the suite was changed"):
        compare(a, c)
    d = write(replace(expert, config=EvaluationConfig("expert", "slip")), tmp_path / "d.json")
    with pytest.raises(EvaluationError, match="only equal suites can be compared"):
        compare(a, d)
    later = [replace(result, seed=result.seed + 100) for result in expert.results]
    e = write(replace(expert, results=tuple(later), swapped=()), tmp_path / "e.json")
    with pytest.raises(EvaluationError, match="no seed is in both files"):
        compare(a, e, common=True)


def test_several_suites_adjust_their_p(expert, tmp_path):
    bad = worse(expert, lost=range(8))
    for name, reports in (("a", (expert, expert)), ("b", (bad, worse(expert, lost=[])))):
        suites = {
            suite: {**report.to_dict(), "suite": suite}
            for suite, report in zip(("nominal", "slip"), reports, strict=True)
        }
        (tmp_path / f"{name}.json").write_text(json.dumps({"policy": name, "suites": suites}))
    nominal, slip = compare(tmp_path / "a.json", tmp_path / "b.json")
    assert (nominal.suite, slip.suite) == ("nominal", "slip")
    assert nominal.adjusted_p == pytest.approx(2 * nominal.own.p)
    assert slip.adjusted_p == 1.0


def test_what_limits_a_comparison_is_said(expert, tmp_path):
    a = write(expert, tmp_path / "a.json")
    b = write(expert, tmp_path / "b.json", latency_ticks=4, held_out=False)
    (comparison,) = compare(a, b)
    text = " ".join(conclusions(comparison, margin=0.02))
    assert "latency_ticks differs: 1 for A, 4 for B" in text
    assert "may have been trained on" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "is no evaluation with its records"),
        ('{"suite": "nominal", "records": [{"seed": 1}]}', "swapped is None, expected bool"),
        ("[" * 5000, "is no JSON"),
        ('{"suites": [3]}', r"suites is \[3\], expected a report by name"),
        ('{"suites": {"nominal": 3}}', "is 3, expected a report with its records"),
        ('{"suite": {}, "records": [3]}', "record 0 is 3, expected a mapping"),
        ('{"suite": "nominal", "records": 3}', "is missing or wrong"),
    ],
)
def test_other_files_are_told_apart(content, message, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(EvaluationError, match=message):
        read_results(path)
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_results(tmp_path / "nowhere.json")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, True, "8", None, [8.0]])
def test_a_time_that_is_no_number_is_named(value, expert, tmp_path):
    changed = json.loads(json.dumps(expert.to_dict()))
    changed["records"][1]["time_s"] = value
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(changed))
    with pytest.raises(EvaluationError, match="record 1: time_s is"):
        read_results(path)
