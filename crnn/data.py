"""Labelled pictures for training: folders, endless batches of drawn ones, and how they are put together."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from crnn.charset import BLANK, Charset
from crnn.image import PictureError, open_picture, prepare
from crnn.model import IGNORED
from crnn.styles import STYLES
from crnn.synth import Drawing, draw

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
Batch = dict[str, Tensor]

# Widths in frames of drawn batches, weighted by their count here: all pictures of a batch are equally wide, so that
# nothing is padded. At 4 px a frame and 48 px of height these are aspects of 1.3 to 6.7.
BATCH_FRAMES = (16, 20, 24, 27, 30, 30, 32, 32, 34, 34, 36, 36, 38, 40, 44, 48, 56, 80)
EASY_STYLES = ("plain", "tilted")
EASY_PICTURES = 60_000  # after so many pictures all styles are drawn; CTC finds no alignment in the hardest at first


@dataclass(frozen=True)
class Example:
    """A picture file and what it says."""

    path: Path
    text: str


def read_folder(folder: str | Path) -> list[Example]:
    """The labelled pictures of a folder: its ``metadata.csv`` (columns ``file_name`` and ``text``), or else files named
    ``LABEL.png`` or ``LABEL_1.png``.

    Raises:
        ValueError: there is no such folder, no picture in it, or ``metadata.csv`` lacks a column; one sentence.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}; give a folder of labelled pictures.")
    table = folder / "metadata.csv"
    if table.exists():
        examples = _read_table(table)
    else:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURE_ENDINGS)
        examples = [Example(file, re.sub(r"_\d+$", "", file.stem)) for file in files]
    if not examples:
        raise ValueError(
            f"{folder} has no labelled pictures; give a metadata.csv with file_name,text or name pictures LABEL.png."
        )
    return examples


