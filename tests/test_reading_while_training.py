"""A training leaves the processor to those who read; `pytest -s` prints both times."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from crnn.recognizer import Recognizer
from crnn.synth import draw
from crnn.tabs.training_queue import Rules, TrainingOptions, TrainingQueue, training

PATIENCE_S = 120
ROUNDS, READS = 4, 12


def reads_ms(reader: Recognizer, picture: np.ndarray) -> list[float]:
    """Of one read after the other with a pause between, as people read."""
    took = []
    for _ in range(READS):
        begun = time.perf_counter()
        reader.read(picture)
        took.append(1000 * (time.perf_counter() - begun))
        time.sleep(0.05)
    return took


def test_reading_goes_on_at_normal_speed(tmp_path: Path) -> None:
    reader = Recognizer.from_pretrained()
    rng = np.random.default_rng(0)
    picture = draw(rng, text="w7xkp", style="plain", aspect=160 / 60).picture
    reads_ms(reader, picture)  # warms up
    trainings = TrainingQueue(tmp_path, Rules(), training())
    try:
        workspace = trainings.workspace("x" * 32)
        for number in range(12):
            drawing = draw(rng, style="plain")
            Image.fromarray(drawing.picture).save(workspace.pictures / f"{drawing.text}_{number}.png")
        staged = tmp_path / "staged"
        workspace.pictures.rename(staged)
        workspace.pictures.mkdir()
        workspace.add(staged, names=True, limits=trainings.rules.limits)
        trainings.start(workspace, TrainingOptions(minutes=5))
        deadline = time.monotonic() + PATIENCE_S
        while not trainings.state(workspace).steps:
            assert trainings.state(workspace).active and time.monotonic() < deadline, workspace.log.read_text()
            time.sleep(0.2)
        process = int((workspace.folder / "process").read_text())
        idle_ms, busy_ms = [], []
        for _ in range(ROUNDS):  # in turn, lest what else the machine does is counted for one alone
            os.killpg(process, signal.SIGSTOP)
            idle_ms += reads_ms(reader, picture)
            os.killpg(process, signal.SIGCONT)
            busy_ms += reads_ms(reader, picture)
        idle, busy = median(idle_ms), median(busy_ms)
        assert trainings.state(workspace).phase == "running"
        trainings.remove(workspace)
    finally:
        trainings.close()
    print(f"A read takes {idle:.1f} ms alone, and {busy:.1f} ms while a training runs.")
    assert busy <= 2.5 * idle
