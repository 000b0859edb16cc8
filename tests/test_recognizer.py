"""The one public door: constraints, batches, boxes and focus, and what checkpoints may be."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import crnn
from crnn.config import CRNNConfig
from crnn.decode import Reading, _text_scores
from crnn.image import PictureError, prepare
from crnn.model import CRNNForCTC
from crnn.recognizer import Recognizer, Seen
from crnn.train import begin_with

Draw = Callable[..., np.ndarray]
BLACK = np.zeros((96, 128, 3), np.uint8)  # prepared to 48 x 64 px: 16 frames of 8 px of this picture


@dataclass
class ScriptedModel:
    """Stands in for the network: each frame has one sure class and looks at one cell of a map with 2 rows.

    A view that was made wider has blanks at its end.
    """

    config: CRNNConfig
    classes: list[int]
    rows: list[int]
    certainty: float = 8.0
    rounds = False

    def infer(self, prepared: Sequence[np.ndarray], exact: bool = False) -> list[Seen]:
        return [self.see(picture.shape[2] // 4 - len(self.classes)) for picture in prepared]

    def see(self, more: int) -> Seen:
        assert more in (0, len(self.classes) // 4)
        classes, rows, frames = self.classes + more * [0], self.rows + more * [0], len(self.classes) + more
        attention = np.zeros((frames, 2, frames), np.float32)
        attention[range(frames), rows, range(frames)] = 1
        return sure(classes, self.config.classes, self.certainty), attention


def sure(classes: Sequence[int], count: int, certainty: float) -> np.ndarray:
    """Log-probabilities of frames that each have one sure class of so many."""
    logits = torch.nn.functional.one_hot(torch.tensor(classes), count) * certainty
    return logits.log_softmax(-1).numpy()


def scripted(config: CRNNConfig, classes: str, rows: str, certainty: float = 8.0) -> Recognizer:
    """A recognizer whose frames see these characters (. is the blank) in these rows (0 or 1)."""
    ids = [0 if character == "." else config.charset.index(character) + 1 for character in classes]
    return Recognizer(ScriptedModel(config, ids, [int(row) for row in rows], certainty))


class Wavering(ScriptedModel):
    """Is for a digit of `answers` in each look, and surer from look to look."""

    answers = ""
    looks = 0

    def infer(self, prepared: Sequence[np.ndarray], exact: bool = False) -> list[Seen]:
        seen = self.sees(self.looks)
        self.looks += len(prepared)
        return [(seen, attention) for _, attention in super().infer(prepared)]

    def sees(self, look: int) -> np.ndarray:
        classes = [0] * len(self.classes)
        classes[5] = 1 + self.config.charset.index(self.answers[look])
        return sure(classes, self.config.classes, self.certainty + look)


@pytest.mark.parametrize("answers", ["22", "122"])  # the mean of two is more than half sure, or it is not
def test_what_is_unsure_is_looked_at_again_and_a_text_has_its_mean_probability(
    tiny_config: CRNNConfig, answers: str
) -> None:
    model = Wavering(tiny_config, [0] * 16, [0] * 16, 6.0)
    model.answers = answers
    reader = Recognizer(model)
    look = reader.look(BLACK)
    assert model.looks == len(answers)
    two = tiny_config.charset.index("2") + 1
    mean = np.exp(
        _text_scores([[model.sees(number).astype(float) for number in range(len(answers))]], [[[two]]])
    ).mean()
    for top in (0, 5):
        reading = reader.decode(look, top=top)
        # the beam search divides by what float32 leaves of each frame's sum
        assert (reading.text, reading.confidence) == ("2", pytest.approx(mean, abs=1e-5 if top else 1e-6))
        assert reading.characters[0].frames[0] == 5 and reading.characters[0].focus.shape == (2, 16)


@pytest.mark.parametrize("margins", [False, True])
def test_the_other_views_are_a_blurred_negative_and_a_closer_one(
    tiny_config: CRNNConfig, word_picture: Draw, margins: bool
) -> None:
    views: list[np.ndarray] = []

    class Unsure(ScriptedModel):
        def infer(self, prepared: Sequence[np.ndarray], exact: bool = False) -> list[Seen]:
            views.extend(prepared)
            frames = prepared[0].shape[2] // 4
            return [(sure([0] * frames, self.config.classes, 0.0), np.full((frames, 2, frames), 1.0, np.float32))]

    picture = word_picture("4711")
    if not margins:
        picture = picture[16:46]
        picture[0] = picture[-1] = 0
    Recognizer(Unsure(tiny_config, [], [])).look(picture)
    first, second, third = views
    widths = [view.shape[2] / prepare(picture, 48, 4).shape[2] for view in views]
    assert widths[:2] == pytest.approx([0.8, 1.1], abs=0.1)
    sharp = prepare(picture, 48, 4, 1.1)
    assert np.corrcoef(sharp.ravel(), second.ravel())[0, 1] < -0.9
    assert np.abs(np.diff(second)).mean() < np.abs(np.diff(sharp)).mean()
    if margins:
        rows = [int((np.ptp(view[0], axis=1) > 1).sum()) for view in (first, third)]  # that have ink
        assert rows[1] > 1.4 * rows[0] and widths[2] > 1.1
        assert np.median(third) < 0 < np.median(first)
    else:
        assert widths[2] == pytest.approx(1.25, abs=0.05)


def test_a_narrow_picture_is_not_made_narrower(tiny_model: CRNNForCTC, word_picture: Draw) -> None:
    reader = Recognizer(tiny_model)
    for width, wider in ((80, 1.0), (160, 0.8)):
        picture = word_picture("47", width=width)
        look = reader.look(picture)
        assert look.view.prepared.shape == prepare(picture, 48, 4, wider).shape
        assert look.log_probs.shape[0] == look.view.geometry.frames == look.view.prepared.shape[2] // 4


def test_what_is_sure_is_looked_at_once(tiny_config: CRNNConfig) -> None:
    reader = scripted(tiny_config, FRAMES, ROWS, certainty=12.0)
    runs: list[int] = []
    infer = reader.model.infer

    def counted(prepared: Sequence[np.ndarray], exact: bool = False) -> list[Seen]:
        runs.append(len(prepared))
        return infer(prepared)

    reader.model.infer = counted  # type: ignore[method-assign]
    reader.read(BLACK)
    assert runs == [1]


@pytest.mark.parametrize(("lead", "exact_runs"), [(0.05, 2), (1.0, 0)])
@pytest.mark.parametrize("asked_for", [{}, {"top": 0}, {"top": 0, "charset": "digits", "length": (1, 2)}])
def test_where_rounding_could_decide_the_network_is_asked_again_in_float32(
    tiny_config: CRNNConfig, lead: float, exact_runs: int, asked_for: dict[str, Any]
) -> None:
    asked: list[bool] = []

    class Rounding(ScriptedModel):
        """Is for a 1 by a lead in log odds; in float32 for a 2."""

        rounds = True

        def infer(self, prepared: Sequence[np.ndarray], exact: bool = False) -> list[Seen]:
            asked.append(exact)
            logits = torch.nn.functional.one_hot(torch.zeros(16, dtype=torch.int64), self.config.classes) * 12.0
            one, two = (1 + self.config.charset.index(digit) for digit in "12")
            logits[5, [one, two]] = torch.tensor([12.0, 12.0 + lead] if exact else [12.0 + lead, 12.0])
            logits[5, 0] = 0.0
            attention = np.full((16, 2, 16), 1 / 32, np.float32)
            return [(logits.log_softmax(-1).numpy(), attention) for _ in prepared]

    reading = Recognizer(Rounding(tiny_config, [], [])).read(BLACK, **asked_for)
    assert sum(asked) == exact_runs  # the look itself, and its blurred negative
    assert reading.text == ("2" if exact_runs else "1")
    assert bool(reading.alternatives) == bool(asked_for.get("top", 5))


#            frame  0         1
#                   0123456789012345
FRAMES, ROWS = "...11....22.A...", "0000000000111111"


def test_boxes_and_focus_stand_where_the_frames_are(tiny_config: CRNNConfig) -> None:
    reading = scripted(tiny_config, FRAMES, ROWS).read(BLACK)
    assert reading.text == "12A"
    one, two, a = reading.characters
    # centres at frames 4, 10 and 12.5: midway borders at 7 and 11.25, and as far out on the outer sides
    assert [character.box[0::2] for character in (one, two, a)] == [
        pytest.approx(pair, abs=0.1) for pair in [(8, 56), (56, 90), (90, 110)]
    ]
    assert one.box[1::2] == pytest.approx((2.4, 45.6), abs=0.1)  # 0.9 of the upper row
    assert a.box[1::2] == pytest.approx((50.4, 93.6), abs=0.1)  # 0.9 of the lower row
    assert one.focus.shape == (2, 16)
    assert one.focus.sum() == pytest.approx(1, abs=1e-5)
    assert one.focus[0, 3:5] == pytest.approx([0.5, 0.5], abs=1e-3)


def test_a_single_character_is_boxed_by_its_focus(tiny_config: CRNNConfig) -> None:
    (only,) = scripted(tiny_config, "......77........", "0" * 16).read(BLACK).characters
    assert only.box == pytest.approx((48.8, 2.4, 63.2, 45.6), abs=0.1)


def test_confidence_is_calibrated(tiny_config: CRNNConfig) -> None:
    raw = scripted(tiny_config, FRAMES, ROWS).read(BLACK).confidence
    config = CRNNConfig(**{**tiny_config.to_dict(), "calibration": (1.5, 0.2)})
    odds = (raw / (1 - raw)) ** 1.5 * np.exp(0.2)
    assert scripted(config, FRAMES, ROWS).read(BLACK).confidence == pytest.approx(odds / (1 + odds))


def test_focus_under_ignore_case_counts_both_cases(tiny_config: CRNNConfig) -> None:
    reading = scripted(tiny_config, FRAMES, ROWS).read(BLACK, ignore_case=True)
    assert reading.text == "12a"
    assert reading.characters[2].focus[1, 12] == pytest.approx(1, abs=1e-3)


def test_constraints_hold(tiny_model: CRNNForCTC, word_picture: Draw) -> None:
    reader, picture = Recognizer(tiny_model), word_picture("4711")
    assert len(reader.read(picture, length=4).text) == 4
    assert 2 <= len(reader.read(picture, length=(2, 3)).text) <= 3
    reading = reader.read(picture, charset="ab", length=5, top=3)
    assert set(reading.text) <= set("ab")
    assert len(reading.alternatives) == 3
    assert set(reader.read(picture, charset="alphanumeric", length=3).text) <= set("0123456789abAB")


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"charset": "12x"}, "'x', which this model can't read"),
        ({"charset": ""}, "empty"),
        ({"length": (5, 4)}, "5 to 4"),
        ({"length": -1}, "-1"),
        ({"length": (4,)}, r"^The length is \(4,\); give a number, or the fewest and the most: \(4, 6\).$"),
        ({"length": "4-6"}, "^The length is '4-6'; "),
        ({"charset": ["a"]}, "^The charset is a list: "),
        ({"top": -1}, "^-1 other texts were asked for; give a whole number from 0 to 100.$"),
        ({"top": 10**7}, "^10000000 other texts were asked for; "),
        ({"batch_size": 0}, "^The batch size is 0; give 1 or more.$"),
    ],
)
def test_impossible_wishes_are_refused_at_once(tiny_model: CRNNForCTC, wish: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Recognizer(tiny_model).read_many([], **wish)  # before any picture is looked at


def test_one_picture_is_not_several(tiny_model: CRNNForCTC) -> None:
    with pytest.raises(ValueError, match="^One str came instead of several pictures; give a list of them.$"):
        Recognizer(tiny_model).read_many("one.png")


def test_whole_numbers_of_numpy_are_whole_numbers(tiny_model: CRNNForCTC, word_picture: Draw) -> None:
    reading = Recognizer(tiny_model).read(word_picture("4711"), length=np.int64(3), top=np.int64(2))  # type: ignore[arg-type]
    assert (len(reading.text), len(reading.alternatives)) == (3, 2)


def test_who_has_enough_waits_for_no_more(tiny_model: CRNNForCTC, word_picture: Draw) -> None:
    """The first readings come after few pictures, and at the end no more than a window or two are opened."""
    picture, taken = word_picture("1"), 0

    def pictures() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield picture

    readings = Recognizer(tiny_model).read_many(pictures())
    next(readings)
    assert taken <= 8 + 16 + 32
    threads = threading.active_count()
    readings.close()  # type: ignore[attr-defined]  # a generator's
    assert threading.active_count() < threads


def test_batches_read_like_singles_in_order_and_survive_bad_pictures(
    tiny_model: CRNNForCTC, word_picture: Draw
) -> None:
    reader = Recognizer(tiny_model)
    pictures = [word_picture(f"{n}a{n}", width=60 + 37 * n % 150) for n in range(11)]
    singles = [reader.read(picture) for picture in pictures]
    sources: list = [*pictures[:3], b"broken", *pictures[3:], None]
    results = list(reader.read_many(iter(sources), batch_size=2))  # windows of 8: more than one
    assert [number for number, result in enumerate(results) if isinstance(result, PictureError)] == [3, 12]
    readings = [result for result in results if isinstance(result, Reading)]
    assert [reading.text for reading in readings] == [single.text for single in singles]
    for reading, single in zip(readings, singles, strict=True):
        assert reading.confidence == pytest.approx(single.confidence, rel=1e-3)
        for one, other in zip(reading.characters, single.characters, strict=True):
            assert one.box == pytest.approx(other.box, abs=0.05)
            assert np.allclose(one.focus, other.focus, atol=1e-4)


def test_a_picture_too_narrow_for_the_length_does_not_cost_the_rest(tiny_model: CRNNForCTC, word_picture: Draw) -> None:
    reader = Recognizer(tiny_model)
    narrow, wide = word_picture("1", width=20), word_picture("1", width=160)
    first, second = reader.read_many([narrow, wide], length=15)
    assert isinstance(first, PictureError)
    assert len(second.text) == 15
    with pytest.raises(PictureError, match="8 frames"):
        reader.read(narrow, length=15)


def test_a_checkpoint_reads_the_same_after_loading(
    tiny_model: CRNNForCTC, tiny_checkpoint: Path, word_picture: Draw
) -> None:
    picture = word_picture("12b")
    loaded = crnn.Recognizer.from_pretrained(str(tiny_checkpoint), device="cpu")
    assert loaded.read(picture) == Recognizer(tiny_model).read(picture)


def test_what_is_no_checkpoint_gets_one_sentence(tiny_checkpoint: Path, tmp_path: Path) -> None:
    def copy(name: str, **changes: bytes) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file in ("config.json", "model.safetensors"):
            (folder / file).write_bytes(changes.get(file.split(".")[0], (tiny_checkpoint / file).read_bytes()))
        return folder

    config = (tiny_checkpoint / "config.json").read_bytes()
    weights = (tiny_checkpoint / "model.safetensors").read_bytes()
    bad = {
        tmp_path: "holds no config.json",
        tmp_path / "nowhere": "holds no config.json",
        copy("cut", model=weights[:-50]): "is no checkpoint",
        copy("garbled", config=b"{"): "is no checkpoint",
        copy("other", config=config.replace(b'"lstm_size": 8', b'"lstm_size": 4')): "another kind of model",
        "no/such-model": "no model that the Hub gives",
    }
    for checkpoint, reason in bad.items():
        for load in (Recognizer.from_pretrained, lambda start: begin_with(start, None)):  # a training begins with none
            with pytest.raises(ValueError, match=reason) as caught:
                load(checkpoint)
            assert "\n" not in str(caught.value)


def test_a_checkpoint_that_may_not_be_read_is_said(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crnn.hub.os.access", lambda path, mode: path.suffix != ".safetensors")
    with pytest.raises(ValueError, match=r"model.safetensors can't be opened; check its permissions.$"):
        Recognizer.from_pretrained(tiny_checkpoint)


@pytest.mark.parametrize("device", ["nonsense", "xpu"])
def test_a_device_that_is_not_there_is_said(tiny_checkpoint: Path, device: str) -> None:
    with pytest.raises(ValueError, match=f"^The device {device} can't be used; give another, such as cpu: ") as caught:
        Recognizer.from_pretrained(tiny_checkpoint, device=device)
    assert "\n" not in str(caught.value)


def test_a_binary_file_is_a_picture_too(tiny_model: CRNNForCTC) -> None:
    reader = Recognizer(tiny_model)
    pnm = b"P5 32 16 255\n" + bytes(range(256)) * 2
    assert reader.read(io.BytesIO(pnm)) == reader.read(pnm)


def test_one_look_is_decoded_as_often_as_wanted_without_the_network(
    tiny_model: CRNNForCTC, word_picture: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, picture = Recognizer(tiny_model), word_picture("a1")
    wishes: list[dict] = [{}, {"charset": "digits", "length": 3}, {"ignore_case": True}]
    read = [reader.read(picture, **wish) for wish in wishes]
    look = reader.look(picture)
    monkeypatch.setattr(reader.model, "infer", None)  # from here on it would fail
    assert [reader.decode(look, **wish) for wish in wishes] == read
    with pytest.raises(PictureError, match="fits the picture"):
        reader.decode(look, length=1000)
