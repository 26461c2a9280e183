import json

import numpy as np
import pytest
import torch
from html_pages import Page
from PIL import Image

from vla_core import keys
from vla_simulation.environment import DockingEnv
from vla_training.attention.gradients import gradient_maps
from vla_training.attention.measure import _keep, attention_rows
from vla_training.attention.overlay import overlay_picture
from vla_training.attention.pictures import Look
from vla_training.attention.shares import (
    EpisodeShares,
    attention_reader,
    attention_share,
    station_areas,
    summarise,
)
from vla_training.attention.watching import EVERY_TICKS, Watcher, camera_of
from vla_training.errors import EvaluationError
from vla_training.evaluation.checkpoint_policy import load_checkpoint_policy
from vla_training.evaluation.drivers import PolicyDriver
from vla_training.evaluation.evaluate import evaluate, make_driver
from vla_training.evaluation.report import EvaluationConfig
from vla_training.evaluation.report_page.page import evaluation_page


@pytest.fixture(scope="module")
def loaded(trained):
    return load_checkpoint_policy(trained.checkpoint)


@pytest.fixture(scope="module")
def camera(loaded):
    return camera_of(loaded[0].bundle.contract)


@pytest.fixture(scope="module")
def env():
    env = DockingEnv("nominal")
    env.reset(seed=1_000_003)
    yield env
    env.close()


@pytest.fixture(scope="module")
def watched(loaded, camera, env):
    """A few ticks of an episode, watched; with its watcher and what was asked last."""
    policy, runner = loaded
    driver = PolicyDriver(policy, "receding_horizon", latency_ticks=0, replan_steps=1)
    env.reset(seed=1_000_003)
    driver.reset(env)
    watcher = Watcher(env, runner, camera, draw=True)
    for _ in range(2 * EVERY_TICKS + 1):
        command = driver.command(env)
        watcher()
        env.step(command.astype(np.float32))
    return watcher


def test_a_checkpoint_drives_like_its_bundle(trained, bundle, env):
    commands = []
    for path in (str(trained.checkpoint), str(bundle.path)):
        driver = make_driver(EvaluationConfig(path))
        env.reset(seed=1_000_005)
        driver.reset(env)
        commands.append([])
        for _ in range(4):
            command = driver.command(env)
            commands[-1].append(command)
            env.step(command.astype(np.float32))
    assert np.abs(commands[0]).max() > 1e-3
    assert commands[0] == pytest.approx(np.array(commands[1]), abs=1e-4)


def test_a_checkpoint_has_no_variants(trained):
    with pytest.raises(EvaluationError, match="variants are of bundles"):
        evaluate(trained.checkpoint, episodes=1, variant="int8", progress=False)


def test_gradient_maps_are_shares_of_every_kind(loaded, watched):
    policy, observation = loaded[1].policy, loaded[1].observation
    maps = gradient_maps(policy, observation)
    height, width = observation[keys.IMAGE].shape[1:3]
    assert maps["image/saliency"].shape == (1, 1, height, width)
    assert {f"image/grad_cam_{stride}" for stride in (4, 8, 16)} < set(maps)
    for each in maps.values():
        assert each.min() >= 0.0
        assert each.sum() == pytest.approx(1.0, abs=1e-4)
        assert each.std() > 0.0
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_saliency_is_what_changing_pixels_changes(loaded, watched):
    """Against finite differences of the normalised chunk, at strong pixels and a weak one."""
    policy, observation = loaded[1].policy, loaded[1].observation
    saliency = gradient_maps(policy, observation)["image/saliency"][0, 0]
    order = saliency.flatten().argsort(descending=True)
    chosen = [divmod(int(order[k]), saliency.shape[1]) for k in (0, 5, 2000)]

    def scores(row, column, channel, change):
        pixels = observation[keys.IMAGE].float()
        pixels[0, row, column, channel] += change
        with torch.no_grad():
            actions = policy.predict({**observation, keys.IMAGE: pixels}).actions
            return policy.normalize(actions).double().sum((0, 1))

    def measured(row, column):
        by_channel = [
            scores(row, column, channel, 4.0) - scores(row, column, channel, -4.0)
            for channel in range(3)
        ]
        return float(torch.stack(by_channel).abs().sum(1).max())

    first, second, weak = (measured(*place) for place in chosen)
    assert first > 3.0 * weak
    expected = float(saliency[chosen[1]] / saliency[chosen[0]])
    assert second / first == pytest.approx(expected, rel=0.5)


def test_even_attention_is_once_the_share_of_the_pixels():
    areas = np.zeros((2, 24, 32), np.float32)
    areas[0, 6:12, 4:12] = 1.0
    areas[1, 6:12, 20:24] = 1.0
    even = np.full((1, 6, 8), 1 / 48)
    assert attention_share(even, areas)[0] == pytest.approx(areas.mean((1, 2)), abs=1e-6)
    sharp = np.zeros((2, 6, 8))
    sharp[0, 2, 2] = 1.0  # within the first area
    sharp[1, 1, 5] = 1.0  # half of this position's pixels are of the second one
    assert attention_share(sharp, areas) == pytest.approx(np.array([[1.0, 0.0], [0.0, 0.5]]))


