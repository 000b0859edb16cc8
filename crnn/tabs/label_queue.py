"""The pictures of one person's folder that nobody has labelled yet, and their labels, saved as they are made."""

from __future__ import annotations

import csv
import io
import threading
import unicodedata
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from crnn.decode import Reading
from crnn.intake import COLUMNS, TABLE, TABLES, Example, Version, read_folder, version_of, write_table

if TYPE_CHECKING:
    from crnn.recognizer import Recognizer

AT_ONCE = 32  # pictures read together: the first one shows after the first so many, in about half a second
SURELY = 0.95  # what is read with more confidence can be accepted unseen
LONGEST = 100  # characters of a label; no picture has room for more


class Gone(ValueError):
    """The folder, its pictures or its table are not there any more as they were."""


class Lost(ValueError):
    """The picture that is shown is not there any more, or nobody knows any more which it was."""


class File(NamedTuple):
    """A picture as it lies on the disk: another one that takes its name is not the same."""

    path: Path
    version: Version


@dataclass
class View:
    """Where one open page stands.

    Attributes:
        current: the picture that it shows; None: none.
        made: what was labelled on it, the last last.
        skipped: what comes again when all others are labelled.
    """

    current: File | None = None
    made: list[Path] = field(default_factory=list)
    skipped: set[File] = field(default_factory=set)


def cleaned(text: str) -> str:
    """A label as it is saved: to the letter, but without outer white space and composed (Unicode NFC)."""
    return unicodedata.normalize("NFC", text.strip())


