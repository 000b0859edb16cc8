"""Labelled pictures that a person brings: folders and zips, which of them are of use, and why the others are not."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import stat
import threading
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from crnn.charset import Charset
from crnn.image import Geometry, lowered, open_picture

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".ppm")
ARCHIVE_ENDINGS = (".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")
TABLE = "metadata.csv"
COLUMNS = ("file_name", "text")
DELIMITERS = ",;\t"  # spreadsheets write semicolons where the comma is the decimal point
HIDDEN = ("__MACOSX",)  # what macOS puts beside the files; names with a leading dot are hidden too
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # LZMA may ask for gigabytes of memory
ENCRYPTED = 0x2041  # flag bits: encrypted; with strong encryption; its list of files too
ENTRY = b"PK\x01\x02"  # begins each entry in a zip's list of files
MOST_ENTRIES = 100_000  # each takes memory before anything of it is known
MOST_RATIO = 200  # unpacked over packed size; pictures stay far below, bombs are made of zeros
LONGEST_NAME, LONGEST_PATH = 240, 1000  # bytes; file systems take 255 and 4096, with the folder's own
JOINERS = "\u200c\u200d"  # zero-width non-joiner and joiner
MOST_NEW_CHARACTERS = 5000  # Chinese needs so many; each is a row of the head
KEPT_HEIGHT = 72  # px; higher pictures are trained on at this height: a phone's photo is slow to change, and large
CHUNK = 1 << 20

Version = tuple[int, int, int]


@dataclass(frozen=True)
class Example:
    """A picture file and what it says; the empty text where nobody has said it yet."""

    path: Path
    text: str


@dataclass(frozen=True)
class Problem:
    """A picture that can't be used for training, and why, in one sentence."""

    file: str
    sentence: str


@dataclass(frozen=True)
class Examined:
    """The usable ones among labelled pictures, what is wrong with the others, and characters that the model lacks."""

    usable: list[Example]
    problems: list[Problem]
    new_characters: str


def read_folder(folder: str | Path, names: bool = True) -> list[Example]:
    """The pictures of a folder and of the folders in it, with their texts.

    Texts come from each ``metadata.csv`` (columns ``file_name`` and ``text``; pictures that it doesn't name have none),
    or else from names such as ``LABEL.png`` and ``LABEL_1.png``. Names that all say the same, as a camera gives them
    (``IMG_0001.jpg``), are no labels.

    Args:
        folder: of the pictures.
        names: whether names are labels, where there is no table; False: no picture has a text.

    Raises:
        ValueError: there is no such folder, no picture in it, or a table is not what it should be; one sentence.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}; give a folder of labelled pictures.")
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not _hidden(file.relative_to(folder)))
    pictures = [file for file in files if file.suffix.lower() in PICTURE_ENDINGS]
    tables = [file for file in files if file.name == TABLE]
    if tables:
        texts: dict[Path, str] = {}
        for path, text in (row for table in tables for row in _read_table(table)):
            if texts.setdefault(path, text) != text:
                raise ValueError(
                    f"{TABLE} names {path.name} twice, with the labels {_short(texts[path])} and {_short(text)}; "
                    "keep the right one."
                )
        examples = [Example(path, text) for path, text in texts.items()]
        examples += [Example(path, "") for path in pictures if path not in texts]
    else:
        labels = [re.sub(r"_\d+$", "", path.stem) for path in pictures]
        named = names and (len(set(labels)) > 1 or len(labels) == 1)
        examples = [Example(path, label if named else "") for path, label in zip(pictures, labels, strict=True)]
    if not examples:
        raise ValueError(
            f"{folder} has no labelled pictures; give a metadata.csv with file_name,text or name pictures LABEL.png."
        )
    return examples


def version_of(path: Path) -> Version | None:
    """What changes when a file is written anew: inode, ns, bytes; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


TABLES = threading.RLock()
"""Held by whoever reads a table, and writes it with what has changed: else a row that came between would be lost."""


def write_table(folder: Path, examples: Iterable[Example]) -> None:
    """Write the texts of pictures in a folder to its ``metadata.csv``, at once or not at all."""
    table = folder / TABLE
    beside = table.with_suffix(".new")
    with beside.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        rows.writerows((example.path.relative_to(folder).as_posix(), example.text) for example in examples)
    beside.replace(table)


def _hidden(path: Path | PurePosixPath) -> bool:
    return any(part.startswith(".") or part in HIDDEN for part in path.parts)