def _read_table(table: Path) -> list[Example]:
    with table.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        if not {"file_name", "text"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{table} has the columns {reader.fieldnames}; it needs file_name and text.")
        return [Example(table.parent / row["file_name"], row["text"]) for row in reader]


def collate(pictures: Sequence[np.ndarray], texts: Sequence[str], charset: Charset) -> Batch:
    """One batch of prepared pictures.

    Args:
        pictures: each (3, H, width) float32, as from :func:`crnn.image.prepare`.
        texts: what they say; characters outside the charset are an error of :meth:`Charset.encode`.
        charset: of the model.

    Returns:
        pixel_values (N, 3, H, W) float32, W the widest; labels (N, L) int64 padded with the blank; widths (N,) int64 in
        px, unless all are equally wide.
    """
    widths = torch.tensor([picture.shape[2] for picture in pictures])
    pixels = torch.zeros(len(pictures), 3, pictures[0].shape[1], int(widths.max()))
    for row, picture in zip(pixels, pictures, strict=True):
        row[:, :, : picture.shape[2]] = torch.from_numpy(picture)
    labels = torch.full((len(texts), max(map(len, texts))), BLANK)
    for target, text in zip(labels, texts, strict=True):
        target[: len(text)] = torch.tensor(charset.encode(text))
    batch = {"pixel_values": pixels, "labels": labels}
    return batch if bool((widths == widths[0]).all()) else batch | {"widths": widths}


def align(drawing: Drawing, frames: int, charset: Charset) -> np.ndarray:
    """The class of each frame where the drawing tells it: (frames,) int64.

    The frames at a glyph's centre are the glyph's, those halfway to the next glyph and outside of all are blank; the
    rest, and all in doubt, are ``IGNORED``.
    """
    classes = np.full(frames, IGNORED)
    scale = frames / drawing.picture.shape[1]
    left, right = drawing.boxes[:, 0] * scale, drawing.boxes[:, 2] * scale
    centres = (left + right) / 2
    at = np.arange(frames) + 0.5
    classes[(at < left.min() - 0.5) | (at > right.max() + 0.5)] = BLANK
    order = np.argsort(centres, kind="stable")
    if (order != np.arange(len(order))).any() or (np.diff(centres) < 2).any():
        return np.full(frames, IGNORED)  # so crowded that frames can't be told apart
    classes[((centres[1:] + centres[:-1]) / 2).astype(int)] = BLANK
    classes[centres.astype(int).clip(0, frames - 1)] = charset.encode(drawing.text)
    return classes


class DrawnBatches(IterableDataset[Batch]):
    """Endless batches of drawn pictures, from easy to hard, each with its alignment.

    Args:
        charset: of the model.
        height, stride: of the prepared pictures, px.
        batch_size: pictures a batch.
        seed: of all drawing; workers draw different pictures.
        drawn: pictures drawn before (of an earlier run that is resumed); sets the difficulty and the randomness.
        easy: begin with the easiest styles; False where the model can already read.
    """

    def __init__(
        self, charset: Charset, height: int, stride: int, batch_size: int, seed: int, drawn: int = 0, easy: bool = True
    ) -> None:
        self.charset, self.height, self.stride = charset, height, stride
        self.batch_size, self.seed, self.drawn, self.easy = batch_size, seed, drawn, easy

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(0)
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        rng = np.random.default_rng((self.seed, number, self.drawn))
        drawn = self.drawn
        while True:
            difficulty = min(1.0, drawn / EASY_PICTURES) if self.easy else 1.0
            yield self._batch(rng, difficulty)
            drawn += self.batch_size * workers

    def _batch(self, rng: np.random.Generator, difficulty: float) -> Batch:
        frames = int(rng.choice(BATCH_FRAMES))
        aspect = frames * self.stride / self.height
        drawings: list[Drawing] = []
        while len(drawings) < self.batch_size:
            style = None if rng.random() < difficulty else EASY_STYLES[rng.integers(0, len(EASY_STYLES))]
            drawing = draw(rng, style=style, aspect=aspect)
            if frames_needed(drawing.text) <= frames:
                drawings.append(drawing)
        pictures = [prepare(drawing.picture, self.height, self.stride) for drawing in drawings]
        pictures = [p if p.shape[2] == frames * self.stride else _fit(p, frames * self.stride) for p in pictures]
        batch = collate(pictures, [drawing.text for drawing in drawings], self.charset)
        alignment = np.stack([align(drawing, frames, self.charset) for drawing in drawings])
        return batch | {"alignment": torch.from_numpy(alignment)}


def _fit(picture: np.ndarray, width: int) -> np.ndarray:
    """A prepared picture (3, H, any) at a width off by one frame through rounding: (3, H, width)."""
    return np.ascontiguousarray(cv2.resize(picture.transpose(1, 2, 0), (width, picture.shape[1])).transpose(2, 0, 1))


def frames_needed(text: str) -> int:
    """CTC needs a frame a character and a blank between equal neighbours."""
    return len(text) + sum(a == b for a, b in zip(text, text[1:], strict=False))


class PreparedPictures(Dataset[tuple[np.ndarray, str]]):
    """Labelled pictures, prepared once and kept: the pairs that :func:`collate` takes."""

    def __init__(self, pairs: list[tuple[np.ndarray, str]]) -> None:
        self.pairs = pairs

    @classmethod
    def from_folders(
        cls, folders: Sequence[str | Path], charset: Charset, height: int, stride: int
    ) -> tuple[PreparedPictures, list[str]]:
        """The usable pictures of labelled folders, and one sentence for each that is not usable."""
        pairs, problems = [], []
        for example in (example for folder in folders for example in read_folder(folder)):
            try:
                if not example.text:
                    raise ValueError("it has no label.")
                charset.encode(example.text)
                picture = prepare(open_picture(example.path), height, stride)
                if frames_needed(example.text) > picture.shape[2] // stride:
                    raise ValueError(f"its label {example.text!r} is too long for a picture so narrow.")
                pairs.append((picture, example.text))
            except (PictureError, ValueError) as error:
                problems.append(f"{example.path.name}: {error}")
        return cls(pairs), problems

    @classmethod
    def drawn(cls, count: int, seed: int, height: int, stride: int) -> PreparedPictures:
        """A fixed set of drawn pictures, all styles in turn; sorted by width, so that batches have little padding."""
        rng = np.random.default_rng(seed)
        styles = list(STYLES)
        drawings = [draw(rng, style=styles[i % len(styles)]) for i in range(count)]
        pairs = [(prepare(drawing.picture, height, stride), drawing.text) for drawing in drawings]
        return cls(sorted(pairs, key=lambda pair: pair[0].shape[2]))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[np.ndarray, str]:
        return self.pairs[index]
