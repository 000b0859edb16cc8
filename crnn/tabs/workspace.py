"""One visitor's folder: the pictures to train on with their labels, and what was learnt from them."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from crnn.charset import Charset
from crnn.intake import (
    PICTURE_ENDINGS,
    TABLE,
    TABLES,
    Example,
    Limits,
    Problem,
    check_limits,
    examine,
    is_odd,
    leads_out,
    read_folder,
    unpack,
    write_table,
)

CHECKPOINT = ("config.json", "model.safetensors", "README.md")


class Upload(NamedTuple):
    """A file that came, and what its owner calls it."""

    path: Path
    name: str


class Report(NamedTuple):
    """What the pictures of a workspace are good for."""

    usable: Sequence[Example] = ()
    problems: Sequence[Problem] = ()
    unlabelled: int = 0  # pictures
    new_characters: str = ""


@dataclass(frozen=True)
class Workspace:
    """A folder of its own for each visitor; nothing is written outside it.

    All pictures lie side by side in `pictures`, with their labels in its metadata.csv, however they came.
    """

    folder: Path

    @property
    def pictures(self) -> Path:
        """The pictures and their metadata.csv."""
        return self.folder / "pictures"

    @property
    def run(self) -> Path:
        """What a training writes: progress.jsonl, interim checkpoints, the finished one."""
        return self.folder / "run"

    @property
    def log(self) -> Path:
        """What a training prints. A running one holds a lock on it."""
        return self.folder / "log"

    def examples(self) -> list[Example]:
        """The pictures with their labels; empty texts where there are none yet."""
        if not self.pictures.is_dir() or not any(self.pictures.iterdir()):
            return []
        return read_folder(self.pictures, names=False)

    def bring(self, uploads: Iterable[Upload], names: bool, limits: Limits) -> list[str]:
        """Add pictures: zips of them, single ones, a table of labels for those that are there or come with it.

        Args:
            uploads: what came.
            names: whether file names are labels, where there is no table.
            limits: of all pictures together.

        Returns:
            A sentence for whatever could not be taken; the rest was.
        """
        problems = []
        loose = []
        for upload in uploads:
            name = _plain(upload.name)
            kind = Path(name).suffix.lower()
            if kind in PICTURE_ENDINGS or name == TABLE:
                if leads_out(name) or is_odd(name):
                    problems.append(f"{name}: Its name can't be stored; give it a short, plain name.")
                else:
                    loose.append(upload)
                continue
            try:
                if kind != ".zip":
                    raise ValueError(f"It is no picture, no zip and no {TABLE}; bring one of these.")
                with self._staging() as staging:
                    unpack(upload.path, staging, limits)
                    self.add(staging, names, limits)
            except (ValueError, OSError) as error:
                problems.append(f"{_plain(upload.name)}: {_reason(error)}")
        if loose:
            with self._staging() as staging:
                for upload in loose:
                    name = _plain(upload.name)
                    if (staging / name).exists():
                        problems.append(f"{name}: Two files of this name came at once; bring one after the other.")
                        continue
                    try:
                        shutil.copyfile(upload.path, staging / name)
                    except OSError as error:
                        problems.append(f"{name}: {_reason(error)}")
                try:
                    if any(staging.iterdir()):
                        self.add(staging, names, limits)
                except (ValueError, OSError) as error:
                    problems.append(_reason(error))
        return problems

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        """A folder within the workspace that is gone when it is left."""
        with TemporaryDirectory(prefix="new-", dir=self.folder, ignore_cleanup_errors=True) as staging:
            yield Path(staging)

    def add(self, staging: Path, names: bool, limits: Limits) -> None:
        """Move the pictures of a folder to the others, each under a name of its own.

        Raises:
            ValueError: there is none, its table is not what it should be, or the limits are passed; nothing is added.
        """
        try:
            new = read_folder(staging, names)
        except ValueError as error:
            raise ValueError(str(error).replace(str(staging), "What came")) from error  # whose path tells no one
        with TABLES:
            self._add(new, limits)

    def _add(self, new: Sequence[Example], limits: Limits) -> None:
        known = {example.path.name: example.text for example in self.examples()}
        here = [self.pictures / name for name in known if (self.pictures / name).is_file()]
        arrived = [example.path for example in new if example.path.is_file()]
        check_limits(len(here) + len(arrived), sum(path.stat().st_size for path in (*here, *arrived)), limits)
        for example in new:
            name = example.path.name.lstrip()  # a table's reader leaves spaces before names out
            if not example.path.is_file():  # a label for a picture that came before, or comes later
                known[name] = example.text
                continue
            text = example.text
            if name in known and not (self.pictures / name).exists():
                text = known[name]  # its label came before
            else:
                name = self._free(name, known)
            os.replace(example.path, self.pictures / name)
            known[name] = text
        write_table(self.pictures, [Example(self.pictures / name, text) for name, text in known.items()])

    def _free(self, name: str, known: dict[str, str]) -> str:
        """The name, or one like it that no other picture has."""
        stem, ending, number = Path(name).stem, Path(name).suffix, 1
        while name in known or (self.pictures / name).exists():
            number += 1
            name = f"{stem} ({number}){ending}"
        return name

    def report(self, charset: Charset, height: int, stride: int) -> Report:
        """Find out which pictures can be used; those without a label are counted apart.

        Args:
            charset: of the reader.
            height: of prepared pictures, px.
            stride: px of them a frame.
        """
        examples = self.examples()
        missing = [example for example in examples if not example.path.is_file()]
        here = [example for example in examples if example.path.is_file()]
        labelled = [example for example in here if example.text.strip()]
        examined = examine(labelled, charset, height, stride)
        problems = [
            Problem(example.path.name, f"The {TABLE} names it, but it did not come; bring it too.")
            for example in missing
        ]
        return Report(
            examined.usable, [*examined.problems, *problems], len(here) - len(labelled), examined.new_characters
        )

    def pack(self, target: Path) -> None:
        """Write the finished checkpoint as a zip; unpacked, it is what `Recognizer.from_pretrained` takes.

        Raises:
            FileNotFoundError: there is none.
        """
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in CHECKPOINT:
                archive.write(self.run / name, name)


def _plain(name: str) -> str:
    """The name of a file without folders, as any system may have written them."""
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def _reason(error: Exception) -> str:
    """What a person can use of an error: not the server's paths."""
    if isinstance(error, OSError):
        return f"The server could not store it ({error.strerror or 'unknown reason'}); give it a short, plain name."
    return str(error)


def some(examples: Sequence[Example], count: int) -> list[Example]:
    """So many of all, spread evenly."""
    step = max(1.0, len(examples) / count)
    return [examples[int(i * step)] for i in range(min(count, len(examples)))]
