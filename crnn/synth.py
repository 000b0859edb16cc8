"""Draws labelled pictures of distorted text, seeded: what the shipped weights learn from.

A picture comes about in five steps: a text, its glyphs set on a line (:class:`Line`), a ground with clutter behind, the
line struck through, warped and inked, and finishes over all. Each :class:`Style` is a family of public CAPTCHA
generators as ranges and probabilities; most pictures are of one family, some mix two.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import islice
from math import ceil, cos, floor, pi, sin
from typing import TypeVar

import cv2
import numpy as np
from numpy.random import Generator

from crnn import effects
from crnn.charset import NAMED
from crnn.fonts import CAP, Font, Glyph, find_bitmap_fonts, find_fonts, glyph, pixel_glyph
from crnn.styles import ALPHABETS, MIX_SHARE, SHARES, STYLES, WORD_SHARE, Odds, Style

USUAL = 2  # the power of a random share that picks a font: half of the draws are of the most usual quarter
CELL_SHARE = 0.25  # of lines stand in cells of equal width, so that an I or J is far from its neighbours
CUT_OFF_SHARE = 0.12  # of lines begin or end a little outside of the picture; of lines stand so too high or too low
PROPERTIES = tuple(field.name for field in fields(Style))
CORNERS = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))  # of a glyph, from its middle

Array = np.ndarray
Name = TypeVar("Name")


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
    height: int | None = None,
    fonts: tuple[Font, ...] | None = None,
) -> Drawing:
    """Draw one picture; the same generator state gives the same picture on the same fonts.

    Args:
        rng: the source of all randomness.
        text: what it says; None: a random text.
        style: a name of ``STYLES``; None: any, or a mixture of two.
        aspect: width over height; None: as the text needs. A random text is cut short where it doesn't fit.
        height: of the picture, px; None: of the style's.
        fonts: to choose from; None: those that :func:`crnn.fonts.find_fonts` gives of itself.

    Raises:
        ValueError: the style is unknown.
    """
    name, chosen = _choose_style(rng, style)
    said = text or random_text(rng)
    height = height or int(rng.integers(*chosen.height, endpoint=True))
    cap = height * rng.uniform(*chosen.cap)
    patches = _set_line(rng, chosen, said, cap, fonts or find_fonts())
    corners = _corners(patches)
    if aspect is None:
        aspect = max(1.6, (corners[-1, :, 0].max() + rng.uniform(0.3, 1.5) * cap) / height)
    width = round(height * aspect)
    if text is None:
        count = _how_many_fit(corners, width, height)
        said, patches, corners = said[:count], patches[:count], corners[:count]
    coloured, condensed = rng.random() < chosen.mixed_colours, rng.random() < chosen.condensed
    line = Line.compose(rng, patches, corners, (height, width), coloured, condensed)
    picture = _paint(rng, chosen, line, line.scale * cap, fonts or find_fonts())
    return Drawing(picture, said, line.boxes(), name)


def random_text(rng: Generator) -> str:
    """A code from one of ``ALPHABETS``, or a pronounceable word."""
    if rng.random() < WORD_SHARE:
        pairs = rng.integers(0, (17, 5), (rng.integers(2, 5), 2))
        word = "".join("bcdfghklmnprstvwz"[i] + "aeiou"[j] for i, j in pairs)
        return (word, word.upper(), word.capitalize())[rng.integers(0, 3)][: rng.integers(3, 10)]
    characters, shortest, longest = _pick(rng, ALPHABETS)
    shares = rng.random(rng.integers(shortest, longest, endpoint=True))
    return "".join(characters[int(share * len(characters))] for share in shares.tolist())


def style_named(name: str) -> Style:
    """One of ``STYLES``. Raises ValueError where there is none of this name."""
    if name not in STYLES:
        raise ValueError(f"There is no style {name!r}; choose from {', '.join(STYLES)}.")
    return STYLES[name]


def _choose_style(rng: Generator, name: str | None) -> tuple[str, Style]:
    if name is not None:
        return name, style_named(name)
    first = _pick(rng, SHARES)
    if rng.random() > MIX_SHARE:
        return first, STYLES[first]
    second = _pick(rng, SHARES)
    taken = {name: getattr(STYLES[second], name) for name in PROPERTIES if rng.random() < 0.5}
    return f"{first}+{second}", Style(**(vars(STYLES[first]) | taken))


def _pick(rng: Generator, weights: dict[Name, float]) -> Name:
    left = rng.random() * sum(weights.values())
    for name, weight in weights.items():
        left -= weight
        if left < 0:
            return name
    return name  # rounding may leave a little


def _drawn(rng: Generator, odds: Odds) -> list[str]:
    return [name for name, odd in odds.items() if rng.random() < odd]


@dataclass(eq=False)
class _Patch:
    """A glyph on its way: mask (h, w), its top left corner x, y, its ink's corners (4, 2) from there; in px."""

    mask: Array
    x: int
    y: int
    corners: Array


