"""Lines of text in larger pictures: proposed, chosen, read, and shown where they are."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import torch
from pages import Page, overlaps, photo, pip_fonts, screenshot

from crnn.config import CRNNConfig
from crnn.decode import Reading
from crnn.locate import Box, choose, iou, locate, within_margins
from crnn.recognizer import Recognizer, Seen

LABEL, CAPTCHA, BLOCK = (10, 10, 210, 30), (10, 60, 210, 120), (5, 5, 215, 125)


def with_text(width: int, height: int, scale: float, shade: int = 0) -> tuple[np.ndarray, Box]:
    """A light picture with one line of text at three fifths of its width and height, and the line's box."""
    picture = np.full((height, width, 3), 235, np.uint8)
    (across, upright), _ = cv2.getTextSize("h7Kx2", cv2.FONT_HERSHEY_SIMPLEX, scale, round(2 * scale))
    x, y = round(0.6 * (width - across)), round(0.6 * height)
    cv2.putText(picture, "h7Kx2", (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (shade,) * 3, round(2 * scale), cv2.LINE_AA)
    return picture, (x, y - upright, x + across, y)


@pytest.mark.parametrize(("width", "height", "scale"), [(640, 480, 1), (640, 480, 4), (1920, 1080, 2), (1080, 1920, 8)])
def test_a_line_is_proposed_whatever_its_size(width: int, height: int, scale: float) -> None:
    picture, line = with_text(width, height, scale)
    assert max(iou(box, line) for box in locate(picture)) >= 0.5


def test_faint_text_is_found_and_an_empty_picture_holds_none() -> None:
    faint, line = with_text(800, 600, 2, shade=200)
    assert max(iou(box, line) for box in locate(faint)) >= 0.5
    assert locate(with_text(800, 600, 2, shade=235)[0]) == []


@pytest.mark.parametrize(("above", "beside"), [(120, 0), (0, 200), (90, 150)])
def test_what_lies_between_bars_is_proposed_first(above: int, beside: int) -> None:
    band, _ = with_text(640, 160, 2)
    whole = cv2.copyMakeBorder(band, above, above, beside, beside, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    assert iou(locate(whole)[0], (beside, above, beside + 640, above + 160)) > 0.97
    margins = cv2.copyMakeBorder(band, above, above, beside, beside, cv2.BORDER_CONSTANT, value=(235, 235, 235))
    assert all(iou(box, (beside, above, beside + 640, above + 160)) < 0.8 for box in locate(margins))  # paper, no bars


@pytest.mark.parametrize("scale", [1, 10])
def test_margins_above_and_below_are_left_out_but_for_a_little(scale: int) -> None:
    picture = np.full((60 * scale, 200 * scale, 3), 235, np.uint8)
    picture[20 * scale : 40 * scale, 50 * scale : 90 * scale] = 60
    rows = within_margins(picture)
    assert rows is not None and (rows.start, rows.stop) == (18 * scale, 42 * scale)
    assert within_margins(picture[rows]) is None  # a tenth of what is within may stay
    assert within_margins(picture[:, : 40 * scale]) is None  # nothing is on it
    noise = np.random.default_rng(0).integers(-40, 40, picture.shape[:2])[..., None]
    assert within_margins((picture - 50 + noise).astype(np.uint8)) is None


@pytest.mark.parametrize(("width", "height"), [(200, 60), (320, 127), (1557, 100), (150, 400)])
def test_what_may_be_a_line_itself_is_not_searched(width: int, height: int) -> None:
    assert locate(with_text(width, height, 1)[0]) == []


def test_at_most_six_are_proposed_and_none_twice() -> None:
    picture = np.full((1000, 700, 3), 255, np.uint8)
    for row in range(12):
        cv2.putText(picture, "some words", (50, 70 + 75 * row), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (0, 0, 0), 3)
    boxes = locate(picture)
    assert len(boxes) == 6
    assert max(iou(one, other) for one in boxes for other in boxes if one is not other) < 0.8


def test_the_highest_line_that_reads_as_text_is_meant() -> None:
    assert choose([LABEL, CAPTCHA], [19.5, 3.1]) == 1  # a label is longer and surer, but low
    assert choose([LABEL, CAPTCHA], [19.5, 0.3]) == 0  # 60 px high, but nothing to read: 9 to 20
    assert choose([BLOCK, CAPTCHA], [2.2, 4.8]) == 1  # both are of one line
    assert choose([BLOCK, CAPTCHA, LABEL], [2.2, 4.8, 19.5]) == 1  # the label lies in the block, but is no such line


def test_iou_of_boxes() -> None:
    assert iou((0, 0, 4, 2), (2, 0, 6, 2)) == pytest.approx(4 / 12)
    assert iou((0, 0, 4, 2), (5, 5, 6, 6)) == 0
    assert iou((0, 0, 4, 2), (0, 0, 4, 2)) == 1


class TwoViews:
    """Stands in for the network: knows a picture and the line in it, both wider too, by their numbers of frames."""

    rounds = False

    def __init__(self, config: CRNNConfig, texts: dict[int, str], certainty: float) -> None:
        self.config, self.texts, self.certainty = config, texts, certainty

    def infer(self, prepared: Sequence[np.ndarray], exact: bool = False) -> list[Seen]:
        return [self.see(picture.shape[2] // 4) for picture in prepared]

    def see(self, frames: int) -> Seen:
        ids = [
            self.config.charset.index(known) + 1 if known != "." else 0
            for known in self.texts[frames].ljust(frames, ".")
        ]
        attention = np.zeros((frames, 2, frames), np.float32)
        attention[range(frames), 0, range(frames)] = 1  # each frame looks at itself, in the upper row
        logits = torch.nn.functional.one_hot(torch.tensor(ids), self.config.classes) * float(self.certainty)
        return logits.log_softmax(-1).numpy(), attention


def read_twice(config: CRNNConfig, whole: str, line: str, certainty: float) -> Reading:
    """Read 1000 x 400 px: as a whole 24 frames at first, and one line in it of 128 x 96 px, 16 frames."""
    reader = Recognizer(TwoViews(config, {24: whole, 32: whole, 36: whole, 16: line, 20: line}, certainty))
    with patch("crnn.recognizer.locate", return_value=[(64, 192, 192, 288)]):
        return reader.read(np.zeros((400, 1000, 3), np.uint8))


def test_boxes_and_focus_of_a_line_lie_on_the_whole_picture(tiny_config: CRNNConfig) -> None:
    reading = read_twice(tiny_config, ".", "...11....22.A", certainty=8)
    assert (reading.text, reading.box) == ("12A", (64, 192, 192, 288))
    one = reading.characters[0]
    # in the line from 8 to 56 px (see test_recognizer), and 2.4 to 45.6; the line begins at 64, 192
    assert one.box == pytest.approx((72, 194.4, 120, 237.6), abs=0.2)
    assert one.focus.shape == (8, 125)  # cells of 8 x 48 px, as in the line
    assert one.focus.sum() == pytest.approx(1, abs=1e-5)
    assert one.focus[4, 8 + 3 : 8 + 5] == pytest.approx([0.5, 0.5], abs=1e-2)


def test_what_is_read_surely_or_as_well_whole_stays(tiny_config: CRNNConfig) -> None:
    assert read_twice(tiny_config, ".1.2", "...11....22.A", certainty=12).text == "12"  # surely
    unsure = read_twice(tiny_config, ".1.2.3", "...11....22.A", certainty=6)
    assert unsure.text == "123" and unsure.confidence < 0.9 and unsure.box is None
    assert read_twice(tiny_config, ".1.2", "...11....22.A", certainty=6).text == "12A"  # a character more


@pytest.fixture(scope="module")
def pages() -> list[Page]:
    fonts = pip_fonts()
    return [kind(np.random.default_rng(number), fonts) for number in range(5) for kind in (screenshot, photo)]


def test_nearly_every_page_has_its_captcha_proposed(pages: list[Page]) -> None:
    assert sum(any(overlaps(page, box) for box in locate(page.picture)) for page in pages) >= 8


def test_the_captcha_is_found_on_half_the_pages_or_more(pages: list[Page]) -> None:
    reader = Recognizer.from_pretrained()
    boxes = [reader.read(page.picture).box for page in pages]
    assert sum(box is not None and overlaps(page, box) for box, page in zip(boxes, pages, strict=True)) >= 5
