"""Training on drawn pictures with ``transformers.Trainer``: fits a budget, averages weights, can be resumed."""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import EvalPrediction

from crnn.charset import BLANK, Charset
from crnn.config import CRNNConfig
from crnn.data import DrawnBatches, PreparedPictures, collate
from crnn.decode import collapse
from crnn.evaluate import fit_calibration
from crnn.fonts import find_fonts
from crnn.hub import loading
from crnn.model import CRNNForCTC, in_8_bits, load
from crnn.recognizer import Recognizer

BATCH_SIZE = 64
CPU_WORKERS, GPU_WORKERS = 2, 12  # processes that draw, beside either
MOST_FONTS = 20_000  # of the system's files are looked at before a long training begins, for minutes
MINUTES = 60.0
LEARNING_RATE, LOWER_RATE = 1.5e-3, 8e-4  # at its peak, from scratch and from weights that can read
WARM_UP = 0.03  # share of the time budget
EMA_DECAY = 0.999  # the weights are averaged over about the last thousand steps; over fewer at first
CHECKPOINT_MINUTES = 4.0
EVALUATION_PICTURES = 400
CALIBRATION_PICTURES = 200  # of each style
EVALUATION_SEED = 1_000_003  # no training seed comes near


class Clock:
    """How much of a budget of minutes, or of steps, is spent, over all runs of a resumed training.

    It stands still between ticks, and shows the same on all processes of a distributed training.
    """

    def __init__(self, minutes: float, steps: int | None = None, spent_s: float = 0.0) -> None:
        self.minutes, self.steps, self.spent_s = minutes, steps, spent_s
        self._started = time.monotonic() - spent_s

    def start(self) -> None:
        """Count from now on: what came before belongs to no budget."""
        self._started = time.monotonic() - self.spent_s

    def tick(self, device: torch.device) -> None:
        """Look at the time; the first process's counts. device: of this process's training."""
        self.spent_s = of_first_process(time.monotonic() - self._started, device)

    def share(self, step: int) -> float:
        """Of the budget that is spent after so many steps, 0 to 1."""
        return min(1.0, step / self.steps if self.steps else self.spent_s / (self.minutes * 60))


def of_first_process(value: float, device: torch.device) -> float:
    """What the first process of a distributed training has; alone, the value itself."""
    if not torch.distributed.is_initialized():
        return value
    told = torch.tensor(value, dtype=torch.float64, device=device)  # NCCL takes none on the CPU
    torch.distributed.broadcast(told, 0)
    return float(told)


def rate(share: float) -> float:
    """Learning rate relative to its peak after a share of the budget: linear warm-up, then half a cosine.

    Loshchilov and Hutter, 2017, SGDR, eq. 5.
    """
    if share < WARM_UP:
        return share / WARM_UP + 1e-3
    return 0.5 * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP)))


