"""Draws labelled pictures of distorted text, seeded: what the shipped weights learn from.

A picture comes about in five steps: a text, its glyphs set on a line (:class:`Line`), a ground with clutter behind, the
line struck through, warped and inked, and finishes over all. Each :class:`Style` is a family of public CAPTCHA
generators as ranges and probabilities; most pictures are of one family, some mix two.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.random import Generator

from crnn import effects
from crnn.charset import NAMED
from crnn.fonts import CAP, Font, Glyph, find_bitmap_fonts, find_fonts, glyph, pixel_glyph
from crnn.styles import ALPHABETS, MIX_SHARE, STYLES, WORD_SHARE, Odds, Style

USUAL = 2  # the power of a random share that picks a font: half of the draws are of the most usual quarter
CELL_SHARE = 0.25  # of lines stand in cells of equal width, so that an I or J is far from its neighbours
CUT_OFF_SHARE = 0.12  # of lines begin or end a little outside of the picture; of lines stand so too high or too low
CORNERS = np.array(((-1, -1), (1, -1), (1, 1), (-1, 1)), np.float32)  # of a glyph, from its middle

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
    fonts: tuple[Font, ...] | None = None,
) -> Drawing:
    """Draw one picture; the same generator state gives the same picture on the same fonts.

    Args:
        rng: the source of all randomness.
        text: what it says; None: a random text.
        style: a name of ``STYLES``; None: any, or a mixture of two.
        aspect: width over height; None: as the text needs. A random text is cut short where it doesn't fit.
        fonts: to choose from; None: those that :func:`crnn.fonts.find_fonts` gives of itself.

    Raises:
        ValueError: the style is unknown.
    """
    name, chosen = _choose_style(rng, style)
    said = text or random_text(rng)
    height = int(rng.integers(*chosen.height, endpoint=True))
    cap = height * rng.uniform(*chosen.cap)
    patches = _set_line(rng, chosen, said, cap, fonts or find_fonts())
    if aspect is None:
        aspect = max(1.6, (_corners(patches[-1:])[..., 0].max() + rng.uniform(0.3, 1.5) * cap) / height)
    width = round(height * aspect)
    if text is None:
        patches = _cut_short(patches, width, height)
        said = said[: len(patches)]
    coloured, condensed = rng.random() < chosen.mixed_colours, rng.random() < chosen.condensed
    line = Line.compose(rng, patches, (height, width), coloured, condensed)
    picture = _paint(rng, chosen, line, line.scale * cap, fonts or find_fonts())
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


def style_named(name: str) -> Style:
    """One of ``STYLES``. Raises ValueError where there is none of this name."""
    if name not in STYLES:
        raise ValueError(f"There is no style {name!r}; choose from {', '.join(STYLES)}.")
    return STYLES[name]


def _choose_style(rng: Generator, name: str | None) -> tuple[str, Style]:
    if name is not None:
        return name, style_named(name)
    shares = {known: style.share for known, style in STYLES.items()}
    first = _pick(rng, shares)
    if rng.random() > MIX_SHARE:
        return first, STYLES[first]
    second = _pick(rng, shares)
    taken = {f.name: getattr(STYLES[second], f.name) for f in fields(Style) if rng.random() < 0.5}
    return f"{first}+{second}", replace(STYLES[first], **taken)


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
    turned = _turn(rng, style, glyphs, cap)
    if rng.random() < style.boxed:
        turned = _boxed([patch for patch, _ in turned], centred=rng.random() < 0.6)
    cell = max(advance for _, advance in turned) if rng.random() < CELL_SHARE else 0.0
    aligned = rng.choice((0.0, 0.5))  # at the left of a cell, or in its middle
    patches: list[_Patch] = []
    pen = 0.0
    for (patch, advance), gap in zip(turned, gaps, strict=True):
        patch.mask = face(rng, patch.mask, cap)
        patch.x += round(pen + aligned * max(0.0, cell - advance))
        if touching and patches:
            patch.x += round(_distance_to_contact(patches[-1], patch) + gap)
            pen = float(patch.x)
        patches.append(patch)
        pen += max(cell, advance) + gap
    return patches


def _turn(rng: Generator, style: Style, glyphs: list[Glyph], cap: float) -> list[tuple[_Patch, float]]:
    """Each glyph scaled, turned, lifted and pulled at its corners, with the pen at 0; and its advance in px."""
    n = len(glyphs)
    squeeze = rng.uniform(0.55, 1.25) if rng.random() < 0.35 else 1.0
    interpolation = cv2.INTER_NEAREST if rng.random() < 0.08 else cv2.INTER_LINEAR
    scale = cap / CAP * rng.uniform(*style.scale, (n, 2)) * (squeeze, 1.0)  # (n, 2): across, upright
    size = np.array([bitmap.mask.shape[::-1] for bitmap in glyphs])  # (n, 2): width, height
    half = size * scale / 2
    centre = np.array([(bitmap.left, bitmap.top) for bitmap in glyphs]) * scale + half
    centre[:, 1] += rng.uniform(-style.lift, style.lift, n) * cap
    angle = np.deg2rad(rng.uniform(-style.rotation, style.rotation, n))
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(n, 2, 2)
    corners = (half[:, None] * CORNERS) @ turn.transpose(0, 2, 1) + centre[:, None]  # (n, 4, 2)
    if style.corners:
        corners += rng.uniform(-style.corners, style.corners, (n, 4, 2)) * 2 * half[:, None]
    low = np.floor(corners.min(axis=1)).astype(int) - 1
    shape = np.ceil(corners.max(axis=1)).astype(int) + 1 - low
    target = (corners - low[:, None]).astype(np.float32)
    masks = [bitmap.mask if cap > CAP / 2 else _halved(bitmap) for bitmap in glyphs]
    source = np.array([mask.shape[::-1] for mask in masks])
    if style.corners:
        quads = ((CORNERS + 1) / 2 * source[:, None]).astype(np.float32)  # the masks' corners
        warp, steps = cv2.warpPerspective, list(map(cv2.getPerspectiveTransform, quads, target))
    else:
        across = turn * (2 * half / source)[:, None]  # (n, 2, 2): a step in the mask -> a step in the patch
        warp, steps = cv2.warpAffine, list(np.concatenate([across, target[:, 0, :, None]], axis=2))
    turned = [
        warp(mask, step, extent, flags=interpolation)
        for mask, step, extent in zip(masks, steps, shape.tolist(), strict=True)
    ]
    places, advances = low.tolist(), np.array([bitmap.advance for bitmap in glyphs]) * scale[:, 0]
    return [
        (_Patch(mask, x, y, corner), advance)
        for mask, (x, y), corner, advance in zip(turned, places, target, advances.tolist(), strict=True)
    ]


def _boxed(patches: list[_Patch], centred: bool) -> list[tuple[_Patch, float]]:
    """Each glyph with its ink's left end at the pen and its ink's width as its advance; or centred on the line, too."""
    corners = np.array([patch.corners for patch in patches])
    low, high = corners.min(axis=1), corners.max(axis=1)  # (n, 2)
    for patch, left, middle in zip(patches, low[:, 0].tolist(), (low + high)[:, 1].tolist(), strict=True):
        patch.x = -round(left)
        if centred:
            patch.y = -round(middle / 2)
    return list(zip(patches, (high - low)[:, 0].tolist(), strict=True))


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


def _cut_short(patches: list[_Patch], width: int, height: int) -> list[_Patch]:
    """As many glyphs as fit without getting smaller than a quarter of the picture's height."""
    corners = _corners(patches)
    if np.ptp(corners[..., 0]) < 0.97 * width:
        return patches
    left = np.minimum.accumulate(corners[..., 0].min(axis=1))
    right = np.maximum.accumulate(corners[..., 0].max(axis=1))
    fit = 0.97 * width / (right - left)
    tall = np.sort(np.ptp(corners[..., 1], axis=1))[len(patches) // 2]
    count = len(patches)
    while count > 1 and fit[count - 1] <= 1 and fit[count - 1] * tall <= 0.27 * height:
        count -= 1
    return patches[:count]


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
        cls, rng: Generator, patches: list[_Patch], shape: tuple[int, int], coloured: bool, condensed: bool
    ) -> Line:
        """Scale or condense the glyphs where they don't fit into the picture, and place them at random within it."""
        corners = _corners(patches)
        low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
        scale = np.minimum(0.97 * np.array(shape[::-1]) / (high - low), 1.0)  # across, upright
        if not condensed or scale[0] < 0.4:
            scale[:] = scale.min()
        elif rng.random() < 0.5:
            scale[0] = min(scale[0], rng.uniform(0.45, 1.0))
        room = np.ceil(shape[::-1] / scale).astype(int)  # (width, height) before all is scaled down at once
        slack = room - (high - low)
        place = slack * np.minimum(np.maximum(rng.normal(0.5, 0.22, 2), 0), 1) - low
        if rng.random() < CUT_OFF_SHARE:
            side = rng.integers(0, 2)
            place[0] = side * slack[0] - low[0] + (side - 0.5) * rng.uniform(0, 0.5) * np.ptp(corners[-side, :, 0])
        if rng.random() < CUT_OFF_SHARE:
            side = rng.integers(0, 2)
            place[1] = side * slack[1] - low[1] + (side - 0.5) * rng.uniform(0, 0.25) * (high - low)[1]
        left, top = place.round().astype(int)
        mask, owners = np.zeros(room[::-1], np.uint8), np.zeros(room[::-1], np.uint8) if coloured else None
        for number, patch in enumerate(patches, 1):
            patch.x, patch.y = patch.x + left, patch.y + top
            _paste(mask, owners, patch, number)
        if (room != shape[::-1]).any():
            mask = cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_AREA)
            if owners is not None:
                owners = cv2.dilate(owners, np.ones((3, 3), np.uint8))  # pale edges have owners too
                owners = cv2.resize(owners, shape[::-1], interpolation=cv2.INTER_NEAREST)
        corners = (corners + (left, top)) * (np.array(shape[::-1]) / room)
        return cls(mask, owners, corners.astype(np.float32), float(scale[1]))

    def warp(self, dx: Array, dy: Array) -> None:
        """Take each pixel from (x + dx, y + dy)."""
        x, y = effects.grid(self.mask.shape)
        map_x, map_y = (x + dx).astype(np.float32), (y + dy).astype(np.float32)
        self.mask = cv2.remap(self.mask, map_x, map_y, cv2.INTER_LINEAR)
        if self.owners is not None:
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
        inside = np.minimum(np.maximum(np.concatenate([low, high], axis=1), 0), (w, h, w, h))
        return inside.astype(np.float32)


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
    ink = inks[0] if line.owners is None else inks[line.owners % len(inks)]
    return _blend(ground, ink, line.mask, rng.uniform(*style.opacity) if rng.random() < style.faint else 1.0)


