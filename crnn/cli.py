"""`python -m crnn`: one function a command; what a command needs is imported when it runs, so that --help is quick."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from crnn import __version__
from crnn.charset import NAMED
from crnn.speech import LANGUAGES, STYLES
from crnn.styles import STYLES as DRAWN

if TYPE_CHECKING:
    from crnn.decode import Reading
    from crnn.evaluate import Labelled, OnDrawn
    from crnn.metrics import Scores

Command = Callable[[argparse.Namespace], int]
SURE = 0.9  # a reading of such a confidence should hardly ever be wrong
CONFUSIONS = 12  # pairs listed by evaluate
DRAWN_SEED = 2_000_003  # of the pictures that evaluate draws; no training seed comes near
BAD = 1  # exit status when something could not be done; argparse itself exits with 2


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status; what a user can mend becomes one sentence on stderr."""
    arguments = _parser().parse_args(argv)
    warnings.filterwarnings("ignore", "Image size .* exceeds limit")  # Pillow's; a sentence says so too
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text
    try:
        status: int = arguments.command(arguments)
    except BrokenPipeError:  # who reads the output has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python complains once more at its end
        return 128 + 13  # SIGPIPE, as a shell reports it
    except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: no voice, no font
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return BAD
    except KeyboardInterrupt:
        return 130  # as a shell reports it
    return status


def _sentence(error: Exception) -> str:
    """What to tell the user; the file system's errors say neither which file nor what to do."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} can't be used ({error.strerror}); give another."
    return str(error)


def read(arguments: argparse.Namespace) -> int:
    """Read pictures; if one is no good, say why, go on, and exit with status 1."""
    from crnn.decode import Reading
    from crnn.recognizer import Recognizer
    from crnn.speech import speak, words

    readings = Recognizer.from_pretrained(arguments.checkpoint).read_many(
        (_stdin() if name == "-" else name for name in arguments.pictures),
        charset=arguments.charset,
        length=arguments.length,
        ignore_case=arguments.ignore_case,
        top=arguments.top,
    )
    read = []
    if arguments.csv:
        _print_row("file_name", "text", "confidence", "error")
    for name, reading in zip(arguments.pictures, readings, strict=True):
        _print_reading(name, reading, arguments.json, arguments.csv)
        if isinstance(reading, Reading):
            read.append(reading)
    if arguments.speak and read:
        said = [words(reading, arguments.style, arguments.ignore_case, language=arguments.language) for reading in read]
        speak(said, arguments.speak, arguments.rate, _voice(arguments))
    return 0 if len(read) == len(arguments.pictures) else BAD


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise ValueError("- stands for standard input, which is closed; give a file.")
    return sys.stdin.buffer


def _print_reading(name: str, reading: Reading | ValueError, as_json: bool, as_csv: bool) -> None:
    """Print one picture's line: to stdout, and without --json and --csv an error to stderr."""
    if as_json:
        found = {"error": str(reading)} if isinstance(reading, ValueError) else reading.as_dict()
        print(json.dumps({"picture": name} | found), flush=True)
    elif isinstance(reading, ValueError):
        if as_csv:
            _print_row(name, "", "", str(reading))
        else:
            print(f"{name}: {reading}", file=sys.stderr)
    elif as_csv:
        _print_row(name, reading.text, f"{reading.confidence:.4f}", "")
    else:
        print(f"{name}: {reading.text or '(nothing)'} ({reading.confidence:.0%})", flush=True)


def _print_row(*cells: str) -> None:
    csv.writer(sys.stdout, lineterminator="\n").writerow(cells)
    sys.stdout.flush()


def speak(arguments: argparse.Namespace) -> int:
    """Say a text in a WAV file."""
    from crnn import speech

    said = speech.words(arguments.text, arguments.style, language=arguments.language)
    speech.speak(said, arguments.output, arguments.rate, _voice(arguments))
    print(f"{arguments.output}: {said}")
    return 0


def _voice(arguments: argparse.Namespace) -> str | None:
    """The voice that was asked for, else that of the language; None is the engine's own choice, English."""
    asked: str | None = arguments.voice
    return asked or (None if arguments.language == "en" else str(arguments.language))


