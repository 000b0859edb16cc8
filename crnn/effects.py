"""What CAPTCHA generators do to text: faces of glyphs, clutter, warps, grounds and finishes, one function an effect.

Everything is seeded by the generator that is passed in. ``cap`` is the text's cap height in px: sizes of effects follow
it. Ranges are those of public generators. Masks are (H, W) uint8 with 255 for ink, pictures (H, W, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import cos, sin
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

Array = np.ndarray

PIXELS = np.ones((2, 2), np.uint8)
AT_ONCE = 128  # random numbers, about as many single ones as a picture takes


class Dice(Generator):
    """A generator that is several times as quick with single numbers: it draws many at once from the one it is made of.

    A single uniform number is between two numbers, not arrays; all else is numpy's.
    """

    def __init__(self, rng: Generator) -> None:
        super().__init__(rng.bit_generator)
        self._share = _shares(rng).__next__

    def random(self, size: Any = None, *more: Any, **named: Any) -> Any:
        """In [0, 1)."""
        return self._share() if size is None else super().random(size, *more, **named)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """In [low, high)."""
        return low + (high - low) * self._share() if size is None else super().uniform(low, high, size)

    def integers(self, low: Any, high: Any = None, size: Any = None, *more: Any, **named: Any) -> Any:
        """From low to high, or from 0 to low, exclusive."""
        if size is not None or more or named:
            return super().integers(low, high, size, *more, **named)
        return int(low * self._share()) if high is None else low + int((high - low) * self._share())


def _shares(rng: Generator) -> Iterator[float]:
    while True:
        yield from rng.random(AT_ONCE).tolist()


# Faces: a glyph's mask (h, w) -> another of the same shape.


def solid(rng: Generator, mask: Array, cap: float) -> Array:
    """The glyph as it is."""
    return mask


def hollow(rng: Generator, mask: Array, cap: float) -> Array:
    """Only the contour remains: a band, or a hairline."""
    if rng.random() < 0.3:
        return _hairline(rng, mask)
    size = max(2, round(cap * rng.uniform(0.05, 0.1)))
    return cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((size, size), np.uint8))


def shaded(rng: Generator, mask: Array, cap: float) -> Array:
    """A hairline around, and in ink, or in a hairline too, what light from one side leaves dark."""
    if rng.random() < 0.7:
        mask = bold(rng, mask, cap)
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.17) * cap
    move = np.array([[1, 0, depth * np.cos(angle)], [0, 1, depth * np.sin(angle)]], np.float32)
    shade = cv2.subtract(mask, cv2.warpAffine(mask, move, mask.shape[::-1]))
    if rng.random() < 0.2:
        shade = _hairline(rng, shade)
    return cv2.max(_hairline(rng, mask), shade)


def _hairline(rng: Generator, mask: Array) -> Array:
    """The contour, about a pixel wide and often pale, as of a line finer than that."""
    return cv2.morphologyEx(cv2.convertScaleAbs(mask, alpha=rng.uniform(0.4, 1)), cv2.MORPH_GRADIENT, PIXELS)


def dashed(rng: Generator, mask: Array, cap: float) -> Array:
    """The contour, in dashes."""
    return _keep(
        hollow(rng, mask, cap), _stripes(mask.shape, rng.uniform(0.15, 0.3) * cap, rng.uniform(0.5, 0.75), rng)
    )


def stencil(rng: Generator, mask: Array, cap: float) -> Array:
    """Cut through by thin gaps."""
    return _keep(mask, _stripes(mask.shape, rng.uniform(0.2, 0.6) * cap, rng.uniform(0.65, 0.85), rng))


def dotted(rng: Generator, mask: Array, cap: float) -> Array:
    """A dot matrix: one round dot for each cell that the glyph covers."""
    cell = max(2.0, cap / rng.uniform(6, 10))
    h, w = mask.shape
    rows, columns = max(3, round(h / cell)), max(2, round(w / cell))
    lit = cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_AREA) > rng.uniform(70, 120)
    x, y = grid((h, w))
    far = np.sqrt(((y * (rows / h)) % 1 - 0.5) ** 2 + ((x * (columns / w)) % 1 - 0.5) ** 2)
    dots = ((rng.uniform(0.4, 0.62) - far) * cell + 0.5) * 255
    cells = cv2.resize(lit.astype(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST)
    return _clipped(dots) * cells


def bitmap(rng: Generator, mask: Array, cap: float) -> Array:
    """Coarse square pixels, as of an old bitmap font."""
    cell = cap / rng.uniform(7, 12)
    h, w = mask.shape
    small = cv2.resize(mask, (max(2, round(w / cell)), max(3, round(h / cell))), interpolation=cv2.INTER_AREA)
    hard = np.where(small > rng.uniform(70, 130), 255, 0).astype(np.uint8)
    return cv2.resize(hard, (w, h), interpolation=cv2.INTER_NEAREST)


def bold(rng: Generator, mask: Array, cap: float) -> Array:
    """Struck two to four times, a little apart."""
    size = max(2, round(cap * rng.uniform(0.04, 0.12)))
    return cv2.dilate(mask, np.ones((rng.integers(1, size + 1), size), np.uint8))


def thin(rng: Generator, mask: Array, cap: float) -> Array:
    """Eaten away from its edges; a thin face is left alone."""
    thinner = cv2.erode(mask, np.ones((2, 2), np.uint8))
    return thinner if cv2.mean(thinner)[0] > 0.45 * cv2.mean(mask)[0] else mask


def speckled(rng: Generator, mask: Array, cap: float) -> Array:
    """Ink with holes, as from a dry pen."""
    holes = cv2.resize(noise(rng, mask.shape, max(1, round(cap * rng.uniform(0.04, 0.1)))), mask.shape[::-1])
    return _keep(mask, holes > rng.uniform(60, 110))


def _keep(mask: Array, where: Array) -> Array:
    return mask * where.astype(np.uint8)


def _stripes(shape: tuple[int, ...], period: float, share: float, rng: Generator) -> Array:
    angle = rng.uniform(0, np.pi)
    x, y = grid(shape)
    return ((x * cos(angle) + y * sin(angle)) / max(period, 3) + rng.random()) % 1 < share


FACES = {f.__name__: f for f in (solid, hollow, shaded, dashed, stencil, dotted, bitmap, bold, thin, speckled)}


# Warps: a field (dx, dy), each broadcastable to (H, W), in px: the picture at x, y is taken from x + dx, y + dy.


def sine(rng: Generator, shape: tuple[int, int], cap: float) -> tuple[Array, Array]:
    """Print on rippling cloth: one or two sines on each axis."""
    h, w = shape

    def wave(n: int) -> Array:
        total = np.zeros(n, np.float32)
        for _ in range(rng.integers(1, 3)):
            length, strength = rng.uniform(1.2, 7) * cap, rng.uniform(0, 0.2) * cap
            strength = min(strength, 0.09 * length)  # steeper folds can't be read by people either
            total += strength * np.sin(2 * np.pi * (np.arange(n) / length + rng.random()))
        return total

    return wave(h)[:, None], wave(w)[None]


def crossed_sine(rng: Generator, shape: tuple[int, int], cap: float) -> tuple[Array, Array]:
    """Ripples that stretch along the axis they run on."""
    dx, dy = sine(rng, shape, cap)
    x, y = np.resize(dy, (1, shape[1])), np.resize(dx, (shape[0], 1))
    return dx + 0.6 * x, dy + 0.6 * y


def lens(rng: Generator, shape: tuple[int, int], cap: float) -> tuple[Array, Array]:
    """Through a drop of water: one to three places swell or shrink."""
    x, y = grid(shape)
    dx, dy = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for _ in range(rng.integers(1, 4)):
        radius, pull = rng.uniform(0.7, 2.2) * cap, rng.uniform(-0.35, 0.35)
        ox, oy = x - rng.uniform(0, shape[1]), y - rng.uniform(0, shape[0])
        fall = np.clip(1 - (ox * ox + oy * oy) / radius**2, 0, None) ** 2 * pull
        dx -= fall * ox
        dy -= fall * oy
    return dx, dy


def elastic(rng: Generator, shape: tuple[int, int], cap: float) -> tuple[Array, Array]:
    """Rubber letters: a smooth random field (Simard et al., 2003, Best Practices for CNNs, section 2)."""
    scale, strength = rng.uniform(0.4, 1.2) * cap, rng.uniform(0.04, 0.16) * cap
    small = (max(2, round(shape[0] / scale) + 2), max(2, round(shape[1] / scale) + 2))
    fields = rng.standard_normal((2, *small), dtype=np.float32) * strength
    dx, dy = (cv2.resize(field, shape[::-1], interpolation=cv2.INTER_CUBIC) for field in fields)
    return dx, dy


def scatter(rng: Generator, shape: tuple[int, int], cap: float) -> tuple[Array, Array]:
    """Each pixel is taken from a random place nearby."""
    reach = min(rng.uniform(0.02, 0.08) * cap, 2.0) + 0.3
    dx, dy = (rng.random((2, *shape), dtype=np.float32) - 0.5) * (2 * reach)
    return dx, dy


def torn(rng: Generator, shape: tuple[int, int], cap: float) -> tuple[Array, Array]:
    """Rows, or columns, walk to and fro."""
    h, w = shape
    rows = np.cumsum(rng.integers(-1, 2, h)).astype(np.float32)
    rows -= np.linspace(rows[0], rows[-1], h, dtype=np.float32)
    limit = 0.15 * cap
    return np.clip(rows, -limit, limit)[:, None], np.zeros((1, w), np.float32)


def slant(rng: Generator, shape: tuple[int, int], cap: float) -> tuple[Array, Array]:
    """The whole line leans and climbs."""
    h, w = shape
    lean, climb = rng.uniform(-0.4, 0.4), rng.uniform(-0.12, 0.12)
    return (lean * (np.arange(h) - h / 2))[:, None], (climb * (np.arange(w) - w / 2))[None]


WARPS = {f.__name__: f for f in (sine, crossed_sine, lens, elastic, scatter, torn, slant)}


def grid(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The pixels' own x (1, W) and y (H, 1), float32."""
    return np.arange(shape[1], dtype=np.float32)[None], np.arange(shape[0], dtype=np.float32)[:, None]


