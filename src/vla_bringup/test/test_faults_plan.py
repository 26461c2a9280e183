"""Which trials a fault campaign consists of, and how its kinds are described."""

from collections import Counter
from itertools import pairwise

import pytest

from vla_bringup.faults.errors import CampaignError
from vla_bringup.faults.kinds import KINDS, Allowance, Delays, Stack, chosen
from vla_bringup.faults.plan import plan
from vla_bringup.resources import default_contract
from vla_core.contract import Contract

EVERY = chosen(None)


def test_the_seed_decides_everything():
    first, second, other = plan(300, 7, EVERY), plan(300, 7, EVERY), plan(300, 8, EVERY)
    assert first == second
    assert [trial.draw() for trial in first] == [trial.draw() for trial in second]
    assert [trial.kind for trial in first] != [trial.kind for trial in other]


def test_a_trial_is_repeated_by_its_seed_and_kind():
    trial = plan(300, 7, EVERY)[123]
    (again,) = plan(1, trial.seed, chosen([trial.kind]))
    assert again.kind == trial.kind
    assert again.draw() == trial.draw()


@pytest.mark.parametrize("count", [1, 5, len(EVERY), 110, 2000])
def test_as_many_as_asked_for_and_every_kind_has_its_share(count):
    trials = plan(count, 3, EVERY)
    assert [trial.index for trial in trials] == list(range(count))
    shares = Counter(trial.kind for trial in trials)
    if count >= len(EVERY):
        assert set(shares) == set(KINDS)
    if count == 2000:
        for kind in EVERY:
            share = 2000 * kind.weight / sum(each.weight for each in EVERY)
            assert shares[kind.name] == pytest.approx(share, rel=0.2), kind.name


def test_the_ways_of_running_the_node_change_seldom():
    stacks = [KINDS[trial.kind].stack for trial in plan(1000, 0, EVERY)]
    changes = sum(before is not after for before, after in pairwise(stacks))
    assert changes < 4 * len(Stack)
    assert set(stacks[:250]) == set(Stack), "an interrupted campaign has seen them all"


def test_delays_and_sizes_are_spread():
    draws = [trial.draw() for trial in plan(500, 0, EVERY)]
    assert 0.1 <= min(draw.delay_s for draw in draws) < 0.15
    assert 0.45 < max(draw.delay_s for draw in draws) <= 0.5
    assert len({draw.size for draw in draws}) == 500


def test_what_a_kind_may_take():
    contract = Contract.load(default_contract())
    for kind in EVERY:
        allowance_s = kind.allowance_s(contract, Delays())
        if kind.allowance is Allowance.NONE:
            assert allowance_s == 0.0
        elif kind.allowance is Allowance.MAX_AGE:
            assert allowance_s == contract.stream(kind.stream).max_age_s
        else:
            assert 0.0 < allowance_s < 1.5


def test_unknown_kinds_are_named():
    with pytest.raises(CampaignError, match=r"no fault is called gremlins; expected .*scan_frozen"):
        chosen(["scan_frozen", "gremlins"])
    assert [kind.name for kind in chosen(["scan_frozen", "scan_frozen"])] == ["scan_frozen"]
