import json

import numpy as np
import pytest
import torch
from transformers import ViTConfig, ViTModel

from vla_core.normalization import FieldStatistics
from vla_training.errors import ConfigurationError
from vla_training.models.readers import TokenLearner
from vla_training.models.vision.cnn import Cnn, CnnConfig
from vla_training.models.vision.efficientnet import (
    EfficientNetConfig,
    EfficientNetLite0,
    pretrained_weights,
)
from vla_training.models.vision.encoder import ImageEncoder, VisionConfig
from vla_training.models.vision.resnet import ResNet, ResNetConfig
from vla_training.models.vision.vit import Vit, VitConfig

HEIGHT, WIDTH, CONDITION = 33, 50, 6

BACKBONES = {
    "cnn": lambda condition: Cnn(CnnConfig((8, 8, 16, 24)), HEIGHT, WIDTH, condition),
    "resnet": lambda condition: ResNet(
        ResNetConfig((8, 8, 16, 24), (1, 1, 1, 1)), HEIGHT, WIDTH, condition
    ),
    "affine": lambda condition: ResNet(
        ResNetConfig((8, 8, 16, 24), (1, 1, 1, 1), "affine"), HEIGHT, WIDTH, condition
    ),
    "efficientnet": lambda condition: EfficientNetLite0(
        EfficientNetConfig(pretrained=False, stages=6), HEIGHT, WIDTH, condition
    ),
    "pretrained": lambda condition: EfficientNetLite0(
        EfficientNetConfig(stages=4), HEIGHT, WIDTH, condition
    ),
    "vit": lambda condition: Vit(tiny_vit(), HEIGHT, WIDTH, condition),
    "told": lambda condition: Vit(tiny_vit(instruction="both"), HEIGHT, WIDTH, condition),
    "cls": lambda condition: Vit(tiny_vit(output="cls"), HEIGHT, WIDTH, condition),
}
every_backbone = pytest.mark.parametrize("name", sorted(BACKBONES))


def tiny_vit(**values) -> VitConfig:
    return VitConfig(
        **{"patch": 16, "width": 8, "layers": 2, "heads": 2, "feedforward": 8} | values
    )


def make(name: str, condition: int = CONDITION):
    torch.manual_seed(0)
    return BACKBONES[name](condition)


