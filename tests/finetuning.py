"""How much fine-tuning gives: `python tests/finetuning.py FOLDER --pictures 50 --minutes 4.5`.

For each of three random draws: so many labelled pictures of a folder are trained on, by the command line as anyone does
it, and all others are read before and after. Prints a JSON object a draw, and last the medians. With --others, the mean
exact match of other folders before and after tells what was forgotten.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

import numpy as np

from crnn.intake import Example, read_folder, write_table

CRNN = [sys.executable, "-m", "crnn"]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=50, help="to train on")
    parser.add_argument("--minutes", type=float, default=4.5, help="time budget; starting takes some seconds more")
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2], help="seeds of the draws")
    parser.add_argument("--from", dest="start", default="checkpoints/captcha")
    parser.add_argument("--others", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    measured = []
    for seed in arguments.draws:
        with TemporaryDirectory() as scratch:
            measured.append(measure(arguments, seed, Path(scratch)))
        print(json.dumps({"draw": seed} | measured[-1]), flush=True)
    medians = {name: round(median(one[name] for one in measured), 4) for name in measured[0]}
    print(json.dumps({"draw": "median", "set": arguments.folder.name, "pictures": arguments.pictures} | medians))


def measure(arguments: argparse.Namespace, seed: int, scratch: Path) -> dict[str, float]:
    """Train on a draw, and read the rest before and after."""
    examples = [example for example in read_folder(arguments.folder) if example.text]
    order = np.random.default_rng(seed).permutation(len(examples))
    chosen = [examples[i] for i in order[: arguments.pictures]]
    train, rest = (link(part, scratch / name) for name, part in (
        ("train", chosen), ("rest", [examples[i] for i in order[arguments.pictures :]])
    ))  # fmt: skip
    before, others_before = exact([rest], arguments.start), exact(arguments.others, arguments.start)
    begun = time.monotonic()
    options = ["--from", arguments.start, "--output", scratch / "run", "--minutes", arguments.minutes, "--seed", seed]
    subprocess.run([*CRNN, "train", train, *map(str, options)], check=True, stdout=subprocess.DEVNULL)
    figures = {
        "whole_minutes": (time.monotonic() - begun) / 60,
        "before": before,
        "after": exact([rest], scratch / "run"),
    }
    if arguments.others:
        figures |= {"others_before": others_before, "others_after": exact(arguments.others, scratch / "run")}
    return {name: round(value, 4) for name, value in figures.items()}


def link(examples: list[Example], folder: Path) -> Path:
    """A folder of these pictures with their texts."""
    folder.mkdir()
    linked = [Example(folder / f"{i:05}{example.path.suffix}", example.text) for i, example in enumerate(examples)]
    for example, one in zip(examples, linked, strict=True):
        one.path.symlink_to(example.path.resolve())
    write_table(folder, linked)
    return folder


def exact(folders: list[Path], checkpoint: str | Path) -> float:
    """The mean exact match over folders, 0 where there is none."""
    if not folders:
        return 0.0
    command = [*CRNN, "evaluate", *map(str, folders), "--checkpoint", str(checkpoint), "--json"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return mean(row["exact"] for row in map(json.loads, lines) if row.get("set") == "mean")


if __name__ == "__main__":
    main()
