"""Fonts and glyphs."""

import numpy as np

from crnn.charset import NAMED
from crnn.fonts import CAP, find_fonts, glyph


def test_pip_alone_brings_fonts_and_each_has_every_character() -> None:
    fonts = find_fonts()
    assert len(fonts) >= 8
    for font in (fonts[0], fonts[len(fonts) // 2], fonts[-1]):
        masks = [glyph(font, character).mask for character in NAMED["digits"] + NAMED["upper"]]
        assert all(mask.max() > 128 for mask in masks)
        assert len({mask.tobytes() for mask in masks}) > 30  # no font that shows one box for all


def test_capitals_are_as_high_as_asked_for() -> None:
    heights = [int(np.flatnonzero(glyph(font, "H").mask.max(axis=1) > 100).size) for font in find_fonts()]
    assert abs(np.median(heights) - CAP) <= 3
