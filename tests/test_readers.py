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
    handlers = Readers(shipped())
    assert handlers.of("a").result() == "shipped" and not handlers.has_own("a")
    assert handlers.use("a", Path("mine")).result(PATIENCE) == "mine"
    assert handlers.of("a").result() == "mine" and handlers.has_own("a")
    assert handlers.of("b").result() == "shipped" and not handlers.has_own("b")
    handlers.use("a", Path("better"))
    assert handlers.of("a").result(PATIENCE) == "better"
    handlers.back("a")
    handlers.back("never had one")
    assert handlers.of("a").result() == "shipped" and not handlers.has_own("a")
    assert loaded == [Path("mine"), Path("better")]


def test_nothing_waits_while_one_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(readers, "load", lambda folder: go_on.wait(PATIENCE) and folder.name)
    handlers = Readers(shipped())
    loading = handlers.use("a", Path("mine"))
    assert handlers.has_own("a") and handlers.of("a") is loading and not loading.done()
    assert handlers.of("b").result(0) == "shipped"
    go_on.set()
    assert loading.result(PATIENCE) == "mine"


def test_the_one_used_longest_ago_goes_where_there_are_too_many(loaded: list[Path]) -> None:
    handlers = Readers(shipped(), most=2)
    handlers.use("a", Path("of a"))
    handlers.use("b", Path("of b"))
    handlers.of("a")
    handlers.use("c", Path("of c"))
    assert [handlers.has_own(session) for session in "abc"] == [True, False, True]
    assert handlers.of("a").result(PATIENCE) == "of a" and handlers.of("b").result() == "shipped"


def test_one_is_kept_while_it_is_used_and_forgotten_after(loaded: list[Path]) -> None:
    handlers = Readers(shipped(), seconds=1.5)
    handlers.use("a", Path("mine"))
    for _ in range(4):  # 2.4 s
        time.sleep(0.6)
        assert handlers.of("a").result() == "mine"
    deadline = time.monotonic() + PATIENCE
    while handlers.has_own("a") and time.monotonic() < deadline:  # asking whether is no use
        time.sleep(0.05)
    assert not handlers.has_own("a") and handlers.of("a").result() == "shipped"


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
    handlers = Readers(shipped())
    error = handlers.use("a", folder).exception(PATIENCE)
    assert isinstance(error, ValueError) and "train it again." in str(error) and str(tmp_path) not in str(error)
    assert handlers.of("a").exception() is error
    handlers.back("a")
    assert handlers.of("a").result() == "shipped"


def test_many_threads_get_along(loaded: list[Path]) -> None:
    handlers = Readers(shipped(), most=3)
    faults: list[BaseException] = []

    def visit(number: int) -> None:
        session = f"session {number}"
        try:
            for _ in range(30):
                assert handlers.use(session, Path(session)).result(PATIENCE) == session
                assert handlers.of(session).result(PATIENCE) in (session, "shipped")
                handlers.has_own(session)
                handlers.back(session)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=visit, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not faults and not any(handlers.has_own(f"session {number}") for number in range(8))
