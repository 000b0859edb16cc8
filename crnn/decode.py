"""From a CTC model's log-probabilities to a `Reading`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Alternative:
    """Another text (or character), with its probability."""

    text: str
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        return {"text": self.text, "confidence": round(float(self.confidence), 4)}


@dataclass(frozen=True)
class Character:
    """One character of a reading. The recognizer fills in `box` and `focus`, which need the picture."""

    text: str
    confidence: float  # probability of this character, given that the others are right
    frames: tuple[int, int]  # start, end (exclusive)
    alternatives: tuple[Alternative, ...] = ()  # other characters here, best first
    box: tuple[float, float, float, float] | None = None  # x0, y0, x1, y1 in the picture's px
    focus: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)  # (h, w), sums to 1

    def as_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "confidence": round(float(self.confidence), 4),
            "box": None if self.box is None else [round(float(side), 4) for side in self.box],
            "alternatives": [alternative.as_dict() for alternative in self.alternatives],
        }


@dataclass(frozen=True)
class Reading:
    """What was read: the text, the probability that all of it is right, its characters, and other texts."""

    text: str
    confidence: float
    characters: tuple[Character, ...] = ()
    alternatives: tuple[Alternative, ...] = ()  # other texts with their probabilities, best first

    def as_dict(self) -> dict[str, Any]:
        """Plain floats and lists, ready for JSON: text, confidence, characters, alternatives."""
        return {
            "text": self.text,
            "confidence": round(float(self.confidence), 4),
            "characters": [character.as_dict() for character in self.characters],
            "alternatives": [alternative.as_dict() for alternative in self.alternatives],
        }
