import dataclasses
import math

import numpy as np
import pytest
import torch
from dataset_making import episode_rows, write_dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from vla_core import keys
from vla_core.contract import Contract
from vla_core.language import UNKNOWN, Vocabulary, words_of
from vla_simulation.scenes.instructions import all_instructions
from vla_training.dataset.augmentation import (
    Augmentation,
    AugmentationConfig,
)
from vla_training.dataset.batch import DOCK_POSE_KNOWN
from vla_training.dataset.image_augmentation import (
    ImageConfig,
    LightConfig,
    blurred,
    colour_matrix,
    shifted,
    with_gamma,
)
from vla_training.dataset.mirroring import mirrored_word, names_number, with_mirrored
from vla_training.dataset.windows import DockingDataset
from vla_training.errors import ConfigurationError

SENTENCES = (
    "dock at the left charger",
    "go to the charger on the right",
    "왼쪽에 있는 충전기에 연결해",
    "오른쪽 충전소로 가",
    "dock at the orange charger",
    "주황색 충전기에 도킹해",
)
NUMBERED = (
    "go to charger number 2",
    "dock at charger two",
    "2번 충전기에 연결해",
    "두 번째 충전소",
)


@pytest.fixture(scope="module")
def path(tmp_path_factory, contract):
    path = tmp_path_factory.mktemp("rows") / "data.h5"
    sentences = (*SENTENCES, *NUMBERED)
    episodes = [episode_rows(contract, 20, seed) for seed in range(len(sentences))]
    return write_dataset(path, contract, episodes, instructions=sentences)


@pytest.fixture(scope="module")
def data(path):
    return DockingDataset(path)


@pytest.fixture(scope="module")
def with_history(path):
    return DockingDataset(path, history=2)


def off(kind):
    """A configuration that does nothing."""
    return kind(
        **{
            field.name: off(field.default_factory)
            if field.default_factory is not dataclasses.MISSING
            else 0
            for field in dataclasses.fields(kind)
        }
    )


@pytest.fixture
def augmentation(data, contract):
    def make(mirror=0.0, **sections):
        config = off(AugmentationConfig)
        changed = {
            name: dataclasses.replace(getattr(config, name), **values)
            for name, values in sections.items()
        }
        config = dataclasses.replace(config, mirror=mirror, **changed)
        return Augmentation(config, contract, data.vocabulary)

    return make


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def changed_samples(before, after):
    return (before != after).flatten(1).any(1)


# Mirroring


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), history=st.integers(1, 2))
def test_mirroring_twice_changes_nothing(data, with_history, contract, seed, history):
    windows = data if history == 1 else with_history
    random = np.random.default_rng(seed)
    indices = torch.from_numpy(random.integers(0, len(data), 12))
    chosen = torch.from_numpy(random.random(12) < 0.7)
    augment = Augmentation(AugmentationConfig(), contract, data.vocabulary)
    plain, mirrored = windows.batch(indices), windows.batch(indices)
    augment.mirror(mirrored, chosen)
    once = {key: value.clone() for key, value in mirrored.items()}
    augment.mirror(mirrored, chosen)
    for key in plain:
        torch.testing.assert_close(mirrored[key], plain[key], rtol=0, atol=0)
        torch.testing.assert_close(once[key][~chosen], plain[key][~chosen], rtol=0, atol=0)


