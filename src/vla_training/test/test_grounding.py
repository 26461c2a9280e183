"""Words get their meaning in the image: where a station is, and which sentences name it."""

import math

import numpy as np
import pytest
import torch
from tiny_runs import tiny_config

from vla_core import keys
from vla_core.language import Vocabulary
from vla_simulation.environment import DockingEnv
from vla_training.dataset.batch import DOCK_POSE_KNOWN, PARAPHRASES, SHARD
from vla_training.grounding import (
    GroundingConfig,
    contrast,
    grounding_terms,
    sentence_matches,
    station_mask,
)
from vla_training.models.vision.backbone import Level
from vla_training.models.vision.pointer import Pointer, Pointing

SHAPE = (12, 16)


@pytest.fixture(scope="module")
def env():
    environment = DockingEnv("nominal")
    yield environment
    environment.close()


def test_the_mask_is_where_the_simulator_draws_the_station(env):
    """The geometry of the default configuration is that of the simulated robot."""
    inside, shown = 0, 0
    for seed in range(12):
        env.reset(seed=seed)
        base = env.truth.world_from_base
        pose = env.scene.world_from_dock.relative_to(base)
        mask = station_mask(torch.tensor([[pose.x, pose.y, pose.yaw]]), GroundingConfig(), SHAPE)[0]
        drawn = env.render_segmentation() == 1 + env.scene.goal
        if drawn.mean() < 0.01:
            continue
        height, width = drawn.shape
        rows, columns = np.nonzero(drawn)
        cells = mask.numpy()[rows * SHAPE[0] // height, columns * SHAPE[1] // width]
        inside, shown = inside + cells.sum(), shown + len(cells)
        assert mask.float().mean() < 4 * drawn.mean() + 0.06
    assert shown > 5000
    assert inside / shown > 0.85


def test_a_station_behind_the_robot_is_not_in_the_image():
    poses = torch.tensor([[-1.5, 0.0, 0.0], [1.5, 0.0, 0.0], [0.5, 3.0, 0.0]])
    masks = station_mask(poses, GroundingConfig(), SHAPE)
    assert masks.flatten(1).any(1).tolist() == [False, True, False]


def test_the_mask_is_mirrored_by_a_mirrored_pose():
    pose = torch.tensor([[1.4, 0.3, 0.2]])
    mirrored = station_mask(pose * torch.tensor([1.0, -1.0, -1.0]), GroundingConfig(), SHAPE)
    assert torch.equal(station_mask(pose, GroundingConfig(), SHAPE).flip(2), mirrored)


def test_a_crop_moves_the_mask():
    pose = torch.tensor([[1.4, 0.0, 0.0]])
    whole = station_mask(pose, GroundingConfig(), (120, 160))[0]
    cropped = station_mask(pose, GroundingConfig(), (90, 120), (0.25, 0.0, 0.125, 0.125))[0]
    assert torch.equal(whole[30:, 20:140], cropped)


def _batch(sentences, ways, words):
    def encode(texts):
        return torch.from_numpy(np.stack([words.encode(text) for text in texts]))

    longest = max(map(len, ways))
    padded = [encode([*own, *[""] * (longest - len(own))]) for own in ways]
    return {keys.INSTRUCTION: encode(sentences), PARAPHRASES: torch.stack(padded)}


def test_sentences_match_the_stations_that_they_name():
    ways = [["red one", "left one"], ["blue one", "right one"], ["red one", "right one"]]
    words = Vocabulary.from_sentences([sentence for own in ways for sentence in own])
    matches = sentence_matches(_batch(["red one", "right one", "right one"], ways, words))
    assert matches.tolist() == [
        [True, False, False],
        [False, True, True],
        [True, True, True],
    ]


def test_words_for_colours_are_learned_from_contrast():
    """Patches of three colours somewhere in noise; sentences name one of the two in each image."""
    torch.manual_seed(0)
    colours = ["red", "green", "blue"]
    words = Vocabulary.from_sentences([f"take the {colour} one" for colour in colours])
    fine, coarse = Level(3, 8, *SHAPE), Level(3, 16, 6, 8)
    pointer = Pointer(fine, coarse, 16, 16, 8)
    table = torch.nn.Embedding(words.size, 16, padding_idx=0)
    optimizer = torch.optim.Adam(
        [{"params": pointer.parameters()}, {"params": table.parameters(), "lr": 2e-2}], lr=4e-3
    )

    def draw(count):
        image = torch.randn(count, 3, *SHAPE) * 0.2
        pixels = torch.zeros(count, 2, *SHAPE, dtype=torch.bool)
        which = torch.stack([torch.randperm(3)[:2] for _ in range(count)])
        for sample in range(count):
            for side in range(2):
                row = int(torch.randint(0, SHAPE[0] - 3, ()))
                column = int(torch.randint(0, 5, ())) + 8 * side
                pixels[sample, side, row : row + 3, column : column + 2] = True
                image[sample, which[sample, side], row : row + 3, column : column + 2] += 1.0
        sentences = [f"take the {colours[colour]} one" for colour in which[:, 0].tolist()]
        batch = _batch(sentences, [[sentence] for sentence in sentences], words)
        return image, pixels, batch

    def point(image, batch):
        condition = table(batch[keys.INSTRUCTION]).sum(1)
        return pointer(image, torch.nn.functional.avg_pool2d(image, 2), condition)[1]

    for _ in range(150):
        image, pixels, batch = draw(32)
        pointing = point(image, batch)
        wanted = pixels[:, 0].flatten(1)
        found = pointing.scores[:, :-1].masked_fill(~wanted, -1e9).logsumexp(1)
        everywhere = torch.ones(32, dtype=torch.bool)
        loss = (
            contrast(pointing, wanted, everywhere, sentence_matches(batch), everywhere[:, None])
            - found.mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    image, pixels, batch = draw(200)
    with torch.no_grad():
        shares = (
            point(image, batch).scores[:, :-1].exp().unsqueeze(1) @ pixels.flatten(2).float().mT
        )
    shares = shares.squeeze(1)
    assert (shares[:, 0] > shares[:, 1]).float().mean() > 0.95


def test_unknown_poses_have_no_influence():
    fine, coarse = Level(3, 8, *SHAPE), Level(3, 16, 6, 8)
    pointer = Pointer(fine, coarse, 16, 16, 8)
    _, pointing = pointer(torch.randn(3, 3, *SHAPE), torch.randn(3, 3, 6, 8), torch.randn(3, 16))
    pose = torch.tensor([[1.2, 0.0, 0.0], [math.nan, math.nan, math.nan], [1.5, 0.2, 0.1]])
    words = torch.tensor([[2, 0], [3, 0], [4, 0]])
    batch = {
        keys.DOCK_POSE: pose,
        DOCK_POSE_KNOWN: torch.tensor([True, False, True]),
        keys.INSTRUCTION: words,
        PARAPHRASES: words[:, None],
    }
    terms = grounding_terms(pointing, batch, GroundingConfig())
    batch[keys.DOCK_POSE] = pose.nan_to_num(7.0)
    again = grounding_terms(pointing, batch, GroundingConfig())
    assert terms.keys() == {"pointing", "contrast"}
    for name, term in terms.items():
        assert torch.isfinite(term)
        torch.testing.assert_close(term, again[name])


def test_samples_of_other_shards_are_not_compared():
    fine, coarse = Level(3, 8, *SHAPE), Level(3, 16, 6, 8)
    pointer = Pointer(fine, coarse, 16, 16, 8)
    _, pointing = pointer(torch.randn(6, 3, *SHAPE), torch.randn(6, 3, 6, 8), torch.randn(6, 16))
    words = torch.arange(2, 8)[:, None]
    batch = {
        keys.DOCK_POSE: torch.tensor([[1.2, 0.0, 0.0]]).repeat(6, 1),
        DOCK_POSE_KNOWN: torch.ones(6, dtype=torch.bool),
        keys.INSTRUCTION: words,
        PARAPHRASES: words[:, None],
        SHARD: torch.tensor([0, 0, 0, 1, 1, 1]),
    }
    both = grounding_terms(pointing, batch, GroundingConfig())["contrast"]
    halves = []
    for part in (slice(0, 3), slice(3, 6)):
        cut = Pointing(pointing.keys[part], pointing.query[part], pointing.scores[part], *SHAPE)
        own = {name: value[part] for name, value in batch.items()}
        halves.append(grounding_terms(cut, own, GroundingConfig())["contrast"])
    torch.testing.assert_close(both, torch.stack(halves).mean())


def test_a_pointer_wants_features_that_know_no_sentence(tmp_path):
    with pytest.raises(Exception, match="set film to false"):
        tiny_config(tmp_path / "d.h5", tmp_path, "model.vision.film=true")
