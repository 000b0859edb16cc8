"""The overlay: attention in colour where it is, numbers beside the colours, whatever the picture's size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crnn.decode import Character, Reading
from crnn.overlay import COLOURS, STRIP_PX, colour, ink, overlay

PICTURE = np.full((60, 160, 3), 200, np.uint8)
CELLS = (6, 40)  # of a focus map: each is 4 px of PICTURE wide and 10 high


def character(column: int, text: str = "a") -> Character:
    """A character that was looked for in one cell, a third of the way down."""
    focus = np.zeros(CELLS, np.float32)
    focus[2, column] = 1.0
    return Character(text, 0.9, (column, column + 1), box=(column * 4 - 8, 10, column * 4 + 12, 50), focus=focus)


def reading(*columns: int) -> Reading:
    return Reading("a" * len(columns), 0.9, tuple(character(column) for column in columns))


def at(picture: np.ndarray, column: int) -> np.ndarray:
    """The overlay's pixel over the middle of a cell that was looked at."""
    enlarged = picture.shape[1] / PICTURE.shape[1]
    return picture[STRIP_PX + round(25 * enlarged), round((column + 0.5) * 4 * enlarged)].astype(int)


def test_pixels_are_repeated_so_that_they_stay_crisp() -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (60, 160, 3), dtype=np.uint8)
    shown = overlay(noisy, Reading("", 0.0))
    assert shown.shape == (60 * 4 + STRIP_PX, 640, 3) and shown.dtype == np.uint8
    grey = (noisy @ np.array([0.299, 0.587, 0.114])).repeat(4, axis=0).repeat(4, axis=1)
    assert np.abs(shown[STRIP_PX:, :, 0] - grey).max() <= 1


def test_colour_stands_where_the_reader_looked_and_nowhere_else() -> None:
    shown = overlay(PICTURE, reading(5, 30))
    for number, column in enumerate((5, 30)):
        expected = 0.3 * 200 + 0.7 * np.array(colour(number))  # the peak of a map has full strength
        assert np.abs(at(shown, column) - expected).max() < 12
    assert set(at(shown, 18)) == {200}  # midway: the picture as it is, in grey


def test_one_character_shows_its_own_map_alone() -> None:
    both, second = overlay(PICTURE, reading(5, 30)), overlay(PICTURE, reading(5, 30), character=1)
    assert np.array_equal(at(second, 30), at(both, 30))
    assert set(at(second, 5)) == {200}
    assert (second[:STRIP_PX, :320] == 255).all() and not (second[:STRIP_PX, 320:] == 255).all()  # its number too


def test_a_character_that_is_not_there_is_an_error() -> None:
    for number in (2, -1):
        with pytest.raises(IndexError):
            overlay(PICTURE, reading(5, 30), character=number)


def test_numbers_tell_apart_what_colours_repeat() -> None:
    count = len(COLOURS)
    first, eighth = (overlay(PICTURE, reading(*[20] * (count + 1)), character=number) for number in (0, count))
    assert np.array_equal(first[STRIP_PX:], eighth[STRIP_PX:])
    assert not np.array_equal(first[:STRIP_PX], eighth[:STRIP_PX])


def test_a_map_keeps_its_place_whatever_its_resolution() -> None:
    coarse = np.zeros((3, 10), np.float32)  # cells of 16 x 20 px
    coarse[1, 7] = 1.0  # 112 to 128 px from the left, 20 to 40 from the top
    shown = overlay(PICTURE, Reading("a", 0.9, (replace(character(0), box=None, focus=coarse),)))
    tint = np.abs(shown[STRIP_PX:].astype(int) - 200).sum(axis=2)
    row, column = np.unravel_index(tint.argmax(), tint.shape)
    assert abs(column / 4 - 120) <= 1 and abs(row / 4 - 30) <= 1


@pytest.mark.parametrize("size", [(4000, 3000), (30, 2), (2, 2), (48, 1024), (2000, 20), (2000, 2)])
def test_any_size_of_picture_gives_a_size_for_a_page(size: tuple[int, int]) -> None:
    picture = np.full((*size, 3), 128, np.uint8)
    shown = overlay(picture, Reading("aa", 0.5, (replace(character(3), box=(-5, -5, 9000, 9000)), character(4))))
    rows, columns = shown.shape[:2]
    assert rows <= 960 + STRIP_PX and columns <= 1280
    assert columns / (rows - STRIP_PX) == pytest.approx(size[1] / size[0], rel=0.1)


def test_a_character_without_map_or_box_is_left_out() -> None:
    bare = Reading("a", 0.9, (Character("a", 0.9, (0, 1)),))
    assert np.array_equal(overlay(PICTURE, bare), overlay(PICTURE, Reading("", 0.0)))


def luminance(rgb: tuple[int, int, int]) -> float:
    """WCAG 2.2's relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(rgb) / 255]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("number", range(len(COLOURS)))
def test_numbers_are_readable_on_their_colour(number: int) -> None:
    darker, lighter = sorted((luminance(colour(number)), luminance(ink(number))))
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
