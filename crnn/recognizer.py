"""The one public door: pictures in, readings out."""

from __future__ import annotations

import ctypes
import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import accumulate, islice, pairwise, takewhile
from numbers import Integral
from operator import index
from pathlib import Path
from threading import Event
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from crnn.charset import NAMED, Charset, resolve
from crnn.decode import Character, Reading, beam_search, calibrated, greedy, most_likely
from crnn.hub import loading
from crnn.image import Geometry, Picture, PictureError, Source, lowered, open_picture, prepare
from crnn.locate import MOST, Box, choose, locate, within_margins

Array = npt.NDArray[np.float32]
Length = int | tuple[int, int]
Seen = tuple[Array, Array]  # of one picture: log-probabilities (T, C), attention (T, h, T)

SHIPPED = Path(__file__).parent.parent / "checkpoints" / "captcha"
if not SHIPPED.is_dir():  # installed, not a clone
    SHIPPED = Path(__file__).parent / "shipped"
WINDOWS_AHEAD = 2  # looked at side by side: one's Python runs while the other's network does
WINDOW_BATCHES = 4  # so many batches are sorted by width together: little padding, little waiting
FIRST_WINDOW = 8  # pictures, and then twice as many each time, so that the first readings come soon
MOST_OTHERS = 100  # other texts; the search for more would take seconds
BEAM = 10
SURE = 0.9  # below this probability a picture is looked at again, and the likely lines of a larger one are looked at;
# a larger one that is read with so much (calibrated) confidence is not read line by line
LIKELY = 0.5  # below this, after two looks, it is looked at a third time
TIED, ROUNDING = 0.1, 0.03  # margins within which rounding could change the answer: between log-probabilities of what
# is read and of another text; between a probability and LIKELY
FIRST_WIDTH, SECOND_WIDTH, THIRD_WIDTH = 0.8, 1.1, 1.25  # of a picture in each look, over its own
NARROW_PX = 80  # one that is no wider, as prepared, keeps its width in the first: its characters stand close as it is
BLUR_PX = 0.8  # sigma of the second
SMALL_PX = 128  # of a picture's height are kept for the second look and the third
MORE = 0.5  # characters, each as far as it is sure, that a line found in it must say more than the whole
EXTENT = 0.9  # share of a character's focus that its box holds, from top to bottom


class Network(Protocol):
    """What reads: :class:`crnn.engine.Engine` on a CPU, :class:`crnn.model.CRNNForCTC` on a GPU and in training."""

    config: Any  # charset, height, stride and calibration, as in crnn.config.CRNNConfig

    rounds: bool  # it computes in less than float32, unless asked for `exact`

    def infer(self, prepared: Sequence[Array], exact: bool = False) -> list[Seen]:
        """What it sees in each prepared picture (3, H, W); their widths may differ."""
        ...


@dataclass(frozen=True)
class View:
    """A picture, or a line in it, as the model takes it at first, and small enough to be kept for other looks."""

    prepared: Array
    geometry: Geometry
    small: Picture


@dataclass(frozen=True)
class Look:
    """What the network saw in one picture: enough to decode it again, under other constraints.

    The network is needed again only where rounding could decide what is read.
    """

    log_probs: Array  # (T, C)
    attention: Array  # (T, h, T): where each frame looked
    view: View  # what was looked at
    likely: float  # P of the most probable of the texts that its views' best paths say
    others: tuple[Array, ...] = ()  # log-probabilities (T', C) of changed views of it, where it was unsure
    exact: bool = False  # all this was computed in float32
    lines: dict[Box, Look] = field(default_factory=dict)  # the likely lines of a picture that is larger than one

    @property
    def views(self) -> tuple[Array, ...]:
        """Log-probabilities (T, C) of all views, those that `attention` belongs to first."""
        return self.log_probs, *self.others


@dataclass(frozen=True)
class _Opened:
    """A picture as the model takes it, and so the likely lines in one that is larger than a line.

    A large picture itself is let go: a window of photos would fill the memory.
    """

    whole: View
    lines: dict[Box, View]


