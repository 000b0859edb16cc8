"""Text to class ids and back. Class 0 is the CTC blank; class i + 1 is the i-th character."""

from __future__ import annotations

import string
from collections.abc import Iterable
from dataclasses import dataclass

BLANK = 0  # the CTC blank's class id, and the padding of label batches

NAMED = {
    "digits": string.digits,
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "letters": string.ascii_letters,
    "alphanumeric": string.digits + string.ascii_letters,
}


def resolve(spec: str) -> str:
    """The characters that `spec` stands for: a name of `NAMED`, in any case, else those of `spec` itself, each once."""
    if not spec or not isinstance(spec, str):
        came = "is empty" if isinstance(spec, str) else f"is a {type(spec).__name__}"
        raise ValueError(
            f"The charset {came}: give one of {', '.join(NAMED)}, or the characters themselves as one text."
        )
    return "".join(dict.fromkeys(NAMED.get(spec.lower(), spec)))


@dataclass(frozen=True)
class Charset:
    """The characters a model can write, in the order of its classes; `len()` counts the blank too."""

    characters: str

    def __post_init__(self) -> None:
        if not self.characters:
            raise ValueError("A charset needs at least one character, but none was given.")
        twice = [character for character in dict.fromkeys(self.characters) if self.characters.count(character) > 1]
        if twice:
            raise ValueError(f"A charset has each character once, but {twice} came more often: remove the repeats.")

    def __len__(self) -> int:
        return len(self.characters) + 1

    def encode(self, text: str) -> list[int]:
        """Class ids of `text`, without blanks. ValueError names a character the charset lacks."""
        for character in text:
            if character not in self.characters:
                raise ValueError(
                    f"The character {character!r} is not among those this model can write, {self.characters}: "
                    "leave it out, or use a model that knows it."
                )
        return [self.characters.index(character) + 1 for character in text]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of class ids without blanks; inverse of `encode`."""
        return "".join(self.characters[class_id - 1] for class_id in ids)

    def class_ids(self, characters: Iterable[str]) -> list[int]:
        """The class ids of a set of characters, sorted, each once. ValueError names a character the charset lacks."""
        return sorted(set(self.encode("".join(characters))))