def _corners(patches: list[_Patch]) -> Array:
    """Where the ink's corners are: (n, 4, 2) float32."""
    places = np.array([(patch.x, patch.y) for patch in patches], np.float32)
    return np.array([patch.corners for patch in patches]) + places[:, None]


def _set_line(rng: Generator, style: Style, text: str, cap: float, fonts: tuple[Font, ...]) -> list[_Patch]:
    """The glyphs side by side from x = 0 on, baseline at y = 0."""
    lower = any(c.islower() for c in text)
    some = [fonts[int(at * len(fonts))] for at in (rng.random(12) ** USUAL).tolist()]
    usable = [font for font in some if font.cased or not lower]
    usable = usable or [f for f in fonts if f.cased] or list(fonts)
    each = rng.random() < style.mixed_fonts
    set_in = [(usable[i % len(usable) if each else 0], character) for i, character in enumerate(text)]
    name = _pick(rng, style.faces)
    face = effects.FACES[name]
    if name in ("dotted", "bitmap") and rng.random() < 0.75:  # a font drawn in cells, else any shape cut into cells
        rows, face, bitmaps = int(rng.integers(6, 10)), effects.solid, find_bitmap_fonts()
        if bitmaps and rng.random() < 0.6:
            set_in = [(bitmaps[rng.integers(0, len(bitmaps))], character) for character in text]
            set_in = [(font if each else set_in[0][0], character) for font, character in set_in]
        glyphs = [pixel_glyph(font, character, rows, name == "dotted") for font, character in set_in]
    else:
        glyphs = [glyph(font, character) for font, character in set_in]
    touching = rng.random() < style.touching
    uneven = len(text) if rng.random() < 0.5 else 1
    gaps = rng.uniform(*style.gap, uneven) * cap * rng.uniform(0.6, 1.4, len(text))
    if rng.random() < style.blanks:
        gaps += (rng.random(len(text)) < 0.5) * rng.uniform(0.2, 0.8) * cap
    patches, advances = _turn(rng, style, glyphs, cap)
    if rng.random() < style.boxed:
        advances = _set_boxes(patches, centred=rng.random() < 0.6)
    cell = max(advances) if rng.random() < CELL_SHARE else 0.0
    aligned = 0.5 if rng.random() < 0.5 else 0.0  # in the middle of a cell, or at its left
    before, pen = None, 0.0
    for patch, advance, gap in zip(patches, advances, gaps.tolist(), strict=True):
        patch.mask = face(rng, patch.mask, cap)
        patch.x += round(pen + aligned * max(0.0, cell - advance))
        if touching and before:
            patch.x += round(_distance_to_contact(before, patch) + gap)
            pen = float(patch.x)
        before = patch
        pen += max(cell, advance) + gap
    return patches


def _turn(rng: Generator, style: Style, glyphs: list[Glyph], cap: float) -> tuple[list[_Patch], list[float]]:
    """Each glyph scaled, turned, lifted and pulled at its corners, with the pen at 0; and its advance in px."""
    n = len(glyphs)
    squeeze = rng.uniform(0.55, 1.25) if rng.random() < 0.35 else 1.0
    interpolation = cv2.INTER_NEAREST if rng.random() < 0.08 else cv2.INTER_LINEAR
    scales = (rng.uniform(*style.scale, (n, 2)) * (squeeze * cap / CAP, cap / CAP)).tolist()  # across, upright
    lifts = (rng.uniform(-style.lift, style.lift, n) * cap).tolist()
    angles = (rng.uniform(-style.rotation, style.rotation, n) * (pi / 180)).tolist()
    pulls = rng.uniform(-style.corners, style.corners, (n, 4, 2)).tolist() if style.corners else [None] * n
    patches = [
        _patch(one, one.mask if cap > CAP / 2 else _halved(one), interpolation, *how)
        for one, *how in zip(glyphs, scales, lifts, angles, pulls, strict=True)
    ]
    return patches, [one.advance * across for one, (across, _) in zip(glyphs, scales, strict=True)]