Decoder = Callable[[Look], tuple[Reading, bool]]  # and whether rounding could decide between it and another


class Recognizer:
    """Reads pictures with one network, on the GPU where there is one. Several threads may share it.

    >>> reader = Recognizer.from_pretrained()            # doctest: +SKIP
    >>> reader.read("captcha.png", length=(4, 6)).text   # doctest: +SKIP
    'w7XkP'
    """

    def __init__(self, model: Network) -> None:
        self.model = model
        self.charset = Charset(model.config.charset)
        self.calibration: tuple[float, float] = tuple(model.config.calibration)
        self._cases: dict[str, list[int]] = {}  # the classes of a letter's two cases
        for class_id, character in enumerate(self.charset.characters, 1):
            self._cases.setdefault(character.lower(), []).append(class_id)

    @classmethod
    def from_pretrained(cls, checkpoint: str | Path | None = None, device: str | None = None) -> Recognizer:
        """Load a checkpoint.

        Args:
            checkpoint: a folder with config.json and model.safetensors, or the id of a model on the Hugging Face Hub;
                None for the weights that come with this project, checkpoints/captcha.
            device: where torch runs it, in float32; None for the GPU where there is one, else :mod:`crnn.engine`.

        Raises:
            ValueError: there is no such checkpoint, or it holds another kind of model.
        """
        return cls(_network(SHIPPED if checkpoint is None else checkpoint, device))

    def read(
        self,
        picture: Source,
        *,
        charset: str | None = None,
        length: Length | None = None,
        ignore_case: bool = False,
        top: int = 5,
    ) -> Reading:
        """Read one picture; where it is clearly larger than a line of text, the line in it (`crnn.locate`).

        Args:
            picture: path, bytes, binary file, PIL image, or uint8 array of shape (H, W), (H, W, 3) or (H, W, 4).
            charset: a name of `crnn.charset.NAMED`, in any case, or the characters themselves; only these are
                considered.
            length: how many characters there are, or the fewest and the most; only such texts are considered.
            ignore_case: count the spellings of a text that differ in case as one.
            top: how many other texts to give at most. 0, without any of the constraints above, decodes greedily, which
                is quicker.

        Raises:
            PictureError: the picture can't be used.
            ValueError: the model doesn't know a character of charset, the length is not a range, or top is not from 0
                to 100.
        """
        return self.decode(self.look(picture), charset=charset, length=length, ignore_case=ignore_case, top=top)

    def look(self, picture: Source) -> Look:
        """Run the network over one picture; `decode` tells what it saw. Raises PictureError."""
        opened = self._open(picture)
        if isinstance(opened, PictureError):
            raise opened
        return self._look([opened], batch_size=1)[0]

    def decode(
        self,
        look: Look,
        *,
        charset: str | None = None,
        length: Length | None = None,
        ignore_case: bool = False,
        top: int = 5,
    ) -> Reading:
        """Decode what the network saw, as often as wanted. Arguments and errors as in `read`.

        It takes milliseconds, or as long as `look` where rounding could decide between two texts: then the network is
        asked once more, in float32.
        """
        (reading,) = self._read([look], self._decoder(charset, length, ignore_case, top), batch_size=1)
        if isinstance(reading, PictureError):
            raise reading
        return reading

    def read_many(
        self,
        pictures: Iterable[Source],
        *,
        batch_size: int = 32,
        charset: str | None = None,
        length: Length | None = None,
        ignore_case: bool = False,
        top: int = 5,
    ) -> Iterator[Reading | PictureError]:
        """Read pictures in batches, which is faster than one by one, and yield what `read` gives, in their order.

        In place of a picture that can't be used comes its PictureError, yielded and not raised, so that one bad file
        does not cost the rest. Arguments and ValueError as in `read`; pictures is consumed up to twelve batches ahead.
        """
        if not isinstance(batch_size, Integral) or batch_size < 1:
            raise ValueError(f"The batch size is {batch_size}; give 1 or more.")
        if isinstance(pictures, str | Path | bytes):
            raise ValueError(f"One {type(pictures).__name__} came instead of several pictures; give a list of them.")
        decode = self._decoder(charset, length, ignore_case, top)
        return self._read_windows(iter(pictures), batch_size, decode)

    def _decoder(self, charset: str | None, length: Length | None, ignore_case: bool, top: int) -> Decoder:
        """The search under these constraints. Raises ValueError as `read` does."""
        if not isinstance(top, Integral) or not 0 <= top <= MOST_OTHERS:
            raise ValueError(f"{top} other texts were asked for; give a whole number from 0 to {MOST_OTHERS}.")
        allowed = None if charset is None else self._allowed(charset, ignore_case)
        beam, bounds = max(BEAM, top + 1), _bounds(length)
        quickly = not top and charset is None and length is None and not ignore_case

        def decode(look: Look) -> tuple[Reading, bool]:
            if quickly:
                reading = greedy(look.log_probs, self.charset, look.others)
            else:
                others = max(top, 1)  # the next one tells whether rounding could decide
                reading = beam_search(
                    look.log_probs, self.charset, beam, others, allowed, bounds, ignore_case, others=look.others
                )
            tied = self.model.rounds and not look.exact and _tied(reading)
            return replace(reading, alternatives=reading.alternatives[:top]), tied

        return decode

    def _allowed(self, charset: str, ignore_case: bool) -> str:
        """The characters of a charset constraint that the model knows; only a named one may hold others besides."""
        allowed, known = resolve(charset), self.charset.characters
        unknown = set(allowed).difference(known, known.swapcase() if ignore_case else "")
        if unknown and (charset.lower() not in NAMED or len(unknown) == len(allowed)):
            listed = "".join(sorted(unknown))
            raise ValueError(f"The charset {charset!r} has {listed!r}, which this model can't read; it reads {known}.")
        return "".join(character for character in allowed if character not in unknown)

    def _read_windows(
        self, pictures: Iterator[Source], batch_size: int, decode: Decoder
    ) -> Iterator[Reading | PictureError]:
        """Look at window after window of pictures, at two while the one before is decoded."""
        coming: deque[Future[list[Look | PictureError]]] = deque()
        ahead, over = ThreadPoolExecutor(WINDOWS_AHEAD), Event()
        try:
            for window in _windows(pictures, batch_size * WINDOW_BATCHES):
                coming.append(ahead.submit(self._look_through, window, batch_size, over))
                if len(coming) > WINDOWS_AHEAD:
                    yield from self._read(coming.popleft().result(), decode, batch_size)
            while coming:
                yield from self._read(coming.popleft().result(), decode, batch_size)
        finally:
            over.set()  # who needs no more readings waits for no more looks
            ahead.shutdown(cancel_futures=True)

    def _look_through(self, pictures: list[Source], batch_size: int, over: Event) -> list[Look | PictureError]:
        """A look at each picture, or why there can't be one; nothing once it is over."""
        opened = [self._open(picture) for picture in takewhile(lambda _: not over.is_set(), pictures)]
        if over.is_set():
            return []
        looks = iter(self._look([one for one in opened if isinstance(one, _Opened)], batch_size))
        return [next(looks) if isinstance(one, _Opened) else one for one in opened]

    def _open(self, picture: Source) -> _Opened | PictureError:
        """One picture as the model takes it, or why not."""
        try:
            opened = open_picture(picture)
        except PictureError as error:
            return error
        lines = {box: self._view(opened[box[1] : box[3], box[0] : box[2]]) for box in locate(opened)}
        return _Opened(self._view(opened), lines)

    def _view(self, picture: Picture) -> View:
        """A picture, or a part of one, as the model takes it."""
        height, stride = self.model.config.height, self.model.config.stride
        wider = 1.0 if Geometry.of(picture, height, stride).prepared_width <= NARROW_PX else FIRST_WIDTH
        geometry = Geometry.of(picture, height, stride, wider)
        return View(prepare(picture, height, stride, wider), geometry, lowered(picture, SMALL_PX))

    def _blurred(self, view: View) -> Array:
        """A picture a little wider and out of focus, as the model takes it."""
        prepared = prepare(view.small, self.model.config.height, self.model.config.stride, SECOND_WIDTH)
        return _channels_first(cv2.GaussianBlur(prepared.transpose(1, 2, 0), (0, 0), BLUR_PX))

    def _closer(self, view: View) -> Array:
        """A picture without what is empty above and below, or, where nothing is, wider; as the model takes it."""
        height, stride, within = self.model.config.height, self.model.config.stride, within_margins(view.small)
        if within:
            return prepare(view.small[within], height, stride)
        return prepare(view.small, height, stride, THIRD_WIDTH)

    def _look(self, pictures: list[_Opened], batch_size: int) -> list[Look]:
        """Look at every picture whole, then at the lines of those that are larger and of which it is unsure."""
        looks = self._see([one.whole for one in pictures], batch_size)
        for number, one in enumerate(pictures):
            if one.lines and looks[number].likely < SURE:
                lines = self._see(list(one.lines.values()), MOST)
                looks[number] = replace(looks[number], lines=dict(zip(one.lines, lines, strict=True)))
        return looks

    def _infer(self, prepared: list[Array], batch_size: int, exact: bool) -> list[Seen]:
        """Run the network in batches of like width; what it sees is put back in order."""
        order = sorted(range(len(prepared)), key=lambda number: prepared[number].shape[2])
        seen: dict[int, Seen] = {}
        for start in range(0, len(order), batch_size):
            numbers = order[start : start + batch_size]
            seen.update(zip(numbers, self.model.infer([prepared[number] for number in numbers], exact), strict=True))
        return [seen[number] for number in range(len(prepared))]

    def _see(self, views: list[View], batch_size: int, exact: bool = False) -> list[Look]:
        """What the network sees in each, made narrower, and where it is unsure in one or two other views of it, wider.

        What an answer owes to chance differs from view to view, what it owes to the text does not (test-time
        augmentation: Krizhevsky et al., 2012, section 4.1); the decoders take the mean of a text's probabilities.
        Where rounding could decide whether there is a third, all are taken in float32.
        """

        def look_again(least: float, changed: Callable[[View], Array]) -> None:
            again = [row for row, probability in enumerate(likely) if probability < least]
            prepared = [-changed(views[row]) for row in again]
            for row, (log_probs, _) in zip(again, self._infer(prepared, batch_size, exact), strict=True):
                found[row].append(log_probs)
            for row, probability in zip(again, most_likely([found[row] for row in again]), strict=True):
                likely[row] = probability

        seen = self._infer([view.prepared for view in views], batch_size, exact)
        found = [[log_probs] for log_probs, _ in seen]
        likely = most_likely(found)
        look_again(SURE, self._blurred)
        tied = [row for row, probability in enumerate(likely) if abs(probability - LIKELY) < ROUNDING]
        look_again(LIKELY, self._closer)
        looks = [
            Look(first, attention, view, probability, tuple(others), exact)
            for (first, *others), (_, attention), view, probability in zip(found, seen, views, likely, strict=True)
        ]
        if exact or not self.model.rounds:
            return looks
        exactly = self._see([views[row] for row in tied], batch_size, exact=True)
        for row, look in zip(tied, exactly, strict=True):
            looks[row] = look
        return looks

    def _read(
        self, looks: Sequence[Look | PictureError], decode: Decoder, batch_size: int
    ) -> list[Reading | PictureError]:
        """The reading of each picture, or of the line in it, or why there is none."""
        results = self._decoded(looks, decode, batch_size)
        return [
            self._line_in(look, whole, decode) if isinstance(look, Look) and look.lines else whole
            for look, whole in zip(looks, results, strict=True)
        ]

    def _line_in(self, look: Look, whole: Reading | PictureError, decode: Decoder) -> Reading | PictureError:
        """The reading of the line that is meant in a larger picture, if it says clearly more than that of the whole."""
        if isinstance(whole, Reading) and whole.text and whole.confidence >= SURE:
            return whole
        results = zip(look.lines, self._decoded(list(look.lines.values()), decode, MOST), strict=True)
        readings = {box: result for box, result in results if isinstance(result, Reading)}
        if not readings:
            return whole
        boxes = list(readings)
        box = boxes[choose(boxes, [_characters_read(readings[box]) for box in boxes])]
        clearly = MORE + (_characters_read(whole) if isinstance(whole, Reading) else 0.0)
        return _moved(readings[box], box, look.view.geometry) if _characters_read(readings[box]) >= clearly else whole

    def _decoded(
        self, looks: Sequence[Look | PictureError], decode: Decoder, batch_size: int
    ) -> list[Reading | PictureError]:
        """Each line's reading, with its places in the picture; of a look in float32 where rounding could decide."""
        results = [self._tried(look, decode) for look in looks]
        views = {
            number: look.view
            for number, (look, (_, tied)) in enumerate(zip(looks, results, strict=True))
            if tied and isinstance(look, Look)
        }
        for number, look in zip(views, self._see(list(views.values()), batch_size, exact=True), strict=True):
            results[number] = self._tried(look, decode)
        return [result for result, _ in results]

    def _tried(self, look: Look | PictureError, decode: Decoder) -> tuple[Reading | PictureError, bool]:
        """A line's reading, or why there is none; and whether rounding could decide what it is."""
        if isinstance(look, PictureError):
            return look, False
        try:
            reading, tied = decode(look)
        except ValueError as error:  # this picture is too narrow for the length that was asked for
            return PictureError(str(error)), False
        return self._place(calibrated(reading, *self.calibration), look), tied

    def _place(self, reading: Reading, look: Look) -> Reading:
        """Add each character's focus, its frames' attention weighted by its posterior, and box."""
        if not reading.characters:
            return reading
        probabilities, frames = np.exp(look.log_probs), len(look.log_probs)
        posterior = np.zeros((len(reading.characters), frames), np.float32)
        for row, character in zip(posterior, reading.characters, strict=True):
            start, end = character.frames
            row[start:end] = 1e-9  # never all zero
            for class_id in self._cases[character.text.lower()]:
                row[start:end] += probabilities[start:end, class_id]
        posterior /= posterior.sum(axis=1, keepdims=True)
        focuses = (posterior @ look.attention.reshape(frames, -1)).reshape(len(posterior), -1, frames)
        focuses /= focuses.sum(axis=(1, 2), keepdims=True)
        boxes = _boxes(posterior @ (np.arange(frames) + 0.5), focuses, look.view.geometry)
        characters = tuple(
            replace(character, focus=focus, box=box)
            for character, focus, box in zip(reading.characters, focuses, boxes, strict=True)
        )
        return replace(reading, characters=characters)


