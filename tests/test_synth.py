"""The generator: seeded, labelled, with boxes that hold the glyphs."""

import re

import numpy as np
import pytest

from crnn.charset import NAMED
from crnn.styles import STYLES, Style
from crnn.synth import draw, random_text


def test_the_same_seed_draws_the_same_picture() -> None:
    first, again, other = (draw(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.text == again.text and np.array_equal(first.picture, again.picture)
    assert first.picture.shape != other.picture.shape or not np.array_equal(first.picture, other.picture)


@pytest.mark.parametrize("style", STYLES)
def test_every_style_draws_text_in_boxes_within_the_picture(style: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(5):
        drawing = draw(rng, style=style)
        height, width, channels = drawing.picture.shape
        assert channels == 3 and drawing.picture.dtype == np.uint8
        assert drawing.picture.std() > 1  # something is on it
        assert len(drawing.boxes) == len(drawing.text) >= 1
        left, top, right, bottom = drawing.boxes.T
        assert (left < right).all() and (top < bottom).all()
        assert left.min() >= 0 and top.min() >= 0 and right.max() <= width and bottom.max() <= height


def test_the_boxes_hold_the_ink(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = Style(grounds={"plain": 1}, faces={"solid": 1}, warps={"sine": 1.0}, finishes={}, shadow=0, height=(60, 60))
    monkeypatch.setitem(STYLES, "clean", clean)
    rng = np.random.default_rng(6)
    inside = []
    for _ in range(30):
        drawing = draw(rng, style="clean")
        ground = drawing.picture[0, 0].astype(int)
        ink = np.abs(drawing.picture - ground).max(axis=2) > 40
        held = np.zeros_like(ink)
        for left, top, right, bottom in drawing.boxes.round().astype(int):
            held[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2] = True
        inside.append((ink & held).sum() / ink.sum())
    assert np.mean(inside) > 0.97


def test_stretched_glyphs_are_all_as_high_as_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    def heights(stretched: float) -> np.ndarray:
        """Of a turned o, each in units of the turned capitals beside it; the medians of some fonts' pictures."""
        style = Style(
            stretched=stretched, rotation=30, scale=(1, 1), lift=0, cap=(0.4, 0.4), height=(80, 80), gap=(0, 0)
        )
        monkeypatch.setitem(STYLES, "boxes", style)
        boxes = [draw(np.random.default_rng(seed), text="HoO", style="boxes").boxes for seed in range(20)]
        high = np.array([one[:, 3] - one[:, 1] for one in boxes])
        return np.median(high[:, 1:] / high[:, :1], axis=0)

    assert heights(1.0) == pytest.approx([1, 1], abs=0.03)
    assert heights(0.0)[0] < 0.9


@pytest.mark.parametrize("text", ["", "a b", "日", "é"])
def test_a_text_that_fonts_may_lack_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="can't be drawn; give letters A-Z and a-z and digits.$"):
        draw(np.random.default_rng(0), text=text)


def test_a_given_text_is_drawn_whole() -> None:
    drawing = draw(np.random.default_rng(7), text="Hamburgefonts0123")
    assert drawing.text == "Hamburgefonts0123" and len(drawing.boxes) == 17


def test_a_random_text_fits_the_aspect_that_was_asked_for() -> None:
    rng = np.random.default_rng(8)
    for _ in range(50):
        drawing = draw(rng, aspect=2.0)
        height, width = drawing.picture.shape[:2]
        assert abs(width / height - 2.0) < 0.05
        assert np.median(drawing.boxes[:, 3] - drawing.boxes[:, 1]) > 0.15 * height


def test_texts_are_of_many_kinds() -> None:
    rng = np.random.default_rng(9)
    texts = [random_text(rng) for _ in range(2000)]
    assert set("".join(texts)) == set(NAMED["alphanumeric"])
    assert {len(text) for text in texts} >= set(range(3, 9))
    for kind in ("[0-9]+", "[A-Z]+", "[a-z]+"):
        assert sum(bool(re.fullmatch(kind, text)) for text in texts) > 100


def test_an_unknown_style_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no style 'wobbly'; choose from plain, tilted"):
        draw(np.random.default_rng(0), style="wobbly")
