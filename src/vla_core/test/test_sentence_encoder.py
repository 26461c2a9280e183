import core_builders as cb
import numpy as np
import pytest
from tokenizers import Tokenizer as Definition
from tokenizers import models, pre_tokenizers, processors

from vla_core.bundle import ENCODER_FILE, TOKENIZER_FILE, ChunkPolicy, write_bundle
from vla_core.contract import Contract
from vla_core.errors import BundleError, PolicyError
from vla_core.frames import FrameAssembler
from vla_core.language import Vocabulary
from vla_core.normalization import Statistics
from vla_core.sentence_encoder import (
    ENCODER_INPUT,
    SentenceEncoder,
    Tokenizer,
    load_sentence_encoder,
    plain_sentence,
)

PIECES = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "dock": 3, "at": 4, "the": 5, "red": 6, "##dish": 7}


@pytest.fixture(scope="module")
def definition() -> str:
    tokenizer = Definition(models.WordPiece(PIECES, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    # A definition as it is published may pad and cut; neither is for single sentences.
    tokenizer.enable_padding(length=40)
    tokenizer.enable_truncation(4)
    return tokenizer.to_str()


class Counting:
    """A "language model" that gives how often each piece occurs, and counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, feeds):
        self.calls += 1
        pieces = feeds[ENCODER_INPUT]
        assert pieces.dtype == np.int64
        assert pieces.shape[0] == 1
        return np.bincount(pieces[0], minlength=8)[None].astype(np.float32)


def make_bundle(folder, files):
    model = folder / "graph.onnx"
    model.write_bytes(b"a graph")
    return write_bundle(
        folder / "policy",
        model,
        Contract.from_dict(cb.contract_dict()),
        Statistics.from_arrays({"odometry": np.arange(8.0).reshape(4, 2)}),
        Vocabulary.from_sentences(["dock at the orange charger"]),
        {},
        files,
    )


@pytest.fixture
def bundle(tmp_path, definition):
    (tmp_path / "tokenizer").write_text(definition)
    (tmp_path / "encoder").write_bytes(b"another graph")
    files = {ENCODER_FILE: tmp_path / "encoder", TOKENIZER_FILE: tmp_path / "tokenizer"}
    return make_bundle(tmp_path, files)


def test_a_model_is_given_the_words_that_training_sees():
    assert plain_sentence("Dock, at the RED one!") == "dock at the red one"
    assert plain_sentence(" ".join(["far"] * 30)) == " ".join(["far"] * 16)


def test_pieces_are_neither_padded_nor_cut_short(definition):
    tokenizer = Tokenizer(definition)
    assert tokenizer("Dock at the reddish, please").tolist() == [1, 3, 4, 5, 6, 7, 0, 2]
    assert tokenizer("").tolist() == [1, 2]


def test_every_sentence_is_encoded_once(definition):
    model = Counting()
    encode = SentenceEncoder(Tokenizer(definition), model)
    first = encode("dock at the red dock")
    assert first.dtype == np.float32
    assert first.tolist() == [0, 1, 1, 2, 1, 1, 1, 0]
    assert encode("Dock at the red dock!") is first
    assert model.calls == 1
    for number in range(200):
        encode(f"station {number}")
    np.testing.assert_array_equal(encode("dock at the red dock"), first)
    assert model.calls == 202  # the oldest were forgotten


@pytest.mark.parametrize(
    "output", [np.full((1, 4), np.nan), np.zeros((2, 4)), np.zeros(4), np.array([[1.0, np.inf]])]
)
def test_what_is_no_vector_is_refused(definition, output):
    with pytest.raises(PolicyError, match="sentence encoder: got shape"):
        SentenceEncoder(Tokenizer(definition), lambda _: output)("dock")


def test_a_damaged_tokenizer_is_refused():
    with pytest.raises(PolicyError, match="tokenizer: cannot be read"):
        Tokenizer('{"version": "1.0"}')


def test_a_policy_with_a_language_model_is_fed_with_vectors(bundle):
    model = Counting()
    loaded = []
    encode = load_sentence_encoder(bundle, lambda path: loaded.append(path) or model)
    assert loaded == [bundle.path / ENCODER_FILE]
    policy = ChunkPolicy(bundle, lambda feeds: np.zeros((1, 10, 2)), encode)
    frame = FrameAssembler(bundle.contract).assemble(0)
    told = policy.feeds(frame, "dock at the red")["instruction"]
    assert told.shape == (1, 8)
    assert told.tolist() == [[0, 1, 1, 1, 1, 1, 1, 0]]
    assert policy.feeds(frame, "dock")["instruction"].tolist() == [[0, 1, 1, 1, 0, 0, 0, 0]]


def test_a_policy_without_one_is_fed_with_word_numbers(tmp_path):
    bundle = make_bundle(tmp_path, {})
    assert load_sentence_encoder(bundle, lambda path: pytest.fail(str(path))) is None
    policy = ChunkPolicy(bundle, lambda feeds: np.zeros((1, 10, 2)))
    frame = FrameAssembler(bundle.contract).assemble(0)
    assert policy.feeds(frame, "dock at the red")["instruction"].dtype == np.int64


def test_a_language_model_that_was_not_loaded_is_noticed(bundle):
    with pytest.raises(PolicyError, match="reads sentences with a language model"):
        ChunkPolicy(bundle, lambda feeds: np.zeros((1, 10, 2)))


def test_a_language_model_is_whole_or_not_there(tmp_path, definition):
    (tmp_path / "tokenizer").write_text(definition)
    with pytest.raises(BundleError, match=f"does not list {ENCODER_FILE}"):
        make_bundle(tmp_path, {TOKENIZER_FILE: tmp_path / "tokenizer"})
