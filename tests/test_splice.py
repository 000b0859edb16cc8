"""Parts of labelled pictures joined to new ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from crnn.config import CRNNConfig
from crnn.decode import alignment, collapse
from crnn.model import CRNNForCTC
from crnn.recognizer import SHIPPED
from crnn.splice import partings, splice
from crnn.synth import draw


@pytest.mark.parametrize("ids", [[1], [1, 2], [1, 1], [2, 1, 1], [3, 3, 3]])
def test_the_alignment_is_the_best_of_all_paths_that_say_the_text(ids: list[int]) -> None:
    log_probs = np.log(np.random.default_rng(len(ids)).dirichlet(np.ones(4), 6))
    paths = (np.array(path) for path in itertools.product(range(4), repeat=6))
    best = max(sum(log_probs[np.arange(6), path]) for path in paths if collapse(path) == ids)
    classes = np.zeros(6, int)
    for class_id, (start, end) in zip(ids, alignment(log_probs, ids), strict=True):
        classes[start:end] = class_id
    assert collapse(classes) == ids
    assert log_probs[np.arange(6), classes].sum() == pytest.approx(best)


def test_characters_part_between_their_glyphs() -> None:
    drawing = draw(np.random.default_rng(5), text="W7xkP", style="plain")
    model = CRNNForCTC.from_pretrained(SHIPPED).eval()
    found = partings(model, drawing.picture, drawing.text)
    slack = 0.25 * (drawing.boxes[:, 2] - drawing.boxes[:, 0]).mean()
    assert len(found) == 4
    for parting, left, right in zip(found, drawing.boxes, drawing.boxes[1:], strict=False):
        assert left[2] - slack <= parting <= right[0] + slack


def test_the_beginning_of_one_and_the_end_of_another() -> None:
    red, blue = (np.full((40, 100, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 0, 200)))
    texts = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        joined, text = splice(rng, (red, "abc", np.array([30, 60])), (blue, "xyz", np.array([40, 80])))
        texts.add(text)
        assert joined.shape[0] == 40 and joined.dtype == np.uint8
        assert (joined[:, 0] == red[0, 0]).all() and (joined[:, -1] == blue[0, 0]).all()
        # "a" is 30 px wide and "yz" 60: where they meet, a seam is shared
        assert joined.shape[1] == {"ayz": 30 + 60, "abz": 60 + 20}[text]
    assert texts == {"ayz", "abz"}


def test_parts_of_other_heights_are_scaled() -> None:
    low, high = np.zeros((20, 50, 3), np.uint8), np.zeros((40, 100, 3), np.uint8)
    joined, text = splice(np.random.default_rng(0), (low, "ab", np.array([25])), (high, "cd", np.array([50])))
    assert text == "ad" and joined.shape == (20, 50, 3)


def test_an_untrained_reader_finds_partings_too(
    word_picture: Callable[..., np.ndarray], tiny_config: CRNNConfig
) -> None:
    found = partings(CRNNForCTC(tiny_config).eval(), word_picture("a00b"), "a00b")
    assert (np.diff(found) > 0).all() and 0 < found[0] and found[-1] < 160
