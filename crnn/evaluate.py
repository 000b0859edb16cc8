"""Measure a reader: on labelled folders, and on drawn pictures, which know where each of their glyphs stands."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from crnn.charset import NAMED
from crnn.decode import Character, Reading
from crnn.intake import read_folder
from crnn.metrics import align, exact, points_into
from crnn.recognizer import Recognizer
from crnn.styles import STYLES
from crnn.synth import Drawing, draw

CASE_TWINS = frozenset("cjkopsuvwxyz")  # letters whose two cases differ in size and place alone
NEWTON_STEPS, PRIOR = 20, 1.0  # of the calibration's fit; how firmly it holds on to no change
PATCH = 0.5  # side of a hidden patch, in heights of the glyph


class Labelled(NamedTuple):
    """A labelled set and what was read in it: for each text a reading, without its characters.

    Their maps would fill the memory where pages are read. `problems` tells of each picture that could not be opened,
    `unlabelled` of how many without a label were left out.
    """

    name: str
    texts: list[str]
    readings: list[Reading]
    problems: list[str]
    unlabelled: int


def read_labelled(reader: Recognizer, folder: Path) -> Labelled:
    """Read all pictures of a labelled folder; one that can't be used counts as read wrong.

    Raises:
        ValueError: no picture has a label, or as :func:`crnn.intake.read_folder`.
    """
    brought = read_folder(folder)
    examples = [example for example in brought if example.text]
    if not examples:
        raise ValueError(
            f"None of the {len(brought)} pictures in {folder} has a label; give them in metadata.csv, file_name,text."
        )
    readings, problems = [], []
    for example, result in zip(examples, reader.read_many(one.path for one in examples), strict=True):
        if isinstance(result, Reading):
            readings.append(Reading(result.text, result.confidence))
        else:
            readings.append(Reading("", 0.0))
            problems.append(f"{example.path}: {result}")
    texts = [example.text for example in examples]
    return Labelled(folder.resolve().name, texts, readings, problems, len(brought) - len(examples))


class OnDrawn(NamedTuple):
    """What a reader makes of drawn pictures; shares are of characters, but for `exact`; None where it read none.

    Attributes:
        exact: by style, the share of whole texts read right, ignoring case.
        case: of letters read right but for their case, those with the right case; `CASE_TWINS` are left out.
        pointing: the peak of the character's focus lies in its glyph's box (Zhang et al., 2016, section 4.2).
        deletion: hiding the patch that was looked at makes the character less probable, at its peak in the frames that
            it was read in, than hiding one elsewhere does (after Petsiuk et al., 2018, RISE, section 4.1).
    """

    exact: dict[str, float]
    case: float | None
    pointing: float | None
    deletion: float | None


def on_drawn(reader: Recognizer, count: int, seed: int) -> OnDrawn:
    """Measure a reader on so many pictures a style, none of them in mixed styles.

    The texts of half of them are mixed-case letters, which `case` is measured on. `pointing` and `deletion` take the
    characters of texts that were read right.
    """
    rng, hiding = np.random.default_rng(seed), np.random.default_rng([seed, 1])  # all readers get the same pictures
    right: dict[str, float] = {}
    cases, pointed, dropped = [], [], []
    for style in STYLES:
        drawings = [draw(rng, text=_mixed_case(rng) if i % 2 else None, style=style) for i in range(count)]
        readings = _read(reader, [drawing.picture for drawing in drawings])
        hits = [exact(drawing.text, reading.text) for drawing, reading in zip(drawings, readings, strict=True)]
        right[style] = float(np.mean(hits))
        for number, (drawing, reading) in enumerate(zip(drawings, readings, strict=True)):
            if number % 2:
                cases += _cases_right(drawing.text, reading.text)
            if hits[number] and len(drawing.text) == len(reading.text):  # "ß" is as good as "ss", but one character
                pointed += _points(drawing, reading)
                dropped += list(_drops(reader, hiding, drawing, reading))
    return OnDrawn(right, *(float(np.mean(values)) if values else None for values in (cases, pointed, dropped)))


def fit_calibration(reader: Recognizer, count: int, seed: int) -> tuple[float, float]:
    """The calibration of a reader's config, fitted on so many drawn pictures of each style, none in mixed styles.

    Logistic regression of whether a text was read right, ignoring case, on the log odds that the network gives it
    (Platt, 1999, section 2.2, by Newton's method).
    """
    rng = np.random.default_rng(seed)
    drawings = [draw(rng, style=style) for style in STYLES for _ in range(count)]
    raw = copy.copy(reader)
    raw.calibration = (1.0, 0.0)
    readings = _read(raw, [drawing.picture for drawing in drawings])
    right = np.array([exact(drawing.text, one.text) for drawing, one in zip(drawings, readings, strict=True)], float)
    confidence = np.clip([reading.confidence for reading in readings], 1e-9, 1 - 1e-9)
    inputs = np.stack([np.log(confidence / (1 - confidence)), np.ones(len(right))], axis=1)  # (n, 2)
    line = np.array([1.0, 0.0])
    for _ in range(NEWTON_STEPS):
        probability = 1 / (1 + np.exp(-inputs @ line))
        # the old line counts as a few pictures: it stays where all are right, or none
        gradient = inputs.T @ (right - probability) - PRIOR * (line - (1.0, 0.0))
        curvature = (inputs * (probability * (1 - probability))[:, None]).T @ inputs + PRIOR * np.eye(2)
        line = line + np.linalg.solve(curvature, gradient)
    slope, offset = line
    return float(slope), float(offset)


def _mixed_case(rng: Generator) -> str:
    return "".join(rng.choice(list(NAMED["letters"]), rng.integers(4, 7)))


def _read(reader: Recognizer, pictures: Sequence[np.ndarray]) -> list[Reading]:
    return [reading for reading in reader.read_many(pictures) if isinstance(reading, Reading)]


def _cases_right(text: str, read: str) -> list[bool]:
    rest, rest_read = iter(text), iter(read)
    # with their cases "aA" and "Aa" would be aligned at an "a", or an "A", as if it had been read right
    pairs = align([true.lower() for true in text], [got.lower() for got in read])
    cased = [(true and next(rest), got and next(rest_read)) for true, got in pairs]
    return [true == got for true, got in cased if true.lower() == got.lower() and true.lower() not in CASE_TWINS]


def _points(drawing: Drawing, reading: Reading) -> list[bool]:
    size = (drawing.picture.shape[1], drawing.picture.shape[0])
    return [
        points_into(character.focus, box, size)
        for character, box in zip(reading.characters, drawing.boxes, strict=True)
        if character.focus is not None
    ]


def _drops(reader: Recognizer, rng: Generator, drawing: Drawing, reading: Reading) -> Iterator[bool]:
    """For each character: whether it suffers more from a patch over its focus than from an equal one elsewhere."""
    for character, box in zip(reading.characters, drawing.boxes, strict=True):
        side = max(3, round(PATCH * float(box[3] - box[1])))
        assert character.focus is not None
        at = _attended(character.focus, drawing.picture.shape, side)
        places = (at, _elsewhere(rng, drawing, at, side))
        looked_at, other = (
            _log_probability(reader, _hide(drawing.picture, place, side), character) for place in places
        )
        yield looked_at < other


def _attended(focus: np.ndarray, shape: tuple[int, ...], side: int) -> np.ndarray:
    """Row and column, in px of a picture (H, W, 3), of the middle of the square that holds most of a focus (h, w)."""
    mass = cv2.blur(cv2.resize(focus, shape[1::-1]), (side, side), borderType=cv2.BORDER_CONSTANT)
    return np.array(np.unravel_index(int(mass.argmax()), mass.shape)) + 0.5


def _elsewhere(rng: Generator, drawing: Drawing, at: np.ndarray, side: int) -> np.ndarray:
    """A place on the line of text that is as far from the other as their patches need; the end farther off at worst."""
    low, high = drawing.boxes[:, :2].min(axis=0)[::-1], drawing.boxes[:, 2:].max(axis=0)[::-1]  # row, column
    for _ in range(100):
        place = rng.uniform(low, high)
        if np.abs(place - at).max() >= side:
            return place
    return np.where(at - low > high - at, low, high)


def _hide(picture: np.ndarray, at: np.ndarray, side: int) -> np.ndarray:
    """The picture with a square around a row and column in the picture's median colour."""
    hidden = picture.copy()
    top, left = np.maximum(0, (at - side / 2).round().astype(int))
    hidden[top : top + side, left : left + side] = np.median(picture, axis=(0, 1))
    return hidden


def _log_probability(reader: Recognizer, picture: np.ndarray, character: Character) -> float:
    """What is left of a character in a changed picture: its log-probability's peak over the frames it was read in."""
    frames = reader.look(picture).log_probs[slice(*character.frames)]
    return float(frames[:, reader.charset.encode(character.text)].max())
