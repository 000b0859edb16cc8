"""A training leaves the processor to those who read; `pytest -s` prints both times."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from crnn.recognizer import Recognizer
from crnn.synth import draw
from crnn.tabs.workshop import Order, Rules, Workshop, training

PATIENCE_S = 120
READS = 40


def median_ms(reader: Recognizer, picture: np.ndarray) -> float:
    """Of one read after the other with a pause between, as people read."""
    took = []
    for _ in range(READS):
        begun = time.perf_counter()
        reader.read(picture)
        took.append(1000 * (time.perf_counter() - begun))
        time.sleep(0.05)
    return median(took)


def test_reading_goes_on_at_normal_speed(tmp_path: Path) -> None:
    reader = Recognizer.from_pretrained()
    rng = np.random.default_rng(0)
    picture = draw(rng, text="w7xkp", style="plain", aspect=160 / 60).picture
    median_ms(reader, picture)  # warms up
    idle = median_ms(reader, picture)
    workshop = Workshop(tmp_path, Rules(), training())
    try:
        bench = workshop.bench("x" * 32)
        for number in range(12):
            drawing = draw(rng, style="plain")
            Image.fromarray(drawing.picture).save(bench.pictures / f"{drawing.text}_{number}.png")
        staged = tmp_path / "staged"
        bench.pictures.rename(staged)
        bench.pictures.mkdir()
        bench.add(staged, names=True, limits=workshop.rules.limits)
        workshop.start(bench, Order(minutes=5))
        deadline = time.monotonic() + PATIENCE_S
        while not workshop.state(bench).steps:
            assert workshop.state(bench).active and time.monotonic() < deadline, bench.log.read_text()
            time.sleep(0.2)
        busy = median_ms(reader, picture)
        assert workshop.state(bench).phase == "running"
        workshop.remove(bench)
    finally:
        workshop.close()
    print(f"A read takes {idle:.1f} ms alone, and {busy:.1f} ms while a training runs.")
    assert busy <= 2.5 * idle