def _boxes(centres: npt.NDArray[Any], focuses: Array, geometry: Geometry) -> list[tuple[float, float, float, float]]:
    """Where each character stands, as x0, y0, x1, y1 in px of the picture.

    The network learns no boxes; these follow from what it does give. Left and right lie midway to the neighbours'
    centres (for the outermost as far away as on the inner side; for a single one, where its focus ends). Top and bottom
    hold `EXTENT` of the focus.

    Args:
        centres: (characters,), in frames.
        focuses: (characters, h, T).
        geometry: of the picture.
    """
    if len(centres) == 1:
        sides = _extents(focuses.sum(axis=1))
    else:
        middles = centres.tolist()
        edges = [(one + other) / 2 for one, other in pairwise(middles)]
        edges = [2 * middles[0] - edges[0], *edges, 2 * middles[-1] - edges[-1]]
        sides = list(pairwise(edges))
    across, upright = geometry.frame_to_x(1), geometry.height / focuses.shape[1]
    return [
        (max(across * left, 0.0), upright * top, min(across * right, float(geometry.width)), upright * bottom)
        for (left, right), (top, bottom) in zip(sides, _extents(focuses.sum(axis=2)), strict=True)
    ]


def _tied(reading: Reading) -> bool:
    """Whether another text is so nearly as probable that rounding could decide between the two."""
    compared: tuple[Reading | Character, ...] = (reading, *reading.characters)
    return any(other.confidence > one.confidence * math.exp(-TIED) for one in compared for other in one.alternatives)


