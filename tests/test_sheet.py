"""Contact sheets."""

import numpy as np
import pytest
from PIL import Image

from crnn.decode import Reading
from crnn.recognizer import Recognizer
from crnn.sheet import CELL, LINE_PX, mistakes_sheet, styles_sheet
from crnn.styles import STYLES
from crnn.synth import draw


class SaysOneText:
    """Stands in for a recognizer: reads one text in everything."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, picture: np.ndarray) -> Reading:
        return Reading(self.text, 0.5)


def test_each_style_has_a_row_with_pictures_and_captions() -> None:
    sheet = np.asarray(styles_sheet(2, seed=0))
    assert sheet.shape == (CELL[1] * len(STYLES), CELL[0] * 2, 3)
    cells = sheet.reshape(len(STYLES), CELL[1], 2, CELL[0], 3)
    assert (cells[:, LINE_PX:-LINE_PX].min(axis=(1, 3, 4)) < 255).all()  # a picture in each
    assert (cells[:, -LINE_PX:].min(axis=(1, 3, 4)) < 128).all()  # and its text below


def test_mistakes_are_shown_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crnn.sheet.TRIES", 2)
    monkeypatch.setattr("crnn.sheet.draw", lambda rng, style: draw(rng, text="Ab3", style=style))
    right, wrong = (
        pictures(mistakes_sheet(reader(text), 1, seed=0)) for text in ("ab3", "Ab8")
    )  # case counts for nothing
    assert (right == 255).all()
    assert (wrong.min(axis=(1, 2, 3, 4)) < 255).all()


def reader(text: str) -> Recognizer:
    return SaysOneText(text)  # type: ignore[return-value]


def pictures(sheet: Image.Image) -> np.ndarray:
    """The cells of a sheet of one column without the lines of text above and below: (styles, h, 1, w, 3)."""
    return np.asarray(sheet).reshape(len(STYLES), CELL[1], 1, CELL[0], 3)[:, LINE_PX + 2 : -LINE_PX - 2]