def pixels(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


@every_backbone
def test_maps_have_the_shapes_of_the_levels(name):
    backbone = make(name)
    maps = backbone(pixels(), torch.zeros(3, CONDITION))
    assert [tuple(values.shape) for values in maps] == [
        (3, level.channels, level.height, level.width) for level in backbone.levels
    ]
    strides = [level.stride for level in backbone.levels]
    assert strides == sorted(set(strides))


@every_backbone
def test_the_instruction_is_unheard_at_first_and_then_changes_every_map(name):
    backbone, images = make(name).eval(), pixels()
    one, other = torch.randn(2, 3, CONDITION).unbind()
    hears_at_once = name == "told"
    with torch.no_grad():
        for before, after in zip(backbone(images, one), backbone(images, other), strict=True):
            assert torch.equal(before, after) is not hears_at_once
        for parameter_name, parameter in backbone.named_parameters():
            if "film" in parameter_name:
                parameter.normal_(std=0.5)
        for before, after in zip(backbone(images, one), backbone(images, other), strict=True):
            assert (before - after).abs().max() > 1e-4


@every_backbone
def test_without_an_instruction_there_is_nothing_to_hear_it(name):
    backbone = make(name, condition=0)
    assert not [key for key, _ in backbone.named_parameters() if "film" in key or "token." in key]
    backbone(pixels(), torch.zeros(3, 0))


@every_backbone
def test_samples_do_not_depend_on_each_other_in_training_either(name):
    backbone, images = make(name).train(), pixels()
    condition = torch.randn(3, CONDITION)
    with torch.no_grad():
        together = backbone(images, condition)
        alone = backbone(images[1:2], condition[1:2])
    for all_maps, own in zip(together, alone, strict=True):
        close = 1e-5 * float(all_maps.abs().max())
        torch.testing.assert_close(own[0], all_maps[1], rtol=1e-4, atol=close)


def test_efficientnet_computes_what_its_weights_were_trained_for():
    """Folded norms give what batch norm in evaluation gives, block by block."""
    weights = pretrained_weights()
    backbone = make("pretrained", condition=0).eval()
    images = pixels(2)
    with torch.no_grad():
        padded = torch.nn.functional.pad(images, (0, 1, 1, 1))  # 50 and 33 columns and rows
        stem = torch.nn.functional.conv2d(padded, weights["_conv_stem.weight"], stride=2)
        normed = torch.nn.functional.batch_norm(
            stem,
            weights["_bn0.running_mean"],
            weights["_bn0.running_var"],
            weights["_bn0.weight"],
            weights["_bn0.bias"],
            eps=1e-3,
        )
        torch.testing.assert_close(backbone.stem(images), normed, rtol=1e-4, atol=1e-4)
        # The statistics of the weights fit what comes out: nothing explodes or dies on the way.
        for values in backbone(images, torch.zeros(2, 0)):
            assert 0.05 < values.std() < 20.0
    kept = sum(value.numel() for key, value in backbone.state_dict().items() if "films" not in key)
    expected = [
        value.numel()
        for key, value in weights.items()
        if not key.endswith("num_batches_tracked")
        and (
            key.startswith(("_conv_stem", "_bn0"))
            or (key.startswith("_blocks") and int(key.split(".")[1]) < 8)
        )
    ]
    assert kept == sum(expected)


def test_frozen_weights_stay_and_film_learns():
    backbone = EfficientNetLite0(
        EfficientNetConfig(stages=3, frozen=True), HEIGHT, WIDTH, CONDITION
    )
    learning = {key for key, value in backbone.named_parameters() if value.requires_grad}
    assert learning
    assert all(key.startswith("films") for key in learning)


def test_pretrained_weights_get_the_pixels_they_know(contract):
    (stream,) = (s for s in contract.streams if s.key == "image")
    statistics = FieldStatistics.from_array(np.random.default_rng(0).uniform(0, 90, (20, 3)))
    for pretrained, low, high in ((True, -127 / 128, 1.0), (False, None, None)):
        config = VisionConfig(
            "efficientnet_lite0",
            efficientnet=EfficientNetConfig(pretrained=pretrained, stages=3),
            keypoints=0,
            asked_keypoints=0,
        )
        encoder = ImageEncoder(config, stream, statistics, CONDITION, 16)
        seen = []
        encoder.backbone.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs))
        image = torch.zeros(1, *stream.shape, dtype=torch.uint8)
        image[:, 0] = 255
        encoder(image, torch.zeros(1, CONDITION))
        pixels = seen[0][0]
        assert pixels.shape == (1, 3, *stream.shape[:2])
        if low is not None:
            assert pixels.min().item() == pytest.approx(low)
            assert pixels.max().item() == pytest.approx(high)
        else:
            assert pixels.max() > 4.0  # by the statistics of dark images, 255 is far away


def test_a_vit_checkpoint_keeps_its_function_and_fits_any_image(tmp_path):
    torch.manual_seed(0)
    trained = ViTModel(
        ViTConfig(
            hidden_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=8,
            image_size=(32, 48),
            patch_size=16,
        ),
        add_pooling_layer=False,
    ).eval()
    trained.save_pretrained(tmp_path)
    config = VitConfig(checkpoint=str(tmp_path), frozen=True, output="patches")
    same = Vit(config, HEIGHT, WIDTH, CONDITION).eval()
    images = pixels()
    with torch.no_grad():
        expected = trained(images[:, :, :32, :48]).last_hidden_state[:, 1:]
        (got,) = same(images, torch.zeros(3, CONDITION))
    torch.testing.assert_close(got.flatten(2).transpose(1, 2), expected, rtol=1e-4, atol=1e-5)
    assert all("films" in key for key, value in same.named_parameters() if value.requires_grad)
    larger = Vit(config, 64, 96, CONDITION)
    assert (larger.levels[0].height, larger.levels[0].width) == (4, 6)
    # Stretched positions still rise and fall where they did.
    before = trained.embeddings.position_embeddings[0, 1:].reshape(2, 3, 8).mean((0, 1))
    after = larger.model.embeddings.position_embeddings[0, 1:].reshape(4, 6, 8).mean((0, 1))
    torch.testing.assert_close(after, before, rtol=0.2, atol=0.01)


