"""The choice of the policy that docks."""

import dataclasses
import json

import numpy as np
import pytest
from dataset_making import episode_rows, write_dataset
from tiny_runs import tiny_config

from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_training.checkpoints import load_checkpoint
from vla_training.dataset.head import SplitChoice
from vla_training.errors import ConfigurationError
from vla_training.evaluation.rollouts import EpisodeResult
from vla_training.onnx_session import load_policy
from vla_training.selection import FIRST_SELECTION_SEED, Selection, policy_in_process, taken_seeds
from vla_training.trainer import Trainer, train
from vla_training.training_checks import check_and_resolve


def episodes(*errors_mm: float | None) -> list[EpisodeResult]:
    """One that docked with an error, or did not, each."""
    fields = {field.name: 0 for field in dataclasses.fields(EpisodeResult)}
    return [
        EpisodeResult(
            **{**fields, "success": error is not None, "lateral_error_mm": error or 500.0}
        )
        for error in errors_mm
    ]


def test_more_successes_win_then_the_smaller_error():
    selection = Selection()
    assert selection.take(1, episodes(None, None))  # the first is the best so far
    assert (selection.successes, selection.step, selection.waited) == (0, 1, 0)
    assert not selection.take(2, episodes(None, None))
    assert selection.waited == 1
    assert selection.take(3, episodes(9.0, None))
    assert (selection.successes, selection.step, selection.waited) == (1, 3, 0)
    assert not selection.take(4, episodes(None, 9.5))
    assert selection.take(5, episodes(None, 3.0))  # better, yet no more successes
    assert (selection.step, selection.error_mm, selection.waited) == (5, 3.0, 2)
    assert selection.take(6, episodes(-19.0, 19.0))
    assert (selection.successes, selection.waited) == (2, 0)
    assert Selection(**selection.to_dict()) == selection


def test_a_run_ends_when_evaluations_do_not_become_better(dataset, tmp_path):
    options = ("steps=40", "validate_every=100", "select.suite=nominal", "select.episodes=1")
    options += ("select.every=2", "select.patience=1")
    config = tiny_config(dataset, tmp_path, *options)
    Trainer(config).run(progress=False, stop_after=2)
    best = load_checkpoint(tmp_path / "best.pt")
    assert best.step == 2
    # Two steps of training do not dock, and two more do neither; the count survives the break.
    result = train(config, resume=True, progress=False)
    assert result.steps == 4
    assert result.selection == {**result.selection, "successes": 0, "step": 2, "waited": 1}
    assert result.best == tmp_path / "best.pt"
    assert load_checkpoint(result.best).step == 2
    assert load_checkpoint(result.checkpoint).step == 4
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert [r["selection"] for r in records] == [
        {"successes": 0, "episodes": 1, "best": 1},
        {"successes": 0, "episodes": 1, "best": 0},
    ]
    # An ended run stays ended; a new one in the same folder forgets the old best policy.
    assert train(config, resume=True, progress=False).steps == 4
    plain = dataclasses.replace(config, steps=1, select=type(config.select)())
    assert train(plain, progress=False).best is None
    assert not (tmp_path / "best.pt").exists()


def test_the_policy_that_drives_is_the_one_that_is_exported(trained, bundle, dataset):
    from vla_core.frames import Frame
    from vla_training.dataset.windows import DockingDataset

    exported, own = load_policy(bundle), policy_in_process(load_checkpoint(trained.checkpoint))
    data = DockingDataset(dataset, "validation", bundle.vocabulary)
    chunks = []
    for index in range(0, len(data), 9):
        sample = data[index]
        arrays = {key: sample[key].numpy() for key in data.contract.keys}
        frame = Frame(0, arrays, sample["valid"].numpy() > 0.5, np.zeros(3, np.int64))
        chunks.append([policy(frame, "dock at the red station") for policy in (exported, own)])
    theirs, ours = np.array(chunks).swapaxes(0, 1)
    assert np.ptp(ours) > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_seeds_that_choose_are_neither_trained_on_nor_evaluated(contract, tmp_path):
    assert FIRST_SELECTION_SEED < FIRST_HELD_OUT_SEED - 50_000
    seeds = [0, FIRST_SELECTION_SEED - 1, FIRST_SELECTION_SEED, FIRST_HELD_OUT_SEED - 1]
    assert taken_seeds([*seeds, FIRST_HELD_OUT_SEED]) == seeds[2:]
    rows = [episode_rows(contract, 30, seed) for seed in range(4)]
    path = write_dataset(
        tmp_path / "data.h5",
        contract,
        rows,
        split=SplitChoice(0.3, 0.0),
        first_seed=FIRST_SELECTION_SEED - 2,
    )
    config = tiny_config(path, tmp_path / "run", "select.suite=nominal")
    with pytest.raises(ConfigurationError, match="has 2 episodes with seeds that choose"):
        check_and_resolve(config, 1)


@pytest.mark.parametrize("suite", ["new_station", "paraphrase"])
def test_suites_of_what_is_held_out_do_not_choose(dataset, tmp_path, suite):
    config = tiny_config(dataset, tmp_path, f"select.suite={suite}")
    with pytest.raises(ConfigurationError, match="is for evaluation only"):
        check_and_resolve(config, 1)
