"""Contact sheets."""

import numpy as np

from crnn.decode import Reading
from crnn.recognizer import Recognizer
from crnn.sheet import CELL, LINE_PX, mistakes_sheet, styles_sheet
from crnn.styles import STYLES


class AlwaysRight:
    """Stands in for a recognizer; reads one text of the alphabet in everything."""

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


def test_mistakes_are_shown_alone() -> None:
    wrong: Recognizer = AlwaysRight("?")  # type: ignore[assignment]
    assert (np.asarray(mistakes_sheet(wrong, 1, seed=0)) < 255).any()
