"""Training: it learns, it can be killed and resumed, and its schedule fits the budget."""

import copy
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerState

from crnn import train as training
from crnn.charset import Charset
from crnn.config import CRNNConfig
from crnn.data import collate
from crnn.decode import collapse
from crnn.image import prepare
from crnn.model import CRNNForCTC
from crnn.synth import draw
from crnn.train import EMACallback, TimeBudgetCallback, exact_match, rate, train

SMALL = CRNNConfig(channels=(16, 16, 32, 48, 64), lstm_size=64, dropout=0.0)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch computes in one thread: of several, those that wait for another on a busy machine keep a processor busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_eight_words_are_learnt_by_heart_in_seconds() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    words = ["abcd", "W7xQ", "0099", "hello", "KKm3", "zebra", "55555", "Tiny"]
    pictures = [prepare(draw(rng, text=word, style="plain", aspect=2.5).picture, 48, 4) for word in words]
    charset = Charset(SMALL.charset)
    batch = collate(pictures, words, charset)
    model = CRNNForCTC(SMALL)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    started = time.process_time()  # others may take the processor meanwhile
    read: list[str] = []
    for _ in range(400):
        output = model(**batch)
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        read = [charset.decode(collapse(path)) for path in output.logits.argmax(-1).numpy()]
        if read == words and output.loss < 0.05:
            break
    assert read == words
    assert time.process_time() - started < 30


class Killed(Exception):
    pass


def test_killed_and_resumed_it_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_MINUTES", 1 / 60)
    monkeypatch.setattr(training, "EVALUATION_PICTURES", 16)
    monkeypatch.setattr(training, "CALIBRATION_PICTURES", 4)
    monkeypatch.setattr(training, "BATCH_SIZE", 8)
    tiny = CRNNConfig(channels=(8, 8, 8, 8, 16), lstm_size=8)
    save = TimeBudgetCallback.on_save

    def save_and_die(self: TimeBudgetCallback, *args: Any, **kwargs: Any) -> None:
        save(self, *args, **kwargs)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(TimeBudgetCallback, "on_save", save_and_die)
        with pytest.raises(Killed):
            train(tmp_path, minutes=0.12, config=tiny)
    (interim,) = tmp_path.glob("checkpoint-*")
    before = json.loads((interim / "trainer_state.json").read_text())["global_step"]
    spent_s = json.loads((interim / TimeBudgetCallback.FILE).read_text())["spent_s"]
    assert before > 0 and spent_s > 0

    with pytest.raises(ValueError, match="was begun with other seed; go on with what it had, or begin anew"):
        train(tmp_path, config=tiny, resume=True, seed=1)
    started = time.monotonic()
    train(tmp_path, config=tiny, resume=True)
    ran_s = time.monotonic() - started
    history = json.loads((tmp_path / "training.json").read_text())
    assert history["pictures"] > before * 8 and history["minutes"] == pytest.approx(0.12)
    assert CRNNForCTC.from_pretrained(tmp_path).config.lstm_size == 8
    stopped = json.loads(
        (max(tmp_path.glob("checkpoint-*"), key=lambda f: int(f.name[11:])) / TimeBudgetCallback.FILE).read_text()
    )
    assert spent_s < stopped["spent_s"] <= spent_s + ran_s  # the budget counts both runs


def test_a_young_average_forgets_where_it_began(tiny_model: CRNNForCTC) -> None:
    ema = EMACallback(tiny_model)
    moved = copy.deepcopy(tiny_model)
    with torch.no_grad():
        moved.head.bias += 1
    for step in range(1, 51):
        ema.on_step_end(None, TrainerState(global_step=step), None, model=moved)
    distance = (ema.averaged.module.head.bias - moved.head.bias).abs().max()
    assert distance < 0.01


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no interim checkpoint to resume"):
        train(tmp_path, resume=True)


def test_no_budget_and_no_place_are_one_sentence(tmp_path: Path) -> None:
    for minutes in (0, -1.5, float("nan")):
        with pytest.raises(ValueError, match=f"^The time budget is {minutes} minutes; give more than 0.$"):
            train(tmp_path, minutes=minutes)
    with pytest.raises(ValueError, match="^The time budget is inf minutes; give fewer.$"):
        train(tmp_path, minutes=math.inf)
    assert not any(tmp_path.iterdir())
    for left in ("checkpoint-5", "model.safetensors"):
        (tmp_path / left / left).mkdir(parents=True)
        with pytest.raises(ValueError, match="holds a training already; give another folder, or --resume"):
            train(tmp_path / left, minutes=1)


def test_the_rate_warms_up_and_ends_at_zero() -> None:
    rates = [rate(share) for share in np.linspace(0, 1, 101)]
    assert rates[0] < 0.01 and max(rates) == pytest.approx(1, abs=0.01) and rates[-1] < 1e-6
    peak = int(np.argmax(rates))
    assert 1 <= peak <= 5 and np.all(np.diff(rates[peak:]) <= 0)


def test_exact_match_counts_whole_texts() -> None:
    class Prediction:
        predictions = np.array([[1, 1, 0, 2, -100], [0, 0, 3, 3, 3]])
        label_ids = np.array([[1, 2, 0, -100], [3, 3, 0, 0]])

    assert exact_match(Prediction()) == {"exact": 0.5}  # type: ignore[arg-type]
