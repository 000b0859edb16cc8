"""Fine-tuning: it learns, gains characters, stops and resumes; several processes learn what one does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from crnn import finetune, validation
from crnn.charset import Charset
from crnn.config import CRNNConfig
from crnn.data import WIDER, LabelledBatches
from crnn.finetune import FineTuning, fine_tune
from crnn.intake import Example, read_folder, write_table
from crnn.model import IGNORED, CRNNForCTC, alignment_loss
from crnn.recognizer import FIRST_WIDTH, THIRD_WIDTH, Recognizer
from crnn.synth import draw
from crnn.train import train
from crnn.validation import Journal, as_good

ROOT = Path(__file__).parent.parent
WORDS = ("a1b2", "b20a", "12ab", "0a1b", "ba21", "20b1", "1a0b", "b0a2", "ab12", "2b0a", "01ab", "b1a2")
SMALL = CRNNConfig(channels=(16, 16, 16, 32, 32), attention_heads=2, lstm_size=16, dropout=0.0)
# What the processes of the tests run: fine-tuning that saves at every chance, and tells of each step.
SCRIPT = """
import sys
import crnn.fonts, crnn.finetune, crnn.validation
crnn.fonts.FOLDERS = ()
crnn.finetune.SAVE_MINUTES, crnn.validation.STEP_S = 0.01, 0
folder, output, start, steps, resume = sys.argv[1:]
wishes = crnn.finetune.FineTuning(start, steps=int(steps), resume=resume == "resume", draw_share=0.5)
crnn.finetune.fine_tune([folder], output, wishes)
"""


def events(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / Journal.FILE).read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve labelled pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for word in WORDS:
        Image.fromarray(draw(rng, text=word, style="plain", aspect=2.5).picture).save(folder / f"{word}.png")
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained checkpoint."""
    checkpoint = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    CRNNForCTC(SMALL).save_pretrained(checkpoint)
    return checkpoint


def start(folder: Path, output: Path, checkpoint: Path, steps: int, resume: bool = False) -> subprocess.Popen[bytes]:
    arguments = [str(folder), str(output), str(checkpoint), str(steps), "resume" if resume else "anew"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # two of these run side by side
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], cwd=ROOT, env=environment)