_t = np.linspace(0, 1, 30)[:, None]
BEZIER = np.concatenate([(1 - _t) ** 3, 3 * _t * (1 - _t) ** 2, 3 * _t * _t * (1 - _t), _t**3], axis=1)  # (30, 4)

# Clutter: drawn with ``value`` into a mask (an int) or a picture (a colour), in place.


def _stroke(canvas: Array, points: Array, value: object, width: float, crisp: bool) -> None:
    fixed = np.round(points * 16).astype(np.int32)[:, None]
    kind = cv2.LINE_8 if crisp else cv2.LINE_AA
    cv2.polylines(canvas, [fixed], False, value, max(1, round(width)), kind, shift=4)  # type: ignore[call-overload]


def lines(rng: Generator, canvas: Array, value: object, cap: float) -> None:
    """Straight lines across the text."""
    h, w = canvas.shape[:2]
    width, crisp = rng.uniform(0.03, 0.13) * cap, rng.random() < 0.4
    for ends in rng.random((rng.integers(1, 6), 2, 2)) * (1.2 * w, h) - (0.1 * w, 0):
        _stroke(canvas, ends, value, width, crisp)


def long_lines(rng: Generator, canvas: Array, value: object, cap: float) -> None:
    """One to three lines from edge to edge, sometimes bent once."""
    h, w = canvas.shape[:2]
    for _ in range(rng.integers(1, 4)):
        x = np.sort(rng.uniform(0, w, rng.integers(2, 5)))
        x[0], x[-1] = rng.uniform(-0.1, 0.25) * w, rng.uniform(0.75, 1.1) * w
        y = rng.uniform(0.1, 0.9) * h + rng.uniform(-0.35, 0.35, len(x)) * h
        _stroke(canvas, np.stack([x, y], 1), value, rng.uniform(0.03, 0.12) * cap, rng.random() < 0.3)


