"""What commands say about a trial, and what trials say about a kind of fault."""

import json

import pytest

from vla_bringup.faults.errors import CampaignError
from vla_bringup.faults.plan import Trial
from vla_bringup.faults.results import Result, ResultsFile
from vla_bringup.faults.summary import summarize, table
from vla_bringup.faults.verdicts import Seen, judge

FAULT_NS = 10**18
CAMPAIGN = {"trials": 3, "seed": 1, "kinds": ["a"]}


def seen(*events):
    """Commands at milliseconds after the fault: (ms, speed) or (ms, speed, foreign)."""
    return [
        Seen(FAULT_NS + round(1e6 * ms), (speed, 0.0), *foreign) for ms, speed, *foreign in events
    ]


def test_the_first_zero_after_the_last_motion_counts():
    verdict = judge(seen((-50, 0.3), (0.5, 0.3), (40, 0.0), (90, 0.0)), FAULT_NS, 0.0)
    assert verdict.rest_s == pytest.approx(0.04)
    assert not verdict.unsafe
    assert not verdict.resumed


def test_turning_is_motion_too():
    commands = [Seen(FAULT_NS + 10**6, (0.0, 0.1)), Seen(FAULT_NS + 10**8 + 2, (0.0, 0.0))]
    assert judge(commands, FAULT_NS, 0.0).unsafe


@pytest.mark.parametrize(("zero_ms", "unsafe"), [(99, False), (101, True)])
def test_the_limit(zero_ms, unsafe):
    assert judge(seen((1, 0.3), (zero_ms, 0.0)), FAULT_NS, 0.0).unsafe is unsafe
    assert judge(seen((1, 0.3), (zero_ms + 250, 0.0)), FAULT_NS, 0.25).unsafe is unsafe


def test_silence_is_no_stop():
    verdict = judge(seen((1, 0.3), (50, 0.3)), FAULT_NS, 0.0)
    assert verdict.rest_s is None
    assert verdict.unsafe


def test_zeros_from_before_the_fault_are_none_of_it():
    assert judge(seen((-10, 0.0)), FAULT_NS, 0.0).unsafe


def test_motion_that_resumes_is_unsafe():
    verdict = judge(seen((20, 0.0), (400, 0.2), (450, 0.0)), FAULT_NS, 0.0)
    assert verdict.resumed
    assert verdict.unsafe
    assert verdict.rest_s == pytest.approx(0.45)


def test_a_zero_before_it_is_due_may_be_followed_by_motion():
    verdict = judge(seen((20, 0.0), (60, 0.2), (300, 0.0)), FAULT_NS, 0.25)
    assert not verdict.resumed
    assert not verdict.unsafe


def test_every_command_of_somebody_else_is_answered():
    foreign = [(1, 0.2, True), (6, 0.0), (60, 0.2, True), (95, 0.0), (100, 0.0)]
    verdict = judge(seen(*foreign), FAULT_NS, 0.0)
    assert verdict.rest_s == pytest.approx(0.035)
    assert not verdict.unsafe
    assert judge(seen(*foreign, (200, 0.2, True)), FAULT_NS, 0.0).unsafe, "the last one was not"


def result(index, rest_s=0.03, **changes):
    values = {"kind": "a", "seed": 100 + index, "rest_s": rest_s, **changes}
    return Result(index, **values)


def test_a_campaign_goes_on_where_it_was_killed(tmp_path):
    path = tmp_path / "out" / "faults.jsonl"
    trials = tuple(Trial(index, "a", 100 + index) for index in range(3))
    file = ResultsFile(path, CAMPAIGN, resume=False)
    file.add(result(0))
    file.add(result(1, reason="was killed"))
    path.write_text(path.read_text() + '{"index": 2, "kin')

    again = ResultsFile(path, CAMPAIGN, resume=True)
    assert again.results == file.results
    assert again.left_of(trials) == trials[2:]
    again.add(result(2))
    assert ResultsFile(path, CAMPAIGN, resume=True).left_of(trials) == ()
    assert json.loads(path.read_text().splitlines()[0]) == {"campaign": CAMPAIGN}


def test_no_results_are_overwritten_or_mixed(tmp_path):
    path = tmp_path / "faults.jsonl"
    ResultsFile(path, CAMPAIGN, resume=False)
    with pytest.raises(CampaignError, match="exists already"):
        ResultsFile(path, CAMPAIGN, resume=False)
    with pytest.raises(CampaignError, match="of a campaign with seed 1, not 2"):
        ResultsFile(path, CAMPAIGN | {"seed": 2}, resume=True)
    path.write_text('{"something": "else"}\n')
    with pytest.raises(CampaignError, match="no file of a fault campaign"):
        ResultsFile(path, CAMPAIGN, resume=True)


def test_figures_per_kind():
    results = [result(index, rest_s=0.25 + 0.001 * index, allowance_s=0.25) for index in range(99)]
    results += [result(99, rest_s=None, unsafe=True), result(100, problem="nobody took the goal")]
    results.append(result(101, kind="b", rest_s=0.2, allowance_s=0.25))
    a, b, every = summarize(results, ["a", "unused", "b"])
    assert (a.name, a.trials, a.unsafe, a.failed, a.unsafe_seeds) == ("a", 100, 1, 1, (199,))
    assert a.median_s == pytest.approx(0.049)
    assert a.max_s == pytest.approx(0.098)
    assert a.unsafe_high == pytest.approx(0.05446, abs=1e-4), "Wilson's, 1 of 100"
    assert b.max_s == 0.0, "sooner than it had to be"
    assert (every.name, every.trials) == ("all", 101)
    assert "| a | 100 | 49 ms |" in table((a, b, every))
    assert a.to_dict()["unsafe_seeds"] == [199]
