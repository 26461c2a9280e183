"""Sentences of episodes, and drawing another one that commands the same."""

import json

import pytest
import torch

from vla_core.language import Vocabulary
from vla_training.dataset.layout import EpisodeRecord
from vla_training.dataset.sentences import EpisodeSentences, all_sentences, sentences_of

SAID = (
    ("go left", ["take the left one", "go left", "왼쪽으로 가"]),
    ("go right", []),
    ("", ["dock"]),
)
GENERATOR_SEED = 11


def record(instruction, paraphrases):
    return EpisodeRecord(
        start=0,
        length=1,
        split=0,
        seed=-1,
        group="",
        goal=-1,
        instruction=instruction,
        outcome="success",
        operator="",
        suite="",
        bag="",
        bag_sha256="",
        paraphrases=json.dumps(paraphrases),
    )


RECORDS = [record(*said) for said in SAID]


@pytest.fixture
def vocabulary():
    return Vocabulary.from_sentences(all_sentences(RECORDS))


def draw(sentences, episode, probability, count=600):
    generator = torch.Generator().manual_seed(GENERATOR_SEED)
    drawn = sentences.drawn(torch.full((count,), episode), probability, generator)
    return [tuple(row) for row in drawn.tolist()]


def test_the_given_sentence_comes_first_and_none_twice():
    assert sentences_of(RECORDS[0]) == ["go left", "take the left one", "왼쪽으로 가"]
    assert all_sentences(RECORDS)[-2:] == ["", "dock"]


def test_without_a_draw_the_given_sentence(vocabulary):
    sentences = EpisodeSentences(RECORDS, vocabulary, torch.device("cpu"))
    for episode, (instruction, _) in enumerate(SAID):
        (found,) = sentences.of(torch.tensor([episode])).numpy()
        assert (found == vocabulary.encode(instruction)).all()


def test_drawn_are_the_sentences_of_the_episode_equally_often(vocabulary):
    sentences = EpisodeSentences(RECORDS, vocabulary, torch.device("cpu"))
    drawn = draw(sentences, 0, 1.0)
    expected = [tuple(vocabulary.encode(s).tolist()) for s in sentences_of(RECORDS[0])]
    assert set(drawn) == set(expected)
    for sentence in expected:
        assert drawn.count(sentence) == pytest.approx(200, abs=4 * 11.6)  # four sigma
    assert set(draw(sentences, 1, 1.0)) == {tuple(vocabulary.encode("go right").tolist())}


def test_the_probability_keeps_the_given_sentence(vocabulary):
    sentences = EpisodeSentences(RECORDS, vocabulary, torch.device("cpu"))
    given = tuple(vocabulary.encode("go left").tolist())
    assert set(draw(sentences, 0, 0.0)) == {given}
    # Of 0.3, a third falls on the given sentence again.
    assert draw(sentences, 0, 0.3).count(given) == pytest.approx(600 * 0.8, abs=4 * 9.8)
    assert draw(sentences, 0, 0.3) == draw(sentences, 0, 0.3)