def waves(rng: Generator, canvas: Array, value: object, cap: float) -> None:
    """Sine-shaped strokes."""
    h, w = canvas.shape[:2]
    for _ in range(rng.integers(1, 3)):
        x = np.linspace(rng.uniform(-0.1, 0.3) * w, rng.uniform(0.7, 1.1) * w, 40)
        y = np.sin(2 * np.pi * (x / (rng.uniform(2, 12) * cap) + rng.random())) * rng.uniform(0.1, 0.8) * cap
        y += rng.uniform(0.25, 0.75) * h + rng.uniform(-0.2, 0.2) * (x - w / 2)
        _stroke(canvas, np.stack([x, y], 1), value, rng.uniform(0.03, 0.16) * cap, rng.random() < 0.2)


def curves(rng: Generator, canvas: Array, value: object, cap: float) -> None:
    """Cubic Bezier strokes."""
    h, w = canvas.shape[:2]
    for _ in range(rng.integers(1, 4)):
        _stroke(canvas, BEZIER @ (rng.random((4, 2)) * (w, h)), value, rng.uniform(0.03, 0.12) * cap, False)


def tapered(rng: Generator, canvas: Array, value: object, cap: float) -> None:
    """A pen's stroke across the text that grows thinner or thicker, often with a hook where it begins.

    In a mask that is where the first ink stands, more often than not.
    """
    h, w = canvas.shape[:2]
    t = np.linspace(0, 1, 24)
    first = rng.uniform(0, 0.3) * w
    if canvas.ndim == 2 and rng.random() < 0.6:
        first = float(canvas.any(axis=0).argmax()) + rng.uniform(-0.4, 0.3) * cap
    x = first + t * rng.uniform(0.5, 0.95) * w
    y = h * (rng.uniform(0.25, 0.75) + rng.uniform(-0.4, 0.4) * (t - 0.5))
    y += cap * rng.uniform(0.05, 0.4) * np.sin(2 * np.pi * (t * rng.uniform(0.4, 1.6) + rng.random()))
    points = np.stack([x, y], axis=1)
    if rng.random() < 0.7:
        steps = rng.uniform((-0.5, -0.7), (0.4, 0.7), (rng.integers(1, 4), 2)) * cap
        points = np.concatenate([(points[0] + np.cumsum(steps, axis=0))[::-1], points])
    widths = np.linspace(rng.uniform(0.05, 0.16), rng.uniform(0.03, 0.07), len(points)) * cap
    if rng.random() < 0.3:
        widths = widths[::-1]
    starts = [0, *(np.flatnonzero(np.diff(widths[:-1].round())) + 1).tolist(), len(points) - 1]
    for start, end in pairwise(starts):
        _stroke(canvas, points[start : end + 1], value, widths[start], False)


