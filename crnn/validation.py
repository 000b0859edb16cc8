"""What a fine-tuning tells of itself, and how it is measured while it goes on, and stopped."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from crnn.data import collate
from crnn.decode import Reading
from crnn.image import MIN_SIDE_PX, Picture, open_picture, prepare
from crnn.intake import Example
from crnn.metrics import character_error_rate, exact
from crnn.model import CRNNForCTC, ctc_loss, in_8_bits
from crnn.recognizer import Recognizer
from crnn.train import Clock, EMACallback, interim, of_first_process

EVALUATE_S, STEP_S = 10.0, 1.0  # so often the held-out pictures are read at most, and a step is told
EVALUATIONS = 30  # at most, however long the budget
PATIENCE = 0.5  # share of the budget with nothing as good as before, after which it stops early
MEASURED_TOGETHER = 16  # pictures
KEPT_PIXELS = 1_000_000  # of each picture that is measured on; a phone's photo, of ten times as many, is made smaller

Weights = dict[str, torch.Tensor]


class Journal:
    """Tells how a training goes: events for a program in ``progress.jsonl``, sentences for a person on stdout."""

    FILE = "progress.jsonl"
    STOP = "stop"  # a file of this name beside it ends the training with the best so far

    def __init__(self, folder: Path) -> None:
        self.path, self.stop = folder / self.FILE, folder / self.STOP
        self.first = int(os.environ.get("RANK", "0")) == 0  # of several processes one speaks

    def write(self, event: str, **figures: Any) -> None:
        """Append an event as one line of JSON, and say its figures."""
        if not self.first:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **figures}) + "\n")
        if event not in ("step", "error"):
            told = {name: value for name, value in figures.items() if isinstance(value, int | float) and name != "time"}
            self.say(f"{event}: " + ", ".join(f"{name} {round(value, 4)}" for name, value in told.items()))

    def say(self, sentence: str) -> None:
        """Print a sentence on a line."""
        if self.first:
            print(sentence, flush=True)

    def finished(self) -> bool:
        """Whether the training that is told of here came to its end."""
        if not self.path.is_file():
            return False
        last = self.path.read_text(encoding="utf-8").rstrip("\n").rpartition("\n")[2]  # half written after a crash
        return last.startswith('{"event": "done"') and last.endswith("}")

    def forget(self) -> None:
        """Remove what is told."""
        if self.first:
            self.path.unlink(missing_ok=True)

    def clear_stop(self) -> None:
        """Remove a wish to stop."""
        if self.first:
            self.stop.unlink(missing_ok=True)


@contextmanager
def interrupts_stop(journal: Journal) -> Iterator[None]:
    """Let an interrupt end the training with the best so far while the context lasts, instead of the program."""
    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda *_: journal.stop.touch())
    except ValueError:  # only a main thread may
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ValidationCallback(TrainerCallback):
    """Measures on held-out pictures, keeps the latest weights as good as the best, and ends what gets worse."""

    FILE = "best.pt"

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        ema: EMACallback,
        model: CRNNForCTC,
        held_out: Sequence[Example],
        keep: float,
    ) -> None:
        """Begin with the averaged weights.

        Args:
            journal: to tell what is measured.
            clock: of the training.
            ema: the averaged weights of the training.
            model: a second one of the same shape, to measure with.
            held_out: pictures to measure on.
            keep: share of the first weights in those that are measured and kept, 0 to 1.
        """
        self.journal, self.clock, self.ema, self.held_out, self.keep = journal, clock, ema, held_out, keep
        self.model = model.eval()
        self.reader = Recognizer(self.model)
        self.pictures = [_smaller(open_picture(example.path)) for example in held_out]
        self.reason = "time"
        self.first = self.best = _copy(ema.weights)
        self.lowest: np.ndarray | None = None  # (n,) losses of the held-out pictures, where their mean was lowest
        self.best_share = 0.0
        self.told_s = self.measured_s = clock.spent_s
        self.measured_share = 0.0
        self.losses: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.lowest is None:
            self.lowest = self._losses(self.first)

    def on_loss(self, loss: float) -> None:
        """Take note of a step's loss."""
        self.losses.append(loss)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # The clock of the step before: all processes have the same, so they measure and stop at the same step.
        spent, share = self.clock.spent_s, self.clock.share(state.global_step)
        if spent - self.told_s >= STEP_S:
            self.told_s = spent
            self.journal.write(
                "step", step=state.global_step, spent_s=spent, left_s=spent * (1 / share - 1), share=share,
                loss=float(np.mean(self.losses)),
            )  # fmt: skip
            self.losses.clear()
        stopped = bool(of_first_process(self.journal.stop.exists(), args.device))
        due = spent - self.measured_s >= EVALUATE_S and share - self.measured_share >= 1 / EVALUATIONS
        if stopped or due:
            self.measured_s, self.measured_share = spent, share
            self._measure(state.global_step, share)
            if stopped or share - self.best_share > PATIENCE:
                self.reason = "stopped" if stopped else "early"
                control.should_training_stop = True

    def on_train_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        if self.reason == "time":  # the last steps, the smallest, were not measured yet
            self._measure(state.global_step, 1.0)

    def _measure(self, step: int, share: float) -> None:
        weights = in_8_bits(between(self.ema.weights, self.first, self.keep))
        losses = self._losses(weights)
        assert self.lowest is not None  # since the training began
        if losses.mean() < self.lowest.mean():
            self.lowest = losses
        if as_good(losses, self.lowest):
            self.best_share, self.best = share, weights
        self.journal.write(
            "evaluated", step=step, spent_s=self.clock.spent_s, loss=float(losses.mean()),
            best=self.best_share == share,
            **scores(self.held_out, self.readings(weights)),
        )  # fmt: skip

    def readings(self, weights: Weights) -> list[Reading]:
        """What is read in the held-out pictures with these weights."""
        self.model.load_state_dict(weights)
        readings = self.reader.read_many(self.pictures)
        return [reading if isinstance(reading, Reading) else Reading("", 0.0) for reading in readings]

    @torch.inference_mode()
    def _losses(self, weights: Weights) -> np.ndarray:
        """CTC loss of each held-out picture, over its characters: (n,)."""
        model = self.model
        model.load_state_dict(weights)
        losses = []
        for start in range(0, len(self.held_out), MEASURED_TOGETHER):
            these = slice(start, start + MEASURED_TOGETHER)
            pictures = [prepare(one, model.config.height, model.config.stride) for one in self.pictures[these]]
            texts = [example.text for example in self.held_out[these]]
            batch = collate(pictures, texts, self.reader.charset)
            widths = torch.tensor([picture.shape[2] for picture in pictures])
            logits = model(batch["pixel_values"].to(model.device), widths.to(model.device)).logits.cpu()
            frames = widths // model.config.stride
            losses += [
                float(ctc_loss(logits[i : i + 1], batch["labels"][i : i + 1], frames[i : i + 1]))
                for i in range(len(texts))
            ]
        return np.array(losses)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero and self.lowest is not None:
            kept = {"best": self.best, "first": self.first, "lowest": self.lowest.tolist(), "share": self.best_share}
            torch.save(kept, interim(args, state) / self.FILE)

    def load(self, checkpoint: str) -> None:
        """Go on from an interim checkpoint."""
        kept = torch.load(Path(checkpoint) / self.FILE, weights_only=True)
        self.best, self.first = kept["best"], kept["first"]
        self.lowest, self.best_share = np.array(kept["lowest"]), kept["share"]


