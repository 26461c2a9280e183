"""Merging: no row changes, none that was held out is trained on, statistics are of what is."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from vla_core import keys
from vla_core.contract import Contract
from vla_training.conversion.pipeline import convert
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.head import SplitChoice
from vla_training.dataset.layout import ACTION, SPLITS, observation, row_specs
from vla_training.dataset.merging import merge
from vla_training.errors import DatasetError
from vla_training.rollouts.options import RolloutOptions
from vla_training.rollouts.rollout import rollout


@pytest.fixture(scope="module")
def driven(contract, tmp_path_factory) -> Path:
    """Scenes 0 to 7, the first six of which are those of the bags."""
    path = tmp_path_factory.mktemp("driven") / "driven.h5"
    options = RolloutOptions(contract, duration_s=0.3)
    split = SplitChoice(0.3, 0.2, seed=1)
    rollout(path, range(8), options, split=split, workers=1, progress=False)
    return path


def identity(episode):
    return episode.bag_sha256, episode.segment


def test_a_merge_has_all_rows_of_both(dataset, driven, tmp_path):
    summary = merge([dataset, driven], tmp_path / "both.h5")
    assert summary.episodes == 14
    with DatasetFile(tmp_path / "both.h5") as both:
        mine = {identity(episode): episode for episode in both.episodes}
        for path in (dataset, driven):
            with DatasetFile(path) as source:
                for episode in source.episodes:
                    copy = mine[identity(episode)]
                    assert copy.instruction == episode.instruction
                    for spec in row_specs(both.contract):
                        np.testing.assert_array_equal(
                            both.read(spec.name, copy.rows), source.read(spec.name, episode.rows)
                        )
                        np.testing.assert_array_equal(
                            both.gather(spec.name, [copy]), source.read(spec.name, episode.rows)
                        )


def test_what_one_holds_out_is_held_out_of_all(dataset, driven, tmp_path):
    held_out = set()
    for path in (dataset, driven):
        with DatasetFile(path) as source:
            held_out |= {e.group for e in source.episodes if e.split != SPLITS["training"]}
    merge([dataset, driven], tmp_path / "both.h5")
    with DatasetFile(tmp_path / "both.h5") as both:
        kept = {e.group for e in both.episodes if e.split != SPLITS["training"]}
        trained = {e.group for e in both.episodes if e.split == SPLITS["training"]}
    assert kept == held_out
    assert not kept & trained


def test_statistics_are_those_of_the_training_rows(dataset, driven, tmp_path):
    merge([dataset, driven], tmp_path / "both.h5")
    with DatasetFile(tmp_path / "both.h5") as both:
        training = both.split("training")
        actions = both.gather(ACTION, training).astype(float)
        scans = both.gather(observation("scan"), training).astype(float)
        for key, rows in ((keys.ACTION, actions), ("scan", scans)):
            found = both.statistics.fields[key]
            assert found.count == len(rows)
            np.testing.assert_allclose(found.mean, rows.mean(axis=0), atol=1e-6)
            np.testing.assert_allclose(found.std, rows.std(axis=0), atol=1e-6)
            np.testing.assert_array_equal(found.max, rows.max(axis=0))


def test_a_part_that_several_have_is_there_once(dataset, driven, tmp_path):
    first = merge([dataset, driven], tmp_path / "both.h5")
    second = merge([tmp_path / "both.h5", driven], tmp_path / "again.h5")
    assert (second.episodes, second.twins) == (first.episodes, 8)


def test_a_merge_stays_whole_without_its_sources(driven, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(driven.parent, copy)
    merge([copy / "driven.h5"], tmp_path / "merged.h5")
    with DatasetFile(driven) as source:
        wanted = source.read(ACTION, slice(0, source.frames))
    shutil.rmtree(copy)
    with DatasetFile(tmp_path / "merged.h5") as merged:
        np.testing.assert_array_equal(merged.read(ACTION, slice(0, merged.frames)), wanted)


def test_a_second_merge_leaves_no_parts_of_the_first(dataset, driven, tmp_path):
    merge([dataset, driven], tmp_path / "both.h5")
    merge([driven], tmp_path / "both.h5")
    assert len(list((tmp_path / "both.parts").iterdir())) == 8


def test_what_cannot_be_merged_is_refused(bags, contract, driven, tmp_path):
    convert([bags], tmp_path / "packed.h5", contract, pack=True, jobs=1, progress=False)
    with pytest.raises(DatasetError, match="holds its rows itself"):
        merge([driven, tmp_path / "packed.h5"], tmp_path / "out.h5")
    with pytest.raises(DatasetError, match="would replace"):
        merge([driven], driven)
    text = contract.to_yaml().replace("max_age_s: 0.25", "max_age_s: 0.5")
    options = RolloutOptions(Contract.from_yaml(text), duration_s=0.1)
    rollout(tmp_path / "other.h5", [0], options, workers=1, progress=False)
    with pytest.raises(DatasetError, match=r"contracts differ: .*max_age"):
        merge([driven, tmp_path / "other.h5"], tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