def arcs(rng: Generator, canvas: Array, value: object, cap: float) -> None:
    """Parts of large ellipses."""
    h, w = canvas.shape[:2]
    for _ in range(rng.integers(1, 3)):
        centre = int(rng.uniform(0, w)), int(rng.uniform(0, h))
        axes = int(rng.uniform(0.2, 0.7) * w), int(rng.uniform(0.2, 1) * h)
        start = rng.uniform(0, 360)
        width = max(1, round(rng.uniform(0.02, 0.09) * cap))
        cv2.ellipse(
            canvas, centre, axes, rng.uniform(-20, 20), start, start + rng.uniform(60, 200), value, width, cv2.LINE_AA
        )  # type: ignore[call-overload]


def rings(rng: Generator, canvas: Array, value: object, cap: float) -> None:
    """Small circles, open or filled."""
    h, w = canvas.shape[:2]
    filled = rng.random() < 0.3
    for x, y, radius in rng.uniform((0, 0, 0.05), (w, h, 0.14 if filled else 0.5), (rng.integers(2, 13), 3)):
        cv2.circle(canvas, (int(x), int(y)), max(1, int(radius * cap)), value, -1 if filled else 1, cv2.LINE_AA)  # type: ignore[call-overload]


def ripples(rng: Generator, canvas: Array, value: object, cap: float) -> None:
    """Thin rings around one place, round or flat, over the whole picture."""
    h, w = canvas.shape[:2]
    x, y = rng.uniform(0.1, 0.9) * w, rng.uniform(0, h)
    flat, pitch = rng.uniform(0.3, 1.0), max(4.0, rng.uniform(0.25, 0.9) * cap)
    for radius in np.arange(rng.uniform(0.5, 1) * pitch, w, pitch):
        cv2.ellipse(canvas, (int(x), int(y)), (int(radius), int(flat * radius)), 0, 0, 360, value, 1, cv2.LINE_AA)  # type: ignore[call-overload]


