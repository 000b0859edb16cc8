"""Decoding against brute force over all paths, and on probabilities whose answer can be seen."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from crnn.charset import BLANK, Charset
from crnn.decode import (
    Alternative,
    Character,
    Reading,
    _text_scores,
    beam_search,
    calibrated,
    collapse,
    greedy,
    most_likely,
)

Floats = NDArray[np.float64]
SEEDS = range(8)
ABC = Charset("abc")
CASES = Charset("aAb")
EVERYTHING = 10_000  # a beam, or a number of texts, that leaves nothing out


def text_log_probability(log_probs: Floats, ids: list[int]) -> float:
    return float(_text_scores([[log_probs]], [[ids]])[0, 0, 0])


def random_frames(seed: int, frames: int = 5, classes: int = 4) -> Floats:
    logits = np.random.default_rng(seed).normal(scale=1.5, size=(frames, classes))
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def frames(charset: Charset, *shown: dict[str, float]) -> Floats:
    """Log-probabilities from one dict per frame; what a frame leaves over is the blank's."""
    probabilities = np.zeros((len(shown), len(charset)))
    for row, frame in zip(probabilities, shown, strict=True):
        for character, probability in frame.items():
            row[charset.encode(character)] = probability
        row[BLANK] = 1 - sum(frame.values())
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(probabilities, 0))


def brute_force(log_probs: Floats, charset: Charset) -> dict[str, float]:
    """The probability of every text: paths collapsed one by one."""
    texts: dict[str, float] = defaultdict(float)
    for path in product(range(len(charset)), repeat=len(log_probs)):
        starts = [new for old, new in zip((BLANK, *path), path, strict=False) if new != old and new != BLANK]
        texts[charset.decode(starts)] += math.exp(
            sum(frame[class_id] for frame, class_id in zip(log_probs, path, strict=True))
        )
    return texts


def differs_at_most(text: str, other: str, place: int) -> bool:
    return len(text) == len(other) and text[:place] == other[:place] and text[place + 1 :] == other[place + 1 :]


def texts_of(reading: Reading) -> dict[str, float]:
    return {reading.text: reading.confidence} | {other.text: other.confidence for other in reading.alternatives}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("within", [{}, {"length": (2, 3)}, {"allowed": "ab"}])
def test_the_mean_of_several_views_is_taken_over_texts(seed: int, within: dict[str, Any]) -> None:
    views = [random_frames(seed), random_frames(seed + 100, frames=4), random_frames(seed + 200, frames=6)]
    means: dict[str, float] = defaultdict(float)
    for view in views:
        texts = {text: share for text, share in brute_force(view, ABC).items() if holds(text, **within)}
        for text, share in texts.items():
            means[text] += share / sum(texts.values()) / len(views)
    first = brute_force(views[0], ABC)
    means = {text: share for text, share in means.items() if text in first}  # it must be placed on these frames
    reading = beam_search(views[0], ABC, beam=EVERYTHING, top=EVERYTHING, others=views[1:], **within)
    assert texts_of(reading) == pytest.approx(means)
    for character, other in zip(reading.characters, reading.characters[1:], strict=False):
        assert character.frames[1] <= other.frames[0] < other.frames[1] <= 5
    for place, character in enumerate(reading.characters):
        rivals = {text: share for text, share in means.items() if differs_at_most(text, reading.text, place)}
        assert character.confidence == pytest.approx(means[reading.text] / sum(rivals.values()), abs=1e-3)
    if not within:
        said = {greedy(view, ABC).text for view in views}
        read = greedy(views[0], ABC, others=views[1:])
        assert read.text == max(said & first.keys(), key=means.__getitem__)
        assert read.confidence == pytest.approx(means[read.text])
        texts = [text for view in views if (text := ABC.decode(collapse(view.argmax(axis=1))))]
        likeliest = max((means.get(text, 0.0) for text in texts), default=0.0)
        others = [random_frames(seed + 100 + number) for number in range(len(views))]
        pictures = [views, others] * 20  # more than are taken together
        assert most_likely(pictures) == pytest.approx([likeliest, *most_likely([others])] * 20)