def draw(arguments: argparse.Namespace) -> int:
    """Draw labelled pictures: numbered PNG files, and metadata.csv with file_name,text."""
    import numpy as np
    from PIL import Image

    from crnn import synth

    for style in arguments.style or ():
        synth.style_named(style)  # before anything is written
    synth.draw(np.random.default_rng(0))  # where there is no font, it is said before, too
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if any(arguments.folder.iterdir()):
        raise ValueError(f"{arguments.folder} holds files already; give a new folder, or an empty one.")
    with (arguments.folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "text"])
        for number in range(arguments.count):
            style = arguments.style[number % len(arguments.style)] if arguments.style else None
            # a generator for each picture: a longer run begins with the same pictures as a short one
            drawing = synth.draw(np.random.default_rng([arguments.seed, number]), style=style)
            Image.fromarray(drawing.picture).save(arguments.folder / f"{number:06}.png")
            rows.writerow([f"{number:06}.png", drawing.text])
    print(f"{arguments.folder}: {arguments.count} pictures")
    return 0


def train(arguments: argparse.Namespace) -> int:
    """Train on drawn pictures, or fine-tune on labelled folders, within a time budget."""
    for_folders = {name: getattr(arguments, name) for name in ("steps", "draw_share", "keep", "layers")}
    given = {name: value for name, value in for_folders.items() if value is not None}
    if arguments.draw:
        from crnn.train import train

        if given:
            named = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ValueError(f"{named} can't be given with --draw, but with labelled folders; leave it out.")
        finished = train(arguments.output, arguments.start, arguments.minutes, arguments.resume, arguments.seed)
    else:
        from crnn.finetune import FineTuning, fine_tune

        options = FineTuning(
            start=arguments.start,
            minutes=arguments.minutes,
            resume=arguments.resume,
            seed=arguments.seed,
            **given,
        )
        finished = fine_tune(arguments.folders, arguments.output, options)
    print(f"{finished}: trained")
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """Measure on labelled folders (each, their mean, all pictures pooled), on drawn pictures, or on both."""
    from crnn.evaluate import on_drawn, read_labelled
    from crnn.metrics import SHARES, mean, score
    from crnn.recognizer import Recognizer

    if not arguments.folders and not arguments.draw:
        raise ValueError("There is nothing to measure on; give labelled folders, or --draw N.")
    reader = Recognizer.from_pretrained(arguments.checkpoint)
    if arguments.folders and not arguments.json:
        print(f"{'set':20} {'n':>6}", *(f"{share:>7}" for share in SHARES))
    labelled, scores = [], []
    for folder in arguments.folders:
        one = read_labelled(reader, folder)
        for problem in one.problems:
            print(f"counted as read wrong: {problem}", file=sys.stderr)
        if one.unlabelled:
            print(f"left out, without a label: {one.unlabelled} in {folder}", file=sys.stderr)
        labelled.append(one)
        scores.append(score(one.name, one.texts, one.readings))
        _print_scores(scores[-1], arguments.json)
    if labelled and not arguments.json:
        _print_scores(mean(scores), as_json=False)
    if labelled:
        _print_pooled(labelled, arguments.json)
    if arguments.draw:
        _print_drawn(on_drawn(reader, arguments.draw, DRAWN_SEED), arguments.json)
    if labelled and arguments.json:  # last, where programs look for it
        _print_scores(mean(scores), as_json=True)
    return BAD if any(one.problems for one in labelled) else 0


def _print_pooled(labelled: list[Labelled], as_json: bool) -> None:
    """Print how far confidences can be relied on over the pictures of all sets, and what is confused most."""
    from crnn.metrics import calibration_error, confusions, exact, right_when_sure

    texts = [text for one in labelled for text in one.texts]
    readings = [reading for one in labelled for reading in one.readings]
    right = [exact(text, reading.text) for text, reading in zip(texts, readings, strict=True)]
    confidences = [reading.confidence for reading in readings]
    pairs = confusions(texts, [reading.text for reading in readings]).most_common(CONFUSIONS)
    sure = sum(confidence >= SURE for confidence in confidences) / len(confidences)
    figures = {
        "n": len(texts),
        "ece": round(calibration_error(confidences, right), 4),
        "sure": round(sure, 4),
        "right_when_sure": right_when_sure(confidences, right, SURE),
        "confusions": [[true, got, times] for (true, got), times in pairs],
    }
    if as_json:
        print(json.dumps({"pooled": figures}), flush=True)
        return
    said = ", ".join(f"{true or '(nothing)'} as {got or '(nothing)'} {times}" for (true, got), times in pairs)
    print(f"All {len(texts)} pictures: calibration error {figures['ece']:.3f}.")
    if figures["right_when_sure"] is not None:
        print(f"Confidence {SURE} or more: {sure:.1%} of readings, {figures['right_when_sure']:.2%} of them right.")
    print(f"Most confused: {said or 'nothing'}.")