def lattice(rng: Generator, canvas: Array, value: object, cap: float) -> None:
    """A grid of straight lines, even or uneven, upright or aslant."""
    h, w = canvas.shape[:2]
    pitch, width = max(4.0, rng.uniform(0.25, 0.8) * cap), max(1, round(rng.uniform(0.02, 0.08) * cap))
    lean, uneven = (rng.uniform(-0.5, 0.5) * h if rng.random() < 0.3 else 0.0), rng.random() < 0.4
    for axis, (long, across) in enumerate(((w, h), (h, w))):
        for at in np.arange(rng.uniform(0, pitch), long + abs(lean), pitch):
            if uneven:
                at += rng.uniform(-0.45, 0.45) * pitch
            ends = np.array([[at, 0], [at + lean, across]])
            _stroke(canvas, ends if axis == 0 else ends[:, ::-1], value, width, True)


def web(rng: Generator, canvas: Array, value: object, cap: float) -> None:
    """Many thin lines from edge to edge, zigzag."""
    h, w = canvas.shape[:2]
    n = rng.integers(6, 22)
    points = np.stack([rng.uniform(0, w, n), np.where(np.arange(n) % 2, 0, h)], 1)
    if rng.random() < 0.5:
        points[:, 1] = rng.uniform(0, h, n)
    _stroke(canvas, points, value, 1, rng.random() < 0.5)


def specks(rng: Generator, canvas: Array, value: object, cap: float) -> None:
    """Dots of one to a few px."""
    h, w = canvas.shape[:2]
    if rng.random() < 0.5:
        canvas[noise(rng, (h, w)) < 256 * rng.uniform(0.005, 0.12)] = value
        return
    radius = max(1, round(rng.uniform(0.02, 0.07) * cap))
    for x, y in rng.uniform((0, 0), (w, h), (int(rng.integers(10, 60)), 2)):
        cv2.circle(canvas, (int(x), int(y)), radius, value, -1)  # type: ignore[call-overload]


def ticks(rng: Generator, canvas: Array, value: object, cap: float) -> None:
    """Short strokes everywhere."""
    h, w = canvas.shape[:2]
    width = max(1, round(rng.uniform(0.02, 0.07) * cap))
    for x, y, dx, dy in rng.uniform((0, 0, -0.4, -0.4), (w, h, 0.4, 0.4), (int(rng.integers(8, 60)), 4)):
        cv2.line(canvas, (int(x), int(y)), (int(x + dx * cap), int(y + dy * cap)), value, width)  # type: ignore[call-overload]


CLUTTER = {
    f.__name__: f
    for f in (lines, long_lines, waves, curves, tapered, arcs, rings, ripples, lattice, web, specks, ticks)
}


# Grounds: a picture (H, W, 3) uint8 around a base colour.


def plain(rng: Generator, shape: tuple[int, int], base: Array) -> Array:
    """One colour."""
    return filled(shape, base)


def filled(shape: tuple[int, ...], colour: Array) -> Array:
    """A picture (H, W, 3) of one colour (3,): one pixel, widened at fifteen times the pace of numpy.full."""
    pixel = _clipped(colour).reshape(1, 1, 3)
    return cv2.copyMakeBorder(pixel, 0, shape[0] - 1, 0, shape[1] - 1, cv2.BORDER_REPLICATE)


def gradient(rng: Generator, shape: tuple[int, int], base: Array) -> Array:
    """Between the colours of four corners."""
    corners = base + rng.uniform(-60, 60, (2, 2, 3)) * rng.uniform(0.3, 1)
    if rng.random() < 0.5:
        corners = corners.mean(axis=2, keepdims=True).repeat(3, 2)
    return cv2.resize(_clipped(corners), shape[::-1], interpolation=cv2.INTER_LINEAR)


def clouds(rng: Generator, shape: tuple[int, int], base: Array) -> Array:
    """Smooth random patches, as of a photo out of focus."""
    coarse = rng.uniform(-1, 1, (rng.integers(2, 8), rng.integers(3, 16), 3))
    if rng.random() < 0.4:
        coarse[:] = coarse[..., :1]
    coarse = _clipped(base + coarse * rng.uniform(8, 50))
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)


def blocks(rng: Generator, shape: tuple[int, int], base: Array) -> Array:
    """Rectangles of other tones, or a checkerboard."""
    tiles = rng.uniform(-1, 1, (rng.integers(2, 12), rng.integers(3, 30), 3))
    if rng.random() < 0.4:
        tiles[:] = tiles[..., :1]
    tiles = _clipped(base + tiles * rng.uniform(8, 45))
    return cv2.resize(tiles, shape[::-1], interpolation=cv2.INTER_NEAREST)