def test_mirroring_swaps_left_and_right(data, augmentation):
    indices = torch.arange(0, 120, 10)
    plain, mirrored = data.batch(indices), data.batch(indices)
    chosen = torch.arange(12) % 2 == 0
    augmentation().mirror(mirrored, chosen)
    torch.testing.assert_close(mirrored[keys.IMAGE][0], plain[keys.IMAGE][0].flip(1))
    torch.testing.assert_close(mirrored[keys.SCAN][0], plain[keys.SCAN][0].flip(0))
    for key, sign in [
        (keys.ODOMETRY, [1.0, -1.0]),
        (keys.ACTION, [1.0, -1.0]),
        (keys.DOCK_POSE, [1.0, -1.0, -1.0]),
    ]:
        torch.testing.assert_close(mirrored[key][chosen], plain[key][chosen] * torch.tensor(sign))


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Dock at the LEFT charger!", "dock at the right charger"),
        ("go to the charger on the right", "go to the charger on the left"),
        ("the leftmost station", "the rightmost station"),
        ("왼쪽에 있는 충전기에 연결해", "오른쪽에 있는 충전기에 연결해"),
        ("오른쪽 충전소로 가", "왼쪽 충전소로 가"),
        ("우측으로 가", "좌측으로 가"),
        ("dock at the orange charger", "dock at the orange charger"),
        ("가운데 충전소로 가", "가운데 충전소로 가"),
    ],
)
def test_mirroring_swaps_the_words(data, contract, sentence, expected):
    vocabulary = Vocabulary.from_sentences(with_mirrored([sentence]))
    augment = Augmentation(AugmentationConfig(), contract, vocabulary)
    batch = data.batch(torch.tensor([0, 1]))
    plain = batch[keys.SCAN].clone()
    batch[keys.INSTRUCTION] = torch.from_numpy(np.stack([vocabulary.encode(sentence)] * 2))
    augment.mirror(batch, torch.tensor([True, False]))
    np.testing.assert_array_equal(batch[keys.INSTRUCTION][0], vocabulary.encode(expected))
    np.testing.assert_array_equal(batch[keys.INSTRUCTION][1], vocabulary.encode(sentence))
    torch.testing.assert_close(batch[keys.SCAN][0], plain[0].flip(0))


def test_what_cannot_be_mirrored_is_left_alone(data, contract):
    one_sided = Vocabulary.from_sentences([*NUMBERED, "dock at the left charger"])
    augment = Augmentation(AugmentationConfig(), contract, one_sided)
    for sentence in (*NUMBERED, "dock at the left charger", "dock at the unheard charger"):
        batch, plain = (data.batch(torch.tensor([3])) for _ in range(2))
        for some in (batch, plain):
            some[keys.INSTRUCTION] = torch.from_numpy(one_sided.encode(sentence))[None]
        augment.mirror(batch, torch.tensor([True]))
        for key in plain:
            torch.testing.assert_close(batch[key], plain[key], rtol=0, atol=0)


def test_every_sentence_of_the_simulator_has_a_mirrored_one():
    sentences = {" ".join(words_of(sentence)) for sentence in all_instructions()}
    vocabulary = Vocabulary.from_sentences(with_mirrored(sentences))
    sided = 0
    for sentence in sentences:
        mirrored = " ".join(map(mirrored_word, sentence.split()))
        assert mirrored in sentences
        assert UNKNOWN not in vocabulary.encode(mirrored)
        sided += mirrored != sentence
    assert sided >= 16


def test_the_simulators_numbers_are_recognised():
    for sentence in all_instructions():
        named = any(map(names_number, words_of(sentence)))
        assert named or not any(letter.isdigit() for letter in sentence)
        if " number " in sentence:
            assert named
        if "orange charger" in sentence or "left charger" in sentence:
            assert not named


def test_both_directions_are_words_if_one_is(data):
    assert {"left", "right", "왼쪽에", "오른쪽에", "왼쪽", "오른쪽"} <= set(data.vocabulary.words)


def test_mirroring_a_lopsided_scan_is_refused(data, contract):
    values = contract.to_dict()
    values["streams"][1]["decoder"]["angle_min_rad"] = -1.0
    lopsided = Contract.from_dict(values)
    with pytest.raises(ConfigurationError, match=r"augmentation.mirror.*'scan'"):
        Augmentation(AugmentationConfig(), lopsided, data.vocabulary)
    Augmentation(AugmentationConfig(mirror=0.0), lopsided, data.vocabulary)


# Images


def test_nothing_is_changed_by_nothing(data, augmentation):
    plain = data.batch(torch.arange(100))
    changed = augmentation()(data.batch(torch.arange(100)), generator())
    for key in plain:
        torch.testing.assert_close(changed[key], plain[key], rtol=0, atol=0)


def images(count, seed=0):
    return torch.from_numpy(
        np.random.default_rng(seed).integers(0, 256, (count, 12, 16, 3), dtype=np.uint8)
    )