def _channels_first(picture: npt.NDArray[Any]) -> Array:
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def _characters_read(reading: Reading) -> float:
    """How many characters were read, each counted as far as it is sure: neither short nor long texts gain by it."""
    return len(reading.text) * reading.confidence ** (1 / max(len(reading.text), 1))


def _moved(reading: Reading, box: Box, whole: Geometry) -> Reading:
    """The reading of a box of a picture, with its characters' boxes and focus as they lie on the whole picture."""
    x0, y0, x1, y1 = box
    characters = []
    for character in reading.characters:
        left, top, right, bottom = character.box  # type: ignore[misc]  # filled in by _place
        focus: Array = character.focus  # type: ignore[assignment]
        rows, columns = focus.shape
        across, upright = columns / (x1 - x0), rows / (y1 - y0)  # cells a px
        before = (round(y0 * upright), round(x0 * across))
        after = (round((whole.height - y1) * upright), round((whole.width - x1) * across))
        wide = np.pad(focus, tuple(zip(before, after, strict=True)))
        characters.append(replace(character, box=(left + x0, top + y0, right + x0, bottom + y0), focus=wide))
    return replace(reading, characters=tuple(characters), box=box)


def _extents(mass: Array) -> list[tuple[float, float]]:
    """From where to where the middle `EXTENT` of each row's mass (N, cells) lies, in cells, interpolated."""
    extents = []
    for row in mass.tolist():  # so few numbers take numpy longer
        sums = list(accumulate(row))
        start, end = (sums[-1] * share for share in ((1 - EXTENT) / 2, (1 + EXTENT) / 2))
        first, last = bisect_left(sums, start), bisect_left(sums, end)  # in these cells they are reached
        extents.append((first + 1 - (sums[first] - start) / row[first], last + 1 - (sums[last] - end) / row[last]))
    return extents