def test_greedy_gives_the_other_views_texts_the_most_probable_first() -> None:
    views = [
        frames(ABC, {"a": 0.6, "b": 0.3, "c": 0.1}),
        frames(ABC, {"a": 0.2, "b": 0.8}, {}),
        frames(ABC, {"a": 0.1, "c": 0.9}),
    ]
    assert greedy(views[0], ABC).alternatives == ()
    two = greedy(views[0], ABC, others=views[1:2])
    assert (two.text, two.confidence) == ("b", pytest.approx(1.1 / 2))
    assert two.alternatives == (Alternative("a", pytest.approx(0.8 / 2)),)
    three = greedy(views[0], ABC, others=views[1:])
    assert list(texts_of(three)) == ["b", "c", "a"]
    assert texts_of(three) == pytest.approx({"b": 1.1 / 3, "c": 1 / 3, "a": 0.9 / 3})


def holds(text: str, length: tuple[int, int] = (0, 99), allowed: str = "abc") -> bool:
    return length[0] <= len(text) <= length[1] and set(text) <= set(allowed)


@pytest.mark.parametrize("seed", SEEDS)
def test_text_probability_is_the_sum_over_its_paths(seed: int) -> None:
    log_probs = random_frames(seed)
    for text, probability in brute_force(log_probs, ABC).items():
        assert math.exp(text_log_probability(log_probs, ABC.encode(text))) == pytest.approx(probability)


def test_a_text_too_long_for_its_frames_is_impossible() -> None:
    log_probs = random_frames(0, frames=4)
    assert text_log_probability(log_probs, ABC.encode("aab")) > -math.inf
    assert text_log_probability(log_probs, ABC.encode("aaa")) == -math.inf  # needs five frames: two blanks between


def test_a_text_less_probable_than_the_least_double_still_has_its_logarithm() -> None:
    log_probs = frames(ABC, *[{"a": 1e-12, "b": 1e-11}] * 40)
    text = ABC.encode("ab" * 20)  # in 40 frames there is one path
    assert text_log_probability(log_probs, text) == pytest.approx(20 * math.log(1e-12 * 1e-11))
    reading = beam_search(log_probs, ABC, allowed="ab", length=(40, 40))
    assert (reading.text[:2], len(reading.text)) in (("ab", 40), ("ba", 40))
    assert reading.confidence == pytest.approx(0.5)  # the other one begins with a b


def test_paths_collapse_to_texts() -> None:
    assert collapse(np.array([0, 1, 1, 0, 1, 2, 2, 0])) == [1, 1, 2]
    assert collapse(np.array([], int)) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_greedy_is_the_best_path(seed: int) -> None:
    log_probs = random_frames(seed)
    path = log_probs.argmax(axis=1)
    collapsed = [new for old, new in zip((BLANK, *path), path, strict=False) if new != old and new != BLANK]
    reading = greedy(log_probs, ABC)
    assert reading.text == ABC.decode(collapsed)
    assert reading.confidence == pytest.approx(brute_force(log_probs, ABC)[reading.text])


@pytest.mark.parametrize("seed", SEEDS)
def test_beam_finds_the_best_texts_in_their_order(seed: int) -> None:
    log_probs = random_frames(seed)
    expected = sorted(brute_force(log_probs, ABC).items(), key=lambda item: -item[1])[:7]
    found = texts_of(beam_search(log_probs, ABC, beam=60, top=6))
    assert list(found) == [text for text, _ in expected]
    assert list(found.values()) == pytest.approx([probability for _, probability in expected])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_small_beam_finds_the_best_text_and_scores_it_exactly(seed: int) -> None:
    log_probs = random_frames(seed)
    best, probability = max(brute_force(log_probs, ABC).items(), key=lambda item: item[1])
    reading = beam_search(log_probs, ABC, beam=6)
    assert (reading.text, reading.confidence) == (best, pytest.approx(probability))


