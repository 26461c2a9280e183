import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_core.errors import VocabularyError
from vla_core.language import PAD, SENTENCE_LENGTH, UNKNOWN, Vocabulary, words_of

SENTENCES = ["Dock at the orange charger.", "주황색 충전기에 도킹해 주세요"]


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Dock at the ORANGE charger!", ("dock", "at", "the", "orange", "charger")),
        ("  dock,at;the/orange--charger\n", ("dock", "at", "the", "orange", "charger")),
        ("Don't stop at Bob’s", ("dont", "stop", "at", "bobs")),
        ("주황색 충전기에, 도킹해 주세요.", ("주황색", "충전기에", "도킹해", "주세요")),
        ("2번 충전소로 가", ("2번", "충전소로", "가")),
        ("왼쪽에 있는 충전기에, 연결해!", ("왼쪽에", "있는", "충전기에", "연결해")),
        ("주황\u200b색 char\u00adger\ufeff", ("주황색", "charger")),
        ("a'\u0301b", ("áb",)),
        ("À la borne Ⅲ", ("à", "la", "borne", "iii")),
        ("STRASSE straße", ("strasse", "strasse")),
        ("चार्जर पर जाओ", ("चार्जर", "पर", "जाओ")),
        ("station_2 no.3", ("station", "2", "no", "3")),
        ("！？ 🤖", ()),
        ("", ()),
    ],
)
def test_words(sentence, words):
    assert words_of(sentence) == words


@given(st.text(max_size=40))
def test_ways_to_write_a_sentence_do_not_matter(sentence):
    words = words_of(sentence)
    assert words_of(unicodedata.normalize("NFD", sentence)) == words
    assert words_of(" ".join(words)) == words
    assert words_of(f"¿{sentence}?!") == words


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_korean_syllables_may_be_decomposed(form):
    vocabulary = Vocabulary.from_sentences(SENTENCES)
    written = unicodedata.normalize(form, SENTENCES[1])
    assert words_of(written) == ("주황색", "충전기에", "도킹해", "주세요")
    assert (vocabulary.encode(written) == vocabulary.encode(SENTENCES[1])).all()
    assert vocabulary.problems(written) == []


def test_a_vocabulary_keeps_korean_readable():
    vocabulary = Vocabulary.from_sentences(SENTENCES)
    assert "충전기에" in vocabulary.to_json()
    assert Vocabulary.from_json(vocabulary.to_json().encode()) == vocabulary


def test_sentences_become_numbers():
    vocabulary = Vocabulary.from_sentences(SENTENCES)
    assert vocabulary.size == 2 + len(vocabulary.words) == 11
    numbers = vocabulary.encode("dock at the BLUE charger")
    assert numbers.dtype == np.int64
    assert numbers.shape == (SENTENCE_LENGTH,)
    assert numbers[3] == UNKNOWN
    assert numbers[5:].tolist() == [PAD] * 11
    assert [vocabulary.words[number - 2] for number in numbers[[0, 1, 2, 4]]] == [
        "dock",
        "at",
        "the",
        "charger",
    ]
    assert (vocabulary.encode("") == PAD).all()


def test_problems_of_a_sentence_are_named():
    vocabulary = Vocabulary.from_sentences(SENTENCES)
    assert vocabulary.problems("dock at the orange charger") == []
    assert vocabulary.problems("...") == ["the instruction has no words"]
    assert vocabulary.problems("dock at the blue thing") == [
        "the policy does not know the words blue, thing"
    ]
    assert vocabulary.problems("dock " * 17) == [
        "the instruction has 17 words, the policy reads the first 16"
    ]
    assert vocabulary.unknown_words("Park at the orange wall") == ("park", "wall")


@given(st.lists(st.text(max_size=30)), st.text(max_size=200))
def test_any_sentence_can_be_encoded(sentences, sentence):
    vocabulary = Vocabulary.from_sentences(sentences)
    numbers = vocabulary.encode(sentence)
    assert numbers.shape == (SENTENCE_LENGTH,)
    assert (numbers >= 0).all()
    assert (numbers < vocabulary.size).all()
    assert np.count_nonzero(numbers) == min(len(words_of(sentence)), SENTENCE_LENGTH)
    for known in sentences:
        assert UNKNOWN not in vocabulary.encode(known)
        assert vocabulary.unknown_words(known) == ()
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again == vocabulary
    assert hash(again) == hash(vocabulary)
    assert (again.encode(sentence) == numbers).all()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"words": []}',
        '{"format_version": 2, "words": []}',
        '{"format_version": 1, "words": "dock"}',
        '{"format_version": 1, "words": [1]}',
        '{"format_version": 1, "words": ["Dock"]}',
        '{"format_version": 1, "words": ["dock at"]}',
        '{"format_version": 1, "words": [""]}',
        '{"format_version": 1, "words": ["dock", "dock"]}',
        b"\xff",
    ],
)
def test_texts_that_are_no_vocabulary(text):
    with pytest.raises(VocabularyError, match=r"^vocabulary: "):
        Vocabulary.from_json(text)
