import itertools
import pickle
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from dataset_making import episode_rows, write_dataset

from vla_core import keys
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.head import SplitChoice
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    DOCK_POSE,
    DOCK_POSE_VALID,
    EPISODES,
    VALID,
    observation,
    parts_folder,
)
from vla_training.dataset.parts import read_part
from vla_training.dataset.prefetching import Prefetcher
from vla_training.dataset.sampling import FocusedBatches
from vla_training.dataset.storage import choose_storage
from vla_training.dataset.windows import DockingDataset, ShuffledBatches, make_loader
from vla_training.errors import DatasetError

LENGTHS = (12, 5, 30, 17)


@pytest.fixture(scope="module")
def path(tmp_path_factory, contract):
    episodes = [episode_rows(contract, length, length) for length in LENGTHS]
    return write_dataset(tmp_path_factory.mktemp("rows") / "data.h5", contract, episodes)


@pytest.fixture(scope="module")
def data(path):
    return DockingDataset(path)


def equal(a, b):
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=0)


def test_batch_has_the_rows_of_the_file(data, path, contract):
    with DatasetFile(path) as file:
        batch = data.batch(torch.arange(len(data)))
        for key in contract.keys:
            stored = file.read(observation(key), slice(None))
            np.testing.assert_array_equal(batch[key].numpy(), stored)
            assert str(batch[key].dtype).endswith(contract.stream(key).dtype)
    assert data.frames == len(data) == sum(LENGTHS)


def test_chunks_end_with_their_episode(data, contract):
    batch = data.batch(torch.arange(17))
    horizon = contract.action.chunk_length
    assert batch[keys.ACTION].shape == (17, horizon, 2)
    for sample in range(17):
        start, end = (0, 12) if sample < 12 else (12, 17)
        left = min(horizon, end - sample)
        pad = batch[keys.ACTION_PAD][sample]
        assert not pad[:left].any()
        assert pad[left:].all()
        expected = torch.arange(sample - start, sample - start + left) * 2 / 100.0
        torch.testing.assert_close(batch[keys.ACTION][sample, :left, 0], expected)


def test_unknown_actions_are_padding_and_no_start(tmp_path, contract):
    rows = episode_rows(contract, 20, 1)
    rows[ACTION_VALID][8:11] = False
    rows[VALID][3] = False
    data = DockingDataset(write_dataset(tmp_path / "d.h5", contract, [rows]))
    assert len(data) == 20 - 3 - 1
    batch = data.batch(torch.arange(len(data)))
    # The sample of row 5 sees rows 5 to 14.
    pad = batch[keys.ACTION_PAD][4]
    assert pad.tolist() == [False] * 3 + [True] * 3 + [False] * 4
    assert data.samples_of_episodes() == [range(16)]


def test_a_history_begins_with_its_episode(path, data, contract):
    windows = DockingDataset(path, history=3, stride=2)
    indices = torch.arange(len(data))
    plain, batch = data.batch(indices), windows.batch(indices)
    starts = np.repeat(np.cumsum((0, *LENGTHS[:-1])), LENGTHS)
    for sample, start in enumerate(starts):
        for place, back in enumerate((4, 2, 0)):
            row = sample - back
            valid = batch[keys.VALID][sample, place]
            assert (valid == float(row >= start)).all()
            for key in contract.keys:
                expected = plain[key][row] if row >= start else torch.zeros_like(plain[key][0])
                torch.testing.assert_close(batch[key][sample, place], expected, rtol=0, atol=0)
    equal(
        {key: value for key, value in plain.items() if key not in (*contract.keys, keys.VALID)},
        {key: value for key, value in batch.items() if key not in (*contract.keys, keys.VALID)},
    )
    with pytest.raises(DatasetError, match="history 0"):
        DockingDataset(path, history=0)


def test_a_data_set_without_samples_is_refused(tmp_path, contract):
    rows = episode_rows(contract, 5, 1)
    rows[ACTION_VALID][:] = False
    path = write_dataset(tmp_path / "d.h5", contract, [rows])
    with pytest.raises(DatasetError, match="no usable row"):
        DockingDataset(path)
    with pytest.raises(DatasetError, match="no validation episode"):
        DockingDataset(path, "validation")


