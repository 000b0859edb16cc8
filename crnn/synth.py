"""Draws labelled pictures of distorted text, seeded: what the shipped weights learn from.

A picture comes about in five steps: a text, its glyphs set on a line (:class:`Line`), a ground with clutter behind, the
line struck through, warped and inked, and finishes over all. Each :class:`Style` is a family of public CAPTCHA
generators as ranges and probabilities; most pictures are of one family, some mix two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from math import ceil, cos, floor, radians, sin
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
SYLLABLE = ("bcdfghklmnprstvwz", "aeiou")
PROPERTIES = tuple(field.name for field in fields(Style))

Array = np.ndarray
Item = TypeVar("Item")


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
        text: what it says, of ASCII letters and digits, which every font has; None: a random text.
        style: a name of ``STYLES``; None: any, or a mixture of two.
        aspect: width over height; None: as the text needs. A random text is cut short where it doesn't fit.
        height: of the picture, px; None: of the style's.
        fonts: to choose from; None: those that :func:`crnn.fonts.find_fonts` gives of itself.

    Raises:
        ValueError: the style is unknown, or the text is empty or has other characters.
    """
    if text is not None and not (text and set(text) <= set(NAMED["alphanumeric"])):
        raise ValueError(f"The text {text!r} can't be drawn; give letters A-Z and a-z and digits.")
    rng = effects.Dice(rng)
    name, chosen = _choose_style(rng, style)
    said = random_text(rng) if text is None else text
    height = height or int(rng.integers(chosen.height[0], chosen.height[1] + 1))
    cap = height * rng.uniform(*chosen.cap)
    patches = _set_line(rng, chosen, said, cap, fonts or find_fonts())
    if aspect is None:
        aspect = max(1.6, (patches[-1].box[2] + rng.uniform(0.3, 1.5) * cap) / height)
    width = round(height * aspect)
    if text is None:
        count = _how_many_fit(patches, width, height)
        said, patches = said[:count], patches[:count]
    coloured, condensed = rng.random() < chosen.mixed_colours, rng.random() < chosen.condensed
    line = Line.compose(rng, patches, (height, width), coloured, condensed)
    picture = _paint(rng, chosen, line, line.scale * cap, fonts or find_fonts())
    return Drawing(picture, said, line.boxes(), name)


def random_text(rng: Generator) -> str:
    """A code from one of ``ALPHABETS``, or a pronounceable word."""
    if rng.random() < WORD_SHARE:
        word = "".join(_one_of(rng, letters) for _ in range(rng.integers(2, 5)) for letters in SYLLABLE)
        return _one_of(rng, (word, word.upper(), word.capitalize()))[: rng.integers(3, 10)]
    characters, shortest, longest = _pick(rng, ALPHABETS)
    return "".join(_one_of(rng, characters) for _ in range(rng.integers(shortest, longest + 1)))


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


def _pick(rng: Generator, weights: dict[Item, float]) -> Item:
    left = rng.random() * sum(weights.values())
    for name, weight in weights.items():
        left -= weight
        if left < 0:
            return name
    return name  # rounding may leave a little


def _one_of(rng: Generator, some: Sequence[Item]) -> Item:
    return some[int(rng.integers(len(some)))]


def _drawn(rng: Generator, odds: Odds) -> list[str]:
    return [name for name, odd in odds.items() if rng.random() < odd]