def test_beam_adds_up_paths_where_greedy_takes_one() -> None:
    log_probs = frames(ABC, {"a": 0.4}, {"a": 0.4})  # the path of two blanks has 0.36, each other one less
    assert greedy(log_probs, ABC).text == ""
    reading = beam_search(log_probs, ABC)
    assert (reading.text, reading.confidence) == ("a", pytest.approx(0.64))
    assert reading.alternatives[0] == Alternative("", pytest.approx(0.36))


@pytest.mark.parametrize("decode", [greedy, beam_search])
def test_a_double_needs_a_blank_between(decode: Callable[[Floats, Charset], Reading]) -> None:
    one, two = {"a": 0.9}, {"b": 0.9}
    assert decode(frames(ABC, one, one, two), ABC).text == "ab"
    assert decode(frames(ABC, one, {}, one, two), ABC).text == "aab"


@pytest.mark.parametrize("decode", [greedy, beam_search])
def test_each_character_has_its_frames(decode: Callable[[Floats, Charset], Reading]) -> None:
    log_probs = frames(ABC, {}, {"a": 0.9}, {"a": 0.8}, {}, {}, {"a": 0.7}, {"c": 0.9}, {"c": 0.9}, {"c": 0.6}, {})
    reading = decode(log_probs, ABC)
    assert reading.text == "aac"
    assert [character.frames for character in reading.characters] == [(1, 3), (5, 6), (6, 9)]


@pytest.mark.parametrize("decode", [greedy, beam_search])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_characters_confidence_is_its_share_given_the_rest(
    decode: Callable[[Floats, Charset], Reading], seed: int
) -> None:
    log_probs = random_frames(seed)
    chances = brute_force(log_probs, ABC)
    reading = decode(log_probs, ABC)
    for place, character in enumerate(reading.characters):
        texts = {other: reading.text[:place] + other + reading.text[place + 1 :] for other in "abc"}
        total = sum(chances[text] for text in texts.values())
        assert character.confidence == pytest.approx(chances[reading.text] / total)
        shares = {other: chances[text] / total for other, text in texts.items() if other != character.text}
        shares = {other: share for other, share in shares.items() if share > 0}  # a double may not fit
        assert {other.text: other.confidence for other in character.alternatives} == pytest.approx(shares)
        assert [other.text for other in character.alternatives] == sorted(shares, key=shares.__getitem__, reverse=True)


def test_an_unsure_character_names_its_rival() -> None:
    log_probs = frames(ABC, {"a": 0.99}, {}, {"b": 0.7, "c": 0.3}, {})
    sure, unsure = beam_search(log_probs, ABC).characters
    assert sure.confidence > 0.98
    assert (unsure.confidence, unsure.alternatives) == (pytest.approx(0.7), (Alternative("c", pytest.approx(0.3)),))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("constraint", "holds"),
    [
        ({}, lambda text: True),
        ({"allowed": "ab"}, lambda text: "c" not in text),
        ({"length": (2, 2)}, lambda text: len(text) == 2),
        ({"length": (1, 3)}, lambda text: 1 <= len(text) <= 3),
        ({"length": (4, 5)}, lambda text: len(text) >= 4),
        ({"length": (0, 0)}, lambda text: text == ""),
        ({"length": (3, 99)}, lambda text: len(text) >= 3),
        ({"allowed": "ca", "length": (2, 3)}, lambda text: 2 <= len(text) <= 3 and "b" not in text),
    ],
)
def test_confidence_under_a_constraint_is_conditional(
    constraint: dict[str, object], holds: Callable[[str], bool], seed: int
) -> None:
    log_probs = random_frames(seed)
    within = {text: chance for text, chance in brute_force(log_probs, ABC).items() if holds(text)}
    total = sum(within.values())
    found = texts_of(beam_search(log_probs, ABC, beam=EVERYTHING, top=EVERYTHING, **constraint))  # type: ignore[arg-type]
    assert found == pytest.approx({text: chance / total for text, chance in within.items()})
    assert sum(found.values()) == pytest.approx(1)
    assert list(found.values()) == sorted(found.values(), reverse=True)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("length", [None, (2, 3)])
