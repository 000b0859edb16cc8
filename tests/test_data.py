"""Labelled folders and batches."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crnn.charset import BLANK, NAMED, Charset
from crnn.data import DrawnBatches, PreparedPictures, align, collate, frames_needed, read_folder
from crnn.model import IGNORED
from crnn.synth import Drawing

CHARSET = Charset(NAMED["alphanumeric"])


def save_picture(path: Path, width: int = 120) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, width, 3), np.uint8)).save(path)


def test_labels_come_from_the_table_or_the_names(tmp_path: Path) -> None:
    for name in ("ab1.png", "ab1_2.png", "notes.txt"):
        save_picture(tmp_path / name) if name.endswith("png") else (tmp_path / name).write_text("no picture")
    assert [(e.path.name, e.text) for e in read_folder(tmp_path)] == [("ab1.png", "ab1"), ("ab1_2.png", "ab1")]
    (tmp_path / "metadata.csv").write_text("file_name,text\nab1.png,XY9\n", encoding="utf-8-sig")
    assert [(e.path.name, e.text) for e in read_folder(tmp_path)] == [("ab1.png", "XY9")]


def test_a_folder_without_labels_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no labelled pictures; give a metadata.csv"):
        read_folder(tmp_path)
    with pytest.raises(ValueError, match="There is no folder"):
        read_folder(tmp_path / "nowhere")
    (tmp_path / "metadata.csv").write_text("name,label\na.png,a\n")
    with pytest.raises(ValueError, match="it needs file_name and text"):
        read_folder(tmp_path)


def test_unusable_pictures_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    for name, width in (("good.png", 120), ("bad-label.png", 120), ("waytoolongforthis.png", 30)):
        save_picture(tmp_path / name, width)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing more")
    pictures, problems = PreparedPictures.from_folders([tmp_path], CHARSET, 48, 4)
    assert [text for _, text in pictures.pairs] == ["good"]
    assert len(problems) == 3
    assert all(any(word in problem for problem in problems) for word in ("'-'", "too long", "broken.png"))


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


def test_equal_neighbours_need_a_frame_between() -> None:
    assert [frames_needed(text) for text in ("", "a", "ab", "aab", "aaa")] == [0, 1, 2, 4, 5]
