"""Draws labelled pictures of distorted text, seeded: what the shipped weights learn from.

A picture comes about in five steps: a text, its glyphs set on a line (:class:`Line`), a ground with clutter behind, the
line struck through, warped and inked, and finishes over all. Each :class:`Style` is a family of public CAPTCHA
generators as ranges and probabilities; most pictures are of one family, some mix two.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.random import Generator

from crnn import effects
from crnn.charset import NAMED
from crnn.fonts import CAP, Font, Glyph, find_fonts, glyph

Array = np.ndarray
Name = TypeVar("Name")
Odds = dict[str, float]  # name of an effect -> probability (faces and grounds: weight)

# (characters, shortest and longest text): weight. Most generators leave look-alikes out, and so do most rows here.
ALPHABETS = {
    ("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789", 3, 7): 3.0,
    (NAMED["alphanumeric"], 3, 8): 2.5,
    ("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 3, 7): 2.5,
    (NAMED["upper"] + NAMED["digits"], 4, 8): 1.5,
    ("abcdefghijkmnpqrstuvwxyz23456789", 3, 8): 2.5,
    (NAMED["lower"] + NAMED["digits"], 4, 8): 1.0,
    (NAMED["digits"], 3, 8): 3.0,
    (NAMED["upper"], 3, 8): 3.0,
    (NAMED["lower"], 3, 10): 2.5,
    (NAMED["letters"], 3, 8): 1.0,
}
WORD_SHARE = 0.12  # of texts are pronounceable words


@dataclass(frozen=True)
class Style:
    """A family of pictures. Lengths are in cap heights, pairs are the ends of a range.

    Attributes:
        height: of the picture, px.
        cap: cap height over the picture's height.
        mixed_fonts: probability of a font of its own for each glyph.
        mixed_colours: probability of a colour of its own for each glyph.
        rotation: of a glyph, up to so many degrees to either side.
        corners: how far each corner of a glyph may move.
        scale: of a glyph's width and of its height, relative.
        lift: of a glyph off the baseline, up to so much to either side.
        gap: added between glyphs.
        touching: probability that glyphs are pushed together until their ink meets.
        faces, grounds: weights, one is chosen.
        behind: clutter under the text. strike: in the text's own ink. cut: in paper colour through the text. over: in
            other colours on top.
        warps, finishes: probabilities, each is drawn by itself.
        shadow, decoys: probability of a shadow or ghost, and of faint small letters behind.
    """

    height: tuple[int, int] = (28, 80)
    cap: tuple[float, float] = (0.33, 0.8)
    mixed_fonts: float = 0.15
    mixed_colours: float = 0.1
    rotation: float = 8
    corners: float = 0.0
    scale: tuple[float, float] = (0.95, 1.05)
    lift: float = 0.05
    gap: tuple[float, float] = (-0.03, 0.35)
    touching: float = 0.0
    faces: Odds = field(default_factory=lambda: {"solid": 8, "bold": 1, "thin": 1})
    grounds: Odds = field(default_factory=lambda: {"plain": 8, "gradient": 1, "clouds": 1})
    behind: Odds = field(default_factory=dict)
    strike: Odds = field(default_factory=dict)
    cut: Odds = field(default_factory=dict)
    over: Odds = field(default_factory=dict)
    warps: Odds = field(default_factory=dict)
    finishes: Odds = field(default_factory=lambda: {"jpeg": 0.25, "blur": 0.15, "low_resolution": 0.05, "border": 0.05})
    shadow: float = 0.03
    decoys: float = 0.0


STYLES: dict[str, Style] = {
    "plain": Style(),
    "tilted": Style(rotation=22, lift=0.2, scale=(0.85, 1.15), gap=(-0.1, 0.5), mixed_fonts=0.4,
                    finishes={"jpeg": 0.25, "smooth": 0.1, "one_bit": 0.1}),
    "poster": Style(rotation=25, lift=0.25, scale=(0.75, 1.25), mixed_colours=0.8, mixed_fonts=0.5,
                    behind={"curves": 0.5, "rings": 0.4, "ticks": 0.3, "lines": 0.3},
                    over={"curves": 0.2, "specks": 0.2},
                    grounds={"plain": 3, "gradient": 2, "clouds": 1}, finishes={"jpeg": 0.4, "static": 0.1}),
    "cloth": Style(warps={"sine": 0.7, "crossed_sine": 0.5}, rotation=5, gap=(-0.08, 0.1), touching=0.3,
                   strike={"waves": 0.2, "lines": 0.2}, behind={"specks": 0.2}, finishes={"jpeg": 0.3, "salt": 0.2}),
    "leaning": Style(corners=0.24, rotation=30, scale=(0.75, 1.3), gap=(-0.25, 0.1), cap=(0.45, 0.8), mixed_fonts=0.2,
                     strike={"arcs": 0.4, "specks": 0.3}, over={"arcs": 0.3, "specks": 0.3},
                     finishes={"smooth": 0.6, "jpeg": 0.3, "contrast": 0.2}),
    "warped": Style(corners=0.3, rotation=22, scale=(0.7, 1.4), gap=(-0.22, 0.08), cap=(0.5, 0.85),
                    over={"arcs": 0.4, "specks": 0.5}, finishes={"smooth": 0.4, "jpeg": 0.25}),
    "struck": Style(rotation=12, lift=0.1,
                    strike={"lines": 0.4, "long_lines": 0.4, "waves": 0.3, "curves": 0.2, "tapered": 0.3},
                    warps={"sine": 0.2, "slant": 0.2}, finishes={"jpeg": 0.3, "one_bit": 0.15}),
    "water": Style(warps={"lens": 0.7, "sine": 0.35, "crossed_sine": 0.3}, behind={"lattice": 0.3},
                   strike={"curves": 0.25, "long_lines": 0.2, "tapered": 0.3}, touching=0.3, shadow=0.3,
                   grounds={"plain": 2, "gradient": 2}, finishes={"jpeg": 0.4, "blur": 0.2}),
    "touching": Style(touching=0.9, gap=(-0.12, 0.02), lift=0.15, rotation=15, scale=(0.85, 1.15),
                      warps={"sine": 0.5, "elastic": 0.2}, strike={"waves": 0.25, "long_lines": 0.2},
                      cut={"waves": 0.15},
                      finishes={"jpeg": 0.3, "salt": 0.15, "blur": 0.15}),
    "matrix": Style(faces={"dotted": 5, "bitmap": 2}, corners=0.05, cap=(0.4, 0.75),
                    warps={"slant": 0.4, "sine": 0.35}, strike={"waves": 0.12, "specks": 0.15},
                    finishes={"jpeg": 0.3, "low_resolution": 0.1, "contrast": 0.2}),
    "rubber": Style(warps={"elastic": 0.9, "slant": 0.3}, strike={"waves": 0.3, "curves": 0.3}, cut={"curves": 0.15},
                    rotation=12, touching=0.25),
    "static": Style(grounds={"plain": 1, "grain": 3}, behind={"specks": 0.3}, strike={"specks": 0.4},
                    cut={"specks": 0.4},
                    finishes={"salt": 0.5, "static": 0.5, "coloured_noise": 0.3, "jpeg": 0.2}, rotation=12, lift=0.3,
                    faces={"solid": 4, "bold": 2, "speckled": 2}),
    "wallpaper": Style(grounds={"gradient": 1, "clouds": 2, "blocks": 2, "grain": 1, "weave": 2}, mixed_colours=0.3,
                       behind={"lines": 0.2, "rings": 0.2}, strike={"lines": 0.2}, shadow=0.2, rotation=15,
                       finishes={"jpeg": 0.5, "sharpen": 0.1, "blur": 0.15, "contrast": 0.1}),
    "decoys": Style(decoys=1.0, rotation=30, strike={"waves": 0.5}, mixed_colours=0.5, lift=0.15),
    "outline": Style(faces={"hollow": 4, "dashed": 1, "stencil": 1, "solid": 1}, shadow=0.35, rotation=15,
                     cap=(0.5, 0.8),
                     strike={"lines": 0.2, "waves": 0.15}, warps={"sine": 0.3},
                     finishes={"emboss": 0.15, "edges": 0.12, "jpeg": 0.3}),
    "polarity": Style(finishes={"negative": 0.4, "part_negative": 0.5, "jpeg": 0.2},
                      strike={"rings": 0.2, "lines": 0.2},
                      cut={"rings": 0.25}, rotation=15, grounds={"plain": 3, "blocks": 2}),
    "lattice": Style(strike={"lattice": 0.6, "web": 0.15}, cut={"lattice": 0.35}, rotation=6, cap=(0.45, 0.75),
                     behind={"lattice": 0.3}, finishes={"jpeg": 0.3, "one_bit": 0.2}, faces={"solid": 2, "bold": 2}),
    "web": Style(strike={"web": 0.75, "specks": 0.4, "lines": 0.3}, warps={"sine": 0.4, "torn": 0.2, "slant": 0.2},
                 rotation=12, touching=0.3, cap=(0.45, 0.75), finishes={"jpeg": 0.4, "one_bit": 0.4}),
    "tiny": Style(height=(15, 26), cap=(0.45, 0.75), rotation=8, behind={"specks": 0.2, "lines": 0.2},
                  strike={"lines": 0.15}, finishes={"jpeg": 0.3, "palette": 0.2, "border": 0.15}),
    "smeared": Style(faces={"bold": 2, "speckled": 3, "solid": 2}, warps={"scatter": 0.8, "sine": 0.4, "torn": 0.3},
                     strike={"long_lines": 0.4, "waves": 0.2, "tapered": 0.5}, shadow=0.6, touching=0.4,
                     gap=(-0.1, 0.1),
                     grounds={"plain": 1, "gradient": 2}, finishes={"blur": 0.4, "smooth": 0.2, "jpeg": 0.4}),
    "screen": Style(finishes={"screen": 0.9, "blur": 0.5, "jpeg": 0.5, "coloured_noise": 0.2}, warps={"slant": 0.7},
                    strike={"lines": 0.3}, rotation=10, grounds={"plain": 2, "gradient": 1, "blocks": 1}),
}  # fmt: skip
MIX_SHARE = 0.3  # of pictures take each property from one of two styles


@dataclass(frozen=True, eq=False)
class Drawing:
    """A labelled picture.

    Attributes:
        picture: (H, W, 3) uint8.
        text: what it says.
        boxes: (len(text), 4) float32: left, top, right, bottom of each glyph in px.
        style: the name of its style, or of both with a plus between.
    """

    picture: Array
    text: str
    boxes: Array
    style: str


def draw(
    rng: Generator,
    text: str | None = None,
    style: str | None = None,
    aspect: float | None = None,
    fonts: tuple[Font, ...] | None = None,
) -> Drawing:
    """Draw one picture; the same generator state gives the same picture on the same fonts.

    Args:
        rng: the source of all randomness.
        text: what it says; None: a random text.
        style: a name of ``STYLES``; None: any, or a mixture of two.
        aspect: width over height; None: as the text needs. A random text is cut short where it doesn't fit.
        fonts: to choose from; None: all of :func:`crnn.fonts.find_fonts`.

    Raises:
        ValueError: the style is unknown.
    """
    name, chosen = _choose_style(rng, style)
    said = text or random_text(rng)
    height = int(rng.integers(*chosen.height, endpoint=True))
    cap = height * rng.uniform(*chosen.cap)
    patches = _set_line(rng, chosen, said, cap, fonts or find_fonts())
    if aspect is None:
        aspect = max(1.6, (patches[-1].corners[:, 0].max() + rng.uniform(0.3, 1.5) * cap) / height)
    width = round(height * aspect)
    if text is None:
        patches = _cut_short(patches, width, height)
        said = said[: len(patches)]
    line = Line.compose(rng, patches, (height, width))
    picture = _paint(rng, chosen, line, min(cap, line.cap * cap), fonts or find_fonts())
    return Drawing(picture, said, line.boxes(), name)


def random_text(rng: Generator) -> str:
    """A code from one of ``ALPHABETS``, or a pronounceable word."""
    if rng.random() < WORD_SHARE:
        pairs = rng.integers(0, (17, 5), (rng.integers(2, 5), 2))
        word = "".join("bcdfghklmnprstvwz"[i] + "aeiou"[j] for i, j in pairs)
        return (word, word.upper(), word.capitalize())[rng.integers(0, 3)][: rng.integers(3, 10)]
    characters, shortest, longest = _pick(rng, ALPHABETS)
    ids = rng.integers(0, len(characters), rng.integers(shortest, longest, endpoint=True))
    return "".join(characters[i] for i in ids)


def _choose_style(rng: Generator, name: str | None) -> tuple[str, Style]:
    if name is not None and name not in STYLES:
        raise ValueError(f"There is no style {name!r}; choose from {', '.join(STYLES)}.")
    names = list(STYLES)
    first = name or names[rng.integers(0, len(names))]
    if name is not None or rng.random() > MIX_SHARE:
        return first, STYLES[first]
    second = names[rng.integers(0, len(names))]
    taken = {f.name: getattr(STYLES[second], f.name) for f in fields(Style) if rng.random() < 0.5}
    return f"{first}+{second}", replace(STYLES[first], **taken)


def _pick(rng: Generator, weights: dict[Name, float]) -> Name:
    names = list(weights)
    return names[int(np.searchsorted(np.cumsum(list(weights.values())), rng.random() * sum(weights.values())))]


def _drawn(rng: Generator, odds: Odds) -> list[str]:
    return [name for name, odd in odds.items() if rng.random() < odd]


@dataclass(eq=False)
class _Patch:
    """A glyph on its way to the line: mask (h, w), its top left corner x, y, and its ink's corners (4, 2), in px."""

    mask: Array
    x: int
    y: int
    corners: Array

    def moved(self, dx: float, dy: float) -> _Patch:
        dx, dy = round(dx), round(dy)
        return _Patch(self.mask, self.x + dx, self.y + dy, self.corners + np.array((dx, dy), np.float32))

    def scaled(self, f: float) -> _Patch:
        h, w = self.mask.shape
        size = (max(1, round(w * f)), max(1, round(h * f)))
        mask = cv2.resize(self.mask, size, interpolation=cv2.INTER_AREA)
        return _Patch(mask, round(self.x * f), round(self.y * f), self.corners * np.float32(f))