@given(
    contrast=st.floats(0.1, 2),
    gains=st.tuples(*[st.floats(0.5, 1.5)] * 3),
    saturation=st.floats(0, 2),
    hue=st.floats(-3, 3),
)
@settings(max_examples=50, deadline=None)
def test_colour_matrix_does_what_its_parts_say(contrast, gains, saturation, hue):
    def matrix(c, g, s, h):
        return colour_matrix(*(torch.tensor([v]) for v in ([c], g, [s], [h])))[0]

    luma = torch.tensor([0.299, 0.587, 0.114])
    whole = matrix(contrast, gains, saturation, hue)
    colour = matrix(1.0, (1.0, 1.0, 1.0), saturation, hue)
    pixel = torch.tensor([200.0, 100.0, 30.0])
    expected = contrast * colour @ (torch.tensor(gains) * pixel)
    torch.testing.assert_close(whole @ pixel, expected, rtol=1e-4, atol=1e-3)
    # The brightness stays, and so does grey.
    torch.testing.assert_close(luma @ (colour @ pixel), luma @ pixel, rtol=2e-3, atol=0.1)
    grey = torch.full((3,), 90.0)
    torch.testing.assert_close(colour @ grey, grey, rtol=2e-3, atol=0.1)
    # Two half turns of the hue are one.
    half = matrix(1.0, (1.0, 1.0, 1.0), 1.0, hue / 2)
    torch.testing.assert_close(
        half @ half, matrix(1.0, (1.0, 1.0, 1.0), 1.0, hue), rtol=1e-4, atol=1e-4
    )
    scaled = matrix(1.0, (1.0, 1.0, 1.0), 0.0, hue) @ pixel
    torch.testing.assert_close(scaled, (luma @ pixel).expand(3), rtol=2e-3, atol=0.3)


def test_gamma_is_a_power(data):
    pixels, exponent = images(2), torch.tensor([[0.5], [1.7]])
    expected = 255.0 * (pixels.double() / 255.0) ** exponent[:, :, None, None].double()
    torch.testing.assert_close(
        with_gamma(pixels, exponent).double(), expected, rtol=1e-5, atol=1e-3
    )


@given(down=st.integers(-4, 4), right=st.integers(-4, 4))
@settings(max_examples=30, deadline=None)
def test_a_shift_moves_pixels_and_repeats_the_edge(down, right):
    pixels = images(3)
    offsets = torch.tensor([[0, 0], [down, right], [-right, down]])
    got = shifted(pixels, offsets)
    for image, moved, (rows, columns) in zip(pixels, got, offsets.tolist(), strict=True):
        row = np.clip(np.arange(12) - rows, 0, 11)
        column = np.clip(np.arange(16) - columns, 0, 15)
        np.testing.assert_array_equal(moved.numpy(), image.numpy()[row][:, column])


def test_blur_is_a_gaussian():
    pixels = images(3).float()
    deviation = torch.tensor([0.0, 0.5, 1.0])
    got = blurred(pixels, deviation)
    torch.testing.assert_close(got[0], pixels[0])
    for image, result, sigma in zip(pixels[1:], got[1:], (0.5, 1.0), strict=True):
        taps = torch.exp(-0.5 * (torch.arange(-2.0, 3.0) / sigma) ** 2)
        kernel = torch.outer(taps, taps)[None, None] / taps.sum() ** 2
        planes = functional.pad(image.permute(2, 0, 1)[:, None], (2, 2, 2, 2), mode="replicate")
        expected = functional.conv2d(planes, kernel)[:, 0].permute(1, 2, 0)
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("light", "brightness", 0.2),
        ("light", "contrast", 0.3),
        ("light", "white_balance", 0.1),
        ("light", "saturation", 0.5),
        ("light", "hue", 0.3),
        ("light", "gamma", 0.5),
        ("light", "noise", 0.05),
        ("image", "shift", 2),
        ("image", "blur", 1.0),
        ("image", "crop", 0.3),
        ("image", "cutout", 0.4),
    ],
)
def test_each_change_happens_to_its_share_of_the_images_only(
    data, augmentation, section, name, value
):
    unit = {"hue": "_rad", "shift": "_px", "blur": "_px"}.get(name, "")
    augment = augmentation(**{section: {f"{name}_probability": 0.5, f"{name}{unit}": value}})
    indices = torch.arange(200)
    plain, changed = data.batch(indices), augment(data.batch(indices), generator())
    assert changed[keys.IMAGE].dtype == torch.uint8
    share = changed_samples(plain[keys.IMAGE], changed[keys.IMAGE]).float().mean()
    assert 0.35 < share < 0.62
    for key in plain:
        if key != keys.IMAGE:
            torch.testing.assert_close(changed[key], plain[key], rtol=0, atol=0)