def _windows(pictures: Iterator[Source], largest: int) -> Iterator[list[Source]]:
    """The pictures, some together: few at first, then more and more."""
    size = min(FIRST_WINDOW, largest)
    while window := list(islice(pictures, size)):
        yield window
        size = min(2 * size, largest)


def _bounds(length: Length | None) -> tuple[int, int] | None:
    """A length constraint as fewest and most characters."""
    if length is None:
        return None
    try:
        fewest, most = map(index, length if isinstance(length, tuple | list) else (length, length))
    except (TypeError, ValueError):
        raise ValueError(f"The length is {length!r}; give a number, or the fewest and the most: (4, 6).") from None
    if not 0 <= fewest <= most:
        raise ValueError(f"The length is {fewest} to {most}; give a number, or a range such as 4 to 6.")
    return fewest, most


def _network(checkpoint: str | Path, device: str | None) -> Network:
    """The network of a folder or Hub id; ValueError where there is none or it is of another kind."""
    with loading(checkpoint) as folder:
        if device is None and not has_gpu():
            from crnn.engine import Engine

            return Engine.from_folder(folder)
        from crnn.model import load

        model = load(folder)
    try:
        model.to(device or "cuda")  # type: ignore[arg-type]  # wrapped untyped
    except (RuntimeError, AssertionError) as error:  # no such device, none that torch was built for, one that is full
        reason = str(error).splitlines()[0]
        raise ValueError(f"The device {device or 'cuda'} can't be used; give another, such as cpu: {reason}") from error
    return model


def has_gpu() -> bool:
    """Whether torch has a GPU. It is asked only where there is a driver for one, since importing it takes a second."""
    if not Path("/dev/kfd").exists():  # AMD's
        for name in ("libcuda.so.1", "nvcuda.dll"):
            try:
                ctypes.CDLL(name)
                break
            except OSError:
                pass
        else:
            return False
    import torch

    return torch.cuda.is_available()