class LabelQueue:
    """What a folder still has to label. Any thread may use it.

    Pictures are read a few at a time: `read_some`, which others may call again and again in the background.
    """

    def __init__(self, folder: Path) -> None:
        """folder: of the pictures; `refresh` looks into it."""
        self.folder = folder
        self._lock = threading.RLock()
        self._reading = threading.Lock()  # held while the network runs, which the other one must not wait for
        self._texts: dict[Path, str] = {}  # of the labelled ones
        self._waiting: dict[Path, File] = {}  # the others
        self._guesses: dict[File, Reading] = {}
        self._unreadable: set[File] = set()
        self._table: Version | None = None  # as it was read or written last
        self._others: list[Path] = []  # tables in folders of the folder, as an unpacked dataset has them

    # ------------------------------------------------------------ what there is

    def refresh(self) -> None:
        """Look what the folder holds now. Raises Gone where there is no picture, or the table can't be read."""
        with self._lock:
            self._table = version_of(self.folder / TABLE)
            try:
                examples = read_folder(self.folder, names=False)
                self._others = [table for table in self.folder.rglob(TABLE) if table.parent != self.folder]
            except (ValueError, OSError) as error:
                raise Gone(str(error)) from error
            self._texts = {example.path: example.text for example in examples if example.text.strip()}
            versions = {example.path: version_of(example.path) for example in examples}
            self._waiting = {
                path: File(path, version) for path, version in versions.items() if version and path not in self._texts
            }
            there = {File(path, version) for path, version in versions.items() if version}
            self._guesses = {file: guess for file, guess in self._guesses.items() if file in there}
            self._unreadable &= there

    @property
    def labelled(self) -> int:
        """How many pictures have a label."""
        with self._lock:
            return len(self._texts)

    @property
    def left_out(self) -> int:
        """How many of those read so far can't be opened."""
        with self._lock:
            return sum(file in self._unreadable for file in self._waiting.values())

    def place(self, view: View) -> tuple[int, int]:
        """The number of the picture that a page shows, and of how many, those that it labelled counted in."""
        with self._lock:
            left = [file for file in self._waiting.values() if file not in self._unreadable]
            total = len(left) + sum(path in self._texts for path in view.made)
            return total - sum(file not in view.skipped for file in left) + 1, total

    def waits(self, file: File) -> bool:
        """Whether a picture is there and has no label."""
        with self._lock:
            return self._waiting.get(file.path) == file and file not in self._unreadable

    def guess(self, file: File) -> Reading | None:
        """What the reader sees in a picture; None where it was not read."""
        with self._lock:
            return self._guesses.get(file)

    def text(self, file: File) -> str | None:
        """A picture's label, None where it has none."""
        with self._lock:
            return self._texts.get(file.path)

    def sure(self, view: View) -> list[File]:
        """The pictures that a page has not skipped, and that are surely read, as far as they are read."""
        with self._lock:
            return [
                file for file in self._waiting.values() if file not in view.skipped and self._certainty(file) > SURELY
            ]

    # ------------------------------------------------------------ reading

    def read_some(self, reader: Recognizer) -> bool:
        """Read the next few pictures; True where others are left."""
        with self._reading:
            files = self.unread()[:AT_ONCE]
            results = list(reader.read_many([file.path for file in files], batch_size=AT_ONCE // 2, top=1))
            with self._lock:
                for file, result in zip(files, results, strict=True):
                    if isinstance(result, Reading):
                        self._guesses[file] = _light(result)
                    else:
                        self._unreadable.add(file)
                return bool(self.unread())

    def unread(self) -> list[File]:
        """The pictures that wait, and that the reader has not looked at yet."""
        with self._lock:
            return [
                file for file in self._waiting.values() if file not in self._guesses and file not in self._unreadable
            ]

    def _certainty(self, file: File) -> float:
        """How sure the reader is of a picture's text; 0 where it found none or has not looked yet."""
        guess = self._guesses.get(file)
        return guess.confidence if guess and guess.text else 0.0

    # ------------------------------------------------------------ from picture to picture

    def advance(self, view: View, reader: Recognizer) -> bool:
        """Go to the least certain picture of those read so far; `view.current` is None where none is left.

        Returns True where only skipped ones are left, which now come again.
        """
        again = False
        while True:
            with self._lock:
                read = [file for file in self._waiting.values() if file in self._guesses]
                fresh = [file for file in read if file not in view.skipped]
                unread = self.unread()
                if not fresh and not unread and read:
                    view.skipped.clear()
                    again, fresh = True, read
                if fresh or not unread:
                    view.current = min(fresh, key=lambda file: (self._certainty(file), file), default=None)
                    return again
            self.read_some(reader)

    def skip(self, view: View) -> None:
        """Leave the picture that is shown for later; a labelled one stays as it is."""
        with self._lock:
            if view.current and view.current.path in self._waiting:
                view.skipped.add(view.current)

    def before(self, view: View) -> File | None:
        """The picture that was labelled before the one that a page shows, None where there is none."""
        with self._lock:
            made = [path for path in view.made if path in self._texts]
        if view.current and view.current.path in made:
            made = made[: made.index(view.current.path)]
        version = version_of(made[-1]) if made else None
        return File(made[-1], version) if version else None

    def leave_out(self, file: File) -> None:
        """Ask for this picture no more: it can't be opened."""
        with self._lock:
            self._guesses.pop(file, None)
            self._unreadable.add(file)

    # ------------------------------------------------------------ labels

    def label(self, view: View, text: str) -> None:
        """Save a label of the picture that is shown, or another one where it has one.

        Raises Lost where it is not there any more, Gone where all are not, OSError where it can't be written.
        """
        with self._lock:
            if view.current is None or version_of(view.current.path) != view.current.version:
                raise Lost
            self._save(view, {view.current.path: cleaned(text)})

    def accept_sure(self, view: View) -> int:
        """Save what the reader guesses for all pictures that are surely read; returns how many. Raises as `label`."""
        with self._lock:
            files = [file for file in self.sure(view) if version_of(file.path) == file.version]
            if files:
                self._save(view, {file.path: self._guesses[file].text for file in files})
            return len(files)

    def _save(self, view: View, texts: dict[Path, str]) -> None:
        with TABLES:
            if version_of(self.folder / TABLE) != self._table:  # others have written it, as when pictures were added
                self.refresh()
            changed = self._texts | texts
            try:
                write_table(self.folder, [Example(path, text) for path, text in changed.items()])
            except FileNotFoundError as error:
                raise Gone(str(error)) from error
            self._table = version_of(self.folder / TABLE)
        for table in self._others:  # all that they say stands in the one above them now, which they would outdo
            table.unlink(missing_ok=True)
        self._others = []
        self._texts = changed
        for path in texts:
            self._waiting.pop(path, None)
        view.made = [path for path in view.made if path not in texts] + list(texts)

    def archive(self, target: Path) -> None:
        """Write the labelled pictures and their table to a zip, a dataset as the Hub's imagefolder takes it."""
        with self._lock:
            texts = {path: text for path, text in self._texts.items() if path.is_file()}
        table = io.StringIO(newline="")
        rows = csv.writer(table)
        rows.writerow(COLUMNS)
        with zipfile.ZipFile(target, "w") as archive:  # stored: pictures are packed already
            for path, text in texts.items():
                name = path.relative_to(self.folder).as_posix()
                archive.write(path, name)
                rows.writerow((name, text))
            archive.writestr(TABLE, table.getvalue())


def _light(reading: Reading) -> Reading:
    """A reading without the maps, of which thousands would fill the memory."""
    return replace(reading, characters=tuple(replace(one, focus=None) for one in reading.characters))
