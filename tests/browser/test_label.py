"""Labelling in a browser: by keyboard alone, saved at each Enter, announced, and taken home as a dataset."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from app import launch_options
from crnn.decode import Alternative, Character, Reading
from crnn.tabs import label
from crnn.tabs.texts import TEXTS

from .conftest import PATIENCE
from .test_page import SCREENS, check

TEXT = TEXTS["en"]
GUESSES = {"a": ("w7X", 0.62), "b": ("abc", 0.8), "c": ("def", 0.9), "d": ("ghi", 0.97), "e": ("jkl", 0.98)}
SELECTED = "field => field.value.slice(field.selectionStart, field.selectionEnd)"


class Reader:
    """Sees in each picture what its name stands for."""

    def read_many(self, pictures: Iterable[Path], **options: Any) -> Iterator[Reading]:
        for path in pictures:
            text, sure = GUESSES[path.stem]
            characters = [Character(one, 0.99, (i, i + 1)) for i, one in enumerate(text[:-1])]
            last = Character(text[-1], sure, (9, 10), (Alternative("x", 1 - sure),))
            yield Reading(text, sure, (*characters, last))


class Labelled(NamedTuple):
    """A page that labels, and the folder of its pictures."""

    address: str
    folder: Path

    def table(self) -> list[str]:
        """The labels on the disk."""
        table = self.folder / "metadata.csv"
        return sorted(table.read_text(encoding="utf-8").split()[1:]) if table.exists() else []


@pytest.fixture
def labelled(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Labelled]:
    """A page of nothing but labelling, with five pictures."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "visitor"
    folder.mkdir()
    for number, name in enumerate(GUESSES):
        Image.new("RGB", (120, 40), (40 * number, 90, 120)).save(folder / f"{name}.png")
    reader: Future[Any] = Future()
    reader.set_result(Reader())
    with gr.Blocks(title="Labelling", analytics_enabled=False) as demo:
        gr.HTML("<h1>Labelling</h1>")
        token = gr.BrowserState("visitor", storage_key="test", secret="no secret")
        labelling = label.build(lambda token: tmp_path / token, reader, token)
        saved = gr.Number(0, label="saved")
        labelling.saved.change(lambda times: times + 1, saved, saved)
        demo.load(labelling.show, token, labelling.outputs)
    demo.launch(**launch_options(), prevent_thread_lock=True, quiet=True)
    yield Labelled(demo.local_url, folder)
    demo.close()


@pytest.fixture
def open_page(browser: Browser, labelled: Labelled) -> Iterator[Callable[..., Page]]:
    """A function that opens the page as a given screen, once the first picture is there."""
    pages: list[Page] = []

    def open_as(width: int = 1200, height: int = 900, dark: bool = False, language: str = "en") -> Page:
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            locale=language,
            accept_downloads=True,
        )
        page.set_default_timeout(PATIENCE * 1000)
        pages.append(page)
        page.goto(labelled.address)
        expect(field(page)).to_be_visible()
        return page

    yield open_as
    for page in pages:
        page.close()


def field(page: Page) -> Locator:
    return page.locator("#label-field input")


def status(page: Page) -> Locator:
    return page.locator("#label-status").get_by_role("status")


def alert(page: Page) -> Locator:
    return page.locator("#label-alert").get_by_role("alert")


def shows(page: Page, said: str, guess: str) -> None:
    """It is announced, and the focus is in the field, whose guess is selected so that typing replaces it."""
    expect(status(page)).to_have_text(re.compile(said))
    expect(field(page)).to_be_focused()
    expect(field(page)).to_have_value(guess)
    page.wait_for_function(f"guess => ({SELECTED})(document.activeElement) === guess", arg=guess)