def test_what_is_no_vit_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        Vit(VitConfig(checkpoint=str(tmp_path / "none")), HEIGHT, WIDTH, 0)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ConfigurationError, match="of type 'bert', expected 'vit'"):
        Vit(VitConfig(checkpoint=str(tmp_path)), HEIGHT, WIDTH, 0)
    with pytest.raises(ConfigurationError, match="no whole patch of 64x64"):
        Vit(tiny_vit(patch=64), HEIGHT, WIDTH, 0)


def test_rollout_follows_attention():
    """Without attention to anything but one patch, that patch is all there is to see."""
    backbone = make("cls", condition=0).eval()
    with torch.no_grad():
        images = pixels()
        share = backbone.attention_maps(images, torch.zeros(3, 0))["rollout"]
        assert share.shape == (3, 1, 2, 3)
        assert share.max() < 0.5
        for layer in backbone.model.layers:
            # All ask for what is large in the first component, and answers change nothing.
            layer.attention.q_proj.weight.zero_()
            layer.attention.q_proj.bias.fill_(30.0)
            layer.attention.k_proj.bias.zero_()
            layer.attention.k_proj.weight.zero_()
            layer.attention.k_proj.weight[:, 0] = 1.0
            layer.attention.o_proj.weight.zero_()
            layer.mlp.fc2.weight.zero_()
        backbone.model.embeddings.cls_token.zero_()
        backbone.model.embeddings.position_embeddings.zero_()
        backbone.model.embeddings.patch_embeddings.projection.weight.zero_()
        backbone.model.embeddings.position_embeddings[0, 5, 0] = 50.0
        share = backbone.attention_maps(images, torch.zeros(3, 0))["rollout"]
    assert share[0, 0, 1, 1] > 0.9  # row by row, after the CLS token


@pytest.mark.parametrize(("tokens", "count"), [("learned", 5), ("mean", 1), ("all", 12)])
def test_the_coarsest_map_becomes_tokens(contract, tokens, count):
    (stream,) = (s for s in contract.streams if s.key == "image")
    statistics = FieldStatistics.from_array(np.random.default_rng(0).uniform(0, 255, (20, 3)))
    for keypoints, asked in ((4, 2), (4, 0), (0, 2), (0, 0)):
        config = VisionConfig(
            keypoints=keypoints,
            asked_keypoints=asked,
            tokens=tokens,
            learned_tokens=5,
            cnn=CnnConfig((8, 8, 8, 8)),
        )
        encoder = ImageEncoder(config, stream, statistics, CONDITION, 16)
        image = torch.zeros(2, *stream.shape, dtype=torch.uint8)
        result, _ = encoder(image, torch.zeros(2, CONDITION))
        assert result.shape == (2, count + (keypoints + asked > 0), 16)
        assert encoder.tokens == result.shape[1]


def test_tokens_that_contradict_the_backbone_are_told():
    with pytest.raises(ValueError, match="needs a feature map"):
        VisionConfig("vit", vit=VitConfig(output="cls"), tokens="learned")


def test_a_learned_token_is_the_mean_under_its_map():
    learner = TokenLearner(channels=3, tokens=2, positions=6, width=4)
    features = torch.randn(2, 3, 2, 3)
    values = learner.value(features.flatten(2).transpose(1, 2) + learner.position)
    expected = torch.einsum("bkp,bpd->bkd", learner.maps(features), values)
    torch.testing.assert_close(learner(features), expected)
