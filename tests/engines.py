"""Whether the engine reads what torch reads in float32.

Prints a line for each folder of labelled pictures: how many, how many texts are the same, and how many are right, by
torch and by the engine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from crnn.evaluate import read_labelled
from crnn.metrics import exact
from crnn.recognizer import Recognizer


def main() -> None:
    """Read each folder twice, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    folders = parser.parse_args().folders
    by_torch, by_engine = Recognizer.from_pretrained(device="cpu"), Recognizer.from_pretrained()
    all_same, count = 0, 0
    for folder in folders:
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
