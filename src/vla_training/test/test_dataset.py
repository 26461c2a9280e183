import numpy as np
import pytest
import torch

from vla_core import keys
from vla_core.contract import Contract
from vla_core.language import Vocabulary
from vla_training.dataset.augmentation import Augmentation, AugmentationConfig
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    DOCK_POSE,
    DOCK_POSE_VALID,
    TICK_NS,
    VALID,
    observation,
)
from vla_training.dataset.windows import DOCK_POSE_KNOWN, DockingDataset, ShuffledBatches
from vla_training.dataset.writer import DatasetWriter, EpisodeSource
from vla_training.errors import ConfigurationError, DatasetError


@pytest.fixture(scope="module")
def data(dataset):
    return DockingDataset(dataset)


def episode_rows(contract: Contract, length: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    rows = {
        observation(stream.key): random.uniform(0.1, 7.0, (length, *stream.shape)).astype(
            stream.dtype
        )
        for stream in contract.streams
    }
    count = len(contract.streams)
    return {
        **rows,
        VALID: np.ones((length, count), bool),
        "observations/age_ns": np.zeros((length, count), np.int64),
        TICK_NS: np.arange(length) * 50_000_000,
        ACTION: np.arange(2 * length, dtype=np.float32).reshape(length, 2) / 100.0,
        ACTION_VALID: np.ones(length, bool),
        DOCK_POSE: random.normal(size=(length, 3)).astype(np.float32),
        DOCK_POSE_VALID: np.ones(length, bool),
    }


def write_episodes(path, contract, episodes):
    with DatasetWriter(path, contract) as writer:
        for index, rows in enumerate(episodes):
            writer.append(rows)
            source = EpisodeSource(index, "dock left", "success", "", f"bag_{index}", f"{index}")
            writer.end_episode(source)
        writer.finish(validation_fraction=0.0, split_seed=0)
    return path


def test_batch_has_the_rows_of_the_file(data, dataset, contract):
    with DatasetFile(dataset) as file:
        rows = np.concatenate([np.arange(e.start, e.start + e.length) for e in data.episodes])
        for key in contract.keys:
            stored = file.read(observation(key), slice(None))[rows]
            batch = data.batch(torch.arange(len(data)))
            np.testing.assert_array_equal(batch[key].numpy(), stored)
            assert str(batch[key].dtype).endswith(contract.stream(key).dtype)
    assert data.frames == len(data) == len(rows)


def test_chunks_end_with_their_episode(tmp_path, contract):
    path = write_episodes(
        tmp_path / "d.h5", contract, [episode_rows(contract, n, n) for n in (12, 5)]
    )
    data = DockingDataset(path)
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
    data = DockingDataset(write_episodes(tmp_path / "d.h5", contract, [rows]))
    assert len(data) == 20 - 3 - 1
    batch = data.batch(torch.arange(len(data)))
    # The sample of row 5 sees rows 5 to 14.
    pad = batch[keys.ACTION_PAD][4]
    assert pad.tolist() == [False] * 3 + [True] * 3 + [False] * 4


def test_a_data_set_without_samples_is_refused(tmp_path, contract):
    rows = episode_rows(contract, 5, 1)
    rows[ACTION_VALID][:] = False
    path = write_episodes(tmp_path / "d.h5", contract, [rows])
    with pytest.raises(DatasetError, match="no usable row"):
        DockingDataset(path)
    with pytest.raises(DatasetError, match="no validation episode"):
        DockingDataset(path, "validation")


def test_images_from_disk_equal_those_in_memory(dataset, data):
    disk = DockingDataset(dataset, in_memory=False)
    indices = torch.tensor([5, 0, 3, 3, len(data) - 1])
    torch.testing.assert_close(disk.batch(indices), data.batch(indices), rtol=0, atol=0)
    torch.testing.assert_close(disk[-1][keys.IMAGE], data[len(data) - 1][keys.IMAGE])


def test_every_sample_is_seen_once_an_epoch_and_steps_repeat():
    shuffle = ShuffledBatches(103, 10, seed=3)
    first = torch.cat([shuffle.indices(step) for step in range(10)])
    assert len(first.unique()) == 100
    second = torch.cat([shuffle.indices(step) for step in range(10, 20)])
    assert not torch.equal(first, second)
    again = ShuffledBatches(103, 10, seed=3)
    torch.testing.assert_close(again.indices(17), second[70:80], rtol=0, atol=0)
    assert len(ShuffledBatches(3, 10, seed=0).indices(5)) == 3


@pytest.fixture
def augmentation(data, contract):
    def make(**changes):
        off = dict.fromkeys(AugmentationConfig.__dataclass_fields__, 0.0)
        config = AugmentationConfig(**{**off, **changes})
        return Augmentation(config, contract, data.vocabulary)

    return make


def test_mirroring_swaps_left_and_right(data, contract, augmentation):
    indices = torch.arange(0, 40, 5)
    plain, mirrored = data.batch(indices), data.batch(indices)
    chosen = torch.arange(8) % 2 == 0
    augmentation().mirror(mirrored, chosen)
    torch.testing.assert_close(mirrored[keys.IMAGE][0], plain[keys.IMAGE][0].flip(1))
    torch.testing.assert_close(mirrored[keys.SCAN][0], plain[keys.SCAN][0].flip(0))
    for key, sign in [
        (keys.ODOMETRY, [1.0, -1.0]),
        (keys.ACTION, [1.0, -1.0]),
        (keys.DOCK_POSE, [1.0, -1.0, -1.0]),
    ]:
        torch.testing.assert_close(mirrored[key][chosen], plain[key][chosen] * torch.tensor(sign))
    for key in plain:
        torch.testing.assert_close(mirrored[key][~chosen], plain[key][~chosen], rtol=0, atol=0)
    augmentation().mirror(mirrored, chosen)
    torch.testing.assert_close(mirrored, plain)


def test_mirroring_swaps_the_words(data, contract):
    vocabulary = Vocabulary.from_sentences(["dock at the left charger, right now"])
    augment = Augmentation(AugmentationConfig(), contract, vocabulary)
    batch = data.batch(torch.tensor([0]))
    batch[keys.INSTRUCTION] = torch.from_numpy(vocabulary.encode("left charger"))[None]
    augment.mirror(batch, torch.tensor([True]))
    expected = vocabulary.encode("right charger")
    np.testing.assert_array_equal(batch[keys.INSTRUCTION][0].numpy(), expected)


def test_both_directions_are_words_if_one_is(tmp_path, contract):
    path = write_episodes(tmp_path / "d.h5", contract, [episode_rows(contract, 12, 1)])
    assert {"left", "right"} <= set(DockingDataset(path).vocabulary.words)


def test_mirroring_a_lopsided_scan_is_refused(data, contract):
    values = contract.to_dict()
    values["streams"][1]["decoder"]["angle_min_rad"] = -1.0
    lopsided = Contract.from_dict(values)
    with pytest.raises(ConfigurationError, match=r"augmentation.mirror.*'scan'"):
        Augmentation(AugmentationConfig(), lopsided, data.vocabulary)
    Augmentation(AugmentationConfig(mirror=0.0), lopsided, data.vocabulary)


def test_light_changes_the_image_and_nothing_else(data, augmentation):
    indices = torch.arange(16)
    plain = data.batch(indices)
    changed = augmentation(brightness=0.2, contrast=0.3, colour=0.1)(
        data.batch(indices), torch.Generator().manual_seed(0)
    )
    assert changed[keys.IMAGE].dtype == torch.uint8
    assert (changed[keys.IMAGE] != plain[keys.IMAGE]).float().mean() > 0.5
    for key in plain:
        if key != keys.IMAGE:
            torch.testing.assert_close(changed[key], plain[key], rtol=0, atol=0)


def test_scan_noise_respects_the_range(data, contract, augmentation):
    plain = data.batch(torch.arange(64))[keys.SCAN]
    changed = augmentation(scan_noise_m=0.01, beam_dropout=0.1)(
        data.batch(torch.arange(64)), torch.Generator().manual_seed(0)
    )[keys.SCAN]
    decoder = contract.stream(keys.SCAN).decoder
    assert changed.min() >= decoder.range_min_m
    assert changed.max() <= decoder.range_max_m
    lost = (changed == decoder.range_max_m) & (plain < decoder.range_max_m)
    assert 0.05 < lost.float().mean() < 0.15
    kept = ~lost & (plain < decoder.range_max_m)
    assert 0.008 < (changed - plain)[kept].std() < 0.012
    assert (changed[plain == decoder.range_max_m] == decoder.range_max_m).all()


def test_dropout_marks_a_stream_and_repeats_with_its_seed(data, augmentation):
    augment = augmentation(odometry_dropout=0.5)
    first, second = (
        augment(data.batch(torch.arange(200)), torch.Generator().manual_seed(7)) for _ in range(2)
    )
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    valid = first[keys.VALID]
    assert valid[:, :2].all()
    assert 70 < valid[:, 2].sum() < 130
    assert first[DOCK_POSE_KNOWN].all()