def _read_table(table: Path) -> list[tuple[Path, str]]:
    try:
        content = table.read_bytes().decode("utf-8-sig")
        if "\0" in content:
            raise ValueError(f"{table.name} is not UTF-8 (it holds zero bytes); save it as UTF-8.")
        rows = _rows(content, table.name)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{table.name} is not UTF-8 (byte {error.object[error.start]:#04x} at {error.start}); save it as UTF-8."
        ) from None
    except csv.Error as error:  # a quote that is not closed, above all
        raise ValueError(
            f"{table.name} is no table of comma-separated values ({error}); save it as CSV, and a quote within a text "
            "as two."
        ) from None
    except OSError as error:
        raise ValueError(f"{table.name} can't be read ({error.strerror}); check its permissions.") from None
    for name, _ in rows:
        if leads_out(name):
            raise ValueError(f"{table.name} names {_short(name)}, which leads out of its folder; name files beside it.")
        if is_odd(name):
            raise ValueError(f"{table.name} names {_short(name)}; use shorter names without control characters.")
    return [(_file(table.parent, name), text) for name, text in rows if name]


def _rows(content: str, table: str) -> list[tuple[str, str]]:
    """File names and texts, between commas, semicolons or tabs. Raises csv.Error, or ValueError in one sentence."""
    heads: list[list[str]] = [next(_parsed(content, delimiter, strict=False), []) for delimiter in DELIMITERS]
    columns = [[column.strip().lower() for column in head] for head in heads]
    fitting = next((number for number, names in enumerate(columns) if set(COLUMNS) <= set(names)), None)
    if fitting is None:
        came = _short(", ".join(heads[0])) if heads[0] else "none"
        raise ValueError(f"{table} has the columns {came}; it needs file_name and text, with a comma between.")
    delimiter, names = DELIMITERS[fitting], columns[fitting]
    name, text = (names.index(column) for column in COLUMNS)
    lines = _parsed(content, delimiter, strict=True)
    next(lines)
    rows = []
    for row in lines:
        if len(row) > len(names):
            raise ValueError(
                f"Line {lines.line_num} of {table} has {len(row)} values for {len(names)} columns; put quotes around a "
                f"text with {delimiter!r} in it."
            )
        row += [""] * (len(names) - len(row))
        rows.append((row[name], row[text]))
    return rows


def _parsed(content: str, delimiter: str, strict: bool) -> Any:
    """A reader of its rows; strict: a quote that is not closed is an error."""
    return csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, skipinitialspace=True, strict=strict)


def _file(folder: Path, name: str) -> Path:
    """The file that a table's row names; Windows writes backslashes between folders."""
    return folder / name if (folder / name).exists() else folder / name.replace("\\", "/")


def leads_out(name: str) -> bool:
    """Whether a file name leads out of its folder, on any system; some drop dots and spaces at its end."""
    up = any(".." in part and not part.strip(". ") for part in re.split(r"[/\\]", name))
    return up or bool(re.match(r"[/\\]|[A-Za-z]:", name))


def is_odd(name: str) -> bool:
    """Whether a file name can't be stored, or shown; spaces of all kinds can, and what joins emoji."""
    stored = name.encode("utf-8", "replace")
    longest = max(map(len, stored.split(b"/")))
    shown = all(c.isprintable() or c in JOINERS or unicodedata.category(c) == "Zs" for c in name)
    return longest > LONGEST_NAME or len(stored) > LONGEST_PATH or not shown


def _short(text: str) -> str:
    """A text of unknown length and content, in quotes, for a sentence."""
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


@dataclass(frozen=True)
class Limits:
    """How much a person may bring.

    Attributes:
        pictures: files.
        megabytes: unpacked, all together.
    """

    pictures: int = 10_000
    megabytes: int = 200


def unpack(archive: str | Path, folder: Path, limits: Limits | None = None) -> None:
    """Unpack the pictures and the table of a zip; whatever else it holds is left in it.

    Args:
        archive: the zip's file.
        folder: where they go; empty, or not there yet.
        limits: of this zip; None: the default ones.

    Raises:
        ValueError: it is damaged or encrypted, beyond the limits, or holds names that lead out of the folder, links,
            other archives or no picture; one sentence, and no file was written.
    """
    limits = limits or Limits()
    try:
        size = Path(archive).stat().st_size
        if _count_entries(Path(archive)) > MOST_ENTRIES:
            raise _Refused(
                f"The zip holds more than {MOST_ENTRIES:,} files, and at most {limits.pictures:,} pictures can be "
                "taken; bring fewer."
            )
        with zipfile.ZipFile(archive) as opened:
            entries = _checked(opened.infolist(), size, limits)
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=".unpacking-", dir=folder) as staging:
                _extract(opened, entries, Path(staging))
                for unpacked in Path(staging).iterdir():
                    unpacked.replace(folder / unpacked.name)
    except _Refused:
        raise
    except Exception as error:  # zipfile and zlib raise many kinds on damaged files, the file system its own
        reason = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
        raise ValueError(f"The zip can't be unpacked ({reason}); make it again.") from None


