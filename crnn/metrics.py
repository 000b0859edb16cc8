"""How well texts were read: exact match, character errors, calibration, confusions, and where attention points."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crnn.decode import Reading

SHARES = ("exact", "cased", "cer", "ece")


@dataclass(frozen=True)
class Scores:
    """The figures of one labelled set, or their unweighted means over sets."""

    name: str
    n: int  # pictures
    exact: float  # share of texts read right, ignoring case and white space
    cased: float  # the same, case kept
    cer: float  # character error rate, ignoring case and white space
    ece: float  # expected calibration error of the confidences, against `exact`

    def as_dict(self) -> dict[str, Any]:
        """One line of `evaluate --json`; shares are rounded to 4 digits."""
        return {"set": self.name, "n": self.n} | {share: round(getattr(self, share), 4) for share in SHARES}


def score(name: str, references: Sequence[str], readings: Sequence[Reading]) -> Scores:
    """The figures of a set, from its true texts and what was read. ValueError if there is none, or not one for each."""
    if not references or len(references) != len(readings):
        raise ValueError(
            f"{len(references)} true texts and {len(readings)} readings came for the set {name}, "
            "expected at least one, and one reading for each text."
        )
    pairs = [(reference, reading.text) for reference, reading in zip(references, readings, strict=True)]
    right = [exact(*pair) for pair in pairs]
    return Scores(
        name=name,
        n=len(pairs),
        exact=sum(right) / len(pairs),
        cased=sum(cased(*pair) for pair in pairs) / len(pairs),
        cer=character_error_rate(*zip(*pairs, strict=True)),
        ece=calibration_error([reading.confidence for reading in readings], right),
    )


def mean(scores: Sequence[Scores]) -> Scores:
    """Means over sets, each set counting the same however many pictures it has; `n` is the sum. ValueError if none."""
    if not scores:
        raise ValueError("No set came to take the mean of, expected at least one.")
    means = {share: sum(getattr(one, share) for one in scores) / len(scores) for share in SHARES}
    return Scores("mean", sum(one.n for one in scores), **means)


def exact(reference: str, text: str) -> bool:
    """Whether `text` is the reference, ignoring case and white space."""
    return _plain(reference) == _plain(text)


def cased(reference: str, text: str) -> bool:
    """Whether `text` is the reference, ignoring white space alone."""
    return _dense(reference) == _dense(text)


def character_error_rate(references: Sequence[str], texts: Sequence[str]) -> float:
    """All edits over all true characters, ignoring case and white space; above 1 when much too much was read."""
    edits = characters = 0
    for reference, text in zip(references, texts, strict=True):
        true = _plain(reference)
        edits += sum(one != other for one, other in align(true, _plain(text)))
        characters += len(true)
    return edits / max(characters, 1)


def confusions(references: Sequence[str], texts: Sequence[str]) -> Counter[tuple[str, str]]:
    """How often each (true, read) pair of different characters came, case kept.

    ('', read) is a character that isn't there, (true, '') one that was missed.
    """
    return Counter(
        pair
        for reference, text in zip(references, texts, strict=True)
        for pair in align(_dense(reference), _dense(text))
        if pair[0] != pair[1]
    )


def align(reference: Sequence[str], text: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs (true, read) of an alignment with the fewest edits (Levenshtein); '' where a side has no character."""
    rows, columns = len(reference) + 1, len(text) + 1
    distance = [[max(row, column) if row * column == 0 else 0 for column in range(columns)] for row in range(rows)]
    for row in range(1, rows):
        for column in range(1, columns):
            distance[row][column] = min(
                distance[row - 1][column - 1] + (reference[row - 1] != text[column - 1]),
                distance[row - 1][column] + 1,
                distance[row][column - 1] + 1,
            )
    pairs = []
    row, column = rows - 1, columns - 1
    while row or column:
        here = distance[row][column]
        if row and column and here == distance[row - 1][column - 1] + (reference[row - 1] != text[column - 1]):
            row, column = row - 1, column - 1
            pairs.append((reference[row], text[column]))
        elif row and here == distance[row - 1][column] + 1:
            row -= 1
            pairs.append((reference[row], ""))
        else:
            column -= 1
            pairs.append(("", text[column]))
    return pairs[::-1]


def calibration_error(confidences: ArrayLike, right: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3).

    The mean of |share right - mean confidence| over bins of equal width on (0, 1], weighted by what each holds.
    """
    confidence = np.asarray(confidences, dtype=np.float64)
    surplus = np.asarray(right, dtype=np.float64) - confidence
    # a bin holds its upper edge, and the first bin 0 too
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return float(np.abs(np.bincount(number, weights=surplus, minlength=bins)).sum() / max(len(confidence), 1))


def right_when_sure(confidences: ArrayLike, right: ArrayLike, sure: float = 0.9) -> float | None:
    """Share right of those read with a confidence of at least `sure`; None if there are none."""
    chosen = np.asarray(right, dtype=np.float64)[np.asarray(confidences, dtype=np.float64) >= sure]
    return float(chosen.mean()) if len(chosen) else None


def points_into(focus: NDArray[np.float32], box: Sequence[float], size: tuple[int, int]) -> bool:
    """Whether a focus map's peak lies in a glyph's box ("pointing game", Zhang et al. 2016, section 4.2).

    `focus` is (h, w) over the whole picture, `box` is (x0, y0, x1, y1) in px, `size` is the picture's (width, height).
    The peak is located within its cell by the cells beside it.
    """
    (x0, y0, x1, y1), (y, x) = box, peak(focus)
    height, width = focus.shape
    return bool(x0 <= x * size[0] / width <= x1 and y0 <= y * size[1] / height <= y1)


def peak(focus: NDArray[np.float32]) -> tuple[float, float]:
    """Row and column of a map's peak, in cells: the centroid of the highest cell and its neighbours on each axis."""
    row, column = (int(i) for i in np.unravel_index(int(focus.argmax()), focus.shape))
    rows, columns = (np.arange(max(0, i - 1), min(n, i + 2)) for i, n in zip((row, column), focus.shape, strict=True))
    upright, across = focus[rows, column], focus[row, columns]
    return float((rows + 0.5) @ upright / upright.sum()), float((columns + 0.5) @ across / across.sum())


def _dense(text: str) -> str:
    """Without white space, and composed (Unicode NFC), as training composes labels."""
    return unicodedata.normalize("NFC", "".join(text.split()))


def _plain(text: str) -> str:
    return _dense(text).casefold()
