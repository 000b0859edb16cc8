"""Which reader reads for whom."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crnn.model import CRNNForCTC
from crnn.recognizer import Recognizer
from crnn.tabs import readers
from crnn.tabs.readers import Readers

PATIENCE = 30  # seconds


def shipped() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result("shipped")
    return future


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were loaded; a reader is its folder's name."""
    folders: list[Path] = []
    monkeypatch.setattr(readers, "load", lambda folder: folders.append(folder) or folder.name)
    return folders


def test_an_own_reader_serves_its_session_alone_until_it_goes_back(loaded: list[Path]) -> None:
    desk = Readers(shipped())
    assert desk.of("a").result() == "shipped" and not desk.has_own("a")
    assert desk.use("a", Path("mine")).result(PATIENCE) == "mine"
    assert desk.of("a").result() == "mine" and desk.has_own("a")
    assert desk.of("b").result() == "shipped" and not desk.has_own("b")
    desk.use("a", Path("better"))
    assert desk.of("a").result(PATIENCE) == "better"
    desk.back("a")
    desk.back("never had one")
    assert desk.of("a").result() == "shipped" and not desk.has_own("a")
    assert loaded == [Path("mine"), Path("better")]


def test_nothing_waits_while_one_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(readers, "load", lambda folder: go_on.wait(PATIENCE) and folder.name)
    desk = Readers(shipped())
    loading = desk.use("a", Path("mine"))
    assert desk.has_own("a") and desk.of("a") is loading and not loading.done()
    assert desk.of("b").result(0) == "shipped"
    go_on.set()
    assert loading.result(PATIENCE) == "mine"


def test_the_one_used_longest_ago_goes_where_there_are_too_many(loaded: list[Path]) -> None:
    desk = Readers(shipped(), most=2)
    desk.use("a", Path("of a"))
    desk.use("b", Path("of b"))
    desk.of("a")
    desk.use("c", Path("of c"))
    assert [desk.has_own(session) for session in "abc"] == [True, False, True]
    assert desk.of("a").result(PATIENCE) == "of a" and desk.of("b").result() == "shipped"


def test_one_is_kept_while_it_is_used_and_forgotten_after(loaded: list[Path]) -> None:
    desk = Readers(shipped(), seconds=1.5)
    desk.use("a", Path("mine"))
    for _ in range(4):  # 2.4 s
        time.sleep(0.6)
        assert desk.of("a").result() == "mine"
    deadline = time.monotonic() + PATIENCE
    while desk.has_own("a") and time.monotonic() < deadline:  # asking whether is no use
        time.sleep(0.05)
    assert not desk.has_own("a") and desk.of("a").result() == "shipped"


def test_a_folder_may_go_once_it_is_loaded(tiny_checkpoint: Path, tiny_model: CRNNForCTC, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(tiny_checkpoint, folder)
    recognizer = Readers(shipped()).use("a", folder).result(PATIENCE)
    weights = folder / "model.safetensors"
    with weights.open("r+b") as file:  # what is mapped into memory changes with its file
        file.write(b"\0" * weights.stat().st_size)
    shutil.rmtree(folder)
    picture = np.random.default_rng(0).integers(0, 256, (48, 120, 3), np.uint8)
    assert recognizer.read(picture).text == Recognizer(tiny_model).read(picture).text


@pytest.mark.parametrize("spoil", ["gone", "no weights", "cut off", "no config"])
def test_what_is_no_checkpoint_gives_one_sentence_that_names_no_folder(
    tiny_checkpoint: Path, tmp_path: Path, spoil: str
) -> None:
    folder = tmp_path / "run"
    if spoil != "gone":
        shutil.copytree(tiny_checkpoint, folder)
    if spoil == "no weights":
        (folder / "model.safetensors").unlink()
    if spoil == "cut off":
        (folder / "model.safetensors").write_bytes(b"\x08")
    if spoil == "no config":
        (folder / "config.json").write_text("{")
    desk = Readers(shipped())
    error = desk.use("a", folder).exception(PATIENCE)
    assert isinstance(error, ValueError) and "train it again." in str(error) and str(tmp_path) not in str(error)
    assert desk.of("a").exception() is error
    desk.back("a")
    assert desk.of("a").result() == "shipped"


def test_many_threads_get_along(loaded: list[Path]) -> None:
    desk = Readers(shipped(), most=3)
    faults: list[BaseException] = []

    def visit(number: int) -> None:
        session = f"session {number}"
        try:
            for _ in range(30):
                assert desk.use(session, Path(session)).result(PATIENCE) == session
                assert desk.of(session).result(PATIENCE) in (session, "shipped")
                desk.has_own(session)
                desk.back(session)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=visit, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not faults and not any(desk.has_own(f"session {number}") for number in range(8))
