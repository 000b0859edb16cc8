"""Contact sheets: what each style draws, and which of its pictures a reader reads wrong."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

from crnn.metrics import exact
from crnn.recognizer import Recognizer
from crnn.styles import STYLES
from crnn.synth import Drawing, draw

CELL = (200, 92)  # width and height, px
LINE_PX = 14  # of the caption below each picture
TRIES = 300  # pictures drawn of a style, to find those that are read wrong

Cell = tuple[Drawing, str]  # a picture and its caption


def styles_sheet(columns: int, seed: int) -> Image.Image:
    """So many pictures of each style, a row a style, with their texts."""
    rng = np.random.default_rng(seed)
    return _sheet(
        {style: [(one, one.text) for one in islice(_drawn(rng, style), columns)] for style in STYLES}, columns
    )


def mistakes_sheet(reader: Recognizer, columns: int, seed: int) -> Image.Image:
    """The first so many pictures of each style that are read wrong, with the true text and what was read."""
    rng = np.random.default_rng(seed)
    return _sheet({style: list(islice(_mistakes(reader, rng, style), columns)) for style in STYLES}, columns)


def _drawn(rng: Generator, style: str) -> Iterator[Drawing]:
    while True:
        yield draw(rng, style=style)


def _mistakes(reader: Recognizer, rng: Generator, style: str) -> Iterator[Cell]:
    for drawing in islice(_drawn(rng, style), TRIES):
        reading = reader.read(drawing.picture)
        if not exact(drawing.text, reading.text):
            yield drawing, f"{drawing.text}, not {reading.text or '(nothing)'} ({reading.confidence:.0%})"


def _sheet(rows: dict[str, list[Cell]], columns: int) -> Image.Image:
    """Rows of pictures with captions, each row with its name on the left."""
    width, height = CELL
    sheet = Image.new("RGB", (width * columns, height * len(rows)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(LINE_PX - 3)
    for row, (name, cells) in enumerate(rows.items()):
        for column, (drawing, caption) in enumerate(cells):
            left, top = column * width, row * height
            sheet.paste(Image.fromarray(_fitted(drawing.picture)), (left, top + LINE_PX))
            pen.text((left, top + height - LINE_PX), caption, "black", font)
        pen.text((0, row * height), name, "firebrick", font)
    return sheet


def _fitted(picture: np.ndarray) -> np.ndarray:
    """As large as fits into a cell with two lines of text, the sides' ratio kept."""
    height, width = picture.shape[:2]
    scale = min((CELL[0] - 4) / width, (CELL[1] - 2 * LINE_PX - 4) / height)
    return cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