def _print_drawn(figures: OnDrawn, as_json: bool) -> None:
    """Print the figures of drawn pictures."""
    if as_json:
        print(json.dumps({"drawn": figures._asdict()}), flush=True)
        return
    print("Drawn pictures: " + ", ".join(f"{name} {share:.2f}" for name, share in figures.exact.items()))
    shares = {"case": figures.case, "pointing": figures.pointing, "deletion": figures.deletion}
    print(", ".join(f"{name} {'-' if share is None else f'{share:.4f}'}" for name, share in shares.items()))


def sheet(arguments: argparse.Namespace) -> int:
    """Draw a contact sheet of all styles: some pictures of each, or those that the reader reads wrong."""
    from crnn.recognizer import Recognizer
    from crnn.sheet import mistakes_sheet, styles_sheet

    if arguments.mistakes:
        reader = Recognizer.from_pretrained(arguments.checkpoint)
        drawn = mistakes_sheet(reader, arguments.columns, arguments.seed)
    else:
        drawn = styles_sheet(arguments.columns, arguments.seed)
    drawn.save(arguments.output, "PNG")
    print(f"{arguments.output}: {drawn.width} x {drawn.height} px")
    return 0


def bench(arguments: argparse.Namespace) -> int:
    """Measure how fast all is, side by side with the peers that are installed."""
    from crnn.bench import bench as measured
    from crnn.bench import plot, table

    if not arguments.pictures or not arguments.mixed:
        raise ValueError("There is nothing to measure on; give --pictures and --mixed of at least 1.")
    if arguments.plot and not find_spec("matplotlib"):
        raise ValueError("--plot needs matplotlib, which is not installed; pip install matplotlib.")
    figures = []
    for figure in measured(arguments.pictures, arguments.mixed):
        figures.append(figure)
        print(f"{figure.what}, {figure.who}: {figure.value:.2f} {figure.unit}", file=sys.stderr, flush=True)
    print(table(figures, arguments.json))
    if arguments.plot:
        plot(figures, arguments.plot)
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write a checkpoint's network in an ONNX file, for other runtimes and languages."""
    from crnn.export import export_onnx

    export_onnx(arguments.checkpoint, arguments.onnx)
    print(f"{arguments.onnx}: {arguments.onnx.stat().st_size / 1e6:.1f} MB")
    return 0


def _print_scores(scores: Scores, as_json: bool) -> None:
    """Print one set's line."""
    row = scores.as_dict()
    if as_json:
        print(json.dumps(row), flush=True)
    else:
        name, n, *shares = row.values()
        print(f"{name:20} {n:6}", *(f"{share:7.4f}" for share in shares), flush=True)


def _parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="python -m crnn", description="Reads distorted text aloud.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command, add_arguments in COMMANDS.items():
        about = (command.__doc__ or "").strip()
        added = commands.add_parser(command.__name__, help=about, description=about)
        add_arguments(added)
        added.set_defaults(command=command)
    return parser


def _read_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help="a picture file; - for standard input")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object a picture")
    form.add_argument("--csv", action="store_true", help="print a table: file_name, text, confidence, error")
    _checkpoint_argument(parser)
    parser.add_argument(
        "--charset", help=f"consider only these: {', '.join(NAMED)}, or the characters themselves", metavar="CHARS"
    )
    parser.add_argument("--length", type=_length, metavar="N|MIN-MAX", help="consider only texts of this length")
    parser.add_argument("--ignore-case", action="store_true", help="don't tell capitals from small letters")
    parser.add_argument(
        "--top", type=_count, default=5, metavar="K", help="other texts to give with --json (%(default)s)"
    )
    parser.add_argument("--speak", type=_sound, metavar="FILE.wav", help="say all texts that were read in this file")
    _voice_arguments(parser)


def _speak_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT")
    parser.add_argument("--output", type=_sound, required=True, metavar="FILE.wav")
    _voice_arguments(parser)


def _voice_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=_count, default=150, metavar="N", help="words a minute (%(default)s)")
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="of the names of characters (%(default)s)")
    parser.add_argument(
        "--voice", metavar="ID", help="a voice of the engine, such as en-us; the language's own if none"
    )
    parser.add_argument("--style", choices=STYLES, default="spell", help="how to say it (%(default)s)")


