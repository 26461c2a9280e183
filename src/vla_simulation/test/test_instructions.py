"""What is said, in two languages."""

import re
from collections import Counter

import pytest

from vla_core.language import SENTENCE_LENGTH, Vocabulary, words_of
from vla_simulation.config import StationConfig
from vla_simulation.held_out import held_out_colours, held_out_phrasings
from vla_simulation.scenes.instructions import (
    KOREAN_COLOURS,
    NUMBERS,
    STATION_COLOURS,
    TRAINING_PHRASINGS,
    Phrasing,
    all_instructions,
)
from vla_simulation.scenes.scene import sample_scene
from vla_simulation.suites import load_suite

STATION = StationConfig()
GAPS = {"colour": "{colour}", "side": r"{side}|{place}", "number": r"{number}|{word}", "none": "^$"}
HANGUL = re.compile("[가-힣]")


def scenes(suite, count=150):
    suite = load_suite(suite)
    return [
        sample_scene(seed, suite.randomization.scene, suite.language, STATION)
        for seed in range(count)
    ]


def test_there_are_many_phrasings_of_every_kind():
    counts = Counter(phrasing.language for phrasing in TRAINING_PHRASINGS)
    assert counts["en"] >= 20
    assert counts["ko"] >= 10
    for phrasings in (TRAINING_PHRASINGS, held_out_phrasings()):
        kinds = {(phrasing.language, phrasing.naming) for phrasing in phrasings}
        assert kinds == {(language, naming) for language in ("en", "ko") for naming in GAPS}


@pytest.mark.parametrize("phrasing", [*TRAINING_PHRASINGS, *held_out_phrasings()])
def test_a_phrasing_has_one_gap_of_its_kind_and_is_in_its_language(phrasing):
    gaps = re.findall(r"{\w+}", phrasing.template)
    assert len(gaps) == (phrasing.naming != "none")
    assert all(re.fullmatch(GAPS[phrasing.naming], gap) for gap in gaps)
    sentence = phrasing.sentence("green", "middle", 3)
    assert bool(HANGUL.search(sentence)) == (phrasing.language == "ko")
    assert bool(re.search("[a-z]", sentence)) == (phrasing.language == "en")
    assert "{" not in sentence
    assert len(words_of(sentence)) <= SENTENCE_LENGTH


def test_examples():
    def said(language, naming):
        fitting = [p for p in TRAINING_PHRASINGS if (p.language, p.naming) == (language, naming)]
        return {phrasing.sentence("orange", "left", 2) for phrasing in fitting}

    assert "dock at the orange charger" in said("en", "colour")
    assert {"park at the left station", "drive to the charger on the left"} <= said("en", "side")
    assert {"go to charger number 2", "dock at charger two"} <= said("en", "number")
    assert "주황색 충전기에 도킹해" in said("ko", "colour")
    assert "왼쪽 충전소로 가" in said("ko", "side")
    assert "2번 충전기에 연결해" in said("ko", "number")
    place = Phrasing("en", "side", "drive to the charger {place}")
    assert place.sentence("orange", "middle", 2) == "drive to the charger in the middle"


def test_every_sentence_of_a_training_suite_is_known_to_the_vocabulary():
    sentences = all_instructions()
    assert len(sentences) == len(set(sentences))
    vocabulary = Vocabulary.from_sentences(sentences)
    known = set(sentences)
    for scene in scenes("nominal"):
        for goal in range(len(scene.stations)):
            instruction = scene.with_goal(goal).instruction
            assert instruction in known
            assert vocabulary.problems(instruction) == []


def test_the_sentence_names_its_station():
    for scene in scenes("nominal"):
        station, words = scene.goal_station, words_of(scene.instruction)
        look, korean = station.look, scene.phrasing.language == "ko"
        if scene.naming == "colour":
            assert (KOREAN_COLOURS[look.colour] if korean else look.colour) in words
        elif scene.naming == "side" and not korean:
            assert station.side in words
        elif scene.naming == "number" and korean:
            assert f"{look.number}번" in words
        elif scene.naming == "number":
            assert {str(look.number), ("one", "two", "three")[look.number - 1]} & set(words)


def test_namings_and_languages_have_the_suites_shares():
    language = load_suite("nominal").language
    drawn = [scene for scene in scenes("nominal", 400) if len(scene.stations) > 1]
    namings = Counter(scene.naming for scene in drawn)
    for naming, share in zip(("colour", "side", "number"), language.naming_shares, strict=True):
        assert namings[naming] / len(drawn) == pytest.approx(share, abs=0.085)
    korean = sum(scene.phrasing.language == "ko" for scene in drawn) / len(drawn)
    assert korean == pytest.approx(language.korean_share, abs=0.08)


def test_a_lone_station_needs_no_side():
    alone = [scene for scene in scenes("single") if scene.naming == "none"]
    assert alone
    assert {scene.goal_station.side for scene in alone} == {"only"}
    assert not any(scene.naming == "side" for scene in scenes("single"))


# ---------------------------------------------------------------------- held out


def test_held_out_phrasings_are_no_training_phrasings():
    def shape(phrasing):
        return words_of(re.sub(r"{\w+}", "gap", phrasing.template))

    assert not {shape(p) for p in TRAINING_PHRASINGS} & {shape(p) for p in held_out_phrasings()}
    training = set(all_instructions())
    paraphrased = scenes("paraphrase")
    assert not {scene.instruction for scene in paraphrased} & training
    assert len({scene.phrasing for scene in paraphrased}) > 12


def test_a_held_out_phrasing_says_in_known_words_which_station_is_meant():
    """Colour, side and number stay words that training sentences have."""
    known = set(Vocabulary.from_sentences(all_instructions()).words)
    for phrasing in held_out_phrasings():
        if phrasing.naming == "none":
            continue
        sentences = {
            phrasing.sentence(colour, side, number)
            for colour in ("orange", "blue")
            for side in ("left", "right")
            for number in (1, 2)
        }
        assert len({frozenset(words_of(sentence)) & known for sentence in sentences}) == 2


def test_a_new_station_looks_like_none_of_training():
    new = {station.look for scene in scenes("new_station") for station in scene.stations}
    assert {look.colour for look in new} == set(held_out_colours())
    assert not {look.colour for look in new} & set(STATION_COLOURS)
    trained = {station.look for scene in scenes("nominal") for station in scene.stations}
    assert not {look.shape for look in new} & {look.shape for look in trained}
    assert {look.number for look in new} == set(NUMBERS)


def test_a_new_station_is_called_by_its_colour_in_both_languages():
    colours = held_out_colours()
    named = [scene for scene in scenes("new_station") if scene.naming == "colour"]
    assert {scene.phrasing.language for scene in named} == {"en", "ko"}
    for scene in named:
        colour = scene.goal_station.look.colour
        korean = scene.phrasing.language == "ko"
        assert (colours[colour].korean if korean else colour) in scene.instruction
