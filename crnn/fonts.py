"""The fonts that pictures are drawn with, and their glyphs as bitmaps.

Fonts come from pip (packages with ``fonts_ttf`` or ``fonts_otf`` entry points, which hold name: path) and from the
system's font folders: outlines, and the bitmap fonts of text terminals.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path

import cv2
import numpy as np
from PIL import ImageFont

from crnn.charset import NAMED

FOLDERS: tuple[str, ...] = ("/usr/share/fonts", "/usr/share/texmf/fonts", "/usr/share/texlive/texmf-dist/fonts",
           "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts", "/Library/Fonts",
           "/System/Library/Fonts/Supplemental", "C:/Windows/Fonts")  # fmt: skip
OUTLINES = (".ttf", ".otf", ".pfb")
BITMAPS = (".pcf", ".pcf.gz", ".otb", ".bdf")
STRIKES_PX = range(5, 16)  # sizes that a bitmap font is tried at: larger ones look like any font
MOST = 300  # of the system's font files are looked at, unless more are asked for: a thousand take twenty seconds
CAP = 40  # cap height in px that glyphs are kept at
PROBE = NAMED["alphanumeric"]  # a font whose shapes of these are unlike other fonts' holds symbols, not letters
LIKE_USUAL = (0.65, 0.45)  # least likeness to the usual shapes: of the mean character, of the worst tenth
ALIKE = 0.97  # fonts more alike than this count once
SMALL_CAPITALS = 0.9  # small letters so like their capitals are capitals made smaller


@dataclass(frozen=True)
class Font:
    """A usable font.

    Attributes:
        path: its file.
        em: em size in px for a cap height of 1 px.
        cased: its small letters have shapes of their own.
        strike_px: the one size that a bitmap font has; 0 for outlines.
    """

    path: str
    em: float
    cased: bool
    strike_px: int = 0


@dataclass(frozen=True, eq=False)
class Glyph:
    """One character's bitmap: mask (h, w) uint8, its place from the pen on the baseline, and its advance, all in px."""

    mask: np.ndarray
    left: float
    top: float
    advance: float


@lru_cache(maxsize=2)
def find_fonts(most: int = MOST) -> tuple[Font, ...]:
    """The suitable fonts of this machine with outlines, the most usual shapes first; of those that look alike, one.

    Args:
        most: system's font files to look at, chosen evenly by their names; those from pip come on top.

    Raises:
        RuntimeError: there is none.
    """
    found = _probed_outlines(most)
    if not found:
        raise RuntimeError("No usable font was found; install some: pip install -r requirements.txt brings ten.")
    return _choose(found)


@lru_cache(maxsize=1)
def find_bitmap_fonts() -> tuple[Font, ...]:
    """The suitable ones of at most ``MOST`` bitmap fonts; on many machines there is none."""
    tried = (filter(None, (_probe(path, px) for px in STRIKES_PX)) for path in _font_files(BITMAPS, MOST))
    found = [probed for sizes in tried if (probed := next(sizes, None))]
    return _choose(found) if found else ()


Probed = tuple[Font, np.ndarray]  # a font and its shapes, as of _probe


@lru_cache(maxsize=2)
def _probed_outlines(most: int) -> list[Probed]:
    return [probed for path in _font_files(OUTLINES, most) if (probed := _probe(path))]


def _choose(fonts: list[Probed]) -> tuple[Font, ...]:
    """Those that hold letters and digits, by their likeness to the median font; of those that look alike, one."""
    usual = np.median(np.stack([shapes for _, shapes in _probed_outlines(MOST)]), axis=0)
    usual /= np.linalg.norm(usual, axis=-1, keepdims=True) + 1e-6
    shapes = np.stack([shape for _, shape in fonts])  # (fonts, probe characters, 12 * 12)
    likeness = np.einsum("fcp,cp->fc", shapes, usual)
    mean = likeness.mean(axis=1)
    left = (mean > LIKE_USUAL[0]) & (np.percentile(likeness, 10, axis=1) > LIKE_USUAL[1])
    flat = shapes.reshape(len(shapes), -1)
    kept = []
    for i in np.argsort(-mean, kind="stable"):
        if left[i]:
            kept.append(fonts[i][0])
            left &= flat @ flat[i] < ALIKE * len(PROBE)
    return tuple(kept)


