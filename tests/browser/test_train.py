"""A training from the upload to the Read tab, in a browser; where the training is not the point, with a stand-in."""

from __future__ import annotations

import json
import re
import sys
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

import app as page_of
from crnn.recognizer import Recognizer
from crnn.synth import draw
from crnn.tabs.texts import TEXTS
from crnn.tabs.training_queue import TrainingQueue

from .conftest import PATIENCE, Upload
from .test_page import SCREENS, bring, check, finished

TEXT = TEXTS["en"]
LINE = "#curves .mark-line path"
SCRIPT = """
import json, sys, time
from pathlib import Path
run = Path(sys.argv[1])
with (run / "progress.jsonl").open("a") as file:
    for event in json.loads(sys.argv[2]):
        print(json.dumps(event), file=file, flush=True)
while not (run / "stop").exists():
    time.sleep(0.05)
with (run / "progress.jsonl").open("a") as file:
    print(sys.argv[3], file=file)
"""
FIGURES = {"exact": 0.5, "cer": 0.125}
RUNNING = [
    {"event": "start", "spent_s": 0.0},
    {"event": "before", **FIGURES},
    {"event": "step", "step": 5, "spent_s": 10.0, "left_s": 20.0, "share": 0.33, "loss": 0.5},
    {"event": "evaluated", "step": 5, "spent_s": 10.0, "loss": 0.5, "best": True, **FIGURES},
    {"event": "step", "step": 10, "spent_s": 20.0, "left_s": 10.0, "share": 0.67, "loss": 0.25},
    {"event": "evaluated", "step": 10, "spent_s": 20.0, "loss": 0.25, "best": True, **FIGURES},
]
DONE = {
    "event": "done", "reason": "stopped", "spent_s": 21.0, "before": FIGURES, "after": {"exact": 1.0, "cer": 0.0},
    "held_out": [{"file": "00.png", "text": "abc", "before": "abd", "after": "abc"}],
    "confusions_before": [["c", "d", 1]], "confusions_after": [],
}  # fmt: skip


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A zip of twelve drawn pictures with their labels, and one that is none."""
    path, rows = tmp_path / "pictures.zip", ["file_name,text"]
    with zipfile.ZipFile(path, "w") as opened:
        for number in range(12):
            drawing = draw(np.random.default_rng(number), style="plain")
            Image.fromarray(drawing.picture).save(tmp_path / "one.png")
            opened.write(tmp_path / "one.png", f"{number:02}.png")
            rows.append(f"{number:02}.png,{drawing.text}")
        opened.writestr("broken.png", "no picture")
        opened.writestr("metadata.csv", "\n".join([*rows, "broken.png,abc"]))
    return path


@pytest.fixture
def serve_stand_in(
    serve: Callable[[Future[Any]], gr.Blocks], monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path
) -> Callable[[], str]:
    """A function that serves the page with a training that says what it is told, and waits to be stopped."""

    def command(workspace: Any, options: Any, resume: bool) -> list[str]:
        return [sys.executable, "-c", SCRIPT, str(workspace.run), json.dumps(RUNNING), json.dumps(DONE)]

    def serve_one() -> str:
        monkeypatch.setattr(page_of, "training", lambda checkpoint=None: command)
        reader: Future[Any] = Future()
        reader.set_result(Recognizer.from_pretrained(tiny_checkpoint))
        return str(serve(reader).local_url)

    return serve_one


def to(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=TEXT[tab]).click()


def upload_pictures(page: Page, *paths: Path) -> None:
    page.locator("#pictures input[type=file]").set_input_files(paths)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=TEXT[name], exact=True)


def live(page: Page, place: str, role: str = "status") -> Locator:
    return page.locator(f"#{place}-{role} [role={role}]")


def test_from_the_upload_to_the_read_tab(
    open_page: Callable[..., Page], archive: Path, upload: Upload, tmp_path: Path
) -> None:
    page = open_page()
    to(page, "tab_train")
    expect(page.locator("#report")).to_have_text(TEXT["report_none"])
    button(page, "train").click()
    expect(live(page, "train", "alert")).to_have_text(TEXT["too_few"].format(0))

    upload_pictures(page, archive)
    expect(page.locator("#report li")).to_have_text(
        [TEXT["report_usable"].format(12), TEXT["report_problems"].format(1)]
    )
    expect(page.locator("#report figure")).to_have_count(12)
    expect(page.locator("#report td")).to_have_text(re.compile("^The file is not a picture"))

    page.get_by_role("spinbutton", name=re.compile(TEXT["minutes"])).fill("5")  # it is stopped before
    button(page, "train").click()
    expect(button(page, "stop")).to_be_focused()
    expect(live(page, "train", "alert")).to_be_empty()
    rows = page.locator("#measures tbody tr")
    expect(rows).to_have_count(2)  # before it began, and after some seconds
    drawn = page.locator(LINE).first.get_attribute("d")
    page.wait_for_function(f"drawn => document.querySelector('{LINE}')?.getAttribute('d') !== drawn", arg=drawn)

    page.reload()
    to(page, "tab_train")
    expect(page.locator("#report figure")).to_have_count(12)
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", re.compile(r"^\d+$"))
    expect(live(page, "train")).to_have_text(re.compile("^Training: .* left. Read right: "))
    button(page, "stop").click()
    expect(live(page, "train")).to_have_text(re.compile(f"^({TEXT['done_stopped']}|{TEXT['done_time']}) Read right: "))
    expect(page.locator("#learnt h2")).to_have_text(TEXT["learnt"])
    expect(page.locator("#learnt tbody tr").first).to_have_text(re.compile(f"^{TEXT['exact_short']}"))

    with page.expect_download() as download:
        button(page, "download_checkpoint").click()
    with zipfile.ZipFile(download.value.path()) as packed:
        packed.extractall(tmp_path / "unpacked")
    expect(page.locator("#packed")).to_be_hidden()
    assert Recognizer.from_pretrained(tmp_path / "unpacked").read(upload.path).text

    button(page, "use_in_read").click()
    expect(live(page, "learnt")).to_have_text(TEXT["used"])
    to(page, "tab_read")
    expect(page.locator("#own-reader")).to_have_text(TEXT["own_reader"])
    bring(page, upload.path)
    finished(page)
    expect(page.locator("#own-reader")).to_have_text(TEXT["own_reader"])

    other = open_page()  # another browser, for what it knows
    bring(other, upload.path)
    finished(other)
    expect(other.locator("#own-reader")).to_be_empty()
    to(other, "tab_train")
    expect(other.locator("#report")).to_have_text(TEXT["report_none"])
    expect(other.locator("#learnt")).to_have_count(0)

    to(page, "tab_train")
    button(page, "use_shipped").click()
    expect(live(page, "learnt")).to_have_text(TEXT["unused"])
    button(page, "use_in_read").click()
    expect(live(page, "learnt")).to_have_text(TEXT["used"])
    expect(page.locator("#own-reader")).to_have_text(TEXT["own_reader"])
    button(page, "start_over").click()
    expect(page.locator("#own-reader")).to_be_empty()
    expect(live(page, "pictures")).to_have_text(TEXT["removed"])
    expect(page.locator("#report")).to_have_text(TEXT["report_none"])
    expect(page.locator("#learnt")).to_have_count(0)


@pytest.mark.parametrize("screen", SCREENS)
def test_no_accessibility_rule_is_broken_on_the_train_tab(
    open_page: Callable[..., Page], serve_stand_in: Callable[[], str], screen: str, archive: Path, upload: Upload
) -> None:
    page = open_page(**SCREENS[screen], address=serve_stand_in())
    to(page, "tab_train")
    check(page, "no pictures")
    upload_pictures(page, archive, upload.path)
    expect(page.locator("#report figure")).not_to_have_count(0)
    for more in ("pictures_draw", "advanced"):
        page.get_by_role("button", name=TEXT[more]).click()
    check(page, "pictures")
    button(page, "train").click()
    expect(page.locator("#measures tbody tr")).to_have_count(3)
    expect(page.locator("#curves svg")).to_have_count(2)
    check(page, "running")
    button(page, "train").wait_for(state="detached")
    button(page, "stop").click()
    expect(page.locator("#learnt tbody tr").first).to_be_visible()
    page.get_by_role("button", name=TEXT["hub"]).click()
    expect(page.get_by_label(TEXT["hub_token"])).to_have_attribute("type", "password")
    check(page, "learnt")
    button(page, "hub_push").click()
    expect(live(page, "learnt", "alert")).not_to_be_empty()
    check(page, "error")


def test_a_training_by_keyboard(
    open_page: Callable[..., Page], serve_stand_in: Callable[[], str], archive: Path
) -> None:
    page = open_page(address=serve_stand_in())
    page.get_by_role("tab", name=TEXT["tab_read"]).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name=TEXT["tab_train"])).to_have_attribute("aria-selected", "true")
    upload_pictures(page, archive)
    expect(page.locator("#report figure")).to_have_count(12)
    button(page, "train").focus()
    for key in "rsct":  # the Read tab's
        page.keyboard.press(key)
    expect(button(page, "train")).to_be_focused()
    page.keyboard.press("Enter")
    expect(button(page, "stop")).to_be_focused()
    expect(page.get_by_role("progressbar", name=TEXT["progress"])).to_have_attribute("aria-valuenow", "67")
    page.keyboard.press("Enter")
    expect(page.locator("#learnt h2")).to_be_visible()
    expect(button(page, "train")).to_be_focused()
    link = page.get_by_role("link", name=TEXT["skip"])
    link.focus()
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#training$"))  # the browser tells of a jump within the page a little later


def test_what_is_brought_before_the_server_knows_the_visitor_stays(
    open_page: Callable[..., Page], serve_stand_in: Callable[[], str], archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, brought, state = threading.Event(), threading.Event(), TrainingQueue.state

    def late(trainings: TrainingQueue, workspace: Any) -> Any:
        asked.set()
        assert brought.wait(PATIENCE)
        return state(trainings, workspace)

    monkeypatch.setattr(TrainingQueue, "state", late)
    page = open_page(address=serve_stand_in())
    assert asked.wait(PATIENCE)
    to(page, "tab_train")
    upload_pictures(page, archive)
    expect(page.locator("#report figure")).to_have_count(12)
    brought.set()
    button(page, "train").click()  # its answer comes after the one that was late
    expect(button(page, "stop")).to_be_focused()
    expect(page.locator("#report figure")).to_have_count(12)
    button(page, "stop").click()
    expect(page.locator("#learnt h2")).to_be_visible()


def test_another_window_can_stop_it_and_the_queue_can_be_left(
    open_page: Callable[..., Page], serve_stand_in: Callable[[], str], archive: Path
) -> None:
    address = serve_stand_in()
    page = open_page(address=address)
    stale = page.context.new_page()
    stale.goto(address)
    for window in (stale, page):
        to(window, "tab_train")
        expect(button(window, "train")).to_be_visible()
    upload_pictures(page, archive)
    expect(page.locator("#report figure")).to_have_count(12)
    button(page, "train").click()
    expect(button(page, "stop")).to_be_focused()

    waiting = open_page(address=address)  # of another visitor
    to(waiting, "tab_train")
    upload_pictures(waiting, archive)
    expect(waiting.locator("#report figure")).to_have_count(12)
    button(waiting, "train").click()
    expect(live(waiting, "train")).to_have_text(TEXT["waiting_place"].format(1))
    button(waiting, "stop").click()
    expect(live(waiting, "train", "alert")).to_have_text(TEXT["left_queue"])
    expect(button(waiting, "train")).to_be_focused()

    button(stale, "train").click()
    expect(live(stale, "train", "alert")).to_have_text(TEXT["busy"])
    button(stale, "stop").click()
    expect(page.locator("#learnt h2")).to_be_visible()
    expect(page.locator("#learnt")).to_contain_text(TEXT["train_again"])


@pytest.mark.parametrize("language", [language for language in TEXTS if language != "en"])
def test_the_train_tab_speaks_the_language_of_the_browser(
    open_page: Callable[..., Page], serve_stand_in: Callable[[], str], language: str, archive: Path
) -> None:
    texts = TEXTS[language]
    page = open_page(language=language, width=320, height=640, address=serve_stand_in())
    page.get_by_role("tab", name=texts["tab_train"]).click()
    upload_pictures(page, archive)
    expect(page.locator("#report li").first).to_have_text(texts["report_usable"].format(12))
    page.get_by_role("button", name=texts["train"], exact=True).click()
    expect(live(page, "train")).to_have_text(re.compile(re.escape(texts["learning"].split("{}")[0])))
    expect(page.locator("#curves")).to_contain_text(texts["seconds"])
    page.get_by_role("button", name=texts["stop"], exact=True).click()
    expect(page.locator("#learnt h2")).to_have_text(texts["learnt"])
    expect(page.locator("#train-privacy")).to_contain_text("120")
    check(page, language)
