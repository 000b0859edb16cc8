"""The fonts that pictures are drawn with, and their glyphs as bitmaps.

Fonts come from pip (packages with ``fonts_ttf`` or ``fonts_otf`` entry points, which hold name: path) and from the
system's font folders.
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

FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts", "/Library/Fonts",
           "/System/Library/Fonts/Supplemental", "C:/Windows/Fonts")  # fmt: skip
CAP = 40  # cap height in px that glyphs are kept at
PROBE = NAMED["alphanumeric"]  # a font whose shapes of these are unlike other fonts' holds symbols, not letters


@dataclass(frozen=True)
class Font:
    """A usable font.

    Attributes:
        path: its file.
        em: em size in px for a cap height of 1 px.
        cased: its small letters have shapes of their own.
    """

    path: str
    em: float
    cased: bool


@dataclass(frozen=True, eq=False)
class Glyph:
    """One character's bitmap: mask (h, w) uint8, its place from the pen on the baseline, and its advance, all in px."""

    mask: np.ndarray
    left: float
    top: float
    advance: float


@lru_cache(maxsize=1)
def find_fonts() -> tuple[Font, ...]:
    """Every suitable font of this machine, sorted by path.

    Raises:
        RuntimeError: there is none.
    """
    probed = [(font, shapes) for path in sorted(_font_files()) if (found := _probe(path)) for font, shapes in [found]]
    if not probed:
        raise RuntimeError("No usable font was found; install some: pip install -r requirements.txt brings ten.")
    shapes = np.stack([shape for _, shape in probed])  # (fonts, probe characters, 12 * 12)
    usual = np.median(shapes, axis=0)
    usual /= np.linalg.norm(usual, axis=-1, keepdims=True) + 1e-6
    likeness = np.einsum("fcp,cp->fc", shapes, usual)
    good = (likeness.mean(axis=1) > 0.6) & (np.percentile(likeness, 10, axis=1) > 0.4)
    return tuple(font for (font, _), keep in zip(probed, good, strict=True) if keep)


def _font_files() -> set[str]:
    packages = [entry.load() for group in ("fonts_ttf", "fonts_otf") for entry in entry_points(group=group)]
    files = {str(path) for package in packages for path in package.values()}
    for folder in FOLDERS:
        root = Path(folder).expanduser()
        files |= {str(p) for ending in ("*.ttf", "*.otf", "*.TTF") for p in root.rglob(ending)}
    return files


def _probe(path: str) -> tuple[Font, np.ndarray] | None:
    """The font and the centred, normalised shapes of the probe characters; None where it lacks some."""
    try:
        face = ImageFont.truetype(path, 28)
        height = face.getbbox("H", anchor="ls")
        missing = bytes(face.getmask("\U0010fffe"))
        drawn = {character: face.getmask(character) for character in PROBE}
        if height[3] - height[1] < 6 or any(bytes(mask) in (b"", missing) for mask in drawn.values()):
            return None
        bitmaps = {c: np.frombuffer(bytes(m), np.uint8).reshape(m.size[1], m.size[0]) for c, m in drawn.items()}
        shapes = np.stack([cv2.resize(bitmaps[c], (12, 12), interpolation=cv2.INTER_AREA).ravel() for c in PROBE])
    except (OSError, ValueError, cv2.error):
        return None
    cased = any(bytes(drawn[a]) != bytes(face.getmask(a.upper())) for a in "aegnr")
    shapes = shapes / (np.linalg.norm(shapes.astype(np.float32), axis=-1, keepdims=True) + 1e-6)
    return Font(path, 28 / (height[3] - height[1]), cased), shapes.astype(np.float32)


@lru_cache(maxsize=2_000)
def _face(font: Font, cap: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font.path, round(cap * font.em))


@lru_cache(maxsize=100_000)
def glyph(font: Font, character: str) -> Glyph:
    """A character at a cap height of ``CAP``; kept, since drawing it again would take longer than all else."""
    face = _face(font, CAP)
    ink, (left, top) = face.getmask2(character, "L", anchor="ls")
    mask = np.frombuffer(bytes(ink), np.uint8).reshape(ink.size[1], ink.size[0])
    return Glyph(np.pad(mask, 1), left - 1, top - 1, face.getlength(character))


@lru_cache(maxsize=30_000)
def pixel_glyph(font: Font, character: str, rows: int, dots: bool) -> Glyph:
    """A character as in a bitmap font, about ``CAP`` px high: a capital has so many rows of square cells or dots."""
    face = _face(font, rows)
    ink, (left, top) = face.getmask2(character, "1", anchor="ls")
    lit = np.frombuffer(bytes(ink), np.uint8).reshape(ink.size[1], ink.size[0]) > 0
    cell = round(CAP / rows)
    y, x = np.mgrid[:cell, :cell] + 0.5 - cell / 2
    shape = np.clip(0.5 * cell - np.hypot(y, x) + 0.5, 0, 1) if dots else np.ones((cell, cell))
    mask = np.kron(lit, shape * 255).astype(np.uint8)
    return Glyph(np.pad(mask, 1), left * cell - 1, top * cell - 1, face.getlength(character) * cell)
