"""Fine-tuning on labelled pictures: few of one's own, changed at random, beside drawn ones of all and alike kinds."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from transformers import PrinterCallback
from transformers.utils import logging

from crnn.charset import Charset
from crnn.config import CRNNConfig
from crnn.data import LabelledBatches
from crnn.decode import Reading
from crnn.fonts import find_fonts
from crnn.intake import Example, examine, read_folder, split
from crnn.likeness import families_like
from crnn.metrics import confusions
from crnn.model import CRNNForCTC
from crnn.splice import partings
from crnn.train import (
    LEARNING_RATE,
    Clock,
    CTCTrainer,
    EMACallback,
    TimeBudgetCallback,
    arguments,
    begin_with,
    check_minutes,
    last_checkpoint,
    name_of,
    progress,
    save,
)
from crnn.validation import Journal, ValidationCallback, interrupts_stop, scores

BATCH_SIZE = 48
FINE_TUNING_RATE = 5e-4  # at its peak
AVERAGED = 0.98  # the weights are averaged over about the last fifty steps
MINUTES = 5.0
DRAW_SHARE = 0.6  # of a batch: drawn pictures keep what was learnt before, and those of alike kinds teach more of it
KEEP = 0.35  # of the start's weights: other kinds are forgotten less; more of it learns the new kind less
HELD_OUT, MOST_HELD_OUT = 0.15, 100  # share and number of labelled pictures that are kept for measuring
SAVE_MINUTES = 0.5
CONFUSIONS = 10  # pairs that are told
LAYERS = ("all", "head")
WRITTEN = ("model.safetensors", "config.json", "README.md")  # in the end


@dataclass(frozen=True)
class FineTuning:
    """How to fine-tune.

    Attributes:
        start: a checkpoint to go on from; characters that it lacks are added to its head. None: from scratch.
        minutes: time budget; None: `MINUTES`, or what a resumed run was begun with.
        steps: a budget of steps in its place: the same seed then gives the same weights.
        resume: go on with the last interim checkpoint.
        seed: of the split, all changes and all drawing.
        draw_share: of each batch, drawn pictures, at least 0 and below 1.
        keep: share of the start's weights in what comes out, at least 0 and below 1.
        layers: "all", or "head" for all but the convolutions.
        config: the model's shape, when from scratch; its charset holds A-Z, a-z and 0-9 where pictures are drawn.

    Raises:
        ValueError: a value is out of its range; one sentence.
    """

    start: str | Path | None = None
    minutes: float | None = None
    steps: int | None = None
    resume: bool = False
    seed: int = 0
    draw_share: float = DRAW_SHARE
    keep: float = KEEP
    layers: str = "all"
    config: CRNNConfig | None = None

    def __post_init__(self) -> None:
        if self.layers not in LAYERS:
            raise ValueError(f"The layers to train are {self.layers!r}; give one of {', '.join(LAYERS)}.")
        if not 0 <= self.draw_share < 1:
            raise ValueError(f"The share of drawn pictures is {self.draw_share}; give one from 0 to 0.9.")
        if not 0 <= self.keep < 1:
            raise ValueError(f"The share of the start to keep is {self.keep}; give one from 0 to 0.9.")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"The budget is {self.steps} steps; give more than 0.")
        check_minutes(self.minutes)


def fine_tune(folders: Sequence[str | Path], output: str | Path, options: FineTuning | None = None) -> Path:
    """Train on labelled pictures, and tell how it goes in ``progress.jsonl``, an event a line.

    A part of them is held out to measure on; the weights that give it the lowest loss are kept. An empty file ``stop``
    in ``output``, or an interrupt, ends it before its time with the best so far. Started by ``torchrun`` or
    ``accelerate launch``, the processes share each batch.

    Args:
        folders: labelled pictures (:func:`crnn.intake.read_folder`).
        output: folder for the checkpoint; interim ones go below it, TensorBoard logs to its ``runs``.
        options: how; None: from scratch.

    Returns:
        The folder of the finished checkpoint. It keeps the calibration of its start.

    Raises:
        ValueError: too few usable pictures, nothing to resume, another training or checkpoint in ``output``, or one
            begun otherwise; one sentence.
    """
    options, output = options or FineTuning(), Path(output)
    journal = Journal(output)
    if journal.finished():
        raise ValueError(f"{output} holds a finished training already; give another folder.")
    if not options.resume:
        if any(output.glob("checkpoint-*")):
            raise ValueError(f"{output} holds a training already; give another folder, or --resume to go on with it.")
        for name in WRITTEN:
            if (output / name).exists():
                raise ValueError(f"{output} holds {name} already, which would be replaced; give another folder.")
        journal.forget()  # a training that came to nothing
    output.mkdir(parents=True, exist_ok=True)
    journal.clear_stop()
    logging.disable_progress_bar()
    try:
        return _fine_tune(folders, output, options, journal)
    except ValueError as error:
        journal.write("error", sentence=str(error))
        raise


def _fine_tune(folders: Sequence[str | Path], output: Path, options: FineTuning, journal: Journal) -> Path:
    last = last_checkpoint(output) if options.resume else None
    torch.manual_seed(options.seed)
    model = begin_with(options.start, options.config)
    journal.say("Looking at the pictures; the first step follows in some seconds.")
    training, held_out, new = _pictures(folders, model.config, options.seed, journal)
    begun = _begun(options, training, held_out)
    clock, done = progress(last, begun) if last else (Clock(MINUTES), 0)
    if options.minutes or options.steps:
        clock.minutes, clock.steps = options.minutes or clock.minutes, options.steps
    if new:
        model.add_characters(new)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-arg]  # wrapped untyped
    model.frozen_norms = options.start is not None
    model.backbone.requires_grad_(options.layers == "all")
    ema = EMACallback(model, AVERAGED)
    keep = options.keep if options.start else 0.0
    validation = ValidationCallback(journal, clock, ema, CRNNForCTC(model.config), held_out, keep)
    if last:
        ema.load(last)
        validation.load(last)
    settings = arguments(output, options.seed, FINE_TUNING_RATE if options.start else LEARNING_RATE, workers=0)
    validation.model.load_state_dict(validation.first)
    alike: dict[str, float] = {}
    if options.draw_share:
        find_fonts()  # takes seconds the first time, which no budget shall pay
        alike = families_like(validation.model, [example.path for example in training], options.seed)
    batches = LabelledBatches(
        training, validation.reader.charset, model.config.height, model.config.stride, BATCH_SIZE, options.seed,
        options.draw_share, alike, partial(partings, validation.model), settings.world_size, done,
    )  # fmt: skip
    trainer = CTCTrainer(
        clock,
        ema,
        model=model,
        args=settings,
        train_dataset=batches,
        data_collator=lambda keys: batches.make(keys[0]),
        callbacks=[ema, validation, TimeBudgetCallback(clock, SAVE_MINUTES, False, begun)],
    )
    trainer.remove_callback(PrinterCallback)  # the journal says it in words
    journal.write(
        "start", time=time.time(), minutes=clock.minutes, steps=clock.steps, pictures=len(training),
        held_out=len(held_out), new_characters=new, resumed=options.resume, spent_s=clock.spent_s,
    )  # fmt: skip
    before = validation.readings(validation.first)
    if not last:
        journal.write("before", **scores(held_out, before))
    with interrupts_stop(journal):
        trainer.train(resume_from_checkpoint=last)
        after = validation.readings(validation.best)
        if trainer.is_world_process_zero():
            model.load_state_dict(validation.best)
            save(model, output)
            figures = {"before": scores(held_out, before), "after": scores(held_out, after)}
            card = _card(options, len(training), len(held_out), clock, figures)
            (output / "README.md").write_text(card, encoding="utf-8")
            journal.clear_stop()
            for interim in output.glob("checkpoint-*"):  # nothing is left to resume
                shutil.rmtree(interim)
            journal.write(
                "done", reason=validation.reason, spent_s=clock.spent_s, **figures,
                held_out=_table(held_out, before, after), confusions_before=_confused(held_out, before),
                confusions_after=_confused(held_out, after),
            )  # fmt: skip
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return output


def _pictures(
    folders: Sequence[str | Path], config: CRNNConfig, seed: int, journal: Journal
) -> tuple[list[Example], list[Example], str]:
    """The usable pictures to train on and to measure on, and characters that the model lacks."""
    brought = [example for folder in folders for example in read_folder(folder)]
    examined = examine(brought, Charset(config.charset), config.height, config.stride)
    for problem in examined.problems:
        journal.say(f"Left out {problem.file}: {problem.sentence}")
    if len(examined.usable) < 2:
        raise ValueError(
            f"{len(examined.usable)} of the {len(brought)} pictures can be used for training; "
            "give at least 2 with different texts."
        )
    training, held_out = split(examined.usable, min(HELD_OUT, MOST_HELD_OUT / len(examined.usable)), seed)
    return training, held_out, examined.new_characters


def _begun(options: FineTuning, training: Sequence[Example], held_out: Sequence[Example]) -> dict[str, Any]:
    """What must be the same when a training is resumed, by its name to the user."""
    seen = [[(example.path.name, example.text) for example in examples] for examples in (training, held_out)]
    return {
        "kind of pictures": "labelled",
        "start": name_of(options.start),
        "layers": options.layers,
        "share of drawn pictures": options.draw_share,
        "share to keep": options.keep,
        "seed": options.seed,
        "pictures or labels": hashlib.sha256(repr(seen).encode()).hexdigest(),
    }


def _table(examples: Sequence[Example], before: Sequence[Reading], after: Sequence[Reading]) -> list[dict[str, Any]]:
    """Each held-out picture with what was read in it before and after."""
    return [
        {
            "file": str(example.path), "text": example.text, "before": old.text, "after": new.text,
            "before_confidence": old.confidence, "after_confidence": new.confidence,
        }
        for example, old, new in zip(examples, before, after, strict=True)
    ]  # fmt: skip


def _confused(examples: Sequence[Example], readings: Sequence[Reading]) -> list[list[Any]]:
    pairs = confusions([example.text for example in examples], [reading.text for reading in readings])
    return [[true, got, times] for (true, got), times in pairs.most_common(CONFUSIONS)]


def _card(options: FineTuning, training: int, held_out: int, clock: Clock, figures: dict[str, Any]) -> str:
    """The model card of a fine-tuned checkpoint."""
    before, after = figures["before"], figures["after"]
    begun = f"from `{Path(str(options.start)).name}`" if options.start else "from scratch"
    mixed = "drawn pictures mixed in" if options.draw_share else "no drawn pictures beside them"
    return f"""---
library_name: transformers
pipeline_tag: image-to-text
tags: [ocr, captcha, crnn, ctc]
---

# A fine-tuned reader of distorted text

Trained by `python -m crnn train`, {begun}, on {training} labelled pictures in {clock.spent_s / 60:.1f} minutes, with
{mixed}. On {held_out} pictures held out:

| | exact match | character error rate |
|---|---:|---:|
| before | {before["exact"]:.3f} | {before["cer"]:.3f} |
| after | {after["exact"]:.3f} | {after["cer"]:.3f} |

It reads pictures like those it was trained on: `Recognizer.from_pretrained(FOLDER)`. It is meant for pictures that are
yours, or whose owner agrees; not for getting past the protection of services you have no permission for.
"""