def _set_line(rng: Generator, style: Style, text: str, cap: float, fonts: tuple[Font, ...]) -> list[_Patch]:
    """The glyphs side by side from x = 0 on, baseline at y = 0."""
    lower = any(c.islower() for c in text)
    usable = [f for f in (fonts[i] for i in rng.integers(0, len(fonts), 12)) if f.cased or not lower]
    usable = usable or [f for f in fonts if f.cased] or list(fonts)
    each = rng.random() < style.mixed_fonts
    face = effects.FACES[_pick(rng, style.faces)]
    touching = rng.random() < style.touching
    gaps = rng.uniform(*style.gap) * cap * rng.uniform(0.6, 1.4, len(text))
    patches: list[_Patch] = []
    pen = 0.0
    turned = _turn(rng, style, [glyph(usable[i % len(usable) if each else 0], c) for i, c in enumerate(text)], cap)
    for (patch, advance), gap in zip(turned, gaps, strict=True):
        patch.mask = face(rng, patch.mask, cap)
        patch = patch.moved(pen, 0)
        if touching and patches:
            patch = patch.moved(_distance_to_contact(patches[-1], patch) + gap, 0)
            pen = float(patch.x)
        patches.append(patch)
        pen += advance + gap
    return patches


def _turn(rng: Generator, style: Style, glyphs: list[Glyph], cap: float) -> list[tuple[_Patch, float]]:
    """Each glyph scaled, turned, lifted and pulled at its corners, with the pen at 0; and its advance in px."""
    n = len(glyphs)
    squeeze = rng.uniform(0.75, 1.2) if rng.random() < 0.3 else 1.0
    interpolation = cv2.INTER_NEAREST if rng.random() < 0.08 else cv2.INTER_LINEAR
    scale = cap / CAP * rng.uniform(*style.scale, (n, 2)) * (squeeze, 1.0)  # (n, 2): across, upright
    size = np.array([bitmap.mask.shape[::-1] for bitmap in glyphs])  # (n, 2): width, height
    half = size * scale / 2
    centre = np.array([(bitmap.left, bitmap.top) for bitmap in glyphs]) * scale + half
    centre[:, 1] += rng.uniform(-style.lift, style.lift, n) * cap
    angle = np.deg2rad(rng.uniform(-style.rotation, style.rotation, n))
    turn = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], axis=1).reshape(n, 2, 2)
    corners = (half[:, None] * ((-1, -1), (1, -1), (1, 1), (-1, 1))) @ turn + centre[:, None]  # (n, 4, 2)
    if style.corners:
        corners += rng.uniform(-style.corners, style.corners, (n, 4, 2)) * cap
    low = np.floor(corners.min(axis=1)).astype(int) - 1
    shape = np.ceil(corners.max(axis=1)).astype(int) + 1 - low
    target = (corners - low[:, None]).astype(np.float32)
    result = []
    for i, bitmap in enumerate(glyphs):
        mask = bitmap.mask if cap > CAP / 2 else _halved(bitmap)
        w, h = mask.shape[1], mask.shape[0]
        matrix = cv2.getPerspectiveTransform(np.array(((0, 0), (w, 0), (w, h), (0, h)), np.float32), target[i])
        mask = cv2.warpPerspective(mask, matrix, (int(shape[i, 0]), int(shape[i, 1])), flags=interpolation)
        patch = _Patch(mask, int(low[i, 0]), int(low[i, 1]), corners[i].astype(np.float32))
        result.append((patch, bitmap.advance * float(scale[i, 0])))
    return result


