"""Training and fine-tuning on ``transformers.Trainer``: fits a time budget, averages weights, can be resumed."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import EvalPrediction, get_last_checkpoint

from crnn.charset import BLANK, Charset
from crnn.config import CRNNConfig
from crnn.data import DrawnBatches, PreparedPictures, collate
from crnn.evaluate import fit_calibration
from crnn.model import CRNNForCTC
from crnn.recognizer import Recognizer

BATCH_SIZE = 64
LEARNING_RATE = 1.5e-3  # at its peak, on drawn pictures
FINE_TUNING_RATE = 3e-4  # on labelled folders
WARM_UP = 0.03  # share of the time budget
EMA_DECAY = 0.999  # the weights are averaged over about the last thousand steps; over fewer at first
CHECKPOINT_MINUTES = 4.0
EVALUATION_PICTURES = 400
CALIBRATION_PICTURES = 40  # of each style; labelled folders are too small for it and keep that of the start
EVALUATION_SEED = 1_000_003  # no training seed comes near


class Clock:
    """How much of the time budget is spent, over all runs of a resumed training."""

    def __init__(self, minutes: float, spent_s: float = 0.0) -> None:
        self.budget_s = minutes * 60
        self._started = time.monotonic() - spent_s

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self._started

    @property
    def share(self) -> float:
        """Of the budget, 0 to 1."""
        return min(1.0, self.spent_s / self.budget_s)


def rate(share: float) -> float:
    """Learning rate relative to its peak after a share of the budget: linear warm-up, then half a cosine.

    Loshchilov and Hutter, 2017, SGDR, eq. 5.
    """
    if share < WARM_UP:
        return share / WARM_UP + 1e-3
    return 0.5 * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP)))


def average(averaged: Any, current: Any, count: Any) -> None:
    """Move the averaged tensors towards the current ones; a young average forgets faster: its start is worth little."""
    decay = min(EMA_DECAY, (1 + float(count)) / (10 + float(count)))
    get_ema_multi_avg_fn(decay)(averaged, current, count)


class Averaging(TrainerCallback):
    """Keeps a moving average of the weights, which reads better than any single step's (Polyak and Juditsky, 1992)."""

    FILE = "averaged.pt"

    def __init__(self, model: CRNNForCTC) -> None:
        self.averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=True)

    def on_step_end(self, args: Any, state: TrainerState, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.averaged.update_parameters(model)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        torch.save(self.averaged.state_dict(), folder / self.FILE)

    def load(self, checkpoint: str) -> None:
        self.averaged.load_state_dict(torch.load(Path(checkpoint) / self.FILE, weights_only=True))


class Budget(TrainerCallback):
    """Stops when the time is up, saves and evaluates every few minutes, and says how it goes."""

    FILE = "clock.json"

    def __init__(self, clock: Clock, batch_size: float) -> None:
        self.clock, self.batch_size = clock, batch_size
        self.saved_s = clock.spent_s

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        due = self.clock.spent_s - self.saved_s > CHECKPOINT_MINUTES * 60
        if self.clock.share >= 1:
            control.should_training_stop = due = True
        if due:
            self.saved_s = self.clock.spent_s
            control.should_save = control.should_evaluate = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        spent = {"spent_s": self.clock.spent_s, "minutes": self.clock.budget_s / 60}
        (folder / self.FILE).write_text(json.dumps(spent))

    def on_log(
        self, args: Any, state: TrainerState, control: Any, logs: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        spent, total = self.clock.spent_s / 60, self.clock.budget_s / 60
        figures = {k: v for k, v in (logs or {}).items() if k in ("loss", "eval_exact", "eval_loss")}
        said = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())
        if said:
            left = max(0.0, total - spent)
            pictures = round(state.global_step * self.batch_size)
            print(f"{spent:.1f} of {total:.0f} minutes ({left:.0f} left), {pictures:,} pictures: {said}", flush=True)


class CTCTrainer(Trainer):
    """A Trainer whose schedule follows the clock and which evaluates and keeps the averaged weights."""

    def __init__(self, clock: Clock, averaging: Averaging, **kwargs: Any) -> None:
        self.clock, self.averaging = clock, averaging
        super().__init__(**kwargs)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """A schedule that follows the clock, whatever the number of steps."""
        chosen: Any = optimizer or self.optimizer
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(chosen, lambda _: rate(self.clock.share))
        return self.lr_scheduler

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate the averaged weights; the training's own stand in their place again afterwards."""
        model: Any = self.model
        current = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.averaging.averaged.module.state_dict())
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            model.load_state_dict(current)


