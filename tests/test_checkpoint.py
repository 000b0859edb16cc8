"""The weights that come with the project: they read, quickly, and say what they are."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from crnn.charset import NAMED
from crnn.metrics import points_into, score
from crnn.recognizer import SHIPPED, Recognizer
from crnn.synth import draw
from crnn.tabs.read import EXAMPLES, examples


@pytest.fixture(scope="module")
def reader() -> Recognizer:
    return Recognizer.from_pretrained()


def test_the_examples_are_read_to_the_letter(reader: Recognizer) -> None:
    shown = examples(EXAMPLES)
    assert len(shown) >= 5
    assert [reader.read(path).text for path, _ in shown] == [text for _, text in shown]


def test_a_read_takes_less_than_a_second(reader: Recognizer) -> None:
    path, _ = examples(EXAMPLES)[0]
    reader.read(path)
    started = time.perf_counter()
    reader.read(path)
    assert time.perf_counter() - started < 1


def test_plain_pictures_are_nearly_all_read(reader: Recognizer) -> None:
    rng = np.random.default_rng(2026)
    drawings = [draw(rng, style="plain") for _ in range(60)]
    readings = list(reader.read_many(drawing.picture for drawing in drawings))
    assert score("plain", [drawing.text for drawing in drawings], readings).exact >= 0.85


def test_attention_points_at_the_glyph_that_is_read(reader: Recognizer) -> None:
    rng = np.random.default_rng(2027)
    pointed = []
    for _ in range(40):
        drawing = draw(rng, style="tilted")
        reading = reader.read(drawing.picture)
        if reading.text == drawing.text:
            size = (drawing.picture.shape[1], drawing.picture.shape[0])
            pairs = zip(reading.characters, drawing.boxes, strict=True)
            pointed += [points_into(character.focus, tuple(box), size) for character, box in pairs]
    assert len(pointed) > 50 and np.mean(pointed) >= 0.9


def test_the_checkpoint_is_small_safe_and_has_a_card() -> None:
    assert (SHIPPED / "model.safetensors").stat().st_size < 10e6
    config = json.loads((SHIPPED / "config.json").read_text())
    assert config["charset"] == NAMED["alphanumeric"] and 0.5 <= config["calibration"][0] <= 2
    card = (SHIPPED / "README.md").read_text()
    for part in ("--seed", "Out of scope", "pycaptcha", "ddddocr", "RapidOCR"):
        assert part in card