def test_brightness_and_contrast_stay_in_their_range(contract, augmentation, data):
    batch = data.batch(torch.arange(200))
    batch[keys.IMAGE] = torch.full_like(batch[keys.IMAGE], 100)
    augment = augmentation(
        light={
            "brightness_probability": 1.0,
            "brightness": 0.1,
            "contrast_probability": 1.0,
            "contrast": 0.2,
        }
    )
    levels = augment(batch, generator())[keys.IMAGE].flatten(1)
    assert (levels == levels[:, :1]).all()
    # 25.5 of brightness, and a fifth of the 27.5 to mid-grey.
    assert 100 - 31 <= int(levels.min()) < 78
    assert 122 < int(levels.max()) <= 100 + 31


def test_noise_has_its_size_and_no_two_images_share_it(augmentation, data):
    batch = data.batch(torch.arange(64))
    batch[keys.IMAGE] = torch.full_like(batch[keys.IMAGE], 128)
    augment = augmentation(light={"noise_probability": 1.0, "noise": 0.04})
    noise = augment(batch, generator())[keys.IMAGE].float() - 128.0
    deviations = noise.flatten(1).std(1) / 255.0
    assert deviations.max() < 0.042
    assert 0.012 < deviations.mean() < 0.028
    assert abs(float(noise.mean())) < 0.1
    flat = noise.flatten(1)[deviations > 0.01]
    correlation = torch.corrcoef(flat) - torch.eye(len(flat))
    assert correlation.abs().max() < 0.1


def test_crop_keeps_pixels_in_place_and_cutout_hides_a_rectangle(augmentation, data):
    indices = torch.arange(100)
    plain = data.batch(indices)[keys.IMAGE]
    crop = augmentation(image={"crop_probability": 1.0, "crop": 0.25})
    changed = (crop(data.batch(indices), generator())[keys.IMAGE] != plain).any(-1)
    height, width = plain.shape[1:3]
    assert not changed[:, height // 4 : -height // 4, width // 4 : -width // 4].any()
    assert changed.float().mean() > 0.2
    cutout = augmentation(image={"cutout_probability": 1.0, "cutout": 0.5})
    changed = (cutout(data.batch(indices), generator())[keys.IMAGE] != plain).any(-1)
    rows, columns = changed.any(2), changed.any(1)
    assert rows.sum(1).max() <= math.ceil(0.5 * height) + 1
    assert columns.sum(1).max() <= math.ceil(0.5 * width) + 1
    # A rectangle: as many pixels as rows times columns, but for the few that have its colour.
    area = rows.sum(1) * columns.sum(1)
    assert (changed.sum((1, 2)) >= 0.97 * area).all()


def test_the_frames_of_a_sample_are_changed_alike(contract, data, with_history):
    windows = with_history
    config = dataclasses.replace(
        off(AugmentationConfig),
        light=LightConfig(noise_probability=0.0),
        image=ImageConfig(shift_probability=1.0, blur_probability=1.0, cutout_probability=1.0),
    )
    batch = windows.batch(torch.arange(1, 60))
    batch[keys.IMAGE][:, 0] = batch[keys.IMAGE][:, 1]
    before = batch[keys.IMAGE].clone()
    image = Augmentation(config, contract, data.vocabulary)(batch, generator())[keys.IMAGE]
    assert changed_samples(before, image).all()
    torch.testing.assert_close(image[:, 0], image[:, 1], rtol=0, atol=0)


# Scans and streams


def test_scan_noise_respects_the_range(data, contract, augmentation):
    plain = data.batch(torch.arange(200))
    decoder = contract.stream(keys.SCAN).decoder
    plain[keys.SCAN][:, ::5] = decoder.range_max_m
    before = plain[keys.SCAN].clone()
    augment = augmentation(scan={"noise_probability": 1.0, "noise_m": 0.02})
    changed = augment(plain, generator())[keys.SCAN]
    assert changed.min() >= decoder.range_min_m
    assert changed.max() <= decoder.range_max_m
    assert (changed[:, ::5] == decoder.range_max_m).all()
    hit = (before > 0.2) & (before < decoder.range_max_m - 0.2)
    spread = (changed - before)[hit]
    # The standard deviation is uniform up to 2 cm: its root mean square is 2 cm / sqrt(3).
    assert 0.0095 < spread.std() < 0.0135
    assert abs(float(spread.mean())) < 0.0005


def test_lost_beams_have_the_longest_range(data, contract, augmentation):
    plain = data.batch(torch.arange(200))[keys.SCAN]
    augment = augmentation(scan={"beam_dropout_probability": 0.5, "beam_dropout": 0.4})
    changed = augment(data.batch(torch.arange(200)), generator())[keys.SCAN]
    decoder = contract.stream(keys.SCAN).decoder
    lost = changed != plain
    assert (changed[lost] == decoder.range_max_m).all()
    assert 0.07 < lost.float().mean() < 0.13
    share = lost.float().mean(1)
    assert 0.35 < (share > 0).float().mean() < 0.62
    assert share.max() < 0.65


def test_a_lost_stream_is_as_if_nothing_had_come(data, contract, augmentation):
    augment = augmentation(dropout={"image": 0.2, "odometry": 0.5})
    indices = torch.arange(200)
    plain = data.batch(indices)
    first, second = (augment(data.batch(indices), generator(7)) for _ in range(2))
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=0, atol=0)
    valid = first[keys.VALID]
    for index, (key, low, high) in enumerate(
        [(keys.IMAGE, 20, 60), (keys.SCAN, 0, 0), (keys.ODOMETRY, 75, 125)]
    ):
        lost = valid[:, index] == 0
        assert low <= lost.sum() <= high
        assert not first[key][lost].any()
        torch.testing.assert_close(first[key][~lost], plain[key][~lost], rtol=0, atol=0)
    assert first[DOCK_POSE_KNOWN].all()