def set_attribute(name, value):
    def change(file):
        file.attrs[name] = value

    return change


def set_array(name, values):
    def change(file):
        del file[name]
        file[name] = values

    return change


def set_column(name, value):
    def change(file):
        file[f"{EPISODES}/{name}"][0] = value

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (set_attribute("format", np.zeros(3)), "is no data set of this project"),
        (set_attribute("format_version", "two"), "has format version 'two'"),
        (set_attribute("provenance", "{"), "is damaged: Expecting"),
        (set_attribute("statistics", "[]"), "is damaged"),
        (set_attribute("contract", 7), "is damaged"),
        (set_array(ACTION, 1.0), "labels/action has no rows"),
        (set_array(ACTION, np.zeros((9, 2), "f4")), "labels/action has 9 rows"),
        (set_array(ACTION, np.zeros((5, 2), "S3")), r"5 rows of \(2,\) \|S3, expected 5"),
        (set_array(VALID, np.zeros((5, 1), bool)), r"observations/valid has 5 rows of \(1,\)"),
        (set_array(EPISODES, [0]), "is damaged"),
        (set_array(f"{EPISODES}/length", [5, 5]), "is damaged"),
        (set_array(f"{EPISODES}/length", [5.5]), "has a length of type float"),
        (set_column("length", -5), "episode 0 of its table has -5 rows"),
        (set_column("start", 2), "from 2 on, expected some from 0 on"),
        (set_column("split", 9), "is in split 9"),
        (set_column("part", "../../other.h5"), "a file name without a folder"),
        (set_column("paraphrases", "[3]"), "no list of sentences"),
        (set_column("paraphrases", "["), "is damaged"),
    ],
)
def test_a_data_set_of_somebody_else_is_refused_by_what_is_wrong(
    tmp_path, contract, change, complaint
):
    path = write_dataset(tmp_path / "d.h5", contract, [episode_rows(contract, 5, 1)], packed=True)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DatasetError, match=complaint) as caught:
        DatasetFile(path)
    assert "\n" not in str(caught.value)


def test_a_heap_at_which_hdf5_would_loop_for_ever_is_refused_before(tmp_path, contract):
    path = write_dataset(tmp_path / "d.h5", contract, [episode_rows(contract, 5, 1)])
    (part,) = (tmp_path / "d.parts").iterdir()
    for file, read in ((path, DatasetFile), (part, read_part)):
        intact = file.read_bytes()
        start = intact.index(b"GCOL") + 16
        data = bytearray(intact)
        data[start : start + 16] = bytes(16)
        file.write_bytes(data)
        with pytest.raises(DatasetError, match="has a free space without a size"):
            read(file)
        file.write_bytes(intact)
        read(file)


def test_rows_that_cannot_be_unpacked_are_named(tmp_path, contract):
    path = write_dataset(
        tmp_path / "d.h5", contract, [episode_rows(contract, 5, 1)], packed=True, compression="gzip"
    )
    name = observation(keys.IMAGE)
    with h5py.File(path) as file:
        chunk = file[name].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + 2 : chunk.byte_offset + 40] = bytes(38)
    path.write_bytes(data)
    with DatasetFile(path) as file, pytest.raises(DatasetError, match="is damaged"):
        file.read(name, slice(0, 5))
    with pytest.raises(DatasetError, match="is damaged"):
        DockingDataset(path, storage="memory")


def test_splits_share_no_row_and_leave_none_out(tmp_path, contract):
    episodes = [episode_rows(contract, 10, seed) for seed in range(12)]
    path = write_dataset(tmp_path / "d.h5", contract, episodes, split=SplitChoice(0.3, 0.3))
    splits = {name: DockingDataset(path, name) for name in ("training", "validation", "test")}
    bags = [{record.bag for record in data.episodes} for data in splits.values()]
    assert all(bags)
    assert set.union(*bags) == {f"bag_{seed}" for seed in range(12)}
    assert sum(len(names) for names in bags) == 12
    for data in splits.values():
        expected = np.concatenate(
            [
                episodes[int(record.bag.removeprefix("bag_"))][observation(keys.SCAN)]
                for record in data.episodes
            ]
        )
        batch = data.batch(torch.arange(len(data)))
        np.testing.assert_array_equal(batch[keys.SCAN].numpy(), expected)
    words = splits["training"].vocabulary.words
    assert {"left", "right"} <= set(words)