def between(weights: Weights, first: Weights, keep: float) -> Weights:
    """Weights on the straight line from others to the first ones, which read well too and forget less.

    Wortsman et al., 2022, Robust fine-tuning of zero-shot models, eq. 1.
    """
    return {
        name: torch.lerp(value, first[name], keep) if value.is_floating_point() else value.clone()
        for name, value in weights.items()
    }


def as_good(losses: np.ndarray, lowest: np.ndarray) -> bool:
    """Whether losses (n,) are as good as others of the same pictures, up to one standard error of the difference.

    A few held-out pictures can't tell weights apart that are nearly as good; of such, the later ones are to be
    preferred, which saw more and took smaller steps (the rule of one standard error: Breiman et al., 1984, 3.4.3).
    """
    difference = losses - lowest
    return bool(difference.mean() <= difference.std() / np.sqrt(len(difference)))


def scores(examples: Sequence[Example], readings: Sequence[Reading]) -> dict[str, float]:
    """Share of texts read right and character error rate, both ignoring case."""
    texts, read = [example.text for example in examples], [reading.text for reading in readings]
    right = [exact(text, got) for text, got in zip(texts, read, strict=True)]
    return {"exact": float(np.mean(right)), "cer": character_error_rate(texts, read)}


def _copy(weights: Weights) -> Weights:
    return {name: value.clone() for name, value in weights.items()}


def _smaller(picture: Picture) -> Picture:
    """The picture (H, W, 3), of at most `KEPT_PIXELS`."""
    h, w = picture.shape[:2]
    scale = (KEPT_PIXELS / (h * w)) ** 0.5
    if scale >= 1:
        return picture
    size = (max(MIN_SIDE_PX, int(w * scale)), max(MIN_SIDE_PX, int(h * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