def test_a_sample_keeps_one_stream(data, augmentation):
    augment = augmentation(dropout={"image": 1.0, "scan": 0.5, "odometry": 1.0})
    batch = data.batch(torch.arange(100))
    batch[keys.VALID][:50, 1] = 0.0
    valid = augment(batch, generator())[keys.VALID]
    assert valid.any(1).all()
    # Where the scan was not there anyway, or was drawn as well, all that was there stays.
    assert (valid[:50] == torch.tensor([1.0, 0.0, 1.0])).all()
    alone = (valid[50:] == torch.tensor([0.0, 1.0, 0.0])).all(1)
    assert 10 < alone.sum() < 40
    assert (valid[50:][~alone] == 1.0).all()


def test_limits_are_told_with_their_place(tmp_path):
    from vla_training.training_config import load_training_config

    with pytest.raises(ConfigurationError) as caught:
        load_training_config(
            "d.h5",
            tmp_path,
            overrides=[
                "augmentation.light.hue_rad=1.0",
                "augmentation.image.shift_px=1.5",
                "augmentation.scan.beam_dropout=2",
                "augmentation.dropout.lidar=0.1",
            ],
        )
    mistakes = "\n".join(caught.value.mistakes)
    for part in (
        "augmentation.light.hue_rad has to be between 0 and 0.35, got 1.0",
        "augmentation.image.shift_px has to be a whole number, got 1.5",
        "augmentation.scan.beam_dropout has to be between 0 and 1, got 2",
        "augmentation.dropout.lidar is unknown",
    ):
        assert part in mistakes


def test_the_defaults_change_every_stream_and_no_label(data, contract):
    config = dataclasses.replace(AugmentationConfig(), mirror=0.0)
    augment = Augmentation(config, contract, data.vocabulary)
    indices = torch.arange(200)
    plain, changed = data.batch(indices), augment(data.batch(indices), generator())
    for key in (*contract.keys, keys.VALID):
        assert not torch.equal(plain[key], changed[key])
        assert plain[key].dtype == changed[key].dtype
        assert plain[key].shape == changed[key].shape
    for key in (keys.INSTRUCTION, keys.ACTION, keys.ACTION_PAD, keys.DOCK_POSE, DOCK_POSE_KNOWN):
        torch.testing.assert_close(plain[key], changed[key], rtol=0, atol=0)