def test_the_whole_job_by_keyboard(open_page: Callable[..., Page], labelled: Labelled) -> None:
    page = open_page()
    expect(status(page)).to_have_text(
        "1 of 5. The reader guesses: w, 7, capital X. Third character: capital X, or x. 62 percent sure."
    )
    picture = page.get_by_role("img", name=TEXT["label_alt"])
    assert picture.evaluate("image => image.width / image.naturalWidth") >= 2
    for _ in range(10):
        page.keyboard.press("Tab")
        if field(page).evaluate("it => it === document.activeElement"):
            break

    page.keyboard.press("Enter")
    shows(page, "^2 of 5. The reader guesses: a, b, c. 80 percent sure.$", "abc")
    assert labelled.table() == ["a.png,w7X"]

    page.keyboard.type("aBc")
    page.keyboard.press("Enter")
    shows(page, "^3 of 5. The reader guesses: d, e, f.", "def")
    assert labelled.table() == ["a.png,w7X", "b.png,aBc"]

    page.keyboard.press("ArrowUp")
    shows(page, "^Already labelled: a, capital B, c.", "aBc")
    page.keyboard.type("abC")
    page.keyboard.press("Enter")
    shows(page, "^3 of 5. ", "def")
    assert labelled.table() == ["a.png,w7X", "b.png,abC"]

    page.keyboard.press("ArrowDown")
    shows(page, "^4 of 5. The reader guesses: g, h, i.", "ghi")
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    expect(alert(page)).to_have_text(TEXT["label_empty"])
    expect(field(page)).to_be_focused()
    assert len(labelled.table()) == 2
    page.keyboard.type("GHI")
    page.keyboard.press("Enter")
    shows(page, "^5 of 5. The reader guesses: j, k, l.", "jkl")
    expect(alert(page)).to_be_empty()
    assert labelled.table() == ["a.png,w7X", "b.png,abC", "d.png,GHI"]
    expect(page.get_by_label("saved")).to_have_value("4")

    page.keyboard.press("Enter")
    shows(page, "^Only skipped pictures are left. 5 of 5. The reader guesses: d, e, f", "def")
    page.keyboard.press("Enter")
    expect(status(page)).to_have_text("All is labelled. Pictures with a label: 5.")
    dataset = page.get_by_role("button", name=TEXT["label_dataset"])
    expect(dataset).to_be_focused()
    expect(field(page)).to_have_count(0)

    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "dataset.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        assert sorted(archive.namelist()) == [*(f"{name}.png" for name in GUESSES), "metadata.csv"]
        rows = archive.read("metadata.csv").decode().split()
        assert (rows[0], sorted(rows[1:])) == ("file_name,text", labelled.table())
        assert archive.read("a.png") == (labelled.folder / "a.png").read_bytes()

    page.get_by_role("button", name=TEXT["label_back"]).press("Enter")
    shows(page, "^Already labelled: d, e, f.", "def")


def test_enter_right_after_a_skip_is_not_about_the_next_picture(
    open_page: Callable[..., Page], labelled: Labelled
) -> None:
    page = open_page()
    field(page).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")  # what stands in the field was read in the first one
    expect(status(page)).to_have_text(re.compile("^[23] of 5. "))
    page.wait_for_timeout(500)
    assert "b.png,w7X" not in labelled.table()


def test_all_that_is_surely_read_is_accepted_when_asked_for(open_page: Callable[..., Page], labelled: Labelled) -> None:
    page = open_page()
    expect(page.locator("#label-note")).to_have_text("Surely read so far, above 95 percent: 2.")
    surely = page.get_by_role("button", name=TEXT["label_surely"])
    surely.click()
    shows(page, r"^Labelled as read: 2. 3 of 5. The reader guesses: w, 7", "w7X")
    assert labelled.table() == ["d.png,ghi", "e.png,jkl"]
    expect(surely).to_have_count(0)


def test_a_reload_goes_on_with_what_is_left(open_page: Callable[..., Page], labelled: Labelled) -> None:
    page = open_page()
    page.get_by_role("button", name=TEXT["label_accept"], exact=True).click()
    shows(page, "^2 of 5. ", "abc")
    page.reload()
    expect(status(page)).to_have_text(re.compile("^1 of 4. The reader guesses: a, b, c"))
    expect(page.get_by_role("button", name=TEXT["label_back"])).to_be_disabled()


def test_pictures_that_were_removed_get_a_sentence(open_page: Callable[..., Page], labelled: Labelled) -> None:
    page = open_page()
    for path in labelled.folder.iterdir():
        path.unlink()
    field(page).press("Enter")
    expect(alert(page)).to_have_text(TEXT["label_gone"])


def test_it_speaks_the_language_of_the_browser(open_page: Callable[..., Page]) -> None:
    page, texts = open_page(language="de"), TEXTS["de"]
    expect(page.get_by_role("heading", level=2)).to_have_text(texts["label_heading"])
    expect(status(page)).to_have_text(re.compile("^1 von 5. Der Leser vermutet: w, 7, großes X. "))
    expect(page.get_by_label(texts["label_field"])).to_have_value("w7X")


@pytest.mark.parametrize("screen", SCREENS)
def test_no_accessibility_rule_is_broken(open_page: Callable[..., Page], screen: str) -> None:
    page = open_page(**SCREENS[screen])
    check(page, "a picture")
    field(page).fill("")
    field(page).press("Enter")
    expect(alert(page)).not_to_be_empty()
    check(page, "an error")
    page.get_by_role("button", name=TEXT["label_surely"]).click()
    for number in (3, 4, 5):
        expect(status(page)).to_have_text(re.compile(f"{number} of 5. "))
        field(page).press("Enter")
    expect(status(page)).to_have_text(re.compile("^All is labelled"))
    check(page, "all labelled")