@lru_cache(maxsize=20_000)
def _halved(bitmap: Glyph) -> Array:
    """The glyph at half its size, so that small text is not sampled too sparsely."""
    h, w = bitmap.mask.shape
    return cv2.resize(bitmap.mask, (max(1, w // 2), max(1, h // 2)), interpolation=cv2.INTER_AREA)


def _distance_to_contact(left: _Patch, right: _Patch) -> float:
    """How far the right glyph must move so that the inks of both just meet in some row."""
    top, bottom = max(left.y, right.y), min(left.y + left.mask.shape[0], right.y + right.mask.shape[0])
    if bottom <= top:
        return 0.0
    a = left.mask[top - left.y : bottom - left.y] > 90
    b = right.mask[top - right.y : bottom - right.y] > 90
    both = a.any(axis=1) & b.any(axis=1)
    if not both.any():
        return 0.0
    ends = left.x + a.shape[1] - a[:, ::-1].argmax(axis=1)
    starts = right.x + b.argmax(axis=1)
    return float((ends - starts)[both].max())


def _extent(patches: list[_Patch]) -> tuple[Array, Array]:
    corners = np.concatenate([patch.corners for patch in patches])
    return corners.min(axis=0), corners.max(axis=0)


def _cut_short(patches: list[_Patch], width: int, height: int) -> list[_Patch]:
    """As many glyphs as fit without getting smaller than a quarter of the picture's height."""
    while len(patches) > 1:
        low, high = _extent(patches)
        fit = 0.97 * width / (high[0] - low[0])
        tall = np.median([np.ptp(patch.corners[:, 1]) for patch in patches])
        if fit > 1 or fit * tall > 0.27 * height:
            break
        patches = patches[:-1]
    return patches


@dataclass(eq=False)
class Line:
    """A line of text on its way to the picture.

    Attributes:
        mask: (H, W) uint8, 255 for ink.
        owners: (H, W) uint8, which glyph the ink is of, counted from 1.
        corners: (n, 4, 2) float32, the corners of each glyph in px.
        cap: how much the glyphs were scaled to fit.
    """

    mask: Array
    owners: Array
    corners: Array
    cap: float

    @classmethod
    def compose(cls, rng: Generator, patches: list[_Patch], shape: tuple[int, int]) -> Line:
        """Scale the glyphs down where they don't fit into the picture, and place them at random within it."""
        height, width = shape
        low, high = _extent(patches)
        fit = min(0.97 * width / (high[0] - low[0]), 0.97 * height / (high[1] - low[1]), 1.0)
        if fit < 1:
            patches = [patch.scaled(fit) for patch in patches]
            low, high = _extent(patches)
        slack = np.array([width, height]) - (high - low)
        place = slack * np.clip(rng.normal(0.5, 0.22, 2), 0, 1) - low
        mask, owners = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        placed = [patch.moved(*place) for patch in patches]
        for number, patch in enumerate(placed, 1):
            _paste(mask, owners, patch, number)
        return cls(mask, owners, np.stack([patch.corners for patch in placed]), fit)

    def warp(self, dx: Array, dy: Array) -> None:
        """Take each pixel from (x + dx, y + dy)."""
        x, y = effects.grid(self.mask.shape)
        map_x, map_y = (x + dx).astype(np.float32), (y + dy).astype(np.float32)
        self.mask = cv2.remap(self.mask, map_x, map_y, cv2.INTER_LINEAR)
        self.owners = cv2.remap(self.owners, map_x, map_y, cv2.INTER_NEAREST)
        h, w = self.mask.shape
        at = self.corners.round().astype(int)
        row, column = at[..., 1].clip(0, h - 1), at[..., 0].clip(0, w - 1)
        field_x, field_y = map_x - x, map_y - y
        self.corners = self.corners - np.stack([field_x[row, column], field_y[row, column]], axis=-1)

    def boxes(self) -> Array:
        """(n, 4) float32: left, top, right, bottom of each glyph within the picture."""
        h, w = self.mask.shape
        low, high = self.corners.min(axis=1), self.corners.max(axis=1)
        return np.concatenate([low, high], axis=1).clip(0, (w, h, w, h)).astype(np.float32)


def _paste(mask: Array, owners: Array, patch: _Patch, number: int) -> None:
    h, w = patch.mask.shape
    top, left = max(patch.y, 0), max(patch.x, 0)
    bottom, right = min(patch.y + h, mask.shape[0]), min(patch.x + w, mask.shape[1])
    if bottom <= top or right <= left:
        return
    part = patch.mask[top - patch.y : bottom - patch.y, left - patch.x : right - patch.x]
    below = mask[top:bottom, left:right]
    owners[top:bottom, left:right][part > below] = number
    np.maximum(below, part, out=below)


def _paint(rng: Generator, style: Style, line: Line, cap: float, fonts: tuple[Font, ...]) -> Array:
    """Ground, clutter behind, text with its strokes, clutter over it, finishes: (H, W, 3) uint8."""
    shape = line.mask.shape
    base, inks = _colours(rng, len(line.corners) if rng.random() < style.mixed_colours else 1)
    ground = effects.GROUNDS[_pick(rng, style.grounds)](rng, shape, base)
    if rng.random() < style.decoys:
        _decoys(rng, ground, cap, fonts)
    for name in _drawn(rng, style.behind):
        effects.CLUTTER[name](rng, ground, _some_colour(rng, base, inks), cap)
    strokes_first = rng.random() < 0.5  # strokes are warped along with the text, or drawn over it
    if strokes_first:
        _strike(rng, style, line, cap)
    for name in _drawn(rng, style.warps):
        line.warp(*effects.WARPS[name](rng, shape, cap))
    if not strokes_first:
        _strike(rng, style, line, cap)
    picture = _ink(rng, style, line, ground, inks, cap)
    for name in _drawn(rng, style.over):
        effects.CLUTTER[name](rng, picture, _some_colour(rng, base, inks), cap)
    for name in _drawn(rng, style.finishes):
        picture = effects.FINISHES[name](rng, picture, cap)
    return picture


def _strike(rng: Generator, style: Style, line: Line, cap: float) -> None:
    for name in _drawn(rng, style.strike):
        effects.CLUTTER[name](rng, line.mask, 255, cap)
    for name in _drawn(rng, style.cut):
        effects.CLUTTER[name](rng, line.mask, 0, 0.7 * cap)


def _ink(rng: Generator, style: Style, line: Line, ground: Array, inks: Array, cap: float) -> Array:
    """Lay the ink on the ground, after its shadow."""
    if rng.random() < style.shadow:
        reach = rng.uniform(0.04, 0.14) * cap
        dx, dy = rng.uniform(-reach, reach, 2)
        moved = cv2.warpAffine(line.mask, np.array([[1, 0, dx], [0, 1, dy]], np.float32), line.mask.shape[::-1])
        ground = _blend(ground, rng.integers(0, 256, 3), moved, rng.uniform(0.2, 0.8))
    ink = inks[line.owners.astype(int) % len(inks)] if len(inks) > 1 else inks[0]
    return _blend(ground, ink, line.mask, rng.uniform(0.4, 1.0) if rng.random() < 0.3 else 1.0)


def _blend(ground: Array, ink: Array, mask: Array, opacity: float) -> Array:
    share = mask * np.float32(opacity / 255)
    over = np.empty_like(ground)
    over[:] = ink
    return cv2.blendLinear(ground, over, 1 - share, share)


LUMINANCE = np.array([0.299, 0.587, 0.114])


def _colours(rng: Generator, count: int) -> tuple[Array, Array]:
    """The paper's colour (3,) and the inks' (count, 3), all told apart from it."""
    kind = rng.random()
    grey = rng.random() < 0.4
    if kind < 0.66:
        base = rng.uniform(205, 256, 3)
    elif kind < 0.82:
        base = rng.uniform(0, 60, 3)
    else:
        base = rng.uniform(60, 235, 3)
    base = np.minimum(np.full(3, base[0]) if grey else base, 255)
    black = rng.random() < 0.35
    inks: list[Array] = []
    for attempt in range(50 * count):
        ink = np.full(3, rng.uniform(0, 256) if rng.random() < 0.5 else 0.0) if black else rng.uniform(0, 256, 3)
        difference = np.abs(ink - base)
        if difference @ LUMINANCE > (70 if attempt < 40 * count else 30) or difference.max() > 150:
            inks.append(ink)
        if len(inks) == count:
            break
    return base, np.array(inks or [255.0 - base])


def _some_colour(rng: Generator, base: Array, inks: Array) -> list[int]:
    """For clutter: one of the inks, or a tone between paper and anything."""
    if rng.random() < 0.4:
        return [int(v) for v in inks[rng.integers(0, len(inks))]]
    return [int(v) for v in base + (rng.uniform(0, 255, 3) - base) * rng.uniform(0.15, 0.9)]


def _decoys(rng: Generator, ground: Array, cap: float, fonts: tuple[Font, ...]) -> None:
    """Faint small letters that are not part of the text."""
    h, w = ground.shape[:2]
    font = fonts[rng.integers(0, len(fonts))]
    mask, owners = np.zeros((h, w), np.uint8), np.zeros((h, w), np.uint8)
    some = [glyph(font, NAMED["alphanumeric"][i]) for i in rng.integers(0, 62, rng.integers(4, 30))]
    for patch, _ in _turn(rng, STYLES["tilted"], some, cap * rng.uniform(0.25, 0.5)):
        _paste(mask, owners, patch.moved(*rng.uniform((0, 0), (w, h))), 1)
    ground[:] = _blend(ground, rng.integers(0, 256, 3), mask, rng.uniform(0.12, 0.4))