def _blend(ground: Array, ink: Array, mask: Array, opacity: float) -> Array:
    """The ground (H, W, 3) under ink, (3,) or (H, W, 3), where the mask (H, W) has it."""
    share = cv2.merge([cv2.convertScaleAbs(mask, alpha=opacity)] * 3)
    over = effects.filled(mask.shape, ink) if ink.ndim == 1 else ink.astype(np.uint8)
    return cv2.add(
        cv2.multiply(ground, cv2.bitwise_not(share), scale=1 / 255), cv2.multiply(over, share, scale=1 / 255)
    )


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
        red, green, blue = np.abs(ink - base).tolist()
        contrast = 0.299 * red + 0.587 * green + 0.114 * blue  # in luminance
        if contrast > (80 if attempt < 40 * count else 40) or max(red, green, blue) > 150:
            inks.append(ink)
        if len(inks) == count:
            break
    return base, np.array(inks or [255.0 - base])


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
    for patch, _ in _turn(rng, STYLES["tilted"], some, cap * rng.uniform(0.25, 0.5)):
        patch.x, patch.y = patch.x + int(rng.integers(0, w)), patch.y + int(rng.integers(0, h))
        _paste(mask, None, patch, 1)
    ground[:] = _blend(ground, rng.integers(0, 256, 3), mask, rng.uniform(0.12, 0.4))
