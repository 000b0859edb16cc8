"""Fonts and glyphs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

import crnn.fonts
from crnn.charset import NAMED
from crnn.fonts import CAP, PROBE, Font, find_bitmap_fonts, find_fonts, glyph, pixel_glyph


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


def test_fonts_that_look_alike_count_once_and_symbols_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = np.random.default_rng(0).random((3, len(PROBE), 144)).astype(np.float32)
    shapes[1] += shapes[0]  # in part the same, so that the median is like both
    shapes[2, :] = 0
    shapes[2, :, 0] = 1
    shapes /= np.linalg.norm(shapes, axis=-1, keepdims=True)
    found = [(Font(name, 1.0, True), shapes[i]) for name, i in (("a", 0), ("b", 0), ("c", 1), ("symbols", 2))]
    monkeypatch.setattr("crnn.fonts._probed_outlines", lambda most: found)
    assert [font.path for font in crnn.fonts._choose(found)] == ["a", "c"]


def test_small_capitals_are_no_small_letters() -> None:
    cased = {Path(font.path).stem: font.cased for font in find_fonts()}
    assert cased["AmaticSC-Bold"] is False
    assert cased["Roboto-Regular"] is True


def test_of_thousands_of_installed_fonts_some_are_looked_at_evenly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1000):
        (tmp_path / f"{number:03}.ttf").touch()
    monkeypatch.setattr("crnn.fonts.FOLDERS", (str(tmp_path),))
    files = [Path(file) for file in crnn.fonts._font_files((".ttf", ".otf"), 100)]
    assert [int(file.stem) for file in files if file.parent == tmp_path] == list(range(0, 1000, 10))
    assert len(files) > 108  # all that pip brought are there too


def test_a_bitmap_font_keeps_its_own_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.bdf").write_text(bitmap_font(rows=9))
    monkeypatch.setattr("crnn.fonts.FOLDERS", (str(tmp_path),))
    (font,) = find_bitmap_fonts.__wrapped__()
    assert font.strike_px / font.em == 9
    mask = pixel_glyph(font, "H", rows=5, dots=False).mask
    assert mask.shape[0] == 9 * round(CAP / 9) + 2  # nine rows of cells, whatever was asked for, and the blank edge
    assert set(np.unique(mask)) == {0, 255}


def bitmap_font(rows: int) -> str:
    """A font in Adobe's BDF format, with capitals of so many rows, from one with outlines."""
    outlines = next(font for font in find_fonts() if "Roboto-Regular" in font.path)
    face = ImageFont.truetype(outlines.path, round(rows * outlines.em))
    size = face.size
    glyphs = ["STARTCHAR none\nENCODING 0\nSWIDTH 500 0\nDWIDTH 8 0\nBBX 8 1 0 0\nBITMAP\nAA\nENDCHAR\n"]
    for character in PROBE:
        core, (left, top) = face.getmask2(character, "1", anchor="ls")
        width, height = core.size
        ink = np.frombuffer(bytes(core), np.uint8).reshape(height, width) > 0
        lines = [row.tobytes().hex() for row in np.packbits(ink, axis=1)]
        glyphs.append(
            f"STARTCHAR {character}\nENCODING {ord(character)}\nSWIDTH 500 0\nDWIDTH {width + 1} 0\n"
            f"BBX {width} {height} {left} {-top - height}\nBITMAP\n" + "\n".join(lines) + "\nENDCHAR\n"
        )
    return (
        f"STARTFONT 2.1\nFONT -Test-Tiny-Medium-R-Normal--{size:.0f}-{size * 10:.0f}-72-72-P-50-ISO10646-1\n"
        f"SIZE {size:.0f} 72 72\nFONTBOUNDINGBOX {size:.0f} {size:.0f} 0 0\nSTARTPROPERTIES 4\n"
        f'PIXEL_SIZE {size:.0f}\nCHARSET_REGISTRY "ISO10646"\nCHARSET_ENCODING "1"\nDEFAULT_CHAR 0\nENDPROPERTIES\n'
        f"CHARS {len(glyphs)}\n" + "".join(glyphs) + "ENDFONT\n"
    )
