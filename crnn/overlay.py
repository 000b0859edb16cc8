"""Shows on the picture where the model looked for each character."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from crnn.decode import Character, Reading
from crnn.image import Picture

# Okabe and Ito, "Color Universal Design" (2008): told apart with every common kind of colour vision. Ordered so that
# neighbours differ most. There are fewer colours than characters in a long text, so each character has a number too.
BLUE = (0, 114, 178)
COLOURS = ((230, 159, 0), BLUE, (240, 228, 66), (213, 94, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167))
WIDTH_PX = 640  # about this wide
LARGEST_PX = (1280, 960)  # width, height; larger pictures are shrunk into it
STRENGTH = 0.7  # of the colour where a character's attention is highest; the ink must stay readable below it
CHIP_PX = 34  # width of a number's chip, less where many stand side by side; still readable on a phone
STRIP_PX = 40  # height of the strip above the picture where the chips stand, so that they hide nothing
SMOOTH = 4  # px of the enlarged picture, across and upright, that get one value of the maps, and what lies between
WHITE, BLACK = (255, 255, 255), (0, 0, 0)

Map = npt.NDArray[np.float32]


def overlay(picture: Picture, reading: Reading, character: int | None = None) -> Picture:
    """Blend each character's attention, in its own colour and with its number, into the enlarged picture.

    picture is (H, W, 3) uint8 RGB, the one that was read; the answer is (H', W', 3) uint8, about 640 px wide.
    character: show only the character with this index. Raises IndexError where there is none.
    """
    if character is not None and character < 0:
        raise IndexError(f"There is no character {character}; the first one is 0.")
    chosen = range(len(reading.characters)) if character is None else [character]
    shown = [(index, reading.characters[index]) for index in chosen]
    enlarged = _enlarge(picture)
    attended = _blend(enlarged, shown)
    strip = np.full((STRIP_PX, enlarged.shape[1], 3), 255, np.uint8)
    canvas = Image.fromarray(np.concatenate([strip, attended]))
    px = enlarged.shape[1] / picture.shape[1]
    chip_px = max(2, min(CHIP_PX, enlarged.shape[1] // max(1, len(reading.characters))))
    for index, one in shown:
        _mark(canvas, index, one, px, chip_px)
    return np.asarray(canvas)


def colour(index: int) -> tuple[int, int, int]:
    """The RGB colour of the character with this index."""
    return COLOURS[index % len(COLOURS)]


def ink(index: int) -> tuple[int, int, int]:
    """Black or white, for a number on that colour: at least 4.5 : 1 on each."""
    return WHITE if colour(index) == BLUE else BLACK


def _enlarge(picture: Picture) -> Picture:
    """Repeat pixels a whole number of times, so that they stay crisp; shrink only what is far too large."""
    rows, columns = picture.shape[:2]
    shrink = max(columns / LARGEST_PX[0], rows / LARGEST_PX[1])
    if shrink > 1:
        size = (max(1, round(columns / shrink)), max(1, round(rows / shrink)))
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    times = max(1, min(round(WIDTH_PX / columns), LARGEST_PX[1] // rows))
    size = (columns * times, rows * times)
    return cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def _blend(enlarged: Picture, shown: list[tuple[int, Character]]) -> Picture:
    """Lay the attention maps over a grey version of the picture, so that all colour seen is attention."""
    rows, columns = enlarged.shape[:2]
    wide, high = max(1, columns // SMOOTH), max(1, rows // SMOOTH)  # the maps have no detail that this would lose
    tinted: Map = np.zeros((high, wide, 3), np.float32)
    total: Map = np.zeros((high, wide, 1), np.float32)
    highest: Map = np.zeros((high, wide, 1), np.float32)
    for index, character in shown:
        if character.focus is not None:
            strength = _spread(character.focus, wide, high)[..., None]  # (h, w, 1)
            tinted += strength * np.array(colour(index), np.float32)
            total += strength
            highest = np.maximum(highest, strength)
    mixed = (tinted / np.maximum(total, 1e-6)).astype(np.uint8)  # where maps overlap: their colours in proportion
    tint, alpha = (cv2.resize(one, (columns, rows)) for one in (mixed, STRENGTH * highest))
    grey = cv2.cvtColor(cv2.cvtColor(enlarged, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.blendLinear(tint, grey, alpha, 1 - alpha).astype(np.uint8)


def _spread(focus: Map, columns: int, rows: int) -> Map:
    """A coarse map (h, w) over the whole picture, smoothly enlarged to (rows, columns), its highest value 1."""
    enlarged = cv2.resize(focus.astype(np.float32), (columns, rows), interpolation=cv2.INTER_CUBIC)
    clipped: Map = np.maximum(enlarged, 0)
    return clipped / max(float(clipped.max()), 1e-6)


_font = lru_cache(ImageFont.load_default)


def _mark(canvas: Image.Image, index: int, character: Character, px: float, chip_px: int) -> None:
    """Draw a character's box, and its number on a chip above it. px: pixels of the canvas per pixel of the picture."""
    if character.box is None:
        return
    x0, y0, x1, y1 = (side * px for side in character.box)
    left, right = np.clip((x0, x1), 1, canvas.width - 2)
    upper, lower = np.clip((y0 + STRIP_PX, y1 + STRIP_PX), STRIP_PX + 1, canvas.height - 2)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((left - 1, upper - 1, right + 1, lower + 1), outline=BLACK)  # so that yellow stands out on white
    draw.rectangle((left, upper, right, lower), outline=colour(index), width=2)

    middle = float(np.clip((x0 + x1) / 2, chip_px / 2, canvas.width - chip_px / 2))
    chip = (middle - chip_px / 2 + 1, 2, middle + chip_px / 2 - 1, STRIP_PX - 3)
    font = _font(max(8, min(26, chip_px - 8)))
    draw.rounded_rectangle(chip, radius=4, fill=colour(index))
    draw.text((middle, STRIP_PX / 2), str(index + 1), fill=ink(index), font=font, anchor="mm")