def test_ignore_case_adds_the_cases_of_each_frame(length: tuple[int, int] | None, seed: int) -> None:
    log_probs = random_frames(seed)  # columns: blank, a, A, b
    merged = np.log(np.stack([np.exp(log_probs[:, columns]).sum(axis=1) for columns in ([0], [1, 2], [3])], axis=1))
    chances = {
        text: chance
        for text, chance in brute_force(merged, Charset("ab")).items()
        if length is None or length[0] <= len(text) <= length[1]
    }
    total = sum(chances.values())
    reading = beam_search(log_probs, CASES, beam=EVERYTHING, top=EVERYTHING, length=length, ignore_case=True)
    assert texts_of(reading) == pytest.approx({text: chance / total for text, chance in chances.items()})


def test_ignore_case_allows_either_case_of_an_allowed_character() -> None:
    log_probs = frames(CASES, {"A": 0.5, "a": 0.4}, {"b": 0.9})
    assert beam_search(log_probs, CASES, allowed="A", ignore_case=True, length=(1, 1)).text == "a"


def test_a_constraint_holds_where_all_speaks_against_it() -> None:
    log_probs = frames(ABC, *[{"a": 1e-9, "b": 1e-12}] * 5)
    assert beam_search(log_probs, ABC, beam=1, length=(3, 3)).text in {"aba", "aaa"}
    assert beam_search(log_probs, ABC, beam=1, length=(5, 5)).text == "ababa"
    only = beam_search(log_probs, ABC, allowed="b", length=(3, 3))
    assert (only.text, only.confidence) == ("bbb", pytest.approx(1))  # its one path, two blanks between, is certain


def test_the_only_text_within_a_constraint_is_found_however_improbable() -> None:
    charset = Charset("abd")
    log_probs = frames(charset, {"b": 1.0}, {"a": 0.6, "b": 0.3, "d": 1e-9}, {"a": 1.0})
    reading = beam_search(log_probs, charset, beam=1, length=(3, 3))
    assert (reading.text, reading.confidence) == ("bda", pytest.approx(1))


def test_probable_lengths_do_not_crowd_out_the_wanted_one() -> None:
    sure = {"a": 0.98, "b": 0.01, "c": 0.01}
    log_probs = frames(ABC, sure, {"b": 0.02}, sure, {"c": 0.01}, sure, {})
    assert beam_search(log_probs, ABC, beam=3).text == "aaa"
    within = {text: chance for text, chance in brute_force(log_probs, ABC).items() if len(text) == 4}
    assert beam_search(log_probs, ABC, beam=3, length=(4, 4)).text == max(within, key=within.__getitem__)


@pytest.mark.parametrize(
    "constraint", [{"length": (7, 9)}, {"allowed": "a", "length": (4, 4)}, {"length": (3, 2)}, {"length": (-1, 2)}]
)
def test_an_impossible_length_is_refused(constraint: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="6 frames|expected 0 <= shortest"):
        beam_search(random_frames(0, frames=6), ABC, **constraint)  # type: ignore[arg-type]


def test_an_unknown_allowed_character_is_named() -> None:
    with pytest.raises(ValueError, match="'z'"):
        beam_search(random_frames(0), ABC, allowed="az")


@pytest.mark.parametrize(
    "log_probs", [np.zeros((5, 3)), np.zeros((0, 4)), np.zeros(4), np.full((5, 4), np.nan), np.full((2, 4), -np.inf)]
)
def test_what_is_no_output_of_the_model_is_refused(log_probs: Floats) -> None:
    for decode in (greedy, beam_search):
        with pytest.raises(ValueError, match="expected"):
            decode(log_probs, ABC)


@pytest.mark.parametrize(("first", "second", "text"), [(0.55, 0.35, "ab"), (0.35, 0.55, "ab"), (0.3, 0.4, "Ab")])
def test_a_glyph_of_unsure_case_stays_one_character_in_greedy(first: float, second: float, text: str) -> None:
    log_probs = frames(CASES, {"a": first, "A": 0.9 - first}, {"a": second, "A": 0.9 - second - 0.1}, {}, {"b": 0.9})
    reading = greedy(log_probs, CASES)
    assert reading.text == text
    assert reading.characters[0].frames == (0, 2)
    assert reading.confidence == pytest.approx(brute_force(log_probs, CASES)[text])