def test_areas_are_those_of_the_simulators_stations(env, camera):
    env.reset(seed=1_000_003)
    labels = env.render_segmentation()
    goal = env.scene.goal
    areas = station_areas(labels, goal, camera)
    assert areas.shape == (2, *camera.shape[:2])
    assert areas[0].mean() == pytest.approx((labels == 1 + goal).mean(), rel=0.1, abs=2e-3)
    assert (areas.sum(0) <= 1.01).all()
    both = station_areas(labels, len(env.scene.stations), camera)
    assert both[0].sum() == 0.0
    assert both[1] == pytest.approx(areas.sum(0), abs=0.02)


def test_a_watcher_adds_up_what_it_sees(watched, env):
    shares = watched.shares()
    assert shares.seed == 1_000_003
    assert shares.frames + shares.unseen == 3
    assert len(watched.pictures) == 3
    if shares.frames:
        assert {"saliency", "grad_cam_16", "learned_16"} <= set(shares.attention)
        for attention in shares.attention.values():
            assert (attention.sum(1) <= shares.frames + 1e-4).all()


def test_pictures_are_kept_as_video_and_images(watched, tmp_path):
    _keep(watched, tmp_path / "nominal_7")
    assert (tmp_path / "nominal_7.mp4").stat().st_size > 1000
    assert {file.name for file in tmp_path.glob("*.png")} == {"nominal_7_0.png", "nominal_7_50.png"}


def test_a_page_shows_where_it_looks(watched, tmp_path):
    file = tmp_path / "look.webp"
    Image.fromarray(watched.pictures[0]).save(file)
    report = evaluate("expert", episodes=1, jobs=1, trace=True, progress=False)
    looks = {"nominal": [Look("nominal", 7, file.read_bytes())]}
    page = Page(evaluation_page({"nominal": report}, {}, looks))
    assert "Where it looks" in page.texts
    (source,) = (value for tag, name, value in page.attributes if (tag, name) == ("img", "src"))
    assert source.startswith("data:image/webp;base64,")
    assert "Where it looks" not in evaluation_page({"nominal": report}, {})


def test_the_overlay_is_bright_where_the_attention_is():
    image = np.full((48, 64, 3), 90, np.uint8)
    spot = np.zeros((1, 12, 16))
    spot[0, 3, 4] = 1.0
    areas = np.zeros((2, 48, 64), np.float32)
    picture = overlay_picture(image, {"image/learned_16": spot}, areas, "dock", {})
    panel = picture[34 : 34 + 192, 256:512].astype(int)
    hottest = np.unravel_index(panel.sum(2).argmax(), panel.shape[:2])
    assert np.abs(np.array(hottest) - [56, 72]).max() <= 8
    assert panel[150:].std() < 2.0


def test_the_summary_is_over_episodes():
    rng = np.random.default_rng(2)
    episodes = []
    for seed in range(30):
        pixels = np.array([0.05, 0.04]) * rng.uniform(0.5, 1.5)
        looks = {"learned": 10 * np.stack([6 * pixels, 2 * pixels]) * rng.uniform(0.9, 1.1)}
        episodes.append(EpisodeShares(seed, 10, 1, 10 * pixels, looks))
    episodes.append(EpisodeShares(99, 0, 12, np.zeros(2), {}))
    figures = summarise(episodes)
    assert (figures["episodes"], figures["frames"], figures["unseen_frames"]) == (30, 300, 42)
    reader = figures["readers"]["learned"]
    named = reader["named"]
    assert named["low"] < named["times"] < named["high"]
    assert named["times"] == pytest.approx(4.0, rel=0.05)
    assert named["high"] - named["low"] < 0.2
    assert reader["maps"] == pytest.approx([6.0, 2.0], rel=0.05)
    assert reader["share"]["named"] == pytest.approx(
        4.0 * figures["pixel_share"]["named"], rel=0.05
    )
    assert any("x its pixels (95 %" in text for _, text in attention_rows(figures))
    attention = figures["attention"]
    assert (attention["reader"], attention["times"]) == ("learned", named["times"])
    assert attention["share"] / attention["pixel_share"] == pytest.approx(named["times"], rel=1e-3)
    name, text = attention_rows(figures)[-1]
    assert name == "attention"
    assert text.endswith("on the named station, by learned")
    json.dumps(figures, allow_nan=False)
    nothing = summarise(episodes[-1:])
    assert nothing["readers"] == {}
    assert len(attention_rows(nothing)) == 1


@pytest.mark.parametrize(
    ("readers", "chosen"),
    [
        (["learned_16", "pointed_8", "keypoints_4", "asked_8", "saliency"], "pointed_8"),
        (["saliency", "learned_16", "asked_4", "asked_8", "grad_cam_8"], "asked_4"),
        (["rollout", "saliency"], "rollout"),
        (["saliency", "grad_cam_8"], None),
    ],
)
def test_a_policys_attention_is_what_it_acts_by(readers, chosen):
    assert attention_reader(readers) == chosen