def train(
    output: str | Path,
    folders: Sequence[str | Path] = (),
    start: str | Path | None = None,
    minutes: float | None = None,
    resume: bool = False,
    seed: int = 0,
    config: CRNNConfig | None = None,
) -> Path:
    """Train on drawn pictures, or fine-tune on labelled folders.

    Args:
        output: folder for the checkpoint; interim ones go below it, TensorBoard logs to its ``runs``.
        folders: labelled pictures; none: draw them.
        start: a checkpoint to go on from; None: from scratch.
        minutes: time budget; the learning rate's schedule fits it. None: 60, or what a resumed run was begun with.
        resume: go on with the last interim checkpoint of ``output``.
        seed: of the weights and of all drawing.
        config: the model's shape, when from scratch.

    Returns:
        The folder of the finished checkpoint: averaged weights, their confidence calibrated if all was drawn; labelled
        folders keep the calibration of their start.

    Raises:
        ValueError: no usable picture, or nothing to resume; one sentence.
    """
    output = Path(output)
    last = get_last_checkpoint(str(output)) if resume and output.is_dir() else None
    if resume and last is None:
        raise ValueError(f"{output} has no interim checkpoint to resume; leave --resume out to begin anew.")
    torch.manual_seed(seed)
    model = CRNNForCTC.from_pretrained(start) if start else CRNNForCTC(config or CRNNConfig())
    model.to(memory_format=torch.channels_last)  # type: ignore[call-arg]  # wrapped untyped
    averaging = Averaging(model)
    before = _progress(last)
    clock = Clock(minutes or before["minutes"], before["spent_s"])
    if last:
        averaging.load(last)
    charset = Charset(model.config.charset)
    data, evaluation = _data(folders, model.config, charset, seed, before["steps"] * BATCH_SIZE, easy=start is None)
    budget = Budget(clock, BATCH_SIZE if isinstance(data, DrawnBatches) else _mean_batch(len(data)))
    trainer = CTCTrainer(
        clock,
        averaging,
        model=model,
        args=_arguments(output, seed, isinstance(data, DrawnBatches), FINE_TUNING_RATE if folders else LEARNING_RATE),
        train_dataset=data,
        eval_dataset=evaluation,
        data_collator=_Collator(charset),
        compute_metrics=exact_match,
        preprocess_logits_for_metrics=lambda outputs, labels: outputs[0].argmax(-1),
        callbacks=[averaging, budget],
    )
    trainer.remove_callback(PrinterCallback)  # Budget says it in words
    trainer.train(resume_from_checkpoint=last)
    figures = trainer.evaluate()
    model.load_state_dict(averaging.averaged.module.state_dict())
    if not folders:
        model.config.calibration = fit_calibration(Recognizer(model), CALIBRATION_PICTURES, EVALUATION_SEED)
    model.save_pretrained(output)
    history = {
        "seed": seed,
        "minutes": clock.budget_s / 60,
        "pictures": round(trainer.state.global_step * budget.batch_size),
        **figures,
    }
    (output / "training.json").write_text(json.dumps({**history, "log": trainer.state.log_history}, indent=1))
    return output


def _data(
    folders: Sequence[str | Path], config: CRNNConfig, charset: Charset, seed: int, drawn: int, easy: bool
) -> tuple[DrawnBatches | PreparedPictures, PreparedPictures]:
    if not folders:
        evaluation = PreparedPictures.drawn(EVALUATION_PICTURES, EVALUATION_SEED, config.height, config.stride)
        return DrawnBatches(charset, config.height, config.stride, BATCH_SIZE, seed, drawn, easy), evaluation
    pictures, problems = PreparedPictures.from_folders(folders, charset, config.height, config.stride)
    for problem in problems:
        print(f"Left out {problem}")
    if len(pictures) < 2:
        raise ValueError(f"{len(pictures)} of {len(problems) + len(pictures)} pictures can be used; give at least 2.")
    order = np.random.default_rng(seed).permutation(len(pictures))
    held_out = max(1, len(order) // 10)
    part = [[pictures[i] for i in ids] for ids in (order[held_out:], order[:held_out])]
    return PreparedPictures(part[0]), PreparedPictures(part[1])


def _progress(checkpoint: str | None) -> dict[str, Any]:
    """How far an interim checkpoint's run had come: spent_s, steps, and the minutes it was begun with."""
    if checkpoint is None:
        return {"spent_s": 0.0, "steps": 0, "minutes": 60.0}
    clock, state = (json.loads((Path(checkpoint) / name).read_text()) for name in (Budget.FILE, "trainer_state.json"))
    return {**clock, "steps": state["global_step"]}


def _mean_batch(pictures: int) -> float:
    """Pictures a step when so many are gone through in batches, of which the last may be smaller."""
    return pictures / math.ceil(pictures / BATCH_SIZE)


class _Collator:
    """Drawn batches come ready, one a step; labelled pictures are put together here."""

    def __init__(self, charset: Charset) -> None:
        self.charset = charset

    def __call__(self, items: list[Any]) -> dict[str, torch.Tensor]:
        if isinstance(items[0], dict):
            return dict(items[0])
        pictures, texts = zip(*items, strict=True)
        return collate(pictures, texts, self.charset)


def _arguments(output: Path, seed: int, drawn: bool, peak: float) -> TrainingArguments:
    gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(output),
        max_steps=10**7,  # the clock ends it
        per_device_train_batch_size=1 if drawn else BATCH_SIZE,
        per_device_eval_batch_size=BATCH_SIZE,
        learning_rate=peak,
        weight_decay=0.02,
        max_grad_norm=2.0,
        bf16=gpu or torch.ops.mkldnn._is_mkldnn_bf16_supported(),
        use_cpu=not gpu,
        logging_steps=100,
        report_to=["tensorboard"],
        save_strategy="no",  # Budget saves and evaluates by the clock
        eval_strategy="no",
        save_total_limit=2,
        dataloader_num_workers=(12 if gpu else 2) if drawn else 0,
        dataloader_prefetch_factor=4 if drawn else None,
        ignore_data_skip=True,
        remove_unused_columns=False,
        label_names=["labels"],
        seed=seed,
        disable_tqdm=True,
    )


def exact_match(prediction: EvalPrediction) -> dict[str, float]:
    """Share of pictures whose best path (Graves et al., 2006, section 3.2) is the label to the letter."""
    paths, labels = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)  # (N, T), (N, L)
    right = [
        collapse(path[path >= 0]) == [int(i) for i in label if i > BLANK]  # both are padded with -100
        for path, label in zip(paths, labels, strict=True)
    ]
    return {"exact": float(np.mean(right))}


def collapse(path: np.ndarray) -> list[int]:
    """A path's class ids (T,) without repeats and blanks."""
    starts = np.ones(len(path), bool)
    starts[1:] = path[1:] != path[:-1]
    return [int(i) for i in path[starts & (path != BLANK)]]