def test_a_doubled_glyph_of_unsure_case_stays_two_characters_in_greedy() -> None:
    upper, lower = {"a": 0.4, "A": 0.5}, {"a": 0.5, "A": 0.4}
    assert greedy(frames(CASES, upper, lower, {}, lower, lower), CASES).text.lower() == "aa"


def test_neighbours_of_sure_and_different_case_stay_two_characters_in_greedy() -> None:
    log_probs = frames(CASES, {"a": 0.95}, {"A": 0.95})
    assert greedy(log_probs, CASES).text == beam_search(log_probs, CASES).text == "aA"


def test_beam_joins_a_flip_between_cases_by_its_paths() -> None:
    log_probs = frames(CASES, {"a": 0.45, "A": 0.4}, {"a": 0.4, "A": 0.45})  # the plain best path is "aA"
    assert len(beam_search(log_probs, CASES).text) == 1


@pytest.mark.parametrize("decode", [greedy, beam_search])
def test_an_empty_text_is_a_reading(decode: Callable[[Floats, Charset], Reading]) -> None:
    reading = decode(frames(ABC, {}, {"a": 0.1}, {}), ABC)
    assert (reading.text, reading.confidence, reading.characters) == ("", pytest.approx(0.9), ())


def test_decoding_leaves_its_input_alone() -> None:
    log_probs = random_frames(0)
    before = log_probs.copy()
    beam_search(log_probs, ABC, allowed="a")
    assert np.array_equal(log_probs, before)


def test_a_reading_is_plain_json() -> None:
    focus = np.ones((2, 2), dtype=np.float32) / 4
    character = Character(
        "a", np.float32(0.91239), (0, 2), (Alternative("b", 0.05),), (1.0, np.float64(2), 3.5, 4), focus
    )  # type: ignore[arg-type]
    reading = Reading("a", np.float64(0.87654321), (character,), (Alternative("b", 0.1),))
    assert json.loads(json.dumps(reading.as_dict())) == {
        "text": "a",
        "confidence": 0.8765,
        "box": None,
        "characters": [
            {
                "text": "a",
                "confidence": 0.9124,
                "box": [1.0, 2.0, 3.5, 4.0],
                "alternatives": [{"text": "b", "confidence": 0.05}],
            }
        ],
        "alternatives": [{"text": "b", "confidence": 0.1}],
    }
    nothing = {"text": "", "confidence": 1.0, "box": [0.0, 1.0, 2.0, 3.5], "characters": [], "alternatives": []}
    assert Reading("", 1.0, box=(0, 1, 2, 3.5)).as_dict() == nothing


def test_calibration_shares_what_is_left_among_the_others() -> None:
    one = Character("a", 0.7, (0, 1), (Alternative("b", 0.2), Alternative("c", 0.1)))
    reading = calibrated(Reading("a", 0.5, (one,), (Alternative("b", 0.3), Alternative("c", 0.2))), 1.0, np.log(4))
    assert reading.confidence == pytest.approx(0.8)  # odds of 1 times 4
    assert [other.confidence for other in reading.alternatives] == pytest.approx([0.12, 0.08])  # 0.2 left, of 0.5
    assert reading.characters[0].confidence == pytest.approx(1 - 0.3 * 0.4)
    assert [other.confidence for other in reading.characters[0].alternatives] == pytest.approx([0.08, 0.04])


def test_calibration_never_puts_another_text_before_the_one_read() -> None:
    reading = calibrated(Reading("a", 0.4, (), (Alternative("b", 0.39),)), 1.0, -2.0)
    assert reading.confidence < 0.1
    assert reading.alternatives[0].confidence <= reading.confidence


def test_without_a_calibration_nothing_changes() -> None:
    reading = Reading("a", 0.4, (Character("a", 0.6, (0, 1)),), (Alternative("b", 0.39),))
    same = calibrated(reading, 1.0, 0.0)
    assert same.confidence == pytest.approx(0.4) and same.characters[0].confidence == pytest.approx(0.6)
