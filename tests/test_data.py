"""Batches of drawn pictures, and where their glyphs stand."""

from itertools import islice

import numpy as np
import torch

from crnn.charset import BLANK, NAMED, Charset
from crnn.data import DrawnBatches, align, collate
from crnn.intake import frames_needed
from crnn.model import IGNORED
from crnn.synth import Drawing

CHARSET = Charset(NAMED["alphanumeric"])


def test_a_batch_is_padded_to_the_widest() -> None:
    pictures = [np.ones((3, 48, width), np.float32) for width in (40, 80)]
    batch = collate(pictures, ["a1", "abc"], CHARSET)
    assert batch["pixel_values"].shape == (2, 3, 48, 80)
    assert batch["pixel_values"][0, :, :, 40:].abs().max() == 0
    assert batch["widths"].tolist() == [40, 80]
    assert batch["labels"].tolist() == [[*CHARSET.encode("a1"), BLANK], CHARSET.encode("abc")]
    assert "widths" not in collate(pictures[:1] * 2, ["a", "b"], CHARSET)


def test_frames_are_told_where_glyphs_stand() -> None:
    boxes = np.array([[10, 5, 30, 40], [50, 5, 70, 40]], np.float32)
    drawing = Drawing(np.zeros((48, 100, 3), np.uint8), "A7", boxes, "plain")
    classes = align(drawing, 25, CHARSET)  # 4 px a frame
    assert classes[5] == CHARSET.encode("A")[0] and classes[15] == CHARSET.encode("7")[0]
    assert classes[10] == BLANK and classes[0] == BLANK and classes[24] == BLANK
    assert (classes[[3, 4, 6, 13]] == IGNORED).all()


def test_a_crowd_of_glyphs_is_left_to_ctc() -> None:
    boxes = np.array([[10, 5, 30, 40], [12, 5, 32, 40]], np.float32)
    drawing = Drawing(np.zeros((48, 100, 3), np.uint8), "A7", boxes, "plain")
    assert (align(drawing, 25, CHARSET) == IGNORED).all()


def test_drawn_batches_are_seeded_and_every_label_fits() -> None:
    def first(drawn: int) -> list[dict[str, torch.Tensor]]:
        return list(islice(DrawnBatches(CHARSET, 48, 4, 8, seed=1, drawn=drawn), 4))

    once, again, later = first(0), first(0), first(64)
    for a, b in zip(once, again, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(once[0]["labels"], later[0]["labels"])
    for batch in once:
        n, _, height, width = batch["pixel_values"].shape
        assert (n, height) == (8, 48) and width % 4 == 0
        assert batch["alignment"].shape == (8, width // 4)
        for label in batch["labels"]:
            assert frames_needed(CHARSET.decode([int(i) for i in label if i != BLANK])) <= width // 4
