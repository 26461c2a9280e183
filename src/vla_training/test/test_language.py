import numpy as np
import pytest
import torch
from tiny_runs import TINY
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from vla_core import keys
from vla_core.bundle import ENCODER_FILE, TOKENIZER_FILE, PolicyBundle
from vla_core.frames import FrameAssembler
from vla_core.language import Vocabulary
from vla_training.checkpoints import load_checkpoint
from vla_training.errors import ConfigurationError
from vla_training.export import export_bundle
from vla_training.models.language.transformer import (
    SentenceVectors,
    TransformerConfig,
    load_language_model,
)
from vla_training.onnx_session import load_policy
from vla_training.selection import policy_in_process
from vla_training.trainer import train
from vla_training.training_config import load_training_config

WORDS = ["dock", "at", "the", "orange", "blue", "amber", "charger", "something"]
VOCABULARY = Vocabulary.from_sentences(["dock at the orange charger", "dock at the blue charger"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A language model of random weights, as `transformers` saves one."""
    path = tmp_path_factory.mktemp("language")
    pieces = {piece: number for number, piece in enumerate(["[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(path / "tokenizer.json"))
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(pieces),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            initializer_range=0.5,
        )
    ).save_pretrained(path)
    return path


def encode(*sentences: str) -> torch.Tensor:
    return torch.from_numpy(np.stack([VOCABULARY.encode(sentence) for sentence in sentences]))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_are_pooled_and_of_length_one(folder, pooling):
    model = load_language_model(TransformerConfig(str(folder), pooling))
    reference = BertModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.no_grad():
        hidden = reference(torch.tensor([[1, 3, 4, 2]])).last_hidden_state[0]
    expected = hidden.mean(0) if pooling == "mean" else hidden[0]
    torch.testing.assert_close(model.vector("dock at"), expected / expected.norm())
    assert model.size == 16


def test_word_numbers_and_vectors_of_a_sentence_mean_the_same(folder):
    language = SentenceVectors(TransformerConfig(str(folder)), VOCABULARY, condition=8)
    sentences = ["dock at the orange charger", "dock at the blue charger", "dock at the charger"]
    numbers = encode(*sentences, sentences[0])
    encoder = language.sentence_encoder()
    vectors = torch.from_numpy(np.stack([encoder(s) for s in [*sentences, sentences[0]]]))
    torch.testing.assert_close(language.deployed(numbers), vectors)
    torch.testing.assert_close(language(numbers), language(vectors))
    assert torch.equal(language(numbers)[0], language(numbers)[3])
    assert (language(numbers)[0] - language(numbers)[1]).abs().max() > 1e-3
    # A word that the data lack still means something.
    assert not np.array_equal(encoder("dock at the amber charger"), encoder("dock at the charger"))
    learned = sum(parameter.numel() for parameter in language.parameters())
    assert learned == 16 * 8 + 8 + 8 * 8 + 8  # the language model is not among them


@pytest.fixture(scope="module")
def run(folder, dataset, tmp_path_factory):
    overrides = [
        *TINY,
        "steps=3",
        "optimizer.learning_rate=0.01",
        "model.language.kind=transformer",
        f"model.language.transformer.source={folder}",
        "model.vision.efficientnet.stages=3",
        "model.scan.kind=beams",
        "model.head.kind=regression",
    ]
    config = load_training_config(
        dataset, tmp_path_factory.mktemp("run"), preset="rt1_small", overrides=overrides
    )
    return train(config, progress=False)


@pytest.mark.slow
def test_a_policy_with_a_language_model_goes_all_the_way(run, recordings, tmp_path):
    bundle = export_bundle(run.checkpoint, tmp_path / "bundle")
    assert {ENCODER_FILE, TOKENIZER_FILE} < set(bundle.manifest.files)
    policy = load_policy(PolicyBundle.load(bundle.path))
    checkpoint = load_checkpoint(run.checkpoint)
    in_process = policy_in_process(checkpoint)
    stamp_ns, readings = recordings[0].readings[0]
    assembler = FrameAssembler(bundle.contract)
    for key, reading in readings.items():
        assembler.push(key, stamp_ns, reading)
    frame = assembler.assemble(stamp_ns)
    chunks = {}
    for sentence in ("dock at the orange charger", "dock at the amber charger", "charger, blue!"):
        chunks[sentence] = policy(frame, sentence)
        np.testing.assert_allclose(chunks[sentence], in_process(frame, sentence), atol=1e-5)
        told = policy.feeds(frame, sentence)[keys.INSTRUCTION]
        assert told.shape == (1, 16)
        assert told.dtype == np.float32
    first, *others = chunks.values()
    assert all(np.abs(other - first).max() > 1e-6 for other in others)


def test_a_language_model_that_is_not_there_is_told():
    with pytest.raises(ConfigurationError, match=r"transformer.source /nowhere: cannot be loaded"):
        load_language_model(TransformerConfig("/nowhere"))


def test_minilm_knows_what_sounds_different_and_means_the_same():
    model = load_language_model(TransformerConfig())
    told, same, other = (
        model.vector(sentence)
        for sentence in (
            "dock at the orange charger",
            "drive onto the orange charging station",
            "dock at the blue charger",
        )
    )
    assert model.size == 384
    assert told.norm().item() == pytest.approx(1.0, abs=1e-5)
    assert told @ same > model.vector("drive onto the blue charging station") @ told
    assert told @ other > told @ model.vector("the weather is nice today")