def _patch(
    bitmap: Glyph,
    mask: Array,
    interpolation: int,
    scale: tuple[float, float],
    lift: float,
    angle: float,
    pull: list[tuple[float, float]] | None,
) -> _Patch:
    """One glyph, turned about its middle, from its mask of any size.

    Five glyphs a picture are too few for arrays: plain numbers take half the time.
    """
    height, width = bitmap.mask.shape[0] * scale[1], bitmap.mask.shape[1] * scale[0]
    middle_x, middle_y = bitmap.left * scale[0] + width / 2, bitmap.top * scale[1] + height / 2 + lift
    across_x, across_y = cos(angle) * width, sin(angle) * width  # along its upper edge
    down_x, down_y = -sin(angle) * height, cos(angle) * height  # along its left edge
    xs = [middle_x + i * across_x + j * down_x for i, j in CORNERS]
    ys = [middle_y + i * across_y + j * down_y for i, j in CORNERS]
    if pull:
        xs = [x + share * width for x, (share, _) in zip(xs, pull, strict=True)]
        ys = [y + share * height for y, (_, share) in zip(ys, pull, strict=True)]
    left, top = floor(min(xs)) - 1, floor(min(ys)) - 1
    shape = ceil(max(xs)) + 1 - left, ceil(max(ys)) + 1 - top
    corners = np.array([(x - left, y - top) for x, y in zip(xs, ys, strict=True)], np.float32)
    h, w = mask.shape
    if pull:
        whole = np.array(((0, 0), (w, 0), (w, h), (0, h)), np.float32)
        turned = cv2.warpPerspective(mask, cv2.getPerspectiveTransform(whole, corners), shape, flags=interpolation)
    else:
        step = np.array(((across_x / w, down_x / h, xs[0] - left), (across_y / w, down_y / h, ys[0] - top)))
        turned = cv2.warpAffine(mask, step, shape, flags=interpolation)
    return _Patch(turned, left, top, corners)


def _set_boxes(patches: list[_Patch], centred: bool) -> list[float]:
    """Put each glyph's ink with its left end at the pen, or centre it on the line, too. Returns the inks' widths."""
    corners = np.array([patch.corners for patch in patches])
    low, high = corners.min(axis=1), corners.max(axis=1)  # (n, 2)
    for patch, left, middle in zip(patches, low[:, 0].tolist(), (low + high)[:, 1].tolist(), strict=True):
        patch.x = -round(left)
        if centred:
            patch.y = -round(middle / 2)
    widths: list[float] = (high - low)[:, 0].tolist()
    return widths


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