@dataclass(eq=False)
class _Patch:
    """A glyph on its way, in px: its mask (h, w), the top left corner of that, and the ink's corners from there.

    Five glyphs a picture are too few for arrays: plain numbers take half the time.
    """

    mask: Array
    x: int
    y: int
    xs: list[float]
    ys: list[float]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the ink."""
        return self.x + min(self.xs), self.y + min(self.ys), self.x + max(self.xs), self.y + max(self.ys)


def _set_line(rng: Generator, style: Style, text: str, cap: float, fonts: tuple[Font, ...]) -> list[_Patch]:
    """The glyphs side by side from x = 0 on, baseline at y = 0."""
    lower = any(c.islower() for c in text)
    some = [fonts[int(rng.random() ** USUAL * len(fonts))] for _ in range(12)]
    usable = [font for font in some if font.cased or not lower]
    usable = usable or [f for f in fonts if f.cased] or list(fonts)
    each = rng.random() < style.mixed_fonts
    set_in = [(usable[i % len(usable) if each else 0], character) for i, character in enumerate(text)]
    name = _pick(rng, style.faces)
    face = effects.FACES[name]
    if name in ("dotted", "bitmap") and rng.random() < 0.75:  # a font drawn in cells, else any shape cut into cells
        rows, face, bitmaps = rng.integers(6, 10), effects.solid, find_bitmap_fonts()
        if bitmaps and rng.random() < 0.6:
            set_in = [(_one_of(rng, bitmaps), character) for character in text]
            set_in = [(font if each else set_in[0][0], character) for font, character in set_in]
        glyphs = [pixel_glyph(font, character, rows, name == "dotted") for font, character in set_in]
    else:
        glyphs = [glyph(font, character) for font, character in set_in]
    touching = rng.random() < style.touching
    even = rng.uniform(*style.gap) if rng.random() < 0.5 else None
    blank = rng.uniform(0.2, 0.8) if rng.random() < style.blanks else 0.0
    patches, advances = _turn(rng, style, glyphs, cap)
    if rng.random() < style.boxed:
        advances = _set_boxes(patches, centred=rng.random() < 0.6)
    cell = max(advances) if rng.random() < CELL_SHARE else 0.0
    aligned = 0.5 if rng.random() < 0.5 else 0.0  # in the middle of a cell, or at its left
    before, pen = None, 0.0
    for patch, advance in zip(patches, advances, strict=True):
        gap = cap * (rng.uniform(*style.gap) if even is None else even) * rng.uniform(0.6, 1.4)
        gap += cap * blank * (rng.random() < 0.5)
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
    squeeze = rng.uniform(0.55, 1.25) if rng.random() < 0.35 else 1.0
    interpolation = cv2.INTER_NEAREST if rng.random() < 0.08 else cv2.INTER_LINEAR
    stretched = rng.random() < style.stretched
    patches, advances = [], []
    for one in glyphs:
        across, upright = (rng.uniform(*style.scale) * size * cap / CAP for size in (squeeze, 1.0))
        lift, angle = cap * rng.uniform(-style.lift, style.lift), radians(rng.uniform(-style.rotation, style.rotation))
        pull = [rng.uniform(-style.corners, style.corners) for _ in range(8)] if style.corners else []
        mask = one.mask if cap > CAP / 2 else _halved(one)
        foot = one.top + one.mask.shape[0]  # below the baseline
        filled = (one.advance * across, (CAP + foot) * upright) if stretched else None
        patches.append(_patch(one, mask, interpolation, across, upright, lift, angle, filled, pull))
        advances.append(one.advance * across)
    return patches, advances


def _patch(
    bitmap: Glyph,
    mask: Array,
    interpolation: int,
    across: float,
    upright: float,
    lift: float,
    angle: float,
    filled: tuple[float, float] | None,
    pull: list[float],
) -> _Patch:
    """One glyph, scaled and turned about its middle, from its mask of any size; lift in px, angle in radians.

    Then it is stretched so that it fills a box of `filled` px, width and height, or not. `pull` is how far its corners
    are moved, four times across and four times upright, in its own width and height, or nothing.
    """
    height, width = upright * bitmap.mask.shape[0], across * bitmap.mask.shape[1]
    x, y = across * bitmap.left + width / 2, upright * bitmap.top + height / 2 + lift  # of its middle
    right_x, right_y = cos(angle) * width / 2, sin(angle) * width / 2  # from there to the middle of its right edge
    down_x, down_y = -sin(angle) * height / 2, cos(angle) * height / 2  # and of its lower edge
    xs = [x - right_x - down_x, x + right_x - down_x, x + right_x + down_x, x - right_x + down_x]
    ys = [y - right_y - down_y, y + right_y - down_y, y + right_y + down_y, y - right_y + down_y]
    if filled:
        wide, high = max(xs) - min(xs), max(ys) - min(ys)
        width, height = filled
        xs = [x + (corner - x) * width / wide for corner in xs]
        ys = [y + (corner - y) * height / high for corner in ys]
    if pull:
        xs = [x + share * width for x, share in zip(xs, pull[:4], strict=True)]
        ys = [y + share * height for y, share in zip(ys, pull[4:], strict=True)]
    left, top = floor(min(xs)) - 1, floor(min(ys)) - 1
    shape = ceil(max(xs)) + 1 - left, ceil(max(ys)) + 1 - top
    xs, ys = [x - left for x in xs], [y - top for y in ys]
    h, w = mask.shape
    if pull:
        whole = np.array(((0, 0), (w, 0), (w, h), (0, h)), np.float32)
        move = cv2.getPerspectiveTransform(whole, np.array((xs, ys), np.float32).T)
        turned = cv2.warpPerspective(mask, move, shape, flags=interpolation)
    else:
        right, down = (xs[1] - xs[0], ys[1] - ys[0]), (xs[3] - xs[0], ys[3] - ys[0])  # its upper and its left edge
        move = np.array([[edge / w, side / h, at[0]] for edge, side, at in zip(right, down, (xs, ys), strict=True)])
        turned = cv2.warpAffine(mask, move, shape, flags=interpolation)
    return _Patch(turned, left, top, xs, ys)


def _set_boxes(patches: list[_Patch], centred: bool) -> list[float]:
    """Put each glyph's ink with its left end at the pen, or centre it on the line, too. Returns the inks' widths."""
    for patch in patches:
        patch.x = -round(min(patch.xs))
        if centred:
            patch.y = -round((min(patch.ys) + max(patch.ys)) / 2)
    return [max(patch.xs) - min(patch.xs) for patch in patches]


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


def _how_many_fit(patches: list[_Patch], width: int, height: int) -> int:
    """How many glyphs fit without getting smaller than a quarter of the picture's height."""
    lefts, tops, rights, bottoms = zip(*(patch.box for patch in patches), strict=True)
    tall = sorted(bottom - top for bottom, top in zip(bottoms, tops, strict=True))[len(patches) // 2]
    for count in range(len(patches), 1, -1):
        fit = 0.97 * width / (max(rights[:count]) - min(lefts[:count]))
        if fit > 1 or fit * tall > 0.27 * height:
            return count
    return 1


@dataclass(eq=False)
class Line:
    """A line of text on its way to the picture.

    Attributes:
        mask: (H, W) uint8, 255 for ink.
        owners: (H, W) uint8, which glyph the ink is of, counted from 1; None where all have one colour.
        corners: (n, 2, 4) float32, x and y of each glyph's corners in px.
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
        shape: tuple[int, int],
        coloured: bool,
        condensed: bool,
    ) -> Line:
        """Scale or condense the glyphs where they don't fit into the picture, and place them at random within it."""
        height, width = shape
        lefts, tops, rights, bottoms = zip(*(patch.box for patch in patches), strict=True)
        low_x, low_y, high_x, high_y = min(lefts), min(tops), max(rights), max(bottoms)
        across, upright = (min(0.97 * w / long, 1.0) for w, long in ((width, high_x - low_x), (height, high_y - low_y)))
        if not condensed or across < 0.4:
            across = upright = min(across, upright)
        elif rng.random() < 0.5:
            across = min(across, rng.uniform(0.45, 1.0))
        wide, high = ceil(width / across), ceil(height / upright)  # the room before all is scaled down at once
        slack_x, slack_y = wide - (high_x - low_x), high - (high_y - low_y)
        x, y = (
            min(max(share, 0.0), 1.0) * slack
            for share, slack in zip(rng.normal(0.5, 0.22, 2).tolist(), (slack_x, slack_y), strict=True)
        )
        if rng.random() < CUT_OFF_SHARE:
            side = int(rng.random() < 0.5)
            x = side * slack_x + (side - 0.5) * rng.uniform(0, 0.5) * (rights[-side] - lefts[-side])
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
        scale_x, scale_y = width / wide, height / high
        corners = [
            ([scale_x * (patch.x + x) for x in patch.xs], [scale_y * (patch.y + y) for y in patch.ys])
            for patch in patches
        ]
        return cls(mask, owners, np.array(corners, np.float32), upright)

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
        column, row = np.minimum(np.maximum(self.corners.round().astype(int), 0), ((w - 1,), (h - 1,))).swapaxes(0, 1)
        self.corners[:, 0] += column - map_x[row, column]
        self.corners[:, 1] += row - map_y[row, column]

    def boxes(self) -> Array:
        """(n, 4) float32: left, top, right, bottom of each glyph within the picture."""
        h, w = self.mask.shape
        sides = np.concatenate([self.corners.min(axis=2), self.corners.max(axis=2)], axis=1)
        return np.minimum(np.maximum(sides, 0), np.array((w, h, w, h), np.float32))


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
        dx, dy = rng.uniform(-reach, reach), rng.uniform(-reach, reach)
        moved = cv2.warpAffine(line.mask, np.array([[1, 0, dx], [0, 1, dy]], np.float32), line.mask.shape[::-1])
        ground = _blend(ground, rng.integers(0, 256, 3), moved, rng.uniform(0.2, 0.8))
    ink = inks[0] if line.owners is None else effects.toned(line.owners, np.resize(inks, (256, 3)))
    return _blend(ground, ink, line.mask, rng.uniform(*style.opacity) if rng.random() < style.faint else 1.0)


def _blend(ground: Array, ink: Array, mask: Array, opacity: float) -> Array:
    """The ground (H, W, 3) under ink, (3,) or (H, W, 3), where the mask (H, W) has it."""
    share = mask if opacity == 1 else cv2.convertScaleAbs(mask, alpha=opacity)
    under = cv2.multiply(ground, cv2.merge([cv2.bitwise_not(share)] * 3), scale=1 / 255)
    if ink.ndim == 1:
        over = cv2.merge([cv2.convertScaleAbs(share, alpha=channel / 255) for channel in ink.tolist()])
    else:
        over = cv2.multiply(ink, cv2.merge([share] * 3), scale=1 / 255)
    return cv2.add(under, over)


def _colours(rng: Generator, count: int) -> tuple[Array, Array]:
    """The paper's colour (3,) and the inks' (count, 3), all told apart from it."""
    kind, grey = rng.random(), rng.random() < 0.4
    low, high = (205, 256) if kind < 0.66 else (0, 60) if kind < 0.82 else (60, 235)
    paper = [min(rng.uniform(low, high), 255.0) for _ in range(3)]
    if grey:
        paper = paper[:1] * 3
    greys = rng.random() < 0.35  # black and greys
    inks: list[list[float]] = []
    for _ in range(20 + 5 * count):
        ink = [rng.uniform(0, 256) * (rng.random() < 0.5)] * 3 if greys else [rng.uniform(0, 256) for _ in range(3)]
        if _can_be_told(ink, paper):
            inks.append(ink)
            if len(inks) == count:
                break
    return np.array(paper), np.array(inks or [[255 - level for level in paper]])


def _can_be_told(ink: list[float], paper: list[float]) -> bool:
    red, green, blue = (abs(one - other) for one, other in zip(ink, paper, strict=True))
    return 0.299 * red + 0.587 * green + 0.114 * blue > 80 or max(red, green, blue) > 150  # luminance, or any channel


def _some_colour(rng: Generator, base: Array, inks: Array, own: float) -> list[int]:
    """For clutter: one of the inks with probability `own`, or a tone between paper and anything."""
    if rng.random() < own:
        return [int(v) for v in inks[rng.integers(len(inks))].tolist()]
    share = rng.uniform(0.15, 0.9)
    return [int(v + (rng.uniform(0, 255) - v) * share) for v in base.tolist()]


def _decoys(rng: Generator, ground: Array, cap: float, fonts: tuple[Font, ...]) -> None:
    """Faint small letters that are not part of the text."""
    h, w = ground.shape[:2]
    font = _one_of(rng, fonts)
    mask = np.zeros((h, w), np.uint8)
    some = [glyph(font, _one_of(rng, NAMED["alphanumeric"])) for _ in range(rng.integers(4, 30))]
    for patch in _turn(rng, STYLES["tilted"], some, cap * rng.uniform(0.25, 0.5))[0]:
        patch.x, patch.y = patch.x + int(rng.integers(w)), patch.y + int(rng.integers(h))
        _paste(mask, None, patch, 1)
    ground[:] = _blend(ground, rng.integers(0, 256, 3), mask, rng.uniform(0.12, 0.4))