def grain(rng: Generator, shape: tuple[int, int], base: Array) -> Array:
    """Coarse noise: paper, sand, television."""
    strength = rng.uniform(0.1, 0.7) * (rng.uniform(0.5, 1, 3) if rng.random() < 0.3 else np.ones(3))
    return toned(noise(rng, shape, int(rng.integers(1, 4))), base + np.arange(-128, 128)[:, None] * strength)


def weave(rng: Generator, shape: tuple[int, int], base: Array) -> Array:
    """Regular stripes or a woven texture."""
    x, y = grid(shape)
    angle, step = rng.uniform(0, np.pi), 2 * np.pi / rng.uniform(2.5, 14)
    field = np.sin(x * (cos(angle) * step) + y * (sin(angle) * step))
    if rng.random() < 0.5:
        field = field * np.sin(x * (sin(angle) * step) - y * (cos(angle) * step))
    if rng.random() < 0.3:
        field = np.sign(field)
    strength = rng.uniform(5, 40) * rng.uniform(0.4, 1, 3)
    return toned((field * 127 + 128).astype(np.uint8), base + np.linspace(-1, 1, 256)[:, None] * strength)


def toned(shades: Array, tones: Array) -> Array:
    """A picture (H, W, 3) of shades (H, W) uint8, each with its colour of tones (256, 3)."""
    return np.asarray(cv2.LUT(cv2.merge([shades] * 3), _clipped(tones)[None]))


def _clipped(colours: Array) -> Array:
    return np.minimum(np.maximum(colours, 0), 255).astype(np.uint8)


GROUNDS = {f.__name__: f for f in (plain, gradient, clouds, blocks, grain, weave)}

_bank = np.random.default_rng(0).integers(0, 256, (512, 1024), dtype=np.uint8)


def noise(rng: Generator, shape: tuple[int, ...], cell: int = 1) -> Array:
    """White noise in square cells, (H, W) uint8, cut from a kept bank: fresh noise would take longest of all."""
    h, w = -(-shape[0] // cell), -(-shape[1] // cell)
    if h > 500 or w > 1000:
        fresh = rng.integers(0, 256, (h, w), dtype=np.uint8)
    else:
        y, x = rng.integers(0, 512 - h), rng.integers(0, 1024 - w)
        fresh = _bank[y : y + h, x : x + w]
    return fresh if cell == 1 else cv2.resize(fresh, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)


# Finishes: a whole picture -> a whole picture of the same shape.


def blur(rng: Generator, picture: Array, cap: float) -> Array:
    """Out of focus, as of a lens or of a mean filter."""
    if rng.random() < 0.5:
        return cv2.GaussianBlur(picture, (0, 0), max(0.3, rng.uniform(0.01, 0.06) * cap))
    return cv2.blur(picture, (int(rng.integers(1, 4)), int(rng.integers(1, 4))))


def smooth(rng: Generator, picture: Array, cap: float) -> Array:
    """The 3x3 smoothing filter of imaging libraries."""
    return cv2.filter2D(picture, -1, np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13)


def sharpen(rng: Generator, picture: Array, cap: float) -> Array:
    """Unsharp masking."""
    return cv2.addWeighted(picture, 2.0, cv2.GaussianBlur(picture, (0, 0), 1.0), -1.0, 0)


def static(rng: Generator, picture: Array, cap: float) -> Array:
    """Grey noise blended over all."""
    share = rng.uniform(0.1, 0.45)
    snow = cv2.merge([noise(rng, picture.shape[:2], int(rng.integers(1, 3)))] * 3)
    return cv2.addWeighted(picture, 1 - share, snow, share, 0)


def coloured_noise(rng: Generator, picture: Array, cap: float) -> Array:
    """Noise blended over all, each channel for itself."""
    share = rng.uniform(0.05, 0.3)
    snow = cv2.merge([noise(rng, picture.shape[:2]) for _ in range(3)])
    return cv2.addWeighted(picture, 1 - share, snow, share, 0)


def salt(rng: Generator, picture: Array, cap: float) -> Array:
    """Single pixels turn black, white or both."""
    level, snow = int(rng.uniform(0.005, 0.08) * 256) + 1, noise(rng, picture.shape[:2])
    result = picture.copy()
    kind = rng.integers(0, 3)
    if kind != 1:
        result[snow < level] = 0
    if kind != 0:
        result[snow > 255 - level] = 255
    return result


def jpeg(rng: Generator, picture: Array, cap: float) -> Array:
    """Saved as JPEG of quality 25 to 94."""
    packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))


