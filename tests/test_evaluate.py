"""What is measured on drawn pictures."""

from collections.abc import Iterable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from crnn.charset import NAMED, Charset
from crnn.decode import Character, Reading
from crnn.evaluate import CASE_TWINS, _cases_right, _hide, _mixed_case, fit_calibration, on_drawn
from crnn.recognizer import Recognizer
from crnn.styles import STYLES
from crnn.synth import Drawing, draw


def test_case_counts_where_the_letter_was_found_and_its_cases_differ() -> None:
    assert _cases_right("aBCd7", "ABc7") == [False, True, True]  # the twin C counts for nothing, nor does the missing d
    assert _cases_right("xX", "Xx") == []
    assert all(one.isalpha() for one in _mixed_case(np.random.default_rng(0)))
    assert {"c", "s", "x"} <= CASE_TWINS
    assert not {"a", "e", "g"} & CASE_TWINS


def test_a_patch_hides_what_is_below_it_and_stays_in_the_picture() -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, :16] = 200  # the median
    hidden = _hide(picture, np.array([10.0, 25.0]), 4)
    assert np.argwhere((hidden != picture).any(axis=2)).min(axis=0).tolist() == [8, 23]
    assert np.argwhere((hidden != picture).any(axis=2)).max(axis=0).tolist() == [11, 26]
    assert (_hide(picture, np.array([0.0, 29.0]), 6) != picture).any()


class Oracle:
    """Reads drawn pictures right but for case, its focus on each glyph, and is less sure of glyphs that were hidden."""

    charset = Charset(NAMED["alphanumeric"])

    def __init__(self) -> None:
        self.drawn: list[Drawing] = []

    def read_many(self, pictures: Iterable[np.ndarray]) -> Iterator[Reading]:
        for picture in pictures:
            known = self.known(picture)
            pairs = zip(known.text.swapcase(), known.boxes, strict=True)
            characters = (
                Character(one, 0.9, (at, at + 1), focus=self.focus(known, box)) for at, (one, box) in enumerate(pairs)
            )
            yield Reading(known.text.swapcase(), 0.9, tuple(characters))

    def look(self, picture: np.ndarray) -> SimpleNamespace:
        """A frame for each glyph, in which the more of it is hidden, the less probable it is."""
        known = self.known(picture)
        changed = (known.picture != picture).any(axis=2)
        log_probs = np.full((len(known.text), len(self.charset)), -9.0)
        for at, (one, (x, t, r, b)) in enumerate(zip(known.text.swapcase(), known.boxes, strict=True)):
            log_probs[at, self.charset.encode(one)] = -changed[int(t) : int(b), int(x) : int(r)].mean()
        return SimpleNamespace(log_probs=log_probs)

    def known(self, picture: np.ndarray) -> Drawing:
        return min(
            (one for one in self.drawn if one.picture.shape == picture.shape),
            key=lambda one: int((one.picture != picture).any(axis=2).sum()),
        )

    def focus(self, drawing: Drawing, box: np.ndarray) -> np.ndarray:
        h, w = drawing.picture.shape[:2]
        focus = np.zeros((h, w), np.float32)
        focus[int((box[1] + box[3]) / 2), int((box[0] + box[2]) / 2)] = 1
        return focus


def test_a_reader_that_knows_all_but_case(monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = Oracle()

    def remembered(*args: object, **kwargs: object) -> Drawing:
        oracle.drawn.append(draw(*args, **kwargs))  # type: ignore[arg-type]
        return oracle.drawn[-1]

    monkeypatch.setattr("crnn.evaluate.draw", remembered)
    reader: Recognizer = oracle  # type: ignore[assignment]
    figures = on_drawn(reader, 2, seed=3)
    assert figures.exact == dict.fromkeys(STYLES, 1.0)
    assert figures.case == 0.0
    assert figures.pointing == 1.0
    assert figures.deletion > 0.8  # where glyphs overlap, their neighbours' patches can hide as much


def test_case_is_judged_letter_by_letter() -> None:
    assert _cases_right("xaAb", "xAaB") == [False, False, False]  # x: a twin; not as an "a" or "A" kept, one moved
    assert _cases_right("Abad", "Aad") == [True, True, True]


def test_calibration_finds_the_line_that_the_answers_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)

    class Doubter:
        """Right with log odds 0.5 x + 1 where it gives log odds x."""

        calibration = (9.0, 9.0)

        def read_many(self, pictures: Iterable[np.ndarray]) -> Iterator[Reading]:
            assert self.calibration == (1.0, 0.0)  # what is fitted is the network's own confidence
            for _ in pictures:
                odds = rng.normal(0, 2)
                right = rng.random() < 1 / (1 + np.exp(-0.5 * odds - 1))
                yield Reading("a" if right else "b", 1 / (1 + np.exp(-odds)))

    picture = np.zeros((4, 4, 3), np.uint8)
    monkeypatch.setattr("crnn.evaluate.draw", lambda *_, **__: Drawing(picture, "A", np.zeros((1, 4)), ""))
    doubter: Recognizer = Doubter()  # type: ignore[assignment]
    slope, offset = fit_calibration(doubter, 400, seed=0)
    assert (slope, offset) == (pytest.approx(0.5, abs=0.05), pytest.approx(1, abs=0.1))
    assert doubter.calibration == (9.0, 9.0)


def test_a_reader_that_reads_nothing_has_no_shares_of_characters() -> None:
    class Blind:
        def read_many(self, pictures: Iterable[np.ndarray]) -> Iterator[Reading]:
            yield from (Reading("", 0.5) for _ in pictures)

    blind: Recognizer = Blind()  # type: ignore[assignment]
    assert on_drawn(blind, 2, seed=0)[1:] == (None, None, None)