def test_every_storage_gives_the_same(path, data, tmp_path, contract):
    episodes = [episode_rows(contract, length, length) for length in LENGTHS]
    packed = write_dataset(tmp_path / "packed.h5", contract, episodes, packed=True)
    small = write_dataset(tmp_path / "small.h5", contract, episodes, packed=True, compression="lzf")
    indices = torch.tensor([5, 0, 63, 3, 3, 17, len(data) - 1])
    expected = data.batch(indices)
    assert data.storage == "memory"
    for other in (path, packed, small):
        for storage in ("mapped", "memory", "device"):
            loaded = DockingDataset(other, storage=storage)
            equal(loaded.batch(indices), expected)
            equal(loaded.__getitems__(indices.tolist()), expected)
    one = DockingDataset(path, storage="mapped")[-1]
    equal(one, {key: value[-1] for key, value in expected.items()})
    with pytest.raises(IndexError):
        data[len(data)]


def test_mapping_keeps_no_file_open(path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    loaded = DockingDataset(path, storage="mapped")
    assert len(loaded) > 0
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_batch_is_a_copy(path):
    for storage in ("mapped", "memory"):
        data = DockingDataset(path, storage=storage)
        indices = torch.arange(8)
        before = data.batch(indices)
        changed = data.batch(indices)
        for value in changed.values():
            value.zero_()
        equal(data.batch(indices), before)


def test_storage_is_chosen_by_size():
    cpu = torch.device("cpu")
    assert choose_storage(1 << 20, cpu) == "memory"
    assert choose_storage(1 << 60, cpu) == "mapped"


def test_a_part_that_is_cut_off_is_named(tmp_path, contract):
    path = write_dataset(tmp_path / "d.h5", contract, [episode_rows(contract, 30, 1)])
    part = parts_folder(path) / "bag_0.h5"
    with part.open("r+b") as file:
        file.truncate(part.stat().st_size // 2)
    for storage in ("mapped", "memory"):
        with pytest.raises(DatasetError, match=r"bag_0\.h5.*again"):
            DockingDataset(path, storage=storage)


def test_less_data_on_demand(path, data):
    fewer = DockingDataset(path, limit_episodes=2)
    assert len(fewer) == 17
    assert fewer.vocabulary == data.vocabulary
    equal(fewer.batch(torch.arange(17)), data.batch(torch.arange(17)))


def test_every_sample_is_seen_once_an_epoch_and_steps_repeat():
    shuffle = ShuffledBatches(103, 10, seed=3)
    first = torch.cat([shuffle.indices(step) for step in range(10)])
    assert len(first.unique()) == 100
    second = torch.cat([shuffle.indices(step) for step in range(10, 20)])
    assert not torch.equal(first, second)
    again = ShuffledBatches(103, 10, seed=3)
    torch.testing.assert_close(again.indices(17), second[70:80], rtol=0, atol=0)
    assert len(ShuffledBatches(3, 10, seed=0).indices(5)) == 3


def test_a_share_of_every_batch_comes_from_what_is_in_focus():
    focus = torch.arange(90, 103)
    batches = FocusedBatches(103, 20, 3, focus, 0.5)
    drawn = [batches.indices(step) for step in range(13)]
    assert all(len(indices) == 20 for indices in drawn)
    counts = torch.bincount(torch.cat(drawn), minlength=103)
    # 10 of each batch from the focus, one batch per permutation of it; the rest from all alike.
    assert int((counts[:90] == 0).sum()) <= 3  # what fills no batch is left out of an epoch
    assert int(counts[90:].sum()) == pytest.approx(13 * 10 + 130 * 13 / 103, abs=8)
    shards = torch.stack([(indices >= 90).float() for indices in drawn]).mean(0).split(5)
    assert all(0.3 < shard.mean() < 0.9 for shard in shards)
    again = FocusedBatches(103, 20, 3, focus, 0.5)
    torch.testing.assert_close(again.indices(7), drawn[7], rtol=0, atol=0)
    assert len(FocusedBatches(3, 10, 0, torch.tensor([1]), 0.9).indices(5)) == 3


def test_on_the_way_in_is_close_known_and_moving(tmp_path, contract):
    rows = episode_rows(contract, 40, 1)
    rows[DOCK_POSE][:] = (2.0, 0.0, 0.0)
    rows[DOCK_POSE][10:] = (0.15, 0.0, 0.0)
    rows[DOCK_POSE_VALID][:] = True
    rows[DOCK_POSE_VALID][12] = False
    rows[ACTION][:] = 0.1
    rows[ACTION][30:] = 0.0
    data = DockingDataset(write_dataset(tmp_path / "d.h5", contract, [rows]))
    assert data.on_the_way_in(0.2).tolist() == [10, 11, *range(13, 30)]
    assert data.on_the_way_in(0.1).tolist() == []


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_workers_give_the_batches_of_the_steps_and_resume(data, start_method):
    shuffle = ShuffledBatches(len(data), 8, seed=4)
    loader = make_loader(data, 8, seed=4, first_step=11, workers=1, start_method=start_method)
    for step, batch in zip(range(11, 14), loader, strict=False):
        equal(batch, data.batch(shuffle.indices(step)))


def test_a_copy_in_another_process_maps_the_file(tmp_path, contract):
    path = write_dataset(tmp_path / "d.h5", contract, [episode_rows(contract, 50, 1)])
    data = DockingDataset(path, history=2)
    state = pickle.dumps(data)
    assert len(state) < 10_000 < data.batch(torch.arange(50))[keys.IMAGE].nbytes
    copy = pickle.loads(state)
    assert copy.storage == "mapped"
    equal(copy.batch(torch.arange(50)), data.batch(torch.arange(50)))
    write_dataset(path, contract, [episode_rows(contract, 40, 2)])
    with pytest.raises(DatasetError, match="replaced while"):
        pickle.loads(state)


def test_workers_cannot_read_a_device(path):
    data = DockingDataset(path, storage="device")
    with pytest.raises(DatasetError, match="workers cannot"):
        make_loader(data, 4, workers=1)
    assert len(next(iter(make_loader(data, 4)))[keys.IMAGE]) == 4


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_batches_are_made_in_order_and_not_too_far_ahead(depth):
    made = []

    def make(step):
        made.append(step)
        return {"step": torch.tensor(step)}

    with Prefetcher(make, 5, 9, depth) as batches:
        for step in range(5, 9):
            assert int(batches.take()["step"]) == step
            assert max(made) <= step + depth
        with pytest.raises(StopIteration):
            batches.take()
    assert made == [5, 6, 7, 8]


def test_what_fails_in_the_making_is_raised_where_it_is_needed():
    def make(step):
        if step == 1:
            raise DatasetError("no row")
        return {}

    threads = torch.get_num_threads()
    with Prefetcher(make, 0, 9, 2) as batches:
        batches.take()
        with pytest.raises(DatasetError, match="no row"):
            batches.take()
    assert torch.get_num_threads() == threads


def test_waiting_is_counted():
    gate, made = threading.Event(), []

    def make(step):
        gate.wait()
        time.sleep(0.05)
        made.append(step)
        return {}

    with Prefetcher(make, 0, 3, 2) as batches:
        threading.Timer(0.3, gate.set).start()
        batches.take()
        deadline_s = time.monotonic() + 20.0
        while len(made) < 3:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        waited = batches.waited_s
        batches.take()
        batches.take()
    assert waited >= 0.1
    assert batches.waited_s - waited < 0.1
    assert batches.made_s >= 0.15


def test_a_loader_has_no_end(data):
    loader = make_loader(data, 30)
    epochs = [batch[keys.IMAGE].shape[0] for batch in itertools.islice(loader, 7)]
    assert epochs == [30] * 7
