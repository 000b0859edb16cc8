"""Whether the engine reads what torch reads in float32: `python tests/engines.py FOLDER...`, labelled pictures.

Prints a line a folder: pictures, texts that are the same, and the exact match of torch and of the engine.
"""

from __future__ import annotations

import sys
from pathlib import Path

from crnn.evaluate import read_labelled
from crnn.metrics import exact
from crnn.recognizer import Recognizer


def main() -> None:
    """Read each folder twice, and print."""
    by_torch, by_engine = Recognizer.from_pretrained(device="cpu"), Recognizer.from_pretrained()
    all_same, count = 0, 0
    for folder in map(Path, sys.argv[1:]):
        theirs, ours = read_labelled(by_torch, folder), read_labelled(by_engine, folder)
        same = sum(one.text == other.text for one, other in zip(theirs.readings, ours.readings, strict=True))
        right = [
            sum(exact(text, reading.text) for text, reading in zip(read.texts, read.readings, strict=True))
            for read in (theirs, ours)
        ]
        print(f"{theirs.name}: {len(ours.texts)}, {same} the same, right by torch {right[0]}, by the engine {right[1]}")
        all_same, count = all_same + same, count + len(ours.texts)
    print(f"all: {count}, {all_same} the same")


if __name__ == "__main__":
    main()
