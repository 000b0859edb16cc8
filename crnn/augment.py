"""Random changes to a labelled picture that leave its text as it is, so that few pictures teach like many."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from crnn import effects
from crnn.effects import Array

CAP = 0.55  # cap height of most text, as a share of its picture's height; sizes of effects follow it
TURN, LEAN = 0.06, 0.15  # standard deviations: of the entries of the affine map, of a further slant
SHIFT = (0.02, 0.05)  # standard deviations, shares of width and height
BEND = 0.7  # how often, and how much of what the generator does
WARPS = ("sine", "lens", "elastic", "elastic")
CLUTTER = ("lines", "curves", "arcs", "specks")
CLUTTERED = 0.15
FINISHES = {
    "negative": 0.1, "blur": 0.1, "jpeg": 0.1, "sharpen": 0.05, "salt": 0.03, "low_resolution": 0.03, "static": 0.02,
    "coloured_noise": 0.02,
}  # fmt: skip
FADED, RECOLOURED = 0.2, 0.2


def augment(rng: Generator, picture: Array) -> Array:
    """The picture (H, W, 3) uint8, seen differently, in the same shape.

    Turned, leant, scaled, shifted and bent (Simard et al., 2003, section 2; parts may be cropped at the edges), then
    perhaps struck through with a colour of its own, recoloured, faded, inverted, blurred, noisy.
    """
    picture = _bent(rng, picture)
    cap = CAP * picture.shape[0]
    if rng.random() < CLUTTERED:
        colour = [int(level) for level in picture[rng.integers(picture.shape[0]), rng.integers(picture.shape[1])]]
        effects.CLUTTER[str(rng.choice(CLUTTER))](rng, picture, colour, CAP * cap)
    if rng.random() < RECOLOURED:
        picture = np.ascontiguousarray(picture[..., rng.permutation(3)])
    if rng.random() < FADED:
        picture = effects.contrast(rng, picture, cap)
    for name, odds in FINISHES.items():
        if rng.random() < odds:
            picture = effects.FINISHES[name](rng, picture, cap)
    return picture


def _bent(rng: Generator, picture: Array) -> Array:
    """One resampling for all that moves pixels; what comes in at the edges repeats them."""
    h, w = picture.shape[:2]
    x, y = effects.grid((h, w))
    x, y = x - w / 2, y - h / 2
    (xx, xy), (yx, yy) = np.eye(2) + rng.normal(0, TURN, (2, 2))
    xy += rng.normal(0, LEAN)
    yx *= min(1.0, 2 * h / w)  # a long line climbs less steeply, or it would leave the picture
    dx, dy = rng.normal(0, (SHIFT[0] * w, SHIFT[1] * h))
    to_x, to_y = xx * x + xy * y + w / 2 + dx, yx * x + yy * y + h / 2 + dy
    if rng.random() < BEND:
        bend_x, bend_y = effects.WARPS[str(rng.choice(WARPS))](rng, (h, w), CAP * h)
        to_x, to_y = to_x + BEND * bend_x, to_y + BEND * bend_y
    maps = (to_x.astype(np.float32), to_y.astype(np.float32))
    return np.asarray(cv2.remap(picture, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
