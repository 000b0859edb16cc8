"""Endless batches for training: drawn pictures with their alignment, and labelled ones of which few must teach much."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from crnn.augment import augment
from crnn.charset import BLANK, Charset
from crnn.fonts import Font
from crnn.image import Geometry, Picture, lowered, open_picture, prepare, prepared_frames
from crnn.intake import KEPT_HEIGHT, Example, frames_needed
from crnn.model import IGNORED
from crnn.splice import splice
from crnn.styles import STYLES
from crnn.synth import Drawing, draw

Batch = dict[str, Tensor]

# Widths in frames of drawn batches, weighted by their count here: all pictures of a batch are equally wide, so that
# nothing is padded. At 4 px a frame and 48 px of height these are aspects of 1.3 to 6.7.
BATCH_FRAMES = (16, 20, 24, 28, 28, 32, 32, 32, 32, 36, 36, 36, 40, 40, 44, 48, 56, 80)
EASY_STYLES = ("plain", "tilted")
EASY_PICTURES = 60_000  # after so many pictures all styles are drawn; CTC finds no alignment in the hardest at first

ASPECTS = (1.3, 6.7)  # of pictures drawn beside labelled ones
WIDER = (0.8, 1.25)  # of labelled pictures, over their own width: what reads looks at such widths (crnn.recognizer)
BUCKET = 8  # batches whose labelled pictures are sorted by width together
SPLICE_SHARE = 0.5  # of the labelled ones get the end of another
ALIKE_SHARE = 0.6  # of the drawn ones: of the kinds that are most like the labelled pictures


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
        fonts: to draw with; None: those of :func:`crnn.synth.draw`.
    """

    def __init__(
        self,
        charset: Charset,
        height: int,
        stride: int,
        batch_size: int,
        seed: int,
        drawn: int = 0,
        easy: bool = True,
        fonts: tuple[Font, ...] | None = None,
    ) -> None:
        self.charset, self.height, self.stride, self.fonts = charset, height, stride, fonts
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
            drawing = draw(rng, style=style, aspect=aspect, fonts=self.fonts)
            if frames_needed(drawing.text) <= frames:
                drawings.append(drawing)
        pictures = [prepare(drawing.picture, self.height, self.stride) for drawing in drawings]
        batch = collate(pictures, [drawing.text for drawing in drawings], self.charset)
        alignment = np.stack([align(drawing, frames, self.charset) for drawing in drawings])
        return batch | {"alignment": torch.from_numpy(alignment)}


class PreparedPictures(Dataset[tuple[np.ndarray, str]]):
    """Labelled pictures, prepared once and kept: the pairs that :func:`collate` takes."""

    def __init__(self, pairs: list[tuple[np.ndarray, str]]) -> None:
        self.pairs = pairs

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


Key = tuple[int, int]  # number of a batch, and which part of it