class EMACallback(TrainerCallback):
    """Keeps a moving average of the weights, which reads better than any single step's (Polyak and Juditsky, 1992)."""

    FILE = "averaged.pt"

    def __init__(self, model: CRNNForCTC, longest: float = EMA_DECAY) -> None:
        def average(averaged: Any, current: Any, count: Any) -> None:
            """A young average forgets faster: its start is worth little."""
            decay = min(longest, (1 + float(count)) / (10 + float(count)))
            get_ema_multi_avg_fn(decay)(averaged, current, count)

        self.averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=True)

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """The averaged ones, under the model's own names."""
        return self.averaged.module.state_dict()

    def on_step_end(self, args: Any, state: TrainerState, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.averaged.update_parameters(model)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            torch.save(self.averaged.state_dict(), interim(args, state) / self.FILE)

    def load(self, checkpoint: str) -> None:
        self.averaged.load_state_dict(torch.load(Path(checkpoint) / self.FILE, weights_only=True))


class TimeBudgetCallback(TrainerCallback):
    """Stops when the budget is spent, and saves every few minutes.

    Args:
        clock: of the training.
        save_minutes: between two interim checkpoints.
        evaluate: with each.
        begun: what the training was begun with, by its name to the user; each interim checkpoint tells it.
    """

    FILE = "clock.json"

    def __init__(self, clock: Clock, save_minutes: float, evaluate: bool, begun: dict[str, Any]) -> None:
        self.clock, self.save_minutes, self.evaluate, self.begun = clock, save_minutes, evaluate, begun
        self.saved_s = clock.spent_s

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.clock.start()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.clock.tick(args.device)
        if self.clock.share(state.global_step) >= 1:
            control.should_training_stop = True
        if control.should_training_stop or self.clock.spent_s - self.saved_s > self.save_minutes * 60:
            self.saved_s = self.clock.spent_s
            control.should_save = True
            control.should_evaluate = self.evaluate

    def on_save(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            budget = {"spent_s": self.clock.spent_s, "minutes": self.clock.minutes, "steps": self.clock.steps}
            beside = interim(args, state) / "clock.new"
            beside.write_text(json.dumps({**budget, "begun": self.begun}), encoding="utf-8")
            beside.replace(beside.with_name(self.FILE))  # at once: what has a clock is whole


class ReportCallback(TrainerCallback):
    """Says in words how it goes."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_log(
        self, args: Any, state: TrainerState, control: Any, logs: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        spent, total = self.clock.spent_s / 60, self.clock.minutes
        figures = {k: v for k, v in (logs or {}).items() if k in ("loss", "eval_exact", "eval_loss")}
        said = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())
        if said:
            left, pictures = max(0.0, total - spent), state.global_step * BATCH_SIZE
            print(f"{spent:.1f} of {total:.0f} minutes ({left:.0f} left), {pictures:,} pictures: {said}", flush=True)


def interim(args: TrainingArguments, state: TrainerState) -> Path:
    """The folder of the interim checkpoint that is being saved."""
    return Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"


class CTCTrainer(Trainer):
    """A Trainer whose schedule follows the clock and which evaluates and keeps the averaged weights."""

    def __init__(self, clock: Clock, ema: EMACallback, **kwargs: Any) -> None:
        self.clock, self.ema = clock, ema
        super().__init__(**kwargs)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """A schedule that follows the clock, whatever the number of steps."""
        chosen: Any = optimizer or self.optimizer
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(chosen, lambda step: rate(self.clock.share(step)))
        return self.lr_scheduler

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """As in transformers; a callback that has `on_loss` gets each step's loss, the mean over all processes."""
        loss = super().training_step(*args, **kwargs)
        mean = float(self.accelerator.reduce(loss, "mean"))
        for callback in self.callback_handler.callbacks:
            if hasattr(callback, "on_loss"):
                callback.on_loss(mean)
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate the averaged weights as they would be kept; the training goes on with its own."""
        model: Any = self.model
        current = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(in_8_bits(self.ema.weights))
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            model.load_state_dict(current)


def train(
    output: str | Path,
    start: str | Path | None = None,
    minutes: float | None = None,
    resume: bool = False,
    seed: int = 0,
    config: CRNNConfig | None = None,
) -> Path:
    """Train on drawn pictures; :func:`crnn.finetune.fine_tune` trains on labelled ones.

    Args:
        output: folder for the checkpoint; interim ones go below it, TensorBoard logs to its ``runs``.
        start: a checkpoint to go on from; None: from scratch.
        minutes: time budget; the learning rate's schedule fits it. None: 60, or what a resumed run was begun with.
        resume: go on with the last interim checkpoint of ``output``.
        seed: of the weights and of all drawing.
        config: the model's shape, when from scratch; its charset holds A-Z, a-z and 0-9, which are drawn.

    Returns:
        The folder of the finished checkpoint: averaged weights, their confidence calibrated.

    Raises:
        ValueError: no time, nothing to resume, another training in ``output``, or one begun otherwise; one sentence.
    """
    output = Path(output)
    check_minutes(minutes)
    if not resume and any((*output.glob("checkpoint-*"), *output.glob("model.safetensors"))):
        raise ValueError(f"{output} holds a training already; give another folder, or --resume to go on with it.")
    last = last_checkpoint(output) if resume else None
    torch.manual_seed(seed)
    model = begin_with(start, config)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-arg]  # wrapped untyped
    ema = EMACallback(model)
    begun = {"kind of pictures": "drawn", "start": name_of(start), "seed": seed}
    clock, done = Clock(MINUTES), 0
    if last:
        clock, done = progress(last, begun)
        ema.load(last)
    clock.minutes = minutes or clock.minutes
    config, charset = model.config, Charset(model.config.charset)
    trainer = CTCTrainer(
        clock,
        ema,
        model=model,
        args=arguments(
            output,
            seed,
            LOWER_RATE if start else LEARNING_RATE,
            workers=GPU_WORKERS if torch.cuda.is_available() else CPU_WORKERS,
        ),
        train_dataset=DrawnBatches(
            charset,
            config.height,
            config.stride,
            BATCH_SIZE,
            seed,
            done * BATCH_SIZE,
            start is None,
            find_fonts(MOST_FONTS),
        ),
        eval_dataset=PreparedPictures.drawn(EVALUATION_PICTURES, EVALUATION_SEED, config.height, config.stride),
        data_collator=_Collator(charset),
        compute_metrics=exact_match,
        preprocess_logits_for_metrics=lambda outputs, labels: outputs[0].argmax(-1),
        callbacks=[ema, TimeBudgetCallback(clock, CHECKPOINT_MINUTES, True, begun), ReportCallback(clock)],
    )
    trainer.remove_callback(PrinterCallback)  # ReportCallback says it in words
    trainer.train(resume_from_checkpoint=last)
    figures = trainer.evaluate()
    model.load_state_dict(in_8_bits(ema.weights))
    model.config.calibration = fit_calibration(Recognizer(model), CALIBRATION_PICTURES, EVALUATION_SEED)
    save(model, output)
    history = {
        "seed": seed,
        "minutes": clock.minutes,
        "pictures": trainer.state.global_step * BATCH_SIZE,
        **figures,
    }
    (output / "training.json").write_text(json.dumps({**history, "log": trainer.state.log_history}, indent=1))
    return output


def begin_with(start: str | Path | None, config: CRNNConfig | None) -> CRNNForCTC:
    """The model that a training begins with: a checkpoint's, or a new one of this shape. ValueError if it is none."""
    if not start:
        return CRNNForCTC(config or CRNNConfig())
    with loading(start) as folder:
        return load(folder)


def save(model: CRNNForCTC, output: Path) -> None:
    """Write a finished checkpoint, for all to read who may read the folder; safetensors alone would be its owner's."""
    model.save_pretrained(output)
    shutil.copymode(output / "config.json", output / "model.safetensors")


def check_minutes(minutes: float | None) -> None:
    """Raises ValueError where a time budget is none; one sentence."""
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"The time budget is {minutes} minutes; give {'fewer' if minutes > 0 else 'more than 0'}.")


def last_checkpoint(output: Path) -> str:
    """The latest whole interim checkpoint below a folder. Raises ValueError where there is none."""
    clocks = output.glob(f"checkpoint-*/{TimeBudgetCallback.FILE}")  # written last
    whole = [clock.parent for clock in clocks]
    if not whole:
        raise ValueError(f"{output} has no interim checkpoint to resume; leave --resume out to begin anew.")
    return str(max(whole, key=lambda folder: int(folder.name.rpartition("-")[2])))


def name_of(start: str | Path | None) -> str | None:
    """How a checkpoint to go on from is called wherever one stands: its whole path, or its id on the Hub."""
    return str(Path(start).resolve() if Path(start).is_dir() else start) if start else None


def progress(checkpoint: str, begun: dict[str, Any]) -> tuple[Clock, int]:
    """The clock of an interim checkpoint's run, and how many steps it had done.

    Raises:
        ValueError: that run was begun with something else; one sentence.
    """
    clock, state = (
        json.loads((Path(checkpoint) / name).read_text(encoding="utf-8"))
        for name in (TimeBudgetCallback.FILE, "trainer_state.json")
    )
    before = clock.pop("begun", {})
    other = [name for name, value in begun.items() if name not in before or before[name] != value]
    if other:
        raise ValueError(
            f"The training to resume was begun with other {' and '.join(other)}; go on with what it had, or begin anew."
        )
    return Clock(**clock), state["global_step"]


class _Collator:
    """Drawn batches come ready, one a step; the pictures of the evaluation are put together here."""

    def __init__(self, charset: Charset) -> None:
        self.charset = charset

    def __call__(self, items: list[Any]) -> dict[str, torch.Tensor]:
        if isinstance(items[0], dict):
            return dict(items[0])
        pictures, texts = zip(*items, strict=True)
        return collate(pictures, texts, self.charset)


def cpu_multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for it; without them bfloat16 takes many times as long as float32."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def arguments(output: Path, seed: int, peak: float, workers: int) -> TrainingArguments:
    """The Trainer's settings, for datasets whose items are whole batches.

    Args:
        output: folder of the checkpoints.
        seed: of dropout.
        peak: learning rate after the warm-up.
        workers: processes that make batches.
    """
    gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(output),
        max_steps=10**7,  # the clock ends it
        per_device_train_batch_size=1,
        per_device_eval_batch_size=BATCH_SIZE,
        learning_rate=peak,
        weight_decay=0.02,
        max_grad_norm=2.0,
        bf16=gpu or cpu_multiplies_bfloat16(),
        use_cpu=not gpu,
        logging_steps=100,
        report_to=["tensorboard"],
        save_strategy="no",  # TimeBudgetCallback saves and evaluates by the clock
        eval_strategy="no",
        save_total_limit=2,
        dataloader_num_workers=workers,
        dataloader_prefetch_factor=4 if workers else None,
        ignore_data_skip=True,
        accelerator_config={"dispatch_batches": False},  # each process takes its own items
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