def test_it_learns_what_the_shipped_reader_reads_wrong(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(1)
    examples = []
    for number in range(20):
        # No reader can know that here a 7 is to be read as an X, unless it learns it.
        drawn = "".join(rng.permutation([*rng.choice(list("abekmr23456"), 3), "7"]))
        path = pictures / f"{number}.png"
        Image.fromarray(draw(rng, text=drawn, style="plain", aspect=2.5).picture).save(path)
        examples.append(Example(path, drawn.replace("7", "X")))
    write_table(pictures, examples)
    fine_tune([pictures], tmp_path / "run", FineTuning("checkpoints/captcha", steps=32, draw_share=0))
    (done,) = events(tmp_path / "run", "done")
    assert done["before"]["exact"] == 0 and done["after"]["exact"] >= 2 / 3
    texts = {example.path.name: example.text for example in examples}
    reader = Recognizer.from_pretrained(tmp_path / "run")
    for row in done["held_out"]:
        assert row["text"] == texts[Path(row["file"]).name]
        assert reader.read(row["file"]).text == row["after"]
    assert "after" in (tmp_path / "run" / "README.md").read_text()
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_new_characters_extend_the_head_and_old_ones_stay(tiny_config: CRNNConfig) -> None:
    torch.manual_seed(0)
    model = CRNNForCTC(CRNNConfig(**tiny_config.to_diff_dict())).eval()
    pixels = torch.randn(1, 3, 48, 80)
    before = model(pixels).logits
    model.add_characters("é€")
    after = model(pixels).logits
    known = before.shape[2]
    assert after.shape[2] == known + 2 and model.config.charset.endswith("é€")
    assert torch.allclose(after[..., :known], before, atol=1e-6)
    assert torch.allclose(after[..., known:], before[..., 1:].mean(-1, keepdim=True).expand(-1, -1, 2), atol=1e-5)


def test_new_characters_are_learnt_from_labels(folder: Path, small: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for example in read_folder(folder):
        (pictures / f"{example.text.replace('a', 'ß')}.png").write_bytes(example.path.read_bytes())
    fine_tune([pictures], tmp_path / "run", FineTuning(small, steps=2))
    (started,) = events(tmp_path / "run", "start")
    assert started["new_characters"] == "ß"
    assert Recognizer.from_pretrained(tmp_path / "run").charset.characters == SMALL.charset + "ß"


def test_killed_and_resumed_it_ends_as_if_it_was_not(folder: Path, small: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed = start(folder, whole, small, 40)
    process = start(folder, killed, small, 40)
    deadline = time.monotonic() + 120
    while not list(killed.glob("checkpoint-*/clock.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    assert process.wait(30) == -signal.SIGKILL, "it ended before it could be killed"
    saved = max(int(path.parent.name.rpartition("-")[2]) for path in killed.glob("checkpoint-*/clock.json"))
    assert saved < 40
    other = FineTuning(small, steps=40, resume=True, layers="head", draw_share=0.5)
    with pytest.raises(ValueError, match="was begun with other layers; go on with what it had, or begin anew"):
        fine_tune([folder], killed, other)
    fewer = tmp_path / "fewer"
    shutil.copytree(folder, fewer)
    next(fewer.glob("*.png")).unlink()
    with pytest.raises(ValueError, match="was begun with other pictures or labels; go on"):
        fine_tune([fewer], killed, FineTuning(small, steps=40, resume=True, draw_share=0.5))
    with pytest.raises(ValueError, match="was begun with other kind of pictures and seed; go on"):
        train(killed, small, minutes=1, resume=True, seed=1)
    assert start(folder, killed, small, 40, resume=True).wait(300) == 0
    assert undisturbed.wait(300) == 0

    again = [event["step"] for event in events(killed, "step") if event["step"] > saved]
    assert again[-1] == 40
    losses = [events(run, "evaluated")[-1]["loss"] for run in (whole, killed)]
    assert losses[1] == pytest.approx(losses[0], abs=0.01)
    assert events(killed, "done")[0]["after"] == pytest.approx(events(whole, "done")[0]["after"], abs=0.01)
    with pytest.raises(ValueError, match="holds a finished training already"):
        fine_tune([folder], killed, FineTuning(small, resume=True))


def test_two_processes_have_the_losses_of_one(folder: Path, small: Path, tmp_path: Path) -> None:
    alone = start(folder, tmp_path / "one", small, 12)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    torchrun += ["--master-addr", "127.0.0.1", "--master-port", port, str(script)]
    arguments = [str(folder), str(tmp_path / "two"), str(small), "12", "anew"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([*torchrun, *arguments], cwd=ROOT, env=environment, check=True, timeout=300)
    assert alone.wait(300) == 0
    one, two = ([event["loss"] for event in events(tmp_path / run, "step")] for run in ("one", "two"))
    assert len(one) == len(two) == 12
    assert one[0] > one[-1] + 0.1
    assert two == pytest.approx(one, rel=1e-3)


def test_a_budget_of_minutes_is_kept(folder: Path, small: Path, tmp_path: Path) -> None:
    fine_tune([folder], tmp_path / "run", FineTuning(small, minutes=0.05))
    (done,) = events(tmp_path / "run", "done")
    assert done["reason"] == "time" and 3 <= done["spent_s"] < 6
    assert events(tmp_path / "run", "evaluated")[-1]["spent_s"] == done["spent_s"]  # its last weights were measured
    shares = [event["share"] for event in events(tmp_path / "run", "step")]
    assert shares == sorted(shares) and 0 < shares[0] and shares[-1] <= 1


def test_a_file_stops_it_with_the_best_so_far(folder: Path, small: Path, tmp_path: Path) -> None:
    process = start(folder, tmp_path / "run", small, 100_000)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / Journal.FILE).exists() or not events(tmp_path / "run", "step"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    (tmp_path / "run" / Journal.STOP).touch()
    assert process.wait(120) == 0
    (done,) = events(tmp_path / "run", "done")
    assert done["reason"] == "stopped"
    assert Recognizer.from_pretrained(tmp_path / "run").charset.characters == SMALL.charset


def test_it_may_be_stopped_before_it_begins(
    folder: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(finetune, "families_like", lambda *_: (run / Journal.STOP).touch() or {})
    run.mkdir()
    (run / Journal.STOP).touch()  # left by an earlier one
    fine_tune([folder], run, FineTuning(small, steps=100_000))
    (done,) = events(run, "done")
    assert done["reason"] == "stopped" and not (run / Journal.STOP).exists()


def test_what_gets_worse_ends_early_with_the_first_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "FINE_TUNING_RATE", 1e3)  # nothing survives even the first step of that
    monkeypatch.setattr(validation, "EVALUATE_S", 0.0)
    fine_tune([folder], tmp_path / "run", FineTuning("checkpoints/captcha", steps=12, draw_share=0))
    (done,) = events(tmp_path / "run", "done")
    assert done["reason"] == "early" and done["after"] == done["before"]


def test_bad_wishes_and_folders_are_one_sentence(folder: Path, small: Path, tmp_path: Path) -> None:
    for wrong in (
        {"layers": "some"},
        {"draw_share": 1.0},
        {"draw_share": -0.1},
        {"keep": 1.0},
        {"minutes": 0},
        {"minutes": float("inf")},
        {"steps": 0},
    ):
        with pytest.raises(ValueError, match="give"):
            FineTuning(**wrong)  # type: ignore[arg-type]
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    (lonely / "ab.png").write_bytes((folder / f"{WORDS[0]}.png").read_bytes())
    with pytest.raises(ValueError, match="1 of the 1 pictures can be used"):
        fine_tune([lonely], tmp_path / "run", FineTuning(small))
    (error,) = events(tmp_path / "run", "error")
    assert error["sentence"].startswith("1 of the 1 pictures")
    for place in ("run", "nowhere"):
        with pytest.raises(ValueError, match="no interim checkpoint to resume"):
            fine_tune([folder], tmp_path / place, FineTuning(small, resume=True))
    (tmp_path / "run" / "checkpoint-1").mkdir()
    with pytest.raises(ValueError, match="holds a training already"):
        fine_tune([folder], tmp_path / "run", FineTuning(small))
    for name in ("README.md", "config.json", "model.safetensors"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
        with pytest.raises(ValueError, match=f"holds {name} already, which would be replaced; give another folder"):
            fine_tune([folder], tmp_path / name, FineTuning(small))


def test_what_came_to_nothing_is_not_in_the_way(folder: Path, small: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no folder"):
        fine_tune([tmp_path / "mistyped"], tmp_path / "run", FineTuning(small))
    with (tmp_path / "run" / Journal.FILE).open("a") as file:
        file.write('{"event": "st')  # half written, as after a crash
    before = signal.getsignal(signal.SIGINT)
    fine_tune([folder], tmp_path / "run", FineTuning(small, steps=2, draw_share=0))
    assert signal.getsignal(signal.SIGINT) is before  # an interrupt ends the program again
    modes = {(tmp_path / "run" / name).stat().st_mode for name in ("model.safetensors", "config.json")}
    assert len(modes) == 1  # who may read the one may read the other
    assert not events(tmp_path / "run", "error") and len(events(tmp_path / "run", "done")) == 1
    with pytest.raises(ValueError, match="holds a finished training already"):
        fine_tune([folder], tmp_path / "run", FineTuning(small))


def test_what_is_kept_lies_between_the_first_and_the_last() -> None:
    first, last = ({"a": torch.tensor([x, 0.0]), "steps": torch.tensor(int(x))} for x in (1.0, 5.0))
    kept = validation.between(last, first, 0.25)
    assert kept["a"].tolist() == [4.0, 0.0] and kept["steps"] == 5
    assert last["a"].tolist() == [5.0, 0.0]


def test_later_weights_win_unless_they_are_clearly_worse() -> None:
    lowest = np.array([0.1, 0.2, 0.3, 0.4])
    assert as_good(lowest, lowest) and as_good(lowest - 0.05, lowest)
    assert as_good(lowest + (0.3, -0.2, 0.1, -0.1), lowest)  # a mean of 0.025 more, and a standard error of 0.1
    assert not as_good(lowest + (0.1, 0.11, 0.1, 0.09), lowest)


def test_large_pictures_are_kept_smaller_to_measure_on() -> None:
    photo, strip, small = np.zeros((3000, 4000, 3), np.uint8), np.zeros((2, 4_000_000, 3), np.uint8), np.ones((9, 9, 3))
    assert validation._smaller(photo).shape == (866, 1154, 3)
    assert validation._smaller(strip).shape[0] == 2
    assert validation._smaller(small.astype(np.uint8)).shape == small.shape


# ---- batches


def batches(folder: Path, parts: int = 1, draw_share: float = 0.5, size: int = 8) -> LabelledBatches:
    examples = read_folder(folder)
    return LabelledBatches(
        examples,
        Charset(SMALL.charset),
        48,
        4,
        size,
        7,
        draw_share,
        {},
        lambda picture, text: np.arange(1.0, len(text)),
        parts,
    )


def test_parts_are_the_batch_of_one_process(folder: Path) -> None:
    whole, parted = batches(folder), batches(folder, parts=2)
    assert [key for key, _ in zip(parted, range(4), strict=False)] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    one, halves = whole.make((3, 0)), [parted.make((3, part)) for part in range(2)]
    for number in range(8):
        half = halves[number % 2]
        width = half["widths"][number // 2] if "widths" in half else half["pixel_values"].shape[3]
        assert torch.equal(half["pixel_values"][number // 2, :, :, :width], one["pixel_values"][number, :, :, :width])
    assert torch.equal(one["pixel_values"], batches(folder).make((3, 0))["pixel_values"])
    assert not torch.equal(one["labels"], whole.make((4, 0))["labels"])


def test_every_labelled_picture_has_its_turn(folder: Path) -> None:
    made = batches(folder, draw_share=0, size=4)
    for a_round in range(3):
        members = np.concatenate([made._members(3 * a_round + place) for place in range(3)])
        assert sorted(members) == list(range(12))


def test_batches_are_narrower_and_wider_than_their_pictures(folder: Path) -> None:
    assert WIDER == (FIRST_WIDTH, THIRD_WIDTH)
    made = batches(folder)
    own = set(made.widths)
    widths = {made.make((number, 0))["pixel_values"].shape[3] for number in range(12)}
    assert min(widths) < min(own) and max(widths) > max(own)


def test_labelled_frames_are_left_to_ctc_and_drawn_ones_told(folder: Path) -> None:
    made = batches(folder)
    known = torch.stack([(made.make((number, 0))["alignment"] != IGNORED).any(dim=1) for number in range(4)])
    assert known[:, 4:].float().mean() > 0.7 and not known[:, :4].any()  # some are too crowded to tell


def test_pictures_without_known_frames_add_nothing() -> None:
    logits = torch.zeros(2, 3, 4)
    alignment = torch.tensor([[1, IGNORED, 2], [IGNORED] * 3])
    assert float(alignment_loss(logits, alignment)) == pytest.approx(np.log(4) / 2)