class LabelledBatches(IterableDataset[Key]):
    """Endless batches of labelled pictures, changed each time, and of drawn ones; each batch at another width.

    Iterating gives keys, and :meth:`make` the batch of a key: the same seed and key, the same batch. So training can
    go on at any batch, and of several processes each makes its own parts alone.

    Args:
        examples: labelled pictures, all readable.
        charset: of the model.
        height, stride: of the prepared pictures, px.
        size: pictures a batch.
        seed: of all changes and drawing.
        draw_share: of each batch, drawn ones.
        alike: probability of each style to be drawn where a picture shall be like the labelled ones.
        partings: finds where the characters of a picture with this text part (:func:`crnn.splice.partings`).
        parts: processes that share a batch.
        start: number of the first batch.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        charset: Charset,
        height: int,
        stride: int,
        size: int,
        seed: int,
        draw_share: float,
        alike: dict[str, float],
        partings: Callable[[Picture, str], np.ndarray],
        parts: int = 1,
        start: int = 0,
    ) -> None:
        self.charset, self.height, self.stride = charset, height, stride
        self.size, self.seed, self.alike, self.parts, self.start = size, seed, alike, parts, start
        self.pictures = [lowered(open_picture(example.path), KEPT_HEIGHT) for example in examples]
        self.texts = [example.text for example in examples]
        self.joinable = {
            i: (picture, text, partings(picture, text))
            for i, (picture, text) in enumerate(zip(self.pictures, self.texts, strict=True))
            if len(text) > 1
        }
        self.widths = np.array([Geometry.of(picture, height, stride).prepared_width for picture in self.pictures])
        self.drawn_from = sorted({c for text in self.texts for c in text if c.isascii() and c.isalnum()})
        self.labelled = max(1, size - round(draw_share * size))

    def __iter__(self) -> Iterator[Key]:
        for number in itertools.count(self.start):
            for part in range(self.parts):
                yield number, part

    def make(self, key: Key) -> Batch:
        """One part of a batch, as :func:`collate` gives it, with its alignment."""
        number, part = key
        members = self._members(number)
        wider = float(np.random.default_rng((self.seed, 3, number)).uniform(*WIDER))
        usual = wider * np.median(self.widths[members])
        narrowest, widest = (self.height * aspect for aspect in ASPECTS)
        frames = prepared_frames(min(max(usual, narrowest), widest) / self.stride)
        pictures, texts, classes = [], [], []
        for place in range(part, self.size, self.parts):
            rng = np.random.default_rng((self.seed, 2, number, place))
            if place < len(members):
                picture, text = self._changed(rng, int(members[place]), wider)
                known = np.full(picture.shape[2] // self.stride, IGNORED)
            else:
                drawing = self._draw(rng, frames)
                picture, text = prepare(drawing.picture, self.height, self.stride), drawing.text
                known = align(drawing, frames, self.charset)
            pictures.append(picture)
            texts.append(text)
            classes.append(known)
        batch = collate(pictures, texts, self.charset)
        alignment = np.full((len(texts), batch["pixel_values"].shape[3] // self.stride), IGNORED)
        for row, known in zip(alignment, classes, strict=True):
            row[: len(known)] = known
        return batch | {"alignment": torch.from_numpy(alignment)}

    def _members(self, number: int) -> np.ndarray:
        """Which labelled pictures are in a batch: those of like width together, and none twice in a round.

        A round leaves out at random what does not fill a batch; only where all do not fill one do some come again.
        """
        count, size = len(self.texts), self.labelled
        a_round, place = divmod(number, max(1, count // size))
        rng = np.random.default_rng((self.seed, 1, a_round))
        order = np.resize(rng.permutation(count), max(size, count // size * size))
        chunks = [order[i : i + BUCKET * size] for i in range(0, len(order), BUCKET * size)]
        order = np.concatenate([chunk[np.argsort(self.widths[chunk], kind="stable")] for chunk in chunks])
        return order[place * size : (place + 1) * size]

    def _changed(self, rng: np.random.Generator, i: int, wider: float) -> tuple[np.ndarray, str]:
        """A labelled picture, prepared, and its text; perhaps with the end of another, and changed in any case."""
        picture, text = self.pictures[i], self.texts[i]
        if len(text) > 1 and rng.random() < SPLICE_SHARE:
            picture, text = splice(rng, self.joinable[i], self.joinable[int(rng.choice(list(self.joinable)))])
        prepared = prepare(augment(rng, picture), self.height, self.stride, wider)
        if frames_needed(text) <= prepared.shape[2] // self.stride:
            return prepared, text
        return prepare(self.pictures[i], self.height, self.stride), self.texts[i]  # wide enough as it came

    def _draw(self, rng: np.random.Generator, frames: int) -> Drawing:
        """A drawn picture as wide as so many frames, whose text fits into them."""
        while True:
            text = style = None
            if self.alike and rng.random() < ALIKE_SHARE:
                style = str(rng.choice(list(self.alike), p=list(self.alike.values())))
                if self.drawn_from:
                    like = self.texts[int(rng.integers(len(self.texts)))]
                    text = "".join(rng.choice(self.drawn_from, len(like)))
            drawing = draw(rng, text=text, style=style, aspect=frames * self.stride / self.height)
            if frames_needed(drawing.text) <= frames:
                return drawing