def _draw_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "python -m crnn draw FOLDER --count N [--seed N] [--style NAME ...]"  # the last would take FOLDER
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--count", type=_count, required=True, metavar="N", help="how many pictures")
    parser.add_argument(
        "--seed", type=_count, default=0, metavar="N", help="another seed, other pictures (%(default)s)"
    )
    parser.add_argument(
        "--style", nargs="+", metavar="NAME", help=f"these in turn, else all, mixed: {', '.join(DRAWN)}"
    )


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("folders", nargs="*", type=Path, default=[], metavar="FOLDER", help="labelled pictures")
    source.add_argument("--draw", action="store_true", help="pictures drawn on the fly")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where the checkpoint goes")
    parser.add_argument("--from", dest="start", metavar="CHECKPOINT", help="fine-tune these weights")
    parser.add_argument("--minutes", type=float, metavar="N", help="time budget (60 drawn, 5 on folders, or as begun)")
    parser.add_argument("--steps", type=_count, metavar="N", help="a budget of steps instead, repeatable by the seed")
    parser.add_argument("--draw-share", type=float, metavar="X", help="of folders' batches, drawn pictures (0.6)")
    parser.add_argument("--keep", type=float, metavar="X", help="of the start's weights, on folders (0.35)")
    parser.add_argument(
        "--layers", choices=("all", "head"), help="what to train on folders (all); head: no convolutions"
    )
    parser.add_argument("--resume", action="store_true", help="go on where the run in DIR was stopped")
    parser.add_argument("--seed", type=_count, default=0, metavar="N", help="of drawing and training (%(default)s)")


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="labelled pictures, each folder a set")
    parser.add_argument(
        "--draw", type=_count, metavar="N", help="draw N pictures of each style: case, and where attention points"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object a set, then of all, of the drawn, and the mean"
    )
    _checkpoint_argument(parser)


def _sheet_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", type=Path, metavar="FILE.png")
    parser.add_argument("--mistakes", action="store_true", help="only pictures that are read wrong")
    parser.add_argument("--columns", type=_positive, default=6, metavar="N", help="pictures a style (%(default)s)")
    parser.add_argument(
        "--seed", type=_count, default=0, metavar="N", help="another seed, other pictures (%(default)s)"
    )
    _checkpoint_argument(parser)


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw how the figures grow (needs matplotlib)")
    parser.add_argument(
        "--pictures", type=_count, default=60, metavar="N", help="drawn pictures of one size (%(default)s)"
    )
    parser.add_argument(
        "--mixed", type=_count, default=2000, metavar="N", help="drawn pictures of all sizes (%(default)s)"
    )


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="DIR", help="a checkpoint's folder, or a model id on the Hub")
    parser.add_argument("--onnx", type=_network, required=True, metavar="FILE", help="where it is written")


def _checkpoint_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", metavar="DIR", help="another checkpoint's folder, or a model id on the Hub")


def _count(value: str) -> int:
    """A whole number from 0 on."""
    if not value.isdecimal():
        raise argparse.ArgumentTypeError(f"{value!r} is no whole number; give 0, 1, 2 ...")
    return int(value)


def _positive(value: str) -> int:
    """A whole number from 1 on."""
    if not _count(value):
        raise argparse.ArgumentTypeError("0 is too few; give 1, 2, 3 ...")
    return int(value)


def _sound(value: str) -> Path:
    """Where a sound is to be written; said before all pictures were read for nothing."""
    if Path(value).suffix.lower() != ".wav" or not Path(value).parent.is_dir():
        raise argparse.ArgumentTypeError(f"{value!r} is no place for a sound; give a FILE.wav in a folder that exists")
    return Path(value)


def _network(value: str) -> Path:
    """Where a network is to be written; said before half a minute's work."""
    if Path(value).is_dir() or not Path(value).parent.is_dir():
        raise argparse.ArgumentTypeError(f"{value!r} is no place for a network; give a FILE in a folder that exists")
    return Path(value)


def _length(value: str) -> tuple[int, int]:
    """N or MIN-MAX as the fewest and the most characters."""
    fewest, _, most = value.partition("-")
    if not fewest.isdecimal() or not (most or fewest).isdecimal() or value.endswith("-"):
        raise argparse.ArgumentTypeError(f"{value!r} is no length; give a number such as 5, or a range such as 4-6")
    return int(fewest), int(most or fewest)


COMMANDS: dict[Command, Callable[[argparse.ArgumentParser], None]] = {
    read: _read_arguments,
    speak: _speak_arguments,
    draw: _draw_arguments,
    train: _train_arguments,
    evaluate: _evaluate_arguments,
    sheet: _sheet_arguments,
    bench: _bench_arguments,
    export: _export_arguments,
}