def _font_files(endings: tuple[str, ...], most: int) -> list[str]:
    """Sorted; where several folders, formats or encodings hold a font of the same name, one of them."""
    packages = [entry.load() for group in ("fonts_ttf", "fonts_otf") for entry in entry_points(group=group)]
    from_pip = _by_name({str(path) for package in packages for path in package.values()}, endings)
    installed = {str(path) for folder in FOLDERS for path in Path(folder).expanduser().rglob("*")}
    system = _by_name(installed, endings)
    names = sorted(system.keys() - from_pip.keys())
    chosen = names[:: max(1, -(-len(names) // most))]
    return sorted([*from_pip.values(), *(system[name] for name in chosen)])


def _by_name(files: set[str], endings: tuple[str, ...]) -> dict[str, str]:
    suitable = sorted((file for file in files if file.lower().endswith(endings)), reverse=True)
    return {Path(file).name.split(".")[0].split("-ISO")[0]: file for file in suitable}


def _probe(path: str, strike_px: int = 0) -> Probed | None:
    """The font and the centred, normalised shapes of the probe characters; None where it lacks some, or the strike."""
    size_px = strike_px or 28
    try:
        face = ImageFont.FreeTypeFont(path, size_px)  # truetype() would look through all folders where a size fails
        missing = _ink(face, "\U0010fffe", "L")[0].tobytes()
        drawn = []
        for character in PROBE:
            ink = _ink(face, character, "L")[0]
            if ink.tobytes() == missing or not ink.any():
                return None
            drawn.append(ink)
        cap = drawn[PROBE.index("H")].shape[0]
        if cap < 4:
            return None
        shapes = np.stack([cv2.resize(ink, (12, 12), interpolation=cv2.INTER_AREA).ravel() for ink in drawn])
    except (OSError, ValueError, cv2.error):
        return None
    shapes = shapes / (np.linalg.norm(shapes.astype(np.float32), axis=-1, keepdims=True) + 1e-6)
    small, capital = (shapes[[PROBE.index(c) for c in letters]] for letters in ("aegnr", "AEGNR"))
    cased = bool((small * capital).sum(axis=-1).mean() < SMALL_CAPITALS)
    return Font(path, size_px / cap, cased, strike_px), shapes.astype(np.float32)


def _ink(face: ImageFont.FreeTypeFont, character: str, mode: str) -> tuple[np.ndarray, int, int]:
    """A character's bitmap (h, w) uint8 without blank edges, and its left and top from the pen on the baseline.

    A character without ink, as a thin stroke between pixels can be, is one blank pixel.
    """
    core, (left, top) = face.getmask2(character, mode, anchor="ls")
    mask = np.frombuffer(bytes(core), np.uint8).reshape(core.size[1], core.size[0])
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.zeros((1, 1), np.uint8), left, top
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], left + int(columns[0]), top + int(rows[0])


@lru_cache(maxsize=2_000)
def _face(font: Font, cap: int) -> ImageFont.FreeTypeFont:
    return ImageFont.FreeTypeFont(font.path, font.strike_px or round(cap * font.em))


@lru_cache(maxsize=300_000)
def glyph(font: Font, character: str) -> Glyph:
    """A character at a cap height of ``CAP``; kept, since drawing it again would take longer than all else."""
    face = _face(font, CAP)
    mask, left, top = _ink(face, character, "L")
    return Glyph(np.pad(mask, 1), left - 1, top - 1, face.getlength(character))


@lru_cache
def _dot(cell: int) -> np.ndarray:
    """A round dot that fills a square of so many px: (cell, cell) uint8."""
    at = np.arange(cell) + 0.5 - cell / 2
    return (255 * np.clip(0.5 * cell - np.hypot(at[:, None], at) + 0.5, 0, 1)).astype(np.uint8)


@lru_cache(maxsize=30_000)
def pixel_glyph(font: Font, character: str, rows: int, dots: bool) -> Glyph:
    """A character as in a bitmap font, about ``CAP`` px high: a capital has so many rows of square cells or dots.

    A bitmap font has its own number of rows.
    """
    rows = round(font.strike_px / font.em) or rows
    face = _face(font, rows)
    ink, left, top = _ink(face, character, "1")
    cell = round(CAP / rows)
    mask = np.where(ink, np.uint8(255), np.uint8(0)).repeat(cell, axis=0).repeat(cell, axis=1)
    if dots:
        mask &= np.tile(_dot(cell), ink.shape)
    return Glyph(np.pad(mask, 1), left * cell - 1, top * cell - 1, face.getlength(character) * cell)