class _Refused(ValueError):
    """A zip that is whole, but not taken."""


def _count_entries(archive: Path) -> int:
    """How many entries a zip has at most, whatever it says itself: so often their mark occurs."""
    count, end = 0, b""
    with archive.open("rb") as file:
        while chunk := file.read(CHUNK):
            count += (end + chunk).count(ENTRY)
            end = (end + chunk)[1 - len(ENTRY) :]
    return count


def _extract(archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo], folder: Path) -> None:
    for entry in entries:
        target = folder / entry.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, target.open("xb") as file:
            while chunk := source.read(CHUNK):  # never more than the size that was checked
                file.write(chunk)


def _checked(entries: Sequence[zipfile.ZipInfo], size: int, limits: Limits) -> list[zipfile.ZipInfo]:
    """Those entries of a zip of so many bytes that are to be unpacked. Raises _Refused."""
    wanted = [entry for entry in entries if _is_wanted(entry)]
    pictures = sum(entry.filename.lower().endswith(PICTURE_ENDINGS) for entry in wanted)
    if not pictures:
        raise _Refused(f"The zip holds no picture ({', '.join(PICTURE_ENDINGS)}); put your pictures into it.")
    unpacked = sum(entry.file_size for entry in wanted)
    try:
        check_limits(pictures, unpacked, limits)
    except ValueError as error:
        raise _Refused(str(error)) from None
    if unpacked > MOST_RATIO * max(size, CHUNK // MOST_RATIO):
        raise _Refused(
            f"The zip unpacks to more than {MOST_RATIO} times its size, as no pictures do; zip the pictures again."
        )
    [(name, times)] = Counter(PurePosixPath(entry.filename) for entry in wanted).most_common(1)
    if times > 1:
        raise _Refused(f"The zip holds {_short(str(name))} more than once; give each picture a name of its own.")
    return wanted


def _is_wanted(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry of a zip is to be unpacked. Raises _Refused where the zip is not to be trusted for it."""
    name, shown = entry.filename, _short(entry.filename)
    if leads_out(name):
        raise _Refused(f"The zip holds the name {shown}, which leads out of its folder; make it again.")
    if "\\" in name or is_odd(name):
        raise _Refused(f"The zip holds the name {shown}; use shorter names without control characters and backslashes.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise _Refused(f"The zip holds the link {shown}; put the picture itself into it.")
    if entry.flag_bits & ENCRYPTED:
        raise _Refused("The zip is encrypted; make one without a password.")
    if _hidden(PurePosixPath(name)) or entry.is_dir():
        return False
    if name.lower().endswith(ARCHIVE_ENDINGS):
        raise _Refused(f"The zip holds another archive, {shown}; put the pictures themselves into one zip.")
    if not name.lower().endswith(PICTURE_ENDINGS) and PurePosixPath(name).name != TABLE:
        return False
    if entry.compress_type not in METHODS:
        raise _Refused("The zip is compressed in an unusual way; make it with the usual method, deflate.")
    return True


def check_limits(pictures: int, size: int, limits: Limits) -> None:
    """Raises ValueError where so many pictures, or so many bytes of them, are beyond the limits; one sentence."""
    if pictures > limits.pictures:
        raise ValueError(f"{pictures:,} pictures came, and at most {limits.pictures:,} can be taken; bring fewer.")
    if size > limits.megabytes * 10**6:
        raise ValueError(
            f"The pictures have {size / 1e6:,.0f} MB, and at most {limits.megabytes:,} MB can be taken; bring fewer."
        )


def examine(examples: Sequence[Example], charset: Charset, height: int, stride: int) -> Examined:
    """Find out which labelled pictures can be used for training.

    Of equal pictures one is used, and none where their labels differ.

    Args:
        examples: pictures with their texts. Texts are stripped of outer white space and composed (Unicode NFC).
        charset: of the model; other characters are new, and fine as long as they can be printed.
        height: of prepared pictures, px.
        stride: of their frames, px.
    """
    usable: list[Example] = []
    problems: list[Problem] = []
    alike: dict[str, list[Example]] = {}  # by the picture's content
    known, new = set(charset.characters), set[str]()

    def leave_out(example: Example, sentence: str) -> None:
        printable = example.path.name.encode("utf-8", "replace").decode()  # names on a disk may be no text
        problems.append(Problem(printable, sentence.replace(str(example.path), printable)))

    for example in examples:
        example = replace(example, text=unicodedata.normalize("NFC", example.text.strip()))
        try:
            alike.setdefault(_fingerprint(example, height, stride), []).append(example)
        except ValueError as error:  # a PictureError among them
            leave_out(example, str(error))
    for first, *others in alike.values():
        if any(other.text != first.text for other in others):
            for one in (first, *others):
                rival = next(other for other in (first, *others) if other.text != one.text)
                leave_out(
                    one,
                    f"It is the same picture as {rival.path.name}, but its label is {_short(one.text)} and not "
                    f"{_short(rival.text)}; correct the wrong one.",
                )
            continue
        for other in others:
            leave_out(other, f"It is the same picture as {first.path.name}; one of them is enough.")
        brought = set(first.text) - known - new
        if len(new) + len(brought) > MOST_NEW_CHARACTERS:
            leave_out(first, f"It brings more than {MOST_NEW_CHARACTERS:,} new characters in all; check the labels.")
            continue
        new |= brought
        usable.append(first)
    return Examined(usable, problems, "".join(sorted(new)))


def _fingerprint(example: Example, height: int, stride: int) -> str:
    """The same for pictures of the same pixels. Raises ValueError where picture or label can't be used."""
    text = example.text
    if not text:
        raise ValueError("It has no label; label it, or leave it out.")
    unknown = next((c for c in text if not c.isprintable() or c == "\ufffd"), None)
    if unknown:
        raise ValueError(f"Its label {_short(text)} holds the unknown character {unknown!r}; correct the label.")
    frames, digest = _looked_into(example.path, version_of(example.path), height, stride)
    if frames_needed(text) > frames:
        raise ValueError(
            f"Its label {_short(text)} is too long for a picture so narrow ({frames} frames for "
            f"{frames_needed(text)}); check the label, or bring the picture wider."
        )
    return digest


@lru_cache(maxsize=20_000)  # the page asks anew after each label
def _looked_into(path: Path, version: Version | None, height: int, stride: int) -> tuple[int, str]:
    """The frames that a picture has when it is trained on, and what is the same for pictures of the same pixels.

    Raises PictureError.
    """
    picture = open_picture(path)
    frames = Geometry.of(lowered(picture, KEPT_HEIGHT), height, stride).frames
    return frames, hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).hexdigest()


def split(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Divide pictures into those to train on and those to measure on, so that no text is on both sides.

    Texts count as equal whatever their case. Whatever can be is divided so that each character is trained on.

    Args:
        examples: at least two texts.
        share: to measure on; at least one picture.
        seed: of the choice.

    Raises:
        ValueError: there is none, or all have the same text; one sentence.
    """
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.text.casefold(), []).append(example)
    if not groups:
        raise ValueError("There are no usable pictures; bring some with different texts.")
    if len(groups) < 2:
        raise ValueError(
            f"All {len(examples)} usable pictures say {_short(examples[0].text)}; bring pictures with different texts."
        )
    wanted = max(1, round(share * len(examples)))
    left = Counter(c for example in examples for c in example.text)
    texts = list(groups)
    order = [texts[i] for i in np.random.default_rng((seed, 4)).permutation(len(texts))]
    chosen: set[str] = set()
    count = 0
    for text in order:
        group = groups[text]
        own = Counter(c for example in group for c in example.text)
        if count < wanted and count + len(group) <= 2 * wanted and all(left[c] > own[c] for c in own):
            chosen.add(text)
            count += len(group)
            left -= own
    chosen = chosen or {min(order, key=lambda text: len(groups[text]))}
    held_out = [example for example in examples if example.text.casefold() in chosen]
    return [example for example in examples if example.text.casefold() not in chosen], held_out


def frames_needed(text: str) -> int:
    """CTC needs a frame a character and a blank between equal neighbours."""
    return len(text) + sum(a == b for a, b in zip(text, text[1:], strict=False))