def low_resolution(rng: Generator, picture: Array, cap: float) -> Array:
    """Scaled down, until a capital has 8 to 12 px, and up again."""
    h, w = picture.shape[:2]
    factor = min(rng.uniform(8, 13) / cap, 0.9)
    ways = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
    small = cv2.resize(picture, (max(8, int(w * factor)), max(6, int(h * factor))), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (w, h), interpolation=ways[rng.integers(0, 3)])


def palette(rng: Generator, picture: Array, cap: float) -> Array:
    """Few tones a channel, as of a GIF."""
    step = int(rng.choice((32, 51, 64, 85)))
    return np.minimum((picture.astype(np.uint16) + step // 2) // step * step, 255).astype(np.uint8)


def one_bit(rng: Generator, picture: Array, cap: float) -> Array:
    """Black and white at the threshold that parts ink from paper best (Otsu, 1979)."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return cv2.merge([cv2.threshold(grey, 0, 255, cv2.THRESH_OTSU)[1]] * 3)


def contrast(rng: Generator, picture: Array, cap: float) -> Array:
    """Washed out."""
    return cv2.convertScaleAbs(picture, alpha=rng.uniform(0.3, 0.9), beta=rng.uniform(0, 90))


def negative(rng: Generator, picture: Array, cap: float) -> Array:
    """All inverted."""
    return 255 - picture


def part_negative(rng: Generator, picture: Array, cap: float) -> Array:
    """Inverted on one side of a line, or in a disc."""
    x, y = grid(picture.shape[:2])
    h, w = picture.shape[:2]
    if rng.random() < 0.5:
        side = (x - w * rng.uniform(0.2, 0.8)) + (y - h / 2) * rng.uniform(-1, 1) > 0
    else:
        side = np.hypot(x - rng.uniform(0, w), y - rng.uniform(0, h)) < rng.uniform(0.6, 1.5) * cap
    return picture ^ (side[..., None] * np.uint8(255))


def border(rng: Generator, picture: Array, cap: float) -> Array:
    """A frame around the picture."""
    h, w = picture.shape[:2]
    framed = picture.copy()
    colour = [int(v) for v in rng.integers(0, 256, 3)] if rng.random() < 0.4 else [int(rng.integers(0, 160))] * 3
    cv2.rectangle(framed, (0, 0), (w - 1, h - 1), colour, int(rng.integers(1, 3)))
    return framed


def emboss(rng: Generator, picture: Array, cap: float) -> Array:
    """As if pressed into the paper."""
    kernel = np.array([[-1, -1, 0], [-1, 1, 1], [0, 1, 1]], np.float32) * rng.uniform(0.6, 1.2)
    return cv2.filter2D(picture, -1, kernel, delta=60)


def edges(rng: Generator, picture: Array, cap: float) -> Array:
    """Only where tones change."""
    found = cv2.morphologyEx(picture, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8))
    return 255 - found if rng.random() < 0.5 else found


def screen(rng: Generator, picture: Array, cap: float) -> Array:
    """A photo of a screen: moire, glare and uneven light."""
    x, y = grid(picture.shape[:2])
    period, angle = rng.uniform(2.2, 6), rng.uniform(0, np.pi)
    light = 1 + rng.uniform(0.03, 0.12) * np.sin((x * cos(angle) + y * sin(angle)) * (2 * np.pi / period))
    light += rng.uniform(-0.35, 0.35) * (x / picture.shape[1] - 0.5)
    h, w = picture.shape[:2]
    glare = np.exp(-((x - rng.uniform(0, w)) ** 2 + (y - rng.uniform(0, h)) ** 2) / (rng.uniform(0.5, 2) * cap) ** 2)
    return np.clip(picture * light[..., None] + (glare * rng.uniform(0, 90))[..., None], 0, 255).astype(np.uint8)


FINISHES = {
    f.__name__: f
    for f in (blur, smooth, sharpen, static, coloured_noise, salt, jpeg, low_resolution, palette, one_bit, contrast,
              negative, part_negative, border, emboss, edges, screen)
}  # fmt: skip