def _how_many_fit(corners: Array, width: int, height: int) -> int:
    """How many glyphs fit, of corners (n, 4, 2), without getting smaller than a quarter of the picture's height."""
    count = len(corners)
    left, right = corners[..., 0].min(axis=1), corners[..., 0].max(axis=1)
    if right.max() - left.min() < 0.97 * width:
        return count
    fit = 0.97 * width / (np.maximum.accumulate(right) - np.minimum.accumulate(left))
    tall = np.sort(np.ptp(corners[..., 1], axis=1))[count // 2]
    while count > 1 and fit[count - 1] <= 1 and fit[count - 1] * tall <= 0.27 * height:
        count -= 1
    return count


@dataclass(eq=False)
class Line:
    """A line of text on its way to the picture.

    Attributes:
        mask: (H, W) uint8, 255 for ink.
        owners: (H, W) uint8, which glyph the ink is of, counted from 1; None where all have one colour.
        corners: (n, 4, 2) float32, the corners of each glyph in px.
        scale: how much lower the glyphs were made to fit.
    """

    mask: Array
    owners: Array | None
    corners: Array
    scale: float

    @classmethod
    def compose(
        cls,
        rng: Generator,
        patches: list[_Patch],
        corners: Array,
        shape: tuple[int, int],
        coloured: bool,
        condensed: bool,
    ) -> Line:
        """Scale or condense the glyphs where they don't fit into the picture, and place them at random within it."""
        height, width = shape
        (low_x, low_y), (high_x, high_y) = corners.min(axis=(0, 1)).tolist(), corners.max(axis=(0, 1)).tolist()
        across, upright = (min(0.97 * w / long, 1.0) for w, long in ((width, high_x - low_x), (height, high_y - low_y)))
        if not condensed or across < 0.4:
            across = upright = min(across, upright)
        elif rng.random() < 0.5:
            across = min(across, rng.uniform(0.45, 1.0))
        wide, high = ceil(width / across), ceil(height / upright)  # the room before all is scaled down at once
        slack_x, slack_y = wide - (high_x - low_x), high - (high_y - low_y)
        share_x, share_y = np.minimum(np.maximum(rng.normal(0.5, 0.22, 2), 0), 1).tolist()
        x, y = share_x * slack_x, share_y * slack_y
        if rng.random() < CUT_OFF_SHARE:
            side = int(rng.random() < 0.5)
            x = side * slack_x + (side - 0.5) * rng.uniform(0, 0.5) * float(np.ptp(corners[-side, :, 0]))
        if rng.random() < CUT_OFF_SHARE:
            side = int(rng.random() < 0.5)
            y = side * slack_y + (side - 0.5) * rng.uniform(0, 0.25) * (high_y - low_y)
        left, top = round(x - low_x), round(y - low_y)
        mask = np.zeros((high, wide), np.uint8)
        owners = np.zeros_like(mask) if coloured else None
        for number, patch in enumerate(patches, 1):
            patch.x, patch.y = patch.x + left, patch.y + top
            _paste(mask, owners, patch, number)
        if (wide, high) != (width, height):
            mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
            if owners is not None:
                owners = cv2.dilate(owners, np.ones((3, 3), np.uint8))  # pale edges have owners too
                owners = cv2.resize(owners, (width, height), interpolation=cv2.INTER_NEAREST)
        corners = (corners + (left, top)) * (width / wide, height / high)
        return cls(mask, owners, corners.astype(np.float32), upright)

    def warp(self, dx: Array, dy: Array) -> None:
        """Take each pixel from (x + dx, y + dy)."""
        h, w = self.mask.shape
        x, y = effects.grid((h, w))
        map_x, map_y = np.empty((2, h, w), np.float32)
        np.add(x, dx, out=map_x, casting="same_kind")
        np.add(y, dy, out=map_y, casting="same_kind")
        self.mask = cv2.remap(self.mask, map_x, map_y, cv2.INTER_LINEAR)
        if self.owners is not None:
            self.owners = cv2.remap(self.owners, map_x, map_y, cv2.INTER_NEAREST)
        at = np.minimum(np.maximum(self.corners.round().astype(int), 0), (w - 1, h - 1))
        column, row = at[..., 0], at[..., 1]
        self.corners = self.corners + at
        self.corners[..., 0] -= map_x[row, column]
        self.corners[..., 1] -= map_y[row, column]

    def boxes(self) -> Array:
        """(n, 4) float32: left, top, right, bottom of each glyph within the picture."""
        h, w = self.mask.shape
        inside = np.concatenate([self.corners.min(axis=1), self.corners.max(axis=1)], axis=1)
        return np.minimum(np.maximum(inside, 0), (w, h, w, h)).astype(np.float32)


def _paste(mask: Array, owners: Array | None, patch: _Patch, number: int) -> None:
    h, w = patch.mask.shape
    top, left = max(patch.y, 0), max(patch.x, 0)
    bottom, right = min(patch.y + h, mask.shape[0]), min(patch.x + w, mask.shape[1])
    if bottom <= top or right <= left:
        return
    part = patch.mask[top - patch.y : bottom - patch.y, left - patch.x : right - patch.x]
    below = mask[top:bottom, left:right]
    if owners is not None:
        owners[top:bottom, left:right][part > below] = number
    np.maximum(below, part, out=below)


def _paint(rng: Generator, style: Style, line: Line, cap: float, fonts: tuple[Font, ...]) -> Array:
    """Ground, clutter behind, text with its strokes, clutter over it, finishes: (H, W, 3) uint8."""
    shape = line.mask.shape
    base, inks = _colours(rng, 1 if line.owners is None else len(line.corners))
    ground = effects.GROUNDS[_pick(rng, style.grounds)](rng, shape, base)
    if rng.random() < style.decoys:
        _decoys(rng, ground, cap, fonts)
    for name in _drawn(rng, style.behind):
        effects.CLUTTER[name](rng, ground, _some_colour(rng, base, inks, style.own_colour), cap)
    strokes_first = rng.random() < 0.5  # strokes are warped along with the text, or drawn over it
    if strokes_first:
        _strike(rng, style, line, cap)
    for name in _drawn(rng, style.warps):
        line.warp(*effects.WARPS[name](rng, shape, cap))
    if not strokes_first:
        _strike(rng, style, line, cap)
    picture = _ink(rng, style, line, ground, inks, cap)
    for name in _drawn(rng, style.over):
        effects.CLUTTER[name](rng, picture, _some_colour(rng, base, inks, style.own_colour), cap)
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
    ink = inks[0] if line.owners is None else effects.toned(line.owners, np.resize(inks, (256, 3)))
    return _blend(ground, ink, line.mask, rng.uniform(*style.opacity) if rng.random() < style.faint else 1.0)


def _blend(ground: Array, ink: Array, mask: Array, opacity: float) -> Array:
    """The ground (H, W, 3) under ink, (3,) or (H, W, 3), where the mask (H, W) has it."""
    share = cv2.convertScaleAbs(mask, alpha=opacity)
    under = cv2.multiply(ground, cv2.merge([cv2.bitwise_not(share)] * 3), scale=1 / 255)
    if ink.ndim == 1:
        over = cv2.merge([cv2.convertScaleAbs(share, alpha=channel / 255) for channel in ink.tolist()])
    else:
        over = cv2.multiply(ink, cv2.merge([share] * 3), scale=1 / 255)
    return cv2.add(under, over)


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
    tried = rng.uniform(0, 256, (20 + 5 * count, 3))
    if rng.random() < 0.35:  # black and greys
        tried[:] = tried[:, :1] * (rng.random((len(tried), 1)) < 0.5)
    paper = base.tolist()
    inks = list(islice((ink for ink in tried.tolist() if _can_be_told(ink, paper)), count))
    return base, np.array(inks or [255.0 - base])


def _can_be_told(ink: list[float], paper: list[float]) -> bool:
    red, green, blue = (abs(one - other) for one, other in zip(ink, paper, strict=True))
    return 0.299 * red + 0.587 * green + 0.114 * blue > 80 or max(red, green, blue) > 150  # luminance, or any channel


def _some_colour(rng: Generator, base: Array, inks: Array, own: float) -> list[int]:
    """For clutter: one of the inks with probability `own`, or a tone between paper and anything."""
    if rng.random() < own:
        return [int(v) for v in inks[rng.integers(0, len(inks))]]
    return [int(v) for v in base + (rng.uniform(0, 255, 3) - base) * rng.uniform(0.15, 0.9)]


def _decoys(rng: Generator, ground: Array, cap: float, fonts: tuple[Font, ...]) -> None:
    """Faint small letters that are not part of the text."""
    h, w = ground.shape[:2]
    font = fonts[rng.integers(0, len(fonts))]
    mask = np.zeros((h, w), np.uint8)
    some = [glyph(font, NAMED["alphanumeric"][i]) for i in rng.integers(0, 62, rng.integers(4, 30))]
    for patch in _turn(rng, STYLES["tilted"], some, cap * rng.uniform(0.25, 0.5))[0]:
        patch.x, patch.y = patch.x + int(rng.integers(0, w)), patch.y + int(rng.integers(0, h))
        _paste(mask, None, patch, 1)
    ground[:] = _blend(ground, rng.integers(0, 256, 3), mask, rng.uniform(0.12, 0.4))
