"""Changes to labelled pictures keep what they say, and are seeded."""

from __future__ import annotations

import numpy as np
import pytest

from crnn.augment import augment
from crnn.metrics import exact
from crnn.recognizer import Recognizer
from crnn.synth import draw


@pytest.mark.parametrize("shape", [(20, 30, 3), (72, 400, 3), (48, 2, 3)])
def test_shape_and_type_stay(shape: tuple[int, int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for seed in range(20):
        changed = augment(np.random.default_rng(seed), picture)
        assert changed.shape == shape and changed.dtype == np.uint8


def test_the_seed_decides() -> None:
    picture = draw(np.random.default_rng(1), text="W7xkP", style="plain").picture
    kept = picture.copy()
    one, same, other = (augment(np.random.default_rng(seed), picture) for seed in (3, 3, 4))
    assert (one == same).all() and (one != other).any()
    assert (picture == kept).all()


def test_the_text_can_still_be_read() -> None:
    reader = Recognizer.from_pretrained()
    drawing = draw(np.random.default_rng(1), text="w7xkp", style="plain", aspect=3)
    changed = [augment(np.random.default_rng(seed), drawing.picture) for seed in range(60)]
    assert np.mean([exact(drawing.text, reading.text) for reading in reader.read_many(changed)]) > 0.6
