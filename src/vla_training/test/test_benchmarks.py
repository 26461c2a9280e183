"""The benchmarks measure what they say, of bags as they say."""

import numpy as np
import pytest

from vla_core import bag_metadata
from vla_core.bag_checksums import changed_files
from vla_training.benchmarks.convert import _against_floor, _check_space, _peak_memory
from vla_training.benchmarks.long_bags import copy_with_seed, write_long_bag
from vla_training.conversion.bags import open_folder
from vla_training.conversion.messages import BagMessages
from vla_training.conversion.pipeline import convert
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import ACTION, VALID
from vla_training.errors import BenchmarkError


def test_made_up_bags_are_like_recorded_ones(tmp_path, contract):
    bag = write_long_bag(tmp_path / "bags" / "bag_0", contract, seconds=3.0, seed=7)
    copy = copy_with_seed(bag, tmp_path / "bags" / "bag_1", seed=8)
    assert changed_files(bag) == changed_files(copy) == []
    with BagMessages(open_folder(copy)) as opened:
        assert opened.metadata.seed == 8
        assert opened.metadata.custom[bag_metadata.CONTRACT_HASH] == contract.hash
    summary = convert([tmp_path / "bags"], tmp_path / "x.h5", contract, jobs=1, progress=False)
    assert summary.episodes == 2
    with DatasetFile(summary.path) as data:
        assert data.frames == pytest.approx(2 * 60, abs=4)
        assert data.read(VALID, slice(None)).all()
        assert np.ptp(data.read(ACTION, slice(None)), axis=0).min() > 0.0


def test_a_flipped_bit_in_a_made_up_bag_is_found(tmp_path, contract):
    """They have the recorder's checksums, so that verifying them is part of what is measured."""
    bag = write_long_bag(tmp_path / "bag", contract, seconds=2.0)
    (storage,) = bag.glob("*.mcap")
    data = bytearray(storage.read_bytes())
    data[len(data) // 3] ^= 1
    storage.write_bytes(data)
    summary = convert([bag, *_another(tmp_path, contract)], tmp_path / "x.h5", contract, jobs=1)
    assert [skip.bag.name for skip in summary.skipped if skip.damaged] == ["bag"]


def _another(folder, contract):
    return [write_long_bag(folder / "whole", contract, seconds=2.0, seed=1)]


def test_ratio_is_that_of_the_parts_of_the_floor(tmp_path, contract):
    bag = write_long_bag(tmp_path / "bag", contract, seconds=3.0)
    found = _against_floor([bag], tmp_path, contract, rounds=1)
    floor = sum(found["floor_us_per_row"].values())
    assert found["ratio"] == pytest.approx(found["conversion_us_per_row"] / floor, rel=0.01)
    assert found["rows"] == pytest.approx(60, abs=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bag"]


def test_a_disk_too_full_for_the_long_bag_is_said_beforehand(tmp_path):
    _check_space(tmp_path, 0.0)
    with pytest.raises(BenchmarkError, match=r"GB free, .* take 1000000 GB; name a folder"):
        _check_space(tmp_path, 1e6)


def test_memory_is_that_of_a_process_of_its_own(tmp_path, contract):
    path = tmp_path / "contract.yaml"
    path.write_text(contract.to_yaml(), "utf-8")
    found = _peak_memory(tmp_path, path, contract, (0.002, 0.004))
    assert len(found["peak_mb_by_bag_gb"]) == 2
    assert all(30.0 < peak < 1000.0 for peak in found["peak_mb_by_bag_gb"].values())
    assert found["at_10_gb_is"] == "extrapolated"
